"""LLaMA-Factory: ``generated_predictions.jsonl``, texts alone."""

from __future__ import annotations

from pathlib import Path

from tuneval.bridges.logs.files import under
from tuneval.bridges.logs.texts import ANSWERED, ASKED, EXPECTED, ID, Rows
from tuneval.data.formats import read_file
from tuneval.errors import DataError, gather

NAME = "generated_predictions.jsonl"


def read_texts(place: Path) -> Rows | None:
    """Its lines, whose columns are called as ours.

    Raises
    ------
    DataError
        There are several such files, or lines without a text.
    """
    found = under(place, NAME)
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"--logs: {len(found)} files {NAME} below {place.name}: name one.")
    table = read_file(found[0])
    faults = [f"line {one.place}: {one.text}" for one in table.faults]
    faults += [
        f"line {row.place}: no {key}"
        for row in table.rows
        for key in (ASKED, EXPECTED, ANSWERED)
        if not isinstance(row.fields.get(key), str)
    ]
    if faults or not table.rows:
        raise DataError(gather(f"{NAME} cannot be used.", faults or ["it is empty"]))
    return [{ID: row.place, **row.fields} for row in table.rows]
