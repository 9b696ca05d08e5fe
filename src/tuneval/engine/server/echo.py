"""Which log-probabilities of an answer belong to which text: by tokens and offsets, never by counts.

Servers count other tokens than they tell: some count a start token that they do not echo, some
append the token drawn after the text, and some do not where it ends the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AS_ID = "token_id:"
"""How vLLM spells a token where it is asked to (``return_tokens_as_token_ids``)."""
_PARTIAL = "\ufffd"
"""Stands where a token holds a part of a character."""


@dataclass(frozen=True, slots=True)
class Told:
    """One token of an answer: its text, log-probability and that of the likeliest in its place.

    ``start`` is where it begins in the text that was asked; negative for a start token. None where
    a server tells no number.
    """

    token: str
    nats: float | None
    best: float | None
    start: int = 0


def told_tokens(choice: Mapping[str, Any]) -> list[Told] | None:
    """Every token of a choice; None where the server tells no log-probabilities."""
    found = choice.get("logprobs")
    if not isinstance(found, Mapping):
        return None
    own, tokens = found.get("token_logprobs"), found.get("tokens")
    if not isinstance(own, list) or not isinstance(tokens, list):
        return None
    if len(own) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens with {len(own)} log-probabilities")
    tops = found.get("top_logprobs") or [None] * len(own)
    return [
        Told(str(token), *_with_best(nats, top))
        for token, nats, top in zip(tokens, own, tops, strict=True)
    ]


def of_text(choice: Mapping[str, Any], text: str) -> list[Told] | None:
    """The tokens of an echoed text, a start token before it included; what follows is left out.

    Returns
    -------
    list of Told or None
        None where the server tells no log-probabilities, or echoes nothing.

    Raises
    ------
    ValueError
        Nobody can say which of the tokens belong to the text.
    """
    told = told_tokens(choice)
    if told is None or not str(choice.get("text", "")).lstrip().startswith(text.lstrip()[:1]):
        return None
    starts = (
        _starts_by_spelling(told, text)
        or _starts_by_offset(choice, told)
        or _starts_beside_parts(told, text)
    )
    if starts is None:
        raise ValueError("the echoed tokens do not spell the text")
    return [
        Told(one.token, one.nats, one.best, start)
        for one, start in zip(told, starts, strict=True)
        if start < len(text)
    ]


def of_ids(choice: Mapping[str, Any], ids: Sequence[int]) -> list[Told] | None:
    """The tokens of an echoed list of ids, one for each; None where they are not told as ids.

    Raises
    ------
    ValueError
        Other ids come back than were sent.
    """
    told = told_tokens(choice)
    if told is None or not any(one.token.startswith(AS_ID) for one in told):
        return None
    found = [one.token.removeprefix(AS_ID) for one in told[: len(ids)]]
    if found != [str(one) for one in ids]:
        raise ValueError("the echoed tokens are not those that were sent")
    return told[: len(ids)]


def _starts_by_spelling(told: Sequence[Told], text: str) -> list[int] | None:
    """Where each token begins in the text, if the tokens spell it; a start token stands before."""
    spelled = "".join(one.token for one in told)
    lead = sum(len(one.token) for one in told[:2])
    at = spelled.find(text)
    if not 0 <= at <= lead:
        bare = text.lstrip()  # some tokenizers take a space before the first word for granted
        at = spelled.find(bare) - (len(text) - len(bare))
        if not bare or at + len(text) - len(bare) < 0 or at > lead:
            return None
    starts, place = [], -at
    for one in told:
        # An empty token after the text ends it; one before or within it takes no place.
        starts.append(place)
        place += len(one.token)
    return starts


def _starts_by_offset(choice: Mapping[str, Any], told: Sequence[Told]) -> list[int] | None:
    """The server's own offsets, where they say more than how long the tokens before are spelled.

    Some servers add those lengths up, a start token's and that of a part of a character among them:
    such offsets are no places in the text.
    """
    offsets = (choice.get("logprobs") or {}).get("text_offset")
    if not isinstance(offsets, list) or len(offsets) != len(told):
        return None
    if any(isinstance(one, bool) or not isinstance(one, int) for one in offsets):
        return None
    steps = [b - a for a, b in itertools.pairwise(offsets)]
    is_sum = all(step == len(one.token) for step, one in zip(steps, told, strict=False))
    return None if is_sum or min(steps, default=0) < 0 else list(offsets)


def _starts_beside_parts(told: Sequence[Told], text: str) -> list[int] | None:
    """Walk tokens and text together; a run of parts stands for the characters up to the next token
    that can be read."""
    for n_before in (0, 1):  # a start token
        starts = _walk(told[n_before:], text)
        if starts is not None:
            return [-1] * n_before + starts
    return None


def _walk(told: Sequence[Told], text: str) -> list[int] | None:
    starts: list[int] = []
    place = 0
    for number, one in enumerate(told):
        starts.append(place)
        if place >= len(text):
            continue
        if not is_part(one):
            if not text.startswith(one.token, place):
                return None
            place += len(one.token)
        elif number + 1 == len(told):
            return None  # does it end the text, or was it drawn after it?
        elif not is_part(told[number + 1]):
            end = text.find(told[number + 1].token, place)
            place = end if end >= 0 else len(text)  # what follows is drawn already
    return starts if place >= len(text) else None


def is_part(one: Told) -> bool:
    """Whether a token holds a part of a character only: some spell it so, and some not at all."""
    return not one.token or _PARTIAL in one.token


def _with_best(nats: Any, top: Any) -> tuple[float | None, float | None]:
    if nats is None:
        return None, None
    own = float(nats)
    return own, max((own, *map(float, top.values()))) if top else None
