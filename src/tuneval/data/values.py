"""Columns of a whole table: their names, their values, whether these repeat."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.data.formats import Row
from tuneval.data.labels import MAX_LABEL_LENGTH, as_text


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns, in the order in which they first appear."""
    return list(dict.fromkeys(column for row in rows for column in row.fields))


def values_of(rows: Sequence[Row], column: str) -> list[str | None]:
    """Values of a column as text; None for what is missing or no scalar."""
    values = (row.fields.get(column) for row in rows)
    return [as_text(value) if isinstance(value, str | int | float) else None for value in values]


def is_low(values: Sequence[str | None], most: int) -> bool:
    """2 to ``most`` different short values, each used twice on average."""
    distinct = set(values) - {None}
    return (
        2 <= len(distinct) <= most
        and 2 * len(distinct) <= len(values)
        and all(len(value or "") <= MAX_LABEL_LENGTH for value in distinct)
    )


def is_free_text(values: Sequence[str | None]) -> bool:
    """Do most of the values that are there hold more than one word?"""
    given = [value for value in values if value]
    return 2 * sum(len(value.split()) > 1 for value in given) > len(given)
