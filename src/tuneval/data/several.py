"""Several labels of one row: a list of them, a row of zeros and ones, or a text that lists them.

Not for: which labels there are (``labels.py``), and lists that a model writes, which the metric reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tuneval.data.fields import is_list, parsed
from tuneval.data.labels import class_text

MARKS = (";", "|", ",")
"""What may stand between labels in one text."""


def are_indicators(values: Sequence[object]) -> bool:
    """Are these rows of zeros and ones, as many in each, as a head with sigmoids is trained on?

    A label stands in a list once: two equal entries tell such rows from lists of the labels 0 and 1.
    """
    rows = [list(one) for one in map(parsed, values) if isinstance(one, list | tuple)]
    return (
        len(rows) == len(values) > 0
        and len({len(row) for row in rows}) == 1
        and all(isinstance(one, int | float) and one in (0, 1) for row in rows for one in row)
        and any(len(set(row)) < len(row) for row in rows)
    )


def marked(value: object) -> list[str]:
    """The places of the ones, as text."""
    row = parsed(value)
    assert isinstance(row, list | tuple), row
    return [str(place) for place, one in enumerate(row) if one]


def listed(text: str) -> list[str]:
    """The labels of a text in JSON, or of one that sets them apart by semicolons, bars or commas."""
    found = parsed(text)
    if is_list(found):
        return [class_text(one) for one in found]  # type: ignore[attr-defined]
    mark = next((mark for mark in MARKS if mark in text), None)
    parts = [text] if mark is None else text.split(mark)
    return [class_text(part) for part in parts if part.strip()]


def seem_listed(values: Sequence[str]) -> str | None:
    """A text among several that seems to list labels; None where none does.

    They do where every part of a text with a mark in it stands in another text, too: "0,3" beside "3".
    """
    distinct = set(values)
    held: dict[str, set[str]] = defaultdict(set)
    for text in distinct:
        for part in listed(text):
            held[part].add(text)
    composed = sorted(text for text in distinct if len(listed(text)) > 1)
    is_shared = composed and all(len(held[part]) > 1 for one in composed for part in listed(one))
    return composed[0] if is_shared else None
