"""What is left out of messages that are longer than the context: the middle of the longest.

Beginning and end of a message hold what it asks; template, system text and short turns stay whole.
Not for: texts that are given as exact characters, which lose their beginning (``render.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tuneval.types import Message

GAP = " [...] "
"""Stands where something was left out, so that the model can see it, too."""

VERSION = 2
"""Part of every fingerprint; raised when other tokens are left out. 1 left out the beginning."""
_LEAST = 32
"""Characters that a message keeps at least; a prompt that needs less has lost its question."""
_WORD = 24
"""Characters within which a cut moves to the next white space."""


def shorten(
    messages: Sequence[Message], fits: Callable[[tuple[Message, ...]], bool]
) -> tuple[Message, ...] | None:
    """Let no message be longer than it may be for all of them to fit.

    Returns
    -------
    tuple of Message or None
        None where no such length is left: even the beginnings and ends do not fit.
    """
    high = max((len(turn.content) for turn in messages), default=0)
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
    return tuple(replace(turn, content=_without_middle(turn.content, limit)) for turn in messages)


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
