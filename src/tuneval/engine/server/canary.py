"""A few questions before the first case: what a server can, whether its numbers agree with what it
writes, and whether two names are two models.

Not for: questions of a run (``engine/openai_server.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneval.engine.retry import Refused
from tuneval.engine.server import echo
from tuneval.engine.server.connection import Connection, choices_of, served_name
from tuneval.types import Variant

PROBES = (
    "The capital of France is",
    "Question: What is 7 times 8?\nAnswer:",
    "def add(a, b):\n    return",
    "Dear customer service, I would like to",
)
N_TOKENS = 8
LARGEST_GAP = 0.5
"""Nats by which an echo and a drawing may differ at one token: kernels and half precision move them
by some hundredths, a slice that is off by one token by several whole ones."""
SAME_MEAN = 0.02
"""Nats per token within which two canaries are of one model: another batch on the same server stays
well below, a training step of any use above."""
TWIN_MEAN = 1e-3
"""The same where both are asked one after the other, on a server that does nothing else."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What a variant answered to the probes.

    Attributes
    ----------
    texts : tuple of str
        Its answers.
    nats : tuple of tuple of float
        For each probe, log-probabilities of its tokens, or where no echo is told, of the first token
        that was drawn; empty where none are told. What is drawn later hangs on what came before it.
    has_echo : bool
        It tells log-probabilities of a text that it is given, and they agree with what it writes.
    doubt : str
        Why an echo that is told cannot be used.
    is_compared : bool
        Some token was drawn and echoed in the same spelling, so that both could be compared.
    """

    texts: tuple[str, ...]
    nats: tuple[tuple[float, ...], ...]
    has_echo: bool = False
    doubt: str = ""
    is_compared: bool = False

    def gap(self, other: Canary) -> float | None:
        """Mean difference of the numbers of two canaries, in nats; None where none are told."""
        numbers = [one for of_probe in self.nats for one in of_probe]
        others = [one for of_probe in other.nats for one in of_probe]
        if not numbers and not others:
            return None
        if len(numbers) != len(others):
            return math.inf
        return sum(abs(a - b) for a, b in zip(numbers, others, strict=True)) / len(numbers)

    def is_of_same_model(self, other: Canary) -> bool:
        """Whether another run's canary may be of the same model: noise of a server included.

        Echoes are many numbers and move little. A hosted server that tells the first token alone, or
        none, is known again by what it wrote as well: its numbers move more, and asking everything
        again has a price.
        """
        gap = self.gap(other)
        is_near = gap is not None and gap <= SAME_MEAN
        if self.has_echo and other.has_echo:
            return is_near
        return is_near or self.texts == other.texts

    def is_twin_of(self, other: Canary) -> bool:
        """Whether two names, asked one after the other, answer alike."""
        return self.texts == other.texts and (self.gap(other) or 0.0) <= TWIN_MEAN

    def as_plain(self) -> dict[str, Any]:
        """For a file."""
        return {"texts": self.texts, "nats": self.nats, "has_echo": self.has_echo}


def by_texts(connection: Connection, variant: Variant) -> Canary:
    """Have the probes gone on with as texts, and then echoed with what was written.

    Raises
    ------
    Refused
        The server completes no texts.
    """
    texts: list[str] = []
    nats: list[tuple[float, ...]] = []
    doubts: list[str] = []
    has_echo, n_agreeing = True, 0
    for probe in PROBES:
        drawn = _drawn(connection, variant, probe)
        texts.append(str(drawn.get("text") or ""))
        told = echo.told_tokens(drawn) or []
        numbers = [one.nats for one in told[:1] if one.nats is not None]
        if has_echo:
            try:
                echoed = _echoed(connection, variant, probe + texts[-1])
            except (Refused, ValueError) as error:
                echoed, doubts = None, [*doubts, str(error)]
            has_echo = echoed is not None
            if echoed:
                numbers = [
                    one.nats for one in echoed if one.nats is not None and one.start < len(probe)
                ]
            compared = _compared(probe, told, echoed or ())
            n_agreeing += sum(abs(a - b) <= LARGEST_GAP for _, a, b in compared)
            doubts += [_differing(*one) for one in compared if abs(one[1] - one[2]) > LARGEST_GAP]
        nats.append(tuple(round(one, 6) for one in numbers if math.isfinite(one)))
    return Canary(
        tuple(texts),
        tuple(nats),
        has_echo=has_echo and not doubts,
        doubt="; ".join(doubts[:2]),
        is_compared=n_agreeing > 0,
    )


def by_messages(connection: Connection, variant: Variant) -> Canary:
    """Have the probes answered as messages.

    Raises
    ------
    Refused
        The server answers no messages.
    """
    texts, nats = [], []
    words: dict[str, Any] = {"logprobs": True, "top_logprobs": 1}
    for probe in PROBES:
        asked = {
            "messages": [{"role": "user", "content": probe}],
            "max_tokens": N_TOKENS,
            "temperature": 0,
        }
        try:
            choice = connection.ask(variant, "/chat/completions", {**asked, **words}, _only_choice)
        except Refused as refused:
            if refused.kind != "unit" or not words or "logprob" not in str(refused):
                raise
            words = {}
            choice = connection.ask(variant, "/chat/completions", asked, _only_choice)
        texts.append(str((choice.get("message") or {}).get("content") or ""))
        told = choice.get("logprobs")
        content = told.get("content") if isinstance(told, Mapping) else None
        numbers = [float(one["logprob"]) for one in (content or ())[:1]]
        nats.append(tuple(round(one, 6) for one in numbers if math.isfinite(one)))
    return Canary(tuple(texts), tuple(nats))


def twin_of(canaries: Mapping[Variant, Canary], variant: Variant) -> Variant | None:
    """Another variant that answers every probe alike under another name."""
    mine = canaries[variant]
    if not any(mine.texts):
        return None
    for other, its in canaries.items():
        is_other = served_name(other) != served_name(variant)
        if is_other and mine.is_twin_of(its):
            return other
    return None


@dataclass(slots=True)
class Memory:
    """The canaries that were met under a name, so that small noise keeps and a swap changes an id.

    Parameters
    ----------
    folder : path or None
        Where they are kept from run to run; None keeps nothing, and every digit counts.
    """

    folder: Path | None
    _ids: dict[str, str] = field(default_factory=dict)

    def identify(self, place: str, canary: Canary) -> str:
        """Id of the model behind a place (address and name): that of an earlier canary of it that
        cannot be told apart, else a new one."""
        own = _hash(canary.as_plain())
        if self.folder is None:
            return own
        path = self.folder / f"{_hash(place)}.json"
        met = _read(path)
        for one in met:
            earlier = Canary(
                tuple(one["texts"]), tuple(map(tuple, one["nats"])), has_echo=bool(one["has_echo"])
            )
            if len(earlier.nats) == len(canary.nats) and canary.is_of_same_model(earlier):
                return str(one["id"])
        met.append({"id": own, **canary.as_plain()})
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{_hash(own)[:8]}.part")
        fresh.write_text(json.dumps(met), encoding="utf-8")
        fresh.replace(path)
        return own


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nothing is lost: what cannot be found again is asked again
        return []
    keys = {"id", "texts", "nats", "has_echo"}
    is_ours = isinstance(content, list) and all(
        isinstance(one, dict) and set(one) >= keys for one in content
    )
    return content if is_ours else []


def _hash(content: object) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def _drawn(connection: Connection, variant: Variant, probe: str) -> Mapping[str, Any]:
    asked = {"prompt": probe, "max_tokens": N_TOKENS, "temperature": 0}
    try:
        return connection.ask(variant, "/completions", {**asked, "logprobs": 1}, _only_choice)
    except Refused as refused:
        if refused.kind != "unit" or "logprobs" not in str(refused):
            raise
        return connection.ask(variant, "/completions", asked, _only_choice)


def _echoed(connection: Connection, variant: Variant, text: str) -> list[echo.Told] | None:
    asked = {"prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    return connection.ask(
        variant, "/completions", asked, lambda body: echo.of_text(_only_choice(body), text)
    )


def _only_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    (choice,) = choices_of(body, 1)
    return choice


def _compared(
    probe: str, drawn: Sequence[echo.Told], echoed: Sequence[echo.Told]
) -> list[tuple[str, float, float]]:
    """Tokens that were drawn and then echoed in the same spelling: both log-probabilities.

    The last one may have gone on otherwise, and a text that is read again may be other tokens.
    """
    tail = [one for one in echoed if one.start >= len(probe)]
    found = []
    for mine, its in zip(drawn, tail, strict=False):
        if mine.token != its.token or echo.is_part(mine):
            break
        if mine.nats is not None and its.nats is not None:
            found.append((mine.token, mine.nats, its.nats))
    return found


def _differing(token: str, drawn: float, echoed: float) -> str:
    return f"it draws {token!a} at {drawn:.2f} nats and echoes it at {echoed:.2f}"
