"""What readers of logs share: files below a place, one JSON object, a number that is one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneval.data.formats import quote
from tuneval.errors import DataError, gather


def under(place: Path, pattern: str) -> list[Path]:
    """The place itself where its name fits, else every file below it that does, in order."""
    if place.is_file():
        return [place] if place.match(pattern) else []
    return sorted(path for path in place.rglob(pattern) if path.is_file())


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where there is no such file.

    Raises
    ------
    DataError
        It holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: no JSON log ({error}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{path.name}: holds {type(found).__name__}, not one JSON object.")
    return found


def opens_with(path: Path, *words: str, n_bytes: int = 4096) -> bool:
    """Does the beginning of a file hold all these words? The rest is left unread."""
    with path.open("rb") as stream:
        head = stream.read(n_bytes).decode("utf-8", "replace")
    return all(word in head for word in words)


def as_number(value: object) -> float | None:
    """A finite number or a truth value as float; None for anything else."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def one_a_task(tasks: Mapping[Path, str]) -> None:
    """Refuse a folder in which a task was logged more than once.

    Raises
    ------
    DataError
        Names the files.
    """
    names = list(tasks.values())
    twice = [path for path, name in tasks.items() if names.count(name) > 1]
    if twice:
        raise DataError(
            gather(
                f"{quote(names[0]) if len(set(names)) == 1 else 'a task'} was logged more than once.",
                [path.name for path in twice],
                "Name the one that is meant: --logs NAME=FILE.",
            )
        )
