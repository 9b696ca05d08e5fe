"""What trainers leave about a training: checkpoints by name, settings by file, pickles never opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer_layouts import RECORDS, step_record, trainer_record
from tuneval.data.training_record import checkpoint_of, checkpoints_below, read_record


@pytest.mark.parametrize(
    ("folder", "run", "name", "number", "unit"),
    [
        ("out/checkpoint-90", "out", "checkpoint-90", 90, "step"),
        ("out/checkpoint-90/", "out", "checkpoint-90", 90, "step"),
        ("out/checkpoint-90-merged", "out", "checkpoint-90-merged", 90, "step"),
        ("out/epoch_2", "out", "epoch_2", 2, "epoch"),
        ("out/Epoch-2", "out", "Epoch-2", 2, "epoch"),
        ("out/checkpoint-epoch-3", "out", "checkpoint-epoch-3", 3, "epoch"),
        ("out/global_step40", "out", "global_step40", 40, "step"),
        ("out/global_step_40/actor/hf", "out/actor/hf", "global_step_40", 40, "step"),
        ("out/checkpoint-90/adapter", "out/adapter", "checkpoint-90", 90, "step"),
        ("out/step-7", "out", "step-7", 7, "step"),
    ],
)
def test_a_checkpoint_by_its_name(
    folder: str, run: str, name: str, number: int, unit: str, tmp_path: Path
) -> None:
    found = checkpoint_of(tmp_path / folder)
    assert found is not None
    assert (found.run, found.name, found.number, found.unit) == (tmp_path / run, name, number, unit)


@pytest.mark.parametrize(
    "folder",
    [
        "out",
        "out/seed0",
        "out/checkpoint-best",
        "out/epochs",
        "out/lora-2",
        "step1/lora",
        "v2/step",
    ],
)
def test_no_checkpoint_by_its_name(folder: str, tmp_path: Path) -> None:
    assert checkpoint_of(tmp_path / folder) is None


def test_checkpoints_below_stand_in_order_of_their_steps(tmp_path: Path) -> None:
    for name in ("checkpoint-100", "checkpoint-90", "logs", "checkpoint-best"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-5").touch()  # a file
    assert [one.name for one in checkpoints_below(tmp_path)] == ["checkpoint-90", "checkpoint-100"]
    assert checkpoints_below(tmp_path / "nowhere") == []


def recorded(
    write: Callable[..., None],
    folder: Path,
    *,
    seed: int = 1,
    data: str = "tickets",
    rate: float = 0.1,
    step: int = 40,
) -> str | None:
    write(folder, seed=seed, data=data, rate=rate)
    step_record(folder, step)
    return read_record(folder).recipe


@pytest.mark.parametrize("trainer", RECORDS)
def test_another_seed_is_the_same_recipe_and_nothing_else_is(trainer: str, tmp_path: Path) -> None:
    write = RECORDS[trainer]
    recipe = recorded(write, tmp_path / "a")
    assert recipe is not None
    assert recorded(write, tmp_path / "b", seed=2) == recipe
    assert read_record(tmp_path / "b").seed == "2"
    assert recorded(write, tmp_path / "c", data="chats") not in (recipe, None)
    assert recorded(write, tmp_path / "d", rate=0.2) not in (recipe, None)
    assert recorded(write, tmp_path / "e", step=80) not in (recipe, None)


def test_the_settings_of_a_checkpoint_lie_in_its_run(tmp_path: Path) -> None:
    for seed in (1, 2):
        trainer_record(tmp_path / f"seed{seed}", seed=seed, data="tickets", rate=0.1)
        (tmp_path / f"seed{seed}" / "checkpoint-40").mkdir()
    one, two = (read_record(tmp_path / f"seed{seed}/checkpoint-40") for seed in (1, 2))
    assert one.recipe == two.recipe != None  # noqa: E711 - one chain
    assert (one.seed, one.step, two.seed) == ("1", 40, "2")
    assert read_record(tmp_path / "seed1").step == 40, "the newest checkpoint below"


@pytest.mark.parametrize("data", ["None", "unknown", "generator"])
def test_data_without_a_name_may_be_any(data: str, tmp_path: Path) -> None:
    assert recorded(trainer_record, tmp_path, data=data) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("args.json", "{"),
        ("args.json", "[1]"),
        ("args.json", "[" * 99_999),
        ("training_args.yaml", "a: [1"),
        ("training_args.yaml", "seed: &s 1\ndataset: *s\n"),
        ("training_args.yaml", "seed: 1\n" * 200_000),
        ("README.md", "axolotl version: `1`\n```yaml\n- 1\n```\n"),
        ("trainer_state.json", '{"global_step": "many"}'),
        ("args.json", "\x00"),
    ],
)
def test_what_cannot_be_read_says_nothing(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    found = read_record(tmp_path)
    assert (found.data, found.seed, found.step, found.recipe) == (None, None, None, None)


def test_pickles_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training_args.bin").write_bytes(b"never opened")
    opened: list[Path] = []
    real = Path.read_text

    def read_text(path: Path, *args: object, **options: object) -> str:
        opened.append(path)
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", read_text)
    read_record(tmp_path)
    assert tmp_path / "training_args.bin" not in opened
