"""Loss curves from what a trainer left on disk. Judges nothing; that is ``comparison``'s.

Read are ``trainer_state.json`` of transformers and ``trainer_log.jsonl`` of LLaMA-Factory.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tuneval.errors import DataError
from tuneval.types import TrainingLog

_NAMES = ("trainer_state.json", "trainer_log.jsonl")


class Search(NamedTuple):
    """``log`` is None where none was found; ``searched`` names the folders that were looked in."""

    log: TrainingLog | None
    searched: tuple[Path, ...]


def find(folder: str | Path) -> Search:
    """Look for a log in ``folder``, in its newest ``checkpoint-*``, then in its parent.

    Raises
    ------
    DataError
        A log is there but cannot be read.
    """
    folder = Path(folder)
    checkpoints = sorted(folder.glob("checkpoint-*"), key=_step_of)
    places = (folder, *checkpoints[-1:], folder.absolute().parent)
    for n, place in enumerate(places, 1):
        for name in _NAMES:
            if (place / name).is_file():
                return Search(read(place / name), places[:n])
    return Search(None, places)


def _step_of(folder: Path) -> int:
    number = re.search(r"-(\d+)$", folder.name)
    return int(number[1]) if number else -1


def read(path: str | Path) -> TrainingLog:
    """Read one log file.

    Of several rows for one step the last counts, since a resumed run writes steps again. Losses
    that are not finite are left out. ``epochs`` belongs to ``validation_steps``; it is empty when
    not every evaluation names its epoch. ``best_step`` has the lowest validation loss, the first
    one on a tie.

    Raises
    ------
    DataError
        There is no such file, or it is not a trainer's log.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _log_lines(text) if path.suffix == ".jsonl" else _log_history(text)
        train, validation, epochs = _curves(rows)
    except OSError as error:
        raise DataError(f'training log "{path}" cannot be opened ({error.strerror}).') from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f'training log "{path}" cannot be read ({type(error).__name__}: {error}).\n'
            "Expected: trainer_state.json with log_history, or trainer_log.jsonl."
        ) from error
    steps = tuple(sorted(validation))
    has_epochs = all(step in epochs for step in steps)
    return TrainingLog(
        steps=tuple(sorted(train)),
        train_loss=tuple(train[step] for step in sorted(train)),
        validation_steps=steps,
        validation_loss=tuple(validation[step] for step in steps),
        best_step=min(steps, key=lambda step: validation[step], default=None),
        source=str(path),
        epochs=tuple(epochs[step] for step in steps) if has_epochs else (),
    )


Rows = list[Mapping[str, object]]


def _log_history(text: str) -> Rows:
    return list(json.loads(text)["log_history"])


def _log_lines(text: str) -> Rows:
    lines = [line for line in text.splitlines() if line.strip()]
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):  # the last line of a run that was killed may be cut
                raise
    return [{**row, "step": row["current_steps"]} for row in rows]


def _curves(rows: Rows) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    """Return step -> training loss, step -> validation loss, step -> epoch of an evaluation."""
    evaluation = _evaluation_key(rows)
    train: dict[int, float] = {}
    validation: dict[int, float] = {}
    epochs: dict[int, float] = {}
    for row in rows:
        if _is_finite(row.get("loss")):
            train[_step(row)] = float(row["loss"])  # type: ignore[arg-type]
        if _is_finite(row.get(evaluation)):
            validation[_step(row)] = float(row[evaluation])  # type: ignore[arg-type]
            if _is_finite(row.get("epoch")):
                epochs[_step(row)] = float(row["epoch"])  # type: ignore[arg-type]
    return train, validation, epochs


def _step(row: Mapping[str, object]) -> int:
    return int(row["step"])  # type: ignore[call-overload, no-any-return]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _evaluation_key(rows: Iterable[Mapping[str, object]]) -> str:
    """``eval_loss``, or ``eval_NAME_loss`` where the trainer had one named evaluation set."""
    keys = {key for row in rows for key in row if re.fullmatch(r"eval_(\w+_)?loss", key)}
    return keys.pop() if len(keys) == 1 else "eval_loss"
