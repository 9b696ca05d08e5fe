"""Training logs: where they are looked for, what is read, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared import SHARED
from tuneval.comparison import judge_training_log
from tuneval.data.training_log import find, read
from tuneval.errors import DataError

HISTORY = [
    {"loss": 2.0, "step": 10, "epoch": 1.0, "learning_rate": 1e-4},
    {"eval_loss": 1.5, "step": 10, "epoch": 1.0, "eval_runtime": 1.0},
    {"loss": 1.0, "step": 20, "epoch": 2.0},
    {"eval_loss": 1.9, "step": 20, "epoch": 2.0},
    {"eval_loss": 1.2, "step": 20, "epoch": 2.0},
    {"loss": 0.5, "step": 30, "epoch": 3.0},
    {"eval_loss": 1.4, "step": 30, "epoch": 3.0},
    {"train_loss": 1.1, "train_runtime": 9.0, "step": 30, "epoch": 3.0},
]


def state(folder: Path, history: list[dict[str, float]] = HISTORY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history, "global_step": 30}), encoding="utf-8")
    return path


def test_trainer_state(tmp_path: Path) -> None:
    log = read(state(tmp_path))
    assert (log.steps, log.train_loss) == ((10, 20, 30), (2.0, 1.0, 0.5))
    assert (log.validation_steps, log.validation_loss) == ((10, 20, 30), (1.5, 1.2, 1.4))
    assert (log.best_step, log.epochs) == (20, (1.0, 2.0, 3.0))
    assert log.source == str(tmp_path / "trainer_state.json")


def test_trainer_log_lines_with_a_cut_last_line(tmp_path: Path) -> None:
    path = tmp_path / "trainer_log.jsonl"
    rows = [
        {"current_steps": 5, "total_steps": 10, "loss": 2.0, "epoch": 0.5, "percentage": 50.0},
        {"current_steps": 5, "total_steps": 10, "loss": None, "eval_loss": 1.0, "epoch": 0.5},
        {"current_steps": 10, "total_steps": 10, "loss": 1.0, "epoch": 1.0},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"current_st', "utf-8")
    log = read(path)
    assert (log.steps, log.train_loss) == ((5, 10), (2.0, 1.0))
    assert (log.validation_steps, log.validation_loss, log.best_step) == ((5,), (1.0,), 5)


@pytest.mark.parametrize(
    ("history", "validation", "best"),
    [
        ([], (), None),
        ([{"loss": 1.0, "step": 1}], (), None),
        ([{"eval_loss": float("nan"), "step": 1}, {"eval_loss": 2.0, "step": 2}], (2.0,), 2),
        ([{"eval_loss": 1.0, "step": 1}, {"eval_loss": 1.0, "step": 2}], (1.0, 1.0), 1),
        ([{"eval_dev_loss": 1.0, "step": 1}], (1.0,), 1),
        ([{"eval_loss": 3.0, "step": 1}, {"eval_ood_loss": 1.0, "step": 1}], (3.0,), 1),
    ],
)
def test_validation_rows(
    tmp_path: Path,
    history: list[dict[str, float]],
    validation: tuple[float, ...],
    best: int | None,
) -> None:
    log = read(state(tmp_path, history))
    assert (log.validation_loss, log.best_step) == (validation, best)


NAN = float("nan")


@pytest.mark.parametrize(
    ("history", "nan_from", "best"),
    [
        ([(10, "loss", 1.0), (10, "eval_loss", 1.0), (20, "eval_loss", NAN)], 20, 10),
        ([(10, "loss", 1.0), (20, "loss", NAN), (30, "loss", NAN)], 20, None),
        ([(10, "eval_loss", NAN), (20, "eval_loss", NAN)], 10, None),
        ([(0, "eval_loss", NAN)], 0, None),
        ([(10, "eval_loss", 1.0), (20, "eval_loss", float("inf"))], 20, 10),
        ([(10, "eval_loss", 1.0), (20, "eval_loss", None)], 20, 10),  # strict JSON has no NaN
        ([(10, "eval_loss", 1.0), (20, "eval_loss", NAN), (30, "eval_loss", 1.2)], None, 10),
        ([(20, "loss", NAN), (20, "eval_loss", 1.0)], None, 20),  # one batch without a scored token
        ([(10, "loss", 1.0)], None, None),
    ],
)
def test_losses_that_become_nan(
    tmp_path: Path, history: list[tuple[int, str, Any]], nan_from: int | None, best: int | None
) -> None:
    log = read(state(tmp_path, [{"step": step, key: loss} for step, key, loss in history]))
    assert (log.nan_from, log.best_step) == (nan_from, best)


def test_a_row_of_both_kinds_with_a_null(tmp_path: Path) -> None:
    log = read(state(tmp_path, [{"step": 5, "loss": 2.0, "eval_loss": None}]))
    assert (log.train_loss, log.validation_loss, log.nan_from) == ((2.0,), (), None)


@pytest.mark.parametrize("name", ["out", "out/checkpoint-20", "out/checkpoint-100"])
def test_found_in_the_folder_itself(tmp_path: Path, name: str) -> None:
    path = state(tmp_path / name)
    found = find(tmp_path / name)
    assert found.log is not None
    assert found.log.source == str(path)


def test_newest_checkpoint_by_number_then_parent_then_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run" / "adapter"
    (out / "checkpoint-9").mkdir(parents=True)
    (out / "checkpoint-100").mkdir()
    (out / "checkpoint-best").mkdir()
    assert find(out) == (None, (out, out / "checkpoint-100", out.parent))
    parent = state(out.parent)
    assert find(out).log == read(parent)
    state(out / "checkpoint-9")
    assert find(out).log == read(parent)
    newest = state(out / "checkpoint-100", HISTORY[:2])
    assert find(out) == (read(newest), (out, out / "checkpoint-100"))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"log_history": 3}', '{"log_history": [{"loss": 1.0}]}', "\x00", "[" * 99_999]
)  # fmt: skip
def test_a_broken_log_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    text = str(caught.value)
    assert text.startswith(f'training log "{path}" cannot be read (')
    assert text.endswith("Expected: trainer_state.json with log_history, or trainer_log.jsonl.")


def test_a_missing_log(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened \\(No such file"):
        read(tmp_path / "trainer_state.json")


def test_the_door_case_is_told_as_it_must_be() -> None:
    door = SHARED / "cases" / "door"
    if not door.exists():
        pytest.skip(f"shared cases not here: {door} (set TUNEVAL_SHARED)")
    manifest = (door / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    (row,) = (one for one in map(json.loads, manifest) if one["folder"] == "training_log")
    some, every = (
        judge_training_log(read(door / "training_log" / name), "lora").finding
        for name in row["files"]
    )
    assert some.lower().startswith(row["must"].lower())
    assert every.startswith("All logged losses are NaN, from step ")
