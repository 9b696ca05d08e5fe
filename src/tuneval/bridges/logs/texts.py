"""Logs that hold texts and no value of any item: they are scored here like other outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneval import registry
from tuneval.errors import DataError

TEXTS = {
    "llama_factory": "tuneval.bridges.logs.llama_factory:read_texts",
    "opencompass": "tuneval.bridges.logs.opencompass:read_texts",
}
"""Tool -> ``read_texts(place)``, which gives rows with the columns below, or None where nothing there is
of its making."""

ID, ASKED, EXPECTED, ANSWERED = "id", "prompt", "label", "predict"

Rows = Sequence[Mapping[str, object]]


def read_texts(place: Path) -> Rows | None:
    """The texts at a place; None where no tool of ``TEXTS`` wrote any there. Raises DataError."""
    for name in TEXTS if place.exists() else ():
        rows: Rows | None = registry.load(TEXTS, name, room="texts")(place)
        if rows is not None:
            return rows
    return None


def refuse_other_texts(rows: Mapping[str, Rows]) -> None:
    """Let every system have been asked the same; these tools keep no ids but the order.

    Raises
    ------
    DataError
        Names the first row that differs.
    """
    first, *others = rows
    for other in others:
        if len(rows[other]) != len(rows[first]):
            raise DataError(
                f"{first} has {len(rows[first])} predictions, {other} has {len(rows[other])}."
            )
        for one, two in zip(rows[first], rows[other], strict=True):
            if any(one[key] != two[key] for key in (ID, ASKED, EXPECTED)):
                raise DataError(
                    f"row {two[ID]}: {first} and {other} were asked or expected to say different things."
                )
