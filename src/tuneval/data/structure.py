"""Columns that hold structure beside a question: the schema of an answer, the tools at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tuneval.data.fields import json_of, parsed
from tuneval.data.formats import Fields, Row, Table, quote
from tuneval.data.names import SCHEMAS, TOOLS, first_tier
from tuneval.data.values import columns_of

_WORDS = frozenset(
    ("$schema", "$ref", "type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf")
)


def structure_of(table: Table) -> dict[str, str]:
    """Standard key ("schema", "functions") -> the column that holds such a thing in every row that
    has something there; a column of that name that holds anything else is none."""
    present = columns_of(table.rows)
    found = {}
    for key, tiers, is_one in (("schema", SCHEMAS, _is_schema), ("functions", TOOLS, _are_tools)):
        for column in first_tier(tiers, present):
            values = _given(table.rows, column)
            if values and all(is_one(value) for value in values):
                found[key] = column
    return found


def inputs_of(row: Fields, structure: Mapping[str, str]) -> dict[str, object]:
    """The structure of one row, as JSON text."""
    values = {key: parsed(row.get(column)) for key, column in structure.items()}
    return {key: json_of(value) for key, value in values.items() if value not in (None, "", [])}


def structure_notes(structure: Mapping[str, str], used: Collection[str]) -> tuple[str, ...]:
    """What was found beside the columns of the layout."""
    what = {"schema": "the schema of an answer", "functions": "the tools at hand"}
    return tuple(
        f"{quote(column)} holds {what[key]}."
        for key, column in structure.items()
        if column not in used
    )


def _given(rows: Sequence[Row], column: str) -> list[object]:
    return [parsed(value) for row in rows if (value := row.fields.get(column)) not in (None, "")]


def _is_schema(value: object) -> bool:
    return isinstance(value, dict) and bool(_WORDS & value.keys())


def _are_tools(value: object) -> bool:
    every = value if isinstance(value, list | tuple) else [value]
    return all(
        isinstance(one, dict) and isinstance((one.get("function") or one).get("name"), str)
        if isinstance(one, dict) and isinstance(one.get("function") or one, dict)
        else False
        for one in every
    )
