"""Loss curves from what a trainer left on disk. Judges nothing; that is ``comparison``'s.

Read are ``trainer_state.json`` of transformers and ``trainer_log.jsonl`` of LLaMA-Factory.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from tuneval.errors import DataError
from tuneval.types import TrainingLog

_NAMES = ("trainer_state.json", "trainer_log.jsonl")


class Search(NamedTuple):
    """``log`` is None where none was found; ``searched`` names the folders that were looked in."""

    log: TrainingLog | None
    searched: tuple[Path, ...]


def find(folder: str | Path) -> Search:
    """Look for a log in ``folder``, in its newest ``checkpoint-*``, then in its parent. A file is the
    log itself, whatever it is called.

    Raises
    ------
    DataError
        A log is there but cannot be read.
    """
    folder = Path(folder)
    if folder.is_file():
        return Search(read(folder), (folder,))
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
    that are not finite are left out; where a curve ends in such losses, ``nan_from`` says from which step
    on (one of them alone says little: a batch without a single scored token has no loss). ``epochs`` belongs to ``validation_steps``; it is empty when
    not every evaluation names its epoch. ``best_step`` has the lowest validation loss before that, the
    first one on a tie.

    Raises
    ------
    DataError
        There is no such file, or it is not a trainer's log.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _log_lines(text) if path.suffix == ".jsonl" else _log_history(text)
        logged = _curves(rows)
    except OSError as error:
        raise DataError(f'training log "{path}" cannot be opened ({error.strerror}).') from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f'training log "{path}" cannot be read ({type(error).__name__}: {error}).\n'
            "Expected: trainer_state.json with log_history, or trainer_log.jsonl."
        ) from error
    train, validation = (_finite(curve) for curve in (logged.train, logged.validation))
    epochs = logged.epochs
    nan_from = _nan_from(logged)
    steps = tuple(sorted(validation))
    sound = [step for step in steps if nan_from is None or step < nan_from]
    has_epochs = all(step in epochs for step in steps)
    return TrainingLog(
        steps=tuple(sorted(train)),
        train_loss=tuple(train[step] for step in sorted(train)),
        validation_steps=steps,
        validation_loss=tuple(validation[step] for step in steps),
        best_step=min(sound, key=lambda step: validation[step], default=None),
        source=str(path),
        epochs=tuple(epochs[step] for step in steps) if has_epochs else (),
        nan_from=nan_from,
    )


Rows = list[Mapping[str, object]]
Key = TypeVar("Key", int, str)


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


class _Curves(NamedTuple):
    """Step -> training loss, step -> validation loss (nan where it was no finite number), step -> epoch
    of an evaluation."""

    train: dict[int, float]
    validation: dict[int, float]
    epochs: dict[int, float]


def _curves(rows: Rows) -> _Curves:
    evaluation = _evaluation_key(rows)
    curves = _Curves({}, {}, {})
    for row in rows:
        losses = {key: _loss(row[key]) for key in (evaluation, "loss") if key in row}
        if len(losses) == 2:  # a row of both kinds names the one that it lacks as null
            losses = _finite(losses) or losses
        if evaluation in losses:
            curves.validation[_step(row)] = losses[evaluation]
            if isinstance(epoch := row.get("epoch"), int | float) and math.isfinite(epoch):
                curves.epochs[_step(row)] = float(epoch)
        if "loss" in losses:
            curves.train[_step(row)] = losses["loss"]
    return curves


def _finite(losses: Mapping[Key, float]) -> dict[Key, float]:
    return {key: loss for key, loss in losses.items() if math.isfinite(loss)}


def _nan_from(curves: _Curves) -> int | None:
    """The first loss that is no finite number and after which none is.

    Training losses count only where no sound evaluation came later: its weights were numbers.
    """
    last = max(_finite(curves.validation), default=-1)
    lost = [step for step in curves.validation if step > last]
    last = max([last, *_finite(curves.train)])
    return min([*lost, *(step for step in curves.train if step > last)], default=None)


def _step(row: Mapping[str, object]) -> int:
    return int(row["step"])  # type: ignore[call-overload, no-any-return]


def _loss(value: object) -> float:
    """A loss as a number; what a tool wrote instead of NaN, which JSON does not have, is one."""
    return float(value) if isinstance(value, int | float) else math.nan


def _evaluation_key(rows: Iterable[Mapping[str, object]]) -> str:
    """``eval_loss``, or ``eval_NAME_loss`` where the trainer had one named evaluation set."""
    keys = {key for row in rows for key in row if re.fullmatch(r"eval_(\w+_)?loss", key)}
    return keys.pop() if len(keys) == 1 else "eval_loss"
