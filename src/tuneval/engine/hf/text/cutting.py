"""What is left out of messages that are longer than the context: the middle of the longest text.

A text is what one field of the case says (passage, question, ...), or a whole turn that a case brings.
Its beginning and its end are kept; template, choices, system text and short texts stay whole.
Not for: texts that are given as exact characters, which lose their beginning (``render.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tuneval.types import Message

GAP = " [...] "
"""Stands where something was left out, so that the model can see it, too."""

VERSION = 3
"""Part of every fingerprint; raised when other tokens are left out. 1 left out the beginning,
2 the middle of the longest message, whatever field stood there."""
_LEAST = 32
"""Characters that a message keeps at least; a prompt that needs less has lost its question."""
_WORD = 24
"""Characters within which a cut moves to the next white space."""


def shorten(
    messages: Sequence[Message], fits: Callable[[tuple[Message, ...]], bool]
) -> tuple[Message, ...] | None:
    """Let no text be longer than it may be for all of them to fit.

    Returns
    -------
    tuple of Message or None
        None where no such length is left: even the beginnings and ends do not fit.
    """
    found = _shorten(messages, fits)
    if found is None and any(turn.fields for turn in messages):
        # What stands around the fields is too long by itself.
        found = _shorten([replace(turn, fields=()) for turn in messages], fits)
    return found


def _shorten(
    messages: Sequence[Message], fits: Callable[[tuple[Message, ...]], bool]
) -> tuple[Message, ...] | None:
    high = max((len(piece) for turn in messages for piece in _pieces(turn)[1::2]), default=0)
    low = _LEAST
    if not fits(_limited(messages, low)):
        return None
    exact = max(1, high // 256)
    while high - low > exact:
        middle = (low + high) // 2
        if fits(_limited(messages, middle)):
            low = middle
        else:
            high = middle
    return _limited(messages, low)


def _limited(messages: Sequence[Message], limit: int) -> tuple[Message, ...]:
    return tuple(_limited_turn(turn, limit) for turn in messages)


def _limited_turn(turn: Message, limit: int) -> Message:
    pieces = [
        _without_middle(piece, limit) if n % 2 else piece for n, piece in enumerate(_pieces(turn))
    ]
    return replace(turn, content="".join(pieces), fields=())


def _pieces(turn: Message) -> list[str]:
    """The content in pieces: what stands around the fields, and between these (1, 3, ...) each field."""
    pieces, done = [], 0
    for start, end in turn.fields or ((0, len(turn.content)),):
        pieces += [turn.content[done:start], turn.content[start:end]]
        done = end
    return [*pieces, turn.content[done:]]


def _without_middle(content: str, limit: int) -> str:
    if len(content) <= limit:
        return content
    half = limit // 2
    head, tail = content[:half], content[len(content) - half :]
    space = max(head.rfind(" "), head.rfind("\n"))
    if space >= half - _WORD and space > 0:
        head = head[:space]
    spaces = [place for place in (tail.find(" "), tail.find("\n")) if 0 <= place < _WORD]
    if spaces and half > _WORD:
        tail = tail[min(spaces) + 1 :]
    return head + GAP + tail
