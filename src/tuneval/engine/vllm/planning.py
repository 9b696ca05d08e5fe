"""Which requests go to vLLM and which to the backend on transformers, and what vLLM is asked for them.

Holds no engine and no weights. Not for: sending (``engine.py``).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneval.engine.hf.passes.generation import Job, Speller
from tuneval.engine.hf.passes.responses import jobs_of
from tuneval.engine.hf.text.render import Prompt, Renderer, Scoring
from tuneval.types import Request

N_TARGETS = 128
"""Tokens of which vLLM tells the log-probability in one place at most."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for the engine, and the words of its sampling parameters."""

    ids: Ids
    words: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """The number of a request whose one token is scored, and that token."""

    owner: int
    target: int


@dataclass(slots=True)
class Plan:
    """What is asked of vLLM.

    Attributes
    ----------
    asks : list of Ask
    labels : dict
        Number of an ask -> the requests that it scores.
    jobs : dict
        Number of an ask -> the completion that it draws.
    here : list of int
        Numbers of the requests that the backend on transformers answers.
    """

    asks: list[Ask] = field(default_factory=list)
    labels: dict[int, list[Label]] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    here: list[int] = field(default_factory=list)
    scorings: dict[int, Scoring] = field(default_factory=dict)
    prompts: dict[int, Prompt] = field(default_factory=dict)


def plan(
    requests: Sequence[Request],
    known: Collection[str],
    renderer: Renderer,
    *,
    end_tokens: Collection[int],
    n_embeddings: int,
    longest: int,
) -> Plan:
    """Cut requests into asks.

    A label of one token is one place of vLLM's; longer ones are walked as a tree by the backend on
    transformers. All answers to one prompt go the same way: their likelihoods are held against one
    another, and two engines round differently. Where a request goes hangs on all ``requests``, those
    in ``known`` included, of which nothing is asked.

    Parameters
    ----------
    longest : int
        Tokens that the engine holds of a prompt and its answer.
    """
    found = Plan()
    scored = [n for n, one in enumerate(requests) if one.continuation is not None]
    drawn = [n for n, one in enumerate(requests) if one.decoding is not None]
    for n, scoring in zip(scored, renderer.scorings([requests[n] for n in scored]), strict=True):
        found.scorings[n] = scoring
    for n, prompt in zip(drawn, renderer.prompts([requests[n] for n in drawn]), strict=True):
        found.prompts[n] = prompt
    apart = {
        (requests[n].case_id, requests[n].prompt)
        for n, scoring in found.scorings.items()
        if not _is_one_token(scoring, n_embeddings, longest)
    }
    targets: defaultdict[Ids, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for n, scoring in found.scorings.items():
        if (requests[n].case_id, requests[n].prompt) in apart:
            found.here.append(n)
        elif requests[n].id not in known:
            ids = scoring.windows[0].ids
            targets[ids[:-1]][ids[-1]].append(n)
    _ask_labels(found, targets)
    speller = Speller(renderer.tokenizer)
    for n, prompt in found.prompts.items():
        if max(prompt.ids) >= n_embeddings or prompt.max_tokens < 1:
            found.here.append(n)
        elif requests[n].id not in known:
            for job in jobs_of(n, requests[n], prompt):
                found.jobs[len(found.asks)] = job
                found.asks.append(Ask(prompt.ids, drawing(job, end_tokens, speller)))
    found.here.sort()
    return found


def _is_one_token(scoring: Scoring, n_embeddings: int, longest: int) -> bool:
    if len(scoring.windows) != 1 or scoring.windows[0].n_scored != 1:
        return False
    ids = scoring.windows[0].ids
    return 2 <= len(ids) <= longest and max(ids) < n_embeddings


def _ask_labels(found: Plan, targets: Mapping[Ids, Mapping[int, list[int]]]) -> None:
    for ids, owners in targets.items():
        tokens = sorted(owners)
        for start in range(0, len(tokens), N_TARGETS):
            some = tokens[start : start + N_TARGETS]
            found.labels[len(found.asks)] = [
                Label(owner, target) for target in some for owner in owners[target]
            ]
            found.asks.append(Ask(ids, telling(some)))


def telling(tokens: Sequence[int]) -> dict[str, Any]:
    """Parameters that have the log-probabilities of these tokens told of what comes next."""
    return {
        "temperature": 0.0,
        "max_tokens": 1,
        "logprob_token_ids": list(tokens),
        "logprobs": len(tokens),
        "ignore_eos": True,
        "detokenize": False,
    }


def drawing(job: Job, end_tokens: Collection[int], speller: Speller) -> dict[str, Any]:
    """Parameters that draw a completion as the backend on transformers would.

    vLLM stops at the same strings and tokens; where the text ends is read from its ids here, by the
    same code. A stop string that is a special token is a token to stop at.
    """
    decoding = job.decoding
    special = [
        speller.special[one.strip()] for one in decoding.stop if one.strip() in speller.special
    ]
    strings = [one for one in decoding.stop if one and one.strip() not in speller.special]
    words: dict[str, Any] = {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": job.prompt.max_tokens,
        "stop_token_ids": sorted({*end_tokens, *special}),
        "ignore_eos": True,  # those above are all that end
        "detokenize": bool(strings),
    }
    if strings:
        words["stop"] = strings
    if decoding.temperature > 0:
        words["seed"] = seed_of(job)
    return words


def seed_of(job: Job) -> int:
    """A seed of its own for each completion: with one for all, every case would be drawn with the same
    random numbers, and errors of cases would hang together."""
    ids = ",".join(map(str, job.prompt.ids))
    content = f"{job.decoding.sampling_seed}/{job.number}/{ids}"
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "little")
