"""Models behind an OpenAI-compatible server (vLLM, llama.cpp, a hosted API): two endpoints.

Texts are completed and scored by ``/completions``, messages completed by ``/chat/completions``,
which also tells how likely a single letter is; the chat template is the server's. Where a tokenizer
is given, prompts are written and encoded here, and everything goes to ``/completions``. Not for:
starting servers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tuneval import registry
from tuneval.engine import address
from tuneval.engine.hf.text.render import Scoring
from tuneval.engine.hf.text.shown import shown as shown_by
from tuneval.engine.hf.text.tokenizer import ChatTemplate
from tuneval.engine.retry import GONE_SECONDS, Refused, RetryPolicy
from tuneval.engine.server import abilities, canary, echo, scoring
from tuneval.engine.server.abilities import Abilities
from tuneval.engine.server.callers import Callers
from tuneval.engine.server.connection import Connection, choices_of, counted, served_name
from tuneval.engine.server.rendered import Reading, Readings, sendable
from tuneval.errors import BackendUnavailable, ConfigError, VariantError
from tuneval.types import (
    Completion,
    Decoding,
    Message,
    Request,
    Response,
    ShownPrompt,
    Variant,
    VariantFacts,
)

DEFAULT_CONCURRENCY = 8
LOOK_SECONDS = 5.0
"""So long nothing may come before we look whether the server is there."""
TOP_LOGPROBS = 20
"""As many first tokens as servers tell at most."""
N_TOGETHER = 16
"""Continuations of one prompt that are echoed in one call."""

Found = TypeVar("Found")
Kind = Literal["text", "messages", "scored text", "scored messages"]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out about a variant before the first case."""

    abilities: Abilities
    identity: tuple[object, ...]
    facts: VariantFacts


class OpenAIServer:
    """Answer through a server; the name it serves a variant under is the variant's model (for an
    adapter: ``Variant.adapter``).

    Parameters
    ----------
    base_url : str, optional
        Up to and with ``/v1``; by default ``OPENAI_BASE_URL``. The key is read from
        ``OPENAI_API_KEY`` alone; it, a name and password and the query of the address are never
        written anywhere (see ``address.py``).
    batch_size : int or "auto"
        Requests under way at the same time.
    timeout_seconds : float
        Longest silence of the server in one request.
    give_up_seconds : float
        Of one request with all its attempts: then it counts as failed.
    tokenizers : mapping
        Variant name ("*": every other) -> folder of its tokenizer. Prompts are then written,
        encoded and cut here as by the backend on transformers.
    canaries : path, optional
        Folder in which canaries are kept, so that a model is known again from run to run.
    chat_template, thinks, offline
        As in ``HFOptions``, where a tokenizer is given.
    settings
        What other backends are given (device, dtype, ...) is the server's own affair.

    Raises
    ------
    ConfigError
        There is no base URL.
    BackendUnavailable
        The package for HTTP is not installed.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        batch_size: int | str = "auto",
        timeout_seconds: float = 120.0,
        give_up_seconds: float = 600.0,
        retry: RetryPolicy | None = None,
        tokenizers: Mapping[str, str] | None = None,
        canaries: Path | None = None,
        chat_template: ChatTemplate = "auto",
        thinks: bool = True,
        offline: bool = False,
        **settings: object,
    ) -> None:
        url = address.chosen(base_url)
        if not url:
            raise ConfigError(
                "the server has no address. Give --base-url http://HOST:PORT/v1, or set "
                "OPENAI_BASE_URL."
            )
        self.settings = settings
        self.retry = retry or RetryPolicy(budget_seconds=give_up_seconds)
        self._thinks = thinks
        self._concurrency = DEFAULT_CONCURRENCY if isinstance(batch_size, str) else batch_size
        key = os.environ.get("OPENAI_API_KEY", "")
        self._connection = Connection(url, key, timeout_seconds=timeout_seconds, retry=self.retry)
        self.url = self._connection.url
        self._readings = Readings(
            tokenizers or {}, chat_template=chat_template, thinks=thinks, offline=offline
        )
        self._memory = canary.Memory(canaries)
        self._needed: set[Kind] = set()
        self._known: dict[Variant, _Known] = {}
        self._canaries: dict[Variant, canary.Canary] = {}
        self._looked: dict[tuple[Variant, frozenset[str]], tuple[Abilities, canary.Canary]] = {}
        self._head_tokens: dict[tuple[str, str], int] = {}
        self._first_tokens: dict[tuple[str, tuple[Message, ...]], Mapping[str, float]] = {}
        self._counting: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Ask every variant a few questions: is it there, is it itself, can its numbers be used?

        Only endpoints that ``shown`` was asked about are tried; before that, ``/completions`` and
        where there is none ``/chat/completions``.

        Raises
        ------
        VariantError
            The server serves other models, answers under another name, or under two names alike.
        BackendUnavailable
            It refuses the key, cannot be reached, or lacks what this run needs.
        """
        self.retry.begin()
        new = [variant for variant in variants if variant not in self._known]
        listed = self._connection.models() if new else {}
        for variant in new:
            self._known[variant] = self._meet(variant, listed)
        self._refuse_twins(variants)
        return {variant.name: self._known[variant].facts for variant in variants}

    def can(self, variants: Sequence[Variant], kind: Kind) -> Abilities | None:
        """What the server can for all of these variants alike; None where it takes no such requests.

        Raises
        ------
        VariantError, BackendUnavailable
            It serves other models, refuses the key or cannot be reached.
        """
        listed = self._connection.models()
        try:
            found = [self._look(variant, listed, frozenset({kind})) for variant in variants]
        except BackendUnavailable as error:
            if isinstance(error.__cause__, Refused) and abilities.is_of_endpoint(error.__cause__):
                return None
            raise
        return abilities.shared(found)

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer in the order in which the server is done; each request exactly once."""
        requests = [request for request in requests if request.id not in known]
        self.retry.begin()
        pool = Callers(self._concurrency)
        try:
            reading = self._reading(variant)
            can = self._known[variant].abilities if variant in self._known else Abilities()
            if reading is not None and can.takes_ids:
                scored = [one for one in requests if one.continuation is not None]
                yield from self._score_ids(pool, variant, scored, reading, can)
                requests = [one for one in requests if one.continuation is None]
            jobs = [
                pool.submit(self._group, variant, group)
                for group in _groups(requests, N_TOGETHER if can.takes_several else 1)
            ]
            for done in self._as_completed(jobs):
                yield from done.result()
        except Refused as refused:
            self.retry.stop()
            raise self._connection.unavailable(refused) from refused
        except BaseException:  # also an interrupt: nothing more may be asked
            self.retry.stop()
            raise
        finally:
            pool.stop()

    def shown(self, variant: Variant, requests: Sequence[Request]) -> list[ShownPrompt]:
        """What is sent: as the variant reads it where its tokenizer is given; else a text as it is,
        and messages as JSON, since the server's template cannot be seen."""
        self._needed |= {_kind(one) for one in requests}
        reading = self._readings.of(variant)
        if reading is not None:
            return shown_by(reading.renderer, requests)
        return [ShownPrompt(_sent(one.prompt, one.tools), one.continuation) for one in requests]

    def fingerprint(self, variant: Variant) -> str:
        """Hash of address and name, what the server tells of that name, and the canary's answers."""
        self.prepare([variant])
        return self._known[variant].facts.fingerprint

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of."""
        self.prepare([variant])
        known = self._known[variant]
        return {
            "server": self.url,
            "served as": served_name(variant),
            "model behind the name (canary)": str(known.identity[-1])[:12],
        }

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    # ---- before the first case -------------------------------------------------------------------

    def _meet(self, variant: Variant, listed: Mapping[str, Mapping[str, Any]]) -> _Known:
        can = self._look(variant, listed, frozenset(self._needed))
        reading = self._reading(variant, can.longest)
        own = listed.get(served_name(variant), {})
        place = (self.url, served_name(variant), variant.revision)
        met = self._canaries[variant]
        identity = (
            "openai",
            *place,
            *(own.get(name) for name in ("root", "parent")),
            reading.identity if reading else None,
            can.takes_ids and reading is not None,
            self._memory.identify(json.dumps(place), met),
        )
        content = json.dumps(identity)
        facts = VariantFacts(
            variant=variant.name,
            fingerprint=hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
            backend="openai",
            device="server",
            dtype="server",
            n_parameters=0,
            prompt_format=reading.spoken.prompt_format if reading else "server's chat template",
            tokenizer="given" if reading else "server",
            context_length=reading.renderer.context_length if reading else can.longest,
            settings={
                "server": self.url,
                "served as": self._connection.echoed.get(
                    served_name(variant), served_name(variant)
                ),
                **({"scoring": can.way} if can.has_texts else {}),
            },
            warnings=tuple(can.warnings),
        )
        return _Known(can, identity, facts)

    def _look(
        self, variant: Variant, listed: Mapping[str, Mapping[str, Any]], needed: frozenset[Kind]
    ) -> Abilities:
        """Find out what a variant's server can; the canary's answers are kept."""
        name = served_name(variant)
        # A server that loads on demand takes folders that it does not list.
        if listed and name not in listed and not Path(name).is_absolute():
            raise VariantError(
                f'variant "{variant.name}": the server at {self.url} serves no model of this '
                f"name: {registry.unknown(name, list(listed))}."
            )
        longest = listed.get(name, {}).get("max_model_len")
        longest = longest if isinstance(longest, int) and longest > 0 else None
        reading = self._reading(variant, longest)
        # Written here, messages are texts as well.
        kinds = {"scored text" if "scored" in one else "text" for one in needed}
        wanted = kinds if reading is not None else set(needed)
        key = (variant, frozenset(wanted))
        if key not in self._looked:
            self._looked[key] = abilities.find(
                self._connection, variant, frozenset(wanted), reading, longest
            )
        found, self._canaries[variant] = self._looked[key]
        return found

    def _refuse_twins(self, variants: Sequence[Variant]) -> None:
        asked = {one: self._canaries[one] for one in variants if one.kind != "judge"}
        for variant in asked:
            twin = canary.twin_of(asked, variant)
            if twin is not None and variant.kind != "base":
                raise VariantError(
                    f'variant "{variant.name}": the server at {self.url} answers for '
                    f'"{served_name(variant)}" exactly as for "{served_name(twin)}" '
                    f'("{twin.name}").\nIt may answer every name with its one model, or serve an '
                    "adapter that changes nothing. Check how it names what it serves (vLLM: "
                    "--enable-lora --lora-modules NAME=DIR)."
                )

    def _reading(self, variant: Variant, longest: int | None = None) -> Reading | None:
        if longest is None and variant in self._known:
            longest = self._known[variant].abilities.longest
        return self._readings.of(variant, longest)

    # ---- scoring by ids --------------------------------------------------------------------------

    def _score_ids(
        self,
        pool: Callers,
        variant: Variant,
        requests: Sequence[Request],
        reading: Reading,
        can: Abilities,
    ) -> Iterator[Response]:
        """Score continuations, many in one call; each is yielded with the last of its numbers."""
        started = time.monotonic()
        context = can.longest or reading.renderer.context_length
        scorings = reading.renderer.scorings(requests)
        keys = [
            scoring.keys_of(
                [sendable(one, context) for one in found.windows], by_steps=can.tells_targets
            )
            for found in scorings
        ]
        owners: dict[scoring.Key, list[int]] = defaultdict(list)
        for number, own in enumerate(keys):
            for key in own:
                owners[key].append(number)
        missing = [len(set(own)) for own in keys]
        told: dict[scoring.Key, scoring.Numbers] = {}
        calls: list[Future[dict[scoring.Key, scoring.Numbers]]] = [
            pool.submit(scoring.ask, self._connection, variant, call)
            for call in scoring.plan(owners)
        ]
        for done in self._as_completed(calls):
            for key, numbers in done.result().items():
                told[key] = numbers
                for number in owners.get(key, ()):
                    missing[number] -= 1
                    if missing[number] == 0:
                        yield _scored(
                            requests[number],
                            variant,
                            scorings[number],
                            [told[one] for one in keys[number]],
                            (time.monotonic() - started) / len(requests),
                        )

    def _as_completed(self, jobs: Sequence[Future[Found]]) -> Iterator[Future[Found]]:
        """Jobs as they are done. While nothing comes, a server may be gone without a word, as where
        its machine lost power: then no connection is taken any more, however long we listen.

        Raises
        ------
        Refused
            No connection was taken for ``GONE_SECONDS``.
        """
        waiting = set(jobs)
        gone_since: float | None = None
        while waiting:
            done, waiting = wait(waiting, LOOK_SECONDS, FIRST_COMPLETED)
            yield from done
            if done or self._connection.is_there():
                gone_since = None
                continue
            now = time.monotonic()
            gone_since = now if gone_since is None else gone_since
            if now - gone_since >= GONE_SECONDS:
                reason = f"nobody takes a connection for {now - gone_since:.0f} s"
                raise Refused("fatal", reason, is_gone=True)

    # ---- one request -----------------------------------------------------------------------------

    def _group(self, variant: Variant, group: Sequence[Request]) -> list[Response]:
        """Answer requests that go together; where they cannot, each by itself."""
        if len(group) > 1:
            try:
                return self._score_together(variant, group)
            except Refused as refused:
                if refused.kind == "fatal":
                    raise
        return [self._unit(variant, request) for request in group]

    def _unit(self, variant: Variant, request: Request) -> Response:
        started = time.monotonic()
        act = self._score if request.continuation is not None else self._complete
        try:
            found = act(variant, request)
        except Refused as refused:
            if refused.kind == "fatal":
                raise
            return Response(
                request.id,
                variant.name,
                seconds=time.monotonic() - started,
                problem=f"server: {refused}",
            )
        return Response(request.id, variant.name, seconds=time.monotonic() - started, **found)

    def _complete(self, variant: Variant, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        assert decoding is not None
        words = _decoding_words(decoding)
        reading = self._reading(variant)
        is_cut = False
        if reading is not None:
            (prompt,) = reading.renderer.prompts([request])
            is_cut = prompt.is_truncated
            words["max_tokens"] = max(1, prompt.max_tokens)
            path = "/completions"
            asked = {"prompt": self._as_sent(variant, reading, prompt.ids), **words}
        elif isinstance(request.prompt, str):
            path, asked = "/completions", {"prompt": request.prompt, **words}
        else:
            turns = [turn.as_turn() for turn in request.prompt]
            tools = {"tools": json.loads(request.tools)} if request.tools else {}
            asked = {"messages": turns, **tools, **words, **self._switches()}
            path = "/chat/completions"

        def read(body: Mapping[str, Any]) -> dict[str, Any]:
            choices = choices_of(body, decoding.n_completions)
            each = counted(body, "completion_tokens") // decoding.n_completions
            return {
                "completions": tuple(_completion(one, decoding, each) for one in choices),
                "prompt_tokens": counted(body, "prompt_tokens"),
                "is_truncated": is_cut,
            }

        return self._connection.ask(variant, path, asked, read)

    def _as_sent(self, variant: Variant, reading: Reading, ids: Sequence[int]) -> Any:
        """A prompt as ids, or as text for a server that takes no ids."""
        known = self._known.get(variant)
        if known is None or known.abilities.takes_ids:
            return list(ids)
        text = reading.renderer.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
        # The server puts its start token in front of a text by itself.
        return str(text).removeprefix(reading.renderer.bos_text)

    def _score(self, variant: Variant, request: Request) -> dict[str, Any]:
        """Score a continuation from the log-probabilities of an echoed prompt.

        The continuation begins after as many tokens as the prompt has alone: the rule of
        lm-evaluation-harness, which also moves the prompt's last white space to the continuation.
        """
        assert request.continuation is not None
        if not isinstance(request.prompt, str) and self._reading(variant) is None:
            found = self._score_letter(variant, request.prompt, request.continuation.strip())
            if not request.with_token_logprobs:
                found.pop("token_logprobs", None)
            return found
        head, whole = self._as_pair(variant, request)
        n_head = self._count_head(variant, head) if head else 0
        (tokens,) = self._echo(variant, [whole])
        return _of_tokens(request, tokens, n_head)

    def _score_together(self, variant: Variant, group: Sequence[Request]) -> list[Response]:
        """Score continuations of one prompt in one call."""
        started = time.monotonic()
        pairs = [self._as_pair(variant, request) for request in group]
        head = pairs[0][0]
        n_head = self._count_head(variant, head) if head else 0
        echoed = self._echo(variant, [whole for _, whole in pairs])
        seconds = (time.monotonic() - started) / len(group)
        return [
            Response(
                request.id, variant.name, seconds=seconds, **_of_tokens(request, tokens, n_head)
            )
            for request, tokens in zip(group, echoed, strict=True)
        ]

    def _as_pair(self, variant: Variant, request: Request) -> tuple[str, str]:
        """What stands before a continuation, and both together."""
        continuation = request.continuation or ""
        reading = self._reading(variant)
        if reading is None:
            assert isinstance(request.prompt, str)
            return request.prompt.rstrip(), request.prompt + continuation
        renderer = reading.renderer
        head, rest, _ = renderer.pair(renderer.write(request), continuation)
        head = head.removeprefix(renderer.bos_text)
        return head, head + rest

    def _score_letter(
        self, variant: Variant, messages: tuple[Message, ...], letter: str
    ) -> dict[str, Any]:
        """Score a single letter as the first token of an answer to messages.

        Both spellings of its token, with and without a space before it, count together. A letter
        that is not told while another one is gets the least log-probability told, which bounds it.
        """
        if len(letter) != 1:
            raise BackendUnavailable(
                f"the server at {self.url} gives no log-probabilities of a given answer to chat "
                "messages, but of single letters.\nUse --scoring generate for this server, or the "
                "task option prompt_style: text."
            )
        told, prompt_tokens = self._told_tokens(variant, messages)
        own = [nats for token, nats in told.items() if token.strip() == letter]
        if not own and not any(_is_letter(token) for token in told):
            likeliest = max(told, key=lambda token: told[token])
            return {
                "problem": f"unparsed: the answer begins with {likeliest[:60]!a}, no letter",
                "prompt_tokens": prompt_tokens,
            }
        nats = math.log(sum(map(math.exp, own))) if own else min(told.values())
        return {
            "loglikelihood": nats,
            "n_tokens": 1,
            "is_greedy": bool(own) and max(own) == max(told.values()),
            "token_logprobs": (nats,),
            "prompt_tokens": prompt_tokens,
        }

    def _switches(self) -> dict[str, Any]:
        """vLLM and SGLang hand these to the chat template; others ignore or refuse them."""
        return {} if self._thinks else {"chat_template_kwargs": {"enable_thinking": False}}

    def _told_tokens(
        self, variant: Variant, messages: tuple[Message, ...]
    ) -> tuple[Mapping[str, float], int]:
        """First tokens of an answer with their log-probabilities; the letters of one question share
        one call, and the first of them its prompt tokens."""
        key = (served_name(variant), messages)
        asked = {
            "messages": [turn.as_turn() for turn in messages],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }

        def read(body: Mapping[str, Any]) -> tuple[Mapping[str, float], int]:
            (choice,) = choices_of(body, 1)
            content = (choice.get("logprobs") or {}).get("content")
            if not content or not content[0].get("top_logprobs"):
                raise BackendUnavailable(self._no_logprobs())
            told = {str(one["token"]): float(one["logprob"]) for one in content[0]["top_logprobs"]}
            return told, counted(body, "prompt_tokens")

        with self._counting[key]:
            if key in self._first_tokens:
                return self._first_tokens[key], 0
            told, prompt_tokens = self._connection.ask(variant, "/chat/completions", asked, read)
            self._first_tokens[key] = told
        return told, prompt_tokens

    def _count_head(self, variant: Variant, head: str) -> int:
        key = (served_name(variant), head)
        with self._counting[key]:  # the labels of one case come at once, and share their prompt
            if key not in self._head_tokens:
                self._head_tokens[key] = len(self._echo(variant, [head])[0])
        return self._head_tokens[key]

    def _echo(self, variant: Variant, texts: Sequence[str]) -> list[list[echo.Told]]:
        """Log-probabilities of every token of each text."""
        known = self._known.get(variant)
        if known is not None and known.abilities.doubt:
            raise BackendUnavailable(
                f"the server at {self.url} scores a text otherwise than it writes it "
                f"({known.abilities.doubt}): its likelihoods cannot be used.\nUse --scoring "
                "generate for this server."
            )

        def refuse() -> None:
            raise BackendUnavailable(self._no_logprobs())

        try:
            return scoring.echo_texts(self._connection, variant, texts, refuse)
        except Refused as refused:
            if refused.kind == "unit" and ("echo" in str(refused) or "logprobs" in str(refused)):
                raise BackendUnavailable(f"{self._no_logprobs()}\n({refused})") from refused
            raise

    def _no_logprobs(self) -> str:
        return (
            f'the server at {self.url} returned no log-probabilities (it accepted and ignored "'
            'logprobs" or "echo"). Label scoring needs them.\nUse --scoring generate for this '
            "server, or a server that returns prompt log-probabilities (vLLM does)."
        )


def _kind(request: Request) -> Kind:
    is_text = isinstance(request.prompt, str)
    if request.continuation is not None:
        return "scored text" if is_text else "scored messages"
    return "text" if is_text else "messages"


def _groups(requests: Sequence[Request], most: int) -> Iterator[list[Request]]:
    """Continuations of one prompt together, at most so many; everything else by itself."""
    open_: dict[object, list[Request]] = {}
    for request in requests:
        if request.continuation is None or most == 1:
            yield [request]
            continue
        group = open_.setdefault((request.prompt, request.tools), [])
        group.append(request)
        if len(group) == most:
            yield open_.pop((request.prompt, request.tools))
    yield from open_.values()


def _scored(
    request: Request,
    variant: Variant,
    found: Scoring,
    told: Sequence[scoring.Numbers],
    seconds: float,
) -> Response:
    problem = next((one for one in told if isinstance(one, str)), None)
    if problem is not None:
        return Response(request.id, variant.name, seconds=seconds, problem=problem)
    numbers = [number for one in told for number in one if not isinstance(number, str)]
    logprobs = tuple(nats for nats, _ in numbers)
    marks = [is_best for _, is_best in numbers]
    return Response(
        request.id,
        variant.name,
        loglikelihood=math.fsum(logprobs),
        n_tokens=len(logprobs),
        is_greedy=None if None in marks else all(marks),
        token_logprobs=logprobs if request.with_token_logprobs else None,
        prompt_tokens=found.n_prompt,
        is_truncated=found.is_truncated,
        seconds=seconds,
    )


def _of_tokens(request: Request, tokens: Sequence[echo.Told], n_head: int) -> dict[str, Any]:
    """The numbers of a continuation: those after as many tokens as its prompt has alone."""
    scored = [(one.nats, one.best) for one in tokens[n_head:] if one.nats is not None]
    if not scored:
        raise Refused("unit", "no token of the continuation was told")
    is_told = all(best is not None for _, best in scored)
    logprobs = tuple(own for own, _ in scored)
    return {
        "loglikelihood": float(sum(logprobs)),
        "n_tokens": len(logprobs),
        "is_greedy": all(own >= (best or 0.0) for own, best in scored) if is_told else None,
        "token_logprobs": logprobs if request.with_token_logprobs else None,
        "prompt_tokens": n_head,
    }


def _sent(prompt: str | tuple[Message, ...], tools: str = "") -> str:
    if isinstance(prompt, str):
        return prompt
    turns: Any = [turn.as_turn() for turn in prompt]
    sent = {"messages": turns, "tools": json.loads(tools)} if tools else turns
    return json.dumps(sent, ensure_ascii=False, indent=1)


def _is_letter(token: str) -> bool:
    stripped = token.strip()
    return len(stripped) == 1 and stripped.isascii() and stripped.isupper()


def _decoding_words(decoding: Decoding) -> dict[str, Any]:
    words: dict[str, Any] = {
        "max_tokens": decoding.max_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "n": decoding.n_completions,
    }
    if decoding.temperature > 0:
        words["seed"] = decoding.sampling_seed
    if decoding.stop:
        words["stop"] = list(decoding.stop[:4])  # servers take no more; the rest is cut here
    return words


def _said(choice: Mapping[str, Any]) -> Any:
    """The words of a choice; calls that the server read out of them come back as JSON behind them."""
    if "message" not in choice:
        return choice["text"]
    words, calls = choice["message"].get("content"), choice["message"].get("tool_calls")
    if not calls:
        return words
    return "\n".join((*([words] if words else ()), json.dumps({"tool_calls": calls})))


def _completion(choice: Mapping[str, Any], decoding: Decoding, n_tokens: int) -> Completion:
    text, reason = _said(choice), choice.get("finish_reason")
    if not isinstance(text, str):
        raise Refused("retry", "a choice without text")
    if reason == "tool_calls":
        reason = "stop"
    if reason not in ("stop", "length"):
        raise Refused("unit", f'the completion ended by "{reason}"')
    ends = [at for stop in decoding.stop if (at := text.find(stop)) >= 0]
    if ends:
        return Completion(text[: min(ends)], n_tokens, "stop")
    return Completion(text, n_tokens, reason)
