"""Draws completions from prompts: greedy or sampled, each row ending on its own.

A sampled text depends on its seed, its prompt and its number alone, never on what else was in the
batch. Not for: rendering prompts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuneval.engine.hf import memory
from tuneval.engine.hf.loading import Network
from tuneval.engine.hf.render import Prompt
from tuneval.engine.hf.schedule import padded_batches
from tuneval.types import Completion, Decoding

_MAX_REDRAWS = 64
"""A draw outside of top_p is drawn again; after so many the likeliest token is taken."""


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to draw: completion ``number`` of request ``owner``."""

    owner: int
    number: int
    prompt: Prompt
    decoding: Decoding


@dataclass(frozen=True, slots=True)
class Drawn:
    """A completion, or the problem that there is none."""

    completion: Completion | None
    seconds: float
    problem: str | None = None


@dataclass(slots=True)
class _Row:
    """A job under way."""

    job: Job
    reader: Reader
    stream: np.random.Generator
    ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    text: str | None = None
    problem: str | None = None


class Reader:
    """Turns drawn ids into text and watches for stop strings.

    Text is decoded behind the last prompt token, for some vocabularies drop the blank in front of
    a text that begins with nothing (which would cost a program its indentation).
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._anchor = list(prompt[-1:])
        self._stop = [text for text in stop if text]
        # A stop string of n bytes spans at most n tokens; a few more for cut characters.
        self._tail = max((len(text.encode()) for text in self._stop), default=0) + 4

    def text(self, ids: Sequence[int]) -> str:
        """The text of drawn ids, without special tokens."""
        head = self._decode(self._anchor)
        whole = self._decode([*self._anchor, *ids])
        if head and whole.startswith(head):
            return whole[len(head) :]
        return self._decode(ids)

    def until_stop(self, ids: Sequence[int]) -> str | None:
        """The text before the first stop string, or None where there is none yet."""
        if not self._stop:
            return None
        tail = self._decode(ids[-self._tail :])
        if not any(text in tail for text in self._stop):
            return None
        whole = self.text(ids)
        found = [whole.find(text) for text in self._stop]
        starts = [start for start in found if start >= 0]
        return whole[: min(starts)] if starts else None

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def stream(job: Job) -> np.random.Generator:
    """The random numbers of one completion, from its seed, its prompt and its number."""
    content = f"{job.decoding.sampling_seed}/{job.number}/{','.join(map(str, job.prompt.ids))}"
    key = int.from_bytes(hashlib.sha256(content.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def generate_padded(
    network: Network,
    jobs: Sequence[Job],
    *,
    tokenizer: Any,
    end_tokens: frozenset[int],
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
) -> Iterator[tuple[int, Drawn]]:
    """Draw completions in batches of prompts of similar length, padded on the left.

    Batches are planned over all jobs; those in ``known`` are not yielded.

    Yields
    ------
    int, Drawn
        Index into ``jobs`` and its completion.
    """
    if network.own_forward is not None or not network.can_pad:
        max_rows = 1
    lengths = [len(job.prompt.ids) + job.prompt.max_tokens for job in jobs]
    for batch in padded_batches(lengths, token_budget=token_budget, max_rows=max_rows):
        if all(index in known for index in batch):
            continue
        for index, drawn in _halving(network, jobs, batch, tokenizer, end_tokens):
            if index not in known:
                yield index, drawn


def _halving(
    network: Network, jobs: Sequence[Job], batch: list[int], tokenizer: Any, ends: frozenset[int]
) -> Iterator[tuple[int, Drawn]]:
    started = time.perf_counter()
    rows = [
        _Row(
            jobs[index],
            Reader(tokenizer, jobs[index].prompt.ids, jobs[index].decoding.stop),
            stream(jobs[index]),
        )
        for index in batch
    ]
    has_memory = True
    try:
        _run(network, rows, ends)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        has_memory = False
    if has_memory:
        seconds = (time.perf_counter() - started) / len(batch)
        yield from ((index, finish(row, seconds)) for index, row in zip(batch, rows, strict=True))
        return
    memory.release(network.device)
    if len(batch) == 1:
        length = len(jobs[batch[0]].prompt.ids)
        problem = f"out of memory: a prompt of {length} tokens does not fit"
        yield batch[0], Drawn(None, 0.0, problem)
        return
    middle = len(batch) // 2
    yield from _halving(network, jobs, batch[:middle], tokenizer, ends)
    yield from _halving(network, jobs, batch[middle:], tokenizer, ends)


def finish(row: _Row, seconds: float) -> Drawn:
    """Make a completion of an ended row."""
    if row.problem:
        return Drawn(None, seconds, row.problem)
    text = row.text if row.text is not None else row.reader.text(row.ids)
    return Drawn(Completion(text, len(row.ids), row.finish_reason or "length"), seconds)


@torch.inference_mode()
def _run(network: Network, rows: list[_Row], ends: frozenset[int]) -> None:
    """Prefill and decode one batch until every row has ended."""
    width = max(len(row.job.prompt.ids) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, width - len(row.job.prompt.ids) :] = torch.tensor(row.job.prompt.ids)
        mask[index, width - len(row.job.prompt.ids) :] = 1
    ids, mask = ids.to(network.device), mask.to(network.device)
    logits, cache = _first(network, ids, mask)
    active = [row for row in rows if row.job.prompt.max_tokens > 0]
    while active:
        drawn = choose(logits, rows)
        for row, token in zip(rows, drawn, strict=True):
            if row.finish_reason is None and row.problem is None:
                advance(row, token, ends)
        active = [row for row in rows if row.finish_reason is None and row.problem is None]
        if not active:
            break
        step = torch.tensor(drawn, device=network.device).clamp(min=0)[:, None]
        mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
        logits, cache = _next(network, step, mask, cache)


def _first(network: Network, ids: Tensor, mask: Tensor) -> tuple[Tensor, Any]:
    if network.own_forward is not None:
        output = network.own_forward(input_ids=ids, attention_mask=mask, use_cache=True)
    else:
        output = network.model(
            input_ids=ids, attention_mask=mask, use_cache=True, **_positions(network, mask, ids)
        )
    return output.logits[:, -1].float(), output.past_key_values


def _next(network: Network, step: Tensor, mask: Tensor, cache: Any) -> tuple[Tensor, Any]:
    if network.own_forward is not None:  # virtual tokens are in the cache by now
        extra = cache.get_seq_length() + 1 - mask.shape[1]
        mask = torch.cat([mask.new_ones((len(mask), max(0, extra))), mask], dim=1)
    output = network.model(
        input_ids=step,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        **_positions(network, mask, step),
    )
    return output.logits[:, -1].float(), output.past_key_values


def _positions(network: Network, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Positions that do not count padding, for models that take them."""
    if not network.takes_positions:
        return {}
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return {"position_ids": positions[:, -ids.shape[1] :]}


def advance(row: _Row, token: int, ends: frozenset[int]) -> None:
    """Add a drawn token to a row, and end the row where it ends."""
    if token < 0:
        row.problem = "nonfinite: the model's logits are not finite for this request"
        return
    if token in ends:
        row.finish_reason = "stop"
        return
    row.ids.append(token)
    before = row.reader.until_stop(row.ids)
    if before is not None:
        row.finish_reason, row.text = "stop", before
    elif len(row.ids) >= row.job.prompt.max_tokens:
        row.finish_reason = "length"


def choose(logits: Tensor, rows: Sequence[_Row]) -> list[int]:
    """Draw one token per row, -1 where the logits are not finite. ``logits``: (rows, vocabulary)."""
    best = logits.argmax(dim=-1)
    is_fine = torch.isfinite(logits.amax(dim=-1)) & ~torch.isnan(logits.sum(dim=-1))
    tokens = torch.where(is_fine, best, -1).tolist()
    sampled = [
        index
        for index, row in enumerate(rows)
        if row.job.decoding.temperature > 0
        and tokens[index] >= 0
        and row.finish_reason is None
        and row.problem is None
    ]
    if sampled:
        drawn = _sample(logits[sampled], [rows[index] for index in sampled])
        for index, token in zip(sampled, drawn, strict=True):
            tokens[index] = token
    return tokens


def _sample(logits: Tensor, rows: Sequence[_Row]) -> list[int]:
    """Draw from the whole distribution, and again while the draw lies outside of top_p.

    A token is inside iff the mass of strictly likelier tokens is below top_p; so nothing is sorted.
    """
    warmth = torch.tensor([row.job.decoding.temperature for row in rows], device=logits.device)
    shares = torch.softmax(logits.double() / warmth[:, None], dim=-1).cpu().numpy()
    return [_draw(share, row) for share, row in zip(shares, rows, strict=True)]


def _draw(shares: np.ndarray[Any, np.dtype[np.float64]], row: _Row) -> int:
    cumulated = np.cumsum(shares)
    top_p = row.job.decoding.top_p
    for _ in range(_MAX_REDRAWS):
        point = row.stream.random() * cumulated[-1]
        token = min(int(np.searchsorted(cumulated, point, side="right")), len(shares) - 1)
        if top_p >= 1.0 or float(shares[shares > shares[token]].sum()) < top_p:
            return token
    return int(shares.argmax())
