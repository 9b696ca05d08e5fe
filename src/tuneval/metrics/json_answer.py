"""JSON in what a model wrote: the value, and its fields.

Not for: scores (extraction.py), schemas (json_schema.py).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NamedTuple

MAX_CHARACTERS = 1_000_000
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")


class Found(NamedTuple):
    """A value that was read; it may be null."""

    value: Any


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")  # Python reads NaN and Infinity


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parse(text: str) -> Found | None:
    """The value, if the text is JSON from end to end; None if it is not."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        return Found(_DECODER.decode(text))
    except (ValueError, RecursionError):
        return None


def read_json(text: str) -> Found | None:
    """The one value that an answer holds: the whole answer, what stands in its one code fence, or the
    one object or array among its words. None where there is none, or several."""
    whole = parse(text)
    if whole is not None:
        return whole
    fences = _FENCE.findall(text[:MAX_CHARACTERS])
    if len(fences) == 1 and (fenced := parse(fences[0])) is not None:
        return fenced
    held = _held(text[:MAX_CHARACTERS])
    return held[0] if len(held) == 1 else None


def is_json(text: str) -> bool:
    """Is an answer one object or array and nothing else, a code fence around it aside?"""
    fenced = _FENCE.fullmatch(text.strip())
    found = parse(fenced[1] if fenced else text)
    return found is not None and isinstance(found.value, dict | list)


def _held(text: str) -> list[Found]:
    """Objects and arrays among words; more than two are not looked for."""
    found: list[Found] = []
    at = 0
    for _ in range(64):  # openings that lead nowhere, of a text that is mostly something else
        opening = _OPENING.search(text, at)
        if opening is None or len(found) > 1:
            break
        try:
            value, at = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            at = opening.end()
            continue
        if value:  # "[]" and "{}" are marks as often as values
            found.append(Found(value))
    return found


def fields(value: Any) -> Counter[tuple[str, str]]:
    """The fields of a value: the way to each, and what stands there, both as text.

    Places in a list do not count, so that the order of a list does not matter; a value that stands
    twice counts twice. 1 and 1.0 are the same, 1 and true and "1" are not.
    """
    counts: Counter[tuple[str, str]] = Counter()
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        way, one = left.pop()
        if isinstance(one, dict) and one:
            left += [(f"{way}/{json.dumps(key)}", item) for key, item in one.items()]
        elif isinstance(one, list) and one:
            left += [(f"{way}/*", item) for item in one]
        else:
            counts[way, spelled(one)] += 1
    return counts


def spelled(value: Any) -> str:
    """A value as text that equals that of an equal value: keys in order, 1.0 as 1."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value
