"""Writes what is to be published below a folder of the run; the models' own folders stay untouched."""

from __future__ import annotations

from pathlib import Path

from tuneval import registry
from tuneval.publish import PUBLISHED
from tuneval.report.files import replace_file
from tuneval.types import RunResult


def write(name: str, result: RunResult, folder: Path) -> list[Path]:
    """Write the files of one entry of ``PUBLISHED``, and say where they lie."""
    found: dict[str, str] = registry.load(PUBLISHED, name, room="publish")(result)
    return [replace_file(folder / path, text) for path, text in found.items()]
