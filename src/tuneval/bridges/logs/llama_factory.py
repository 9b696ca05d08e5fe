"""LLaMA-Factory: ``generated_predictions.jsonl``. It holds texts and no value of any item, so that they
are scored here like other outputs."""

from __future__ import annotations

from pathlib import Path

from tuneval.bridges.logs.files import under
from tuneval.data.formats import read_file
from tuneval.errors import DataError

NAME = "generated_predictions.jsonl"
EXPECTED, ANSWERED = "label", "predict"
"""Its columns."""


def find_texts(place: Path) -> Path | None:
    """The one file of predictions at a place; None where there is none.

    Raises
    ------
    DataError
        There are several.
    """
    found = under(place, NAME) if place.exists() else []
    if len(found) > 1:
        raise DataError(f"--logs: {len(found)} files {NAME} below {place.name}: name one.")
    return found[0] if found else None


def refuse_other_texts(files: dict[str, Path]) -> None:
    """Let every system have been asked the same; LLaMA-Factory keeps no ids.

    Raises
    ------
    DataError
        Names the first line that differs.
    """
    first, *others = files
    rows = {name: read_file(path).rows for name, path in files.items()}
    for other in others:
        if len(rows[other]) != len(rows[first]):
            raise DataError(
                f"{first} has {len(rows[first])} predictions, {other} has {len(rows[other])}."
            )
        for one, two in zip(rows[first], rows[other], strict=True):
            if any(one.fields.get(key) != two.fields.get(key) for key in ("prompt", EXPECTED)):
                raise DataError(
                    f"{NAME}, line {two.place}: {first} and {other} were asked different things."
                )
