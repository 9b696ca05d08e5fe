"""Whole runs by worker processes: the same bits for any number of them, after a stop as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.conftest import Setting
from pipeline.test_sharding import describe, numbers
from tuneval.errors import ConfigError
from tuneval.pipeline.run import run
from tuneval.plan.spec import RunSpec


def stored(home: Path) -> list[Path]:
    return sorted((home / "answers").glob("*/*.jsonl"))


@pytest.mark.slow
@pytest.mark.fault
def test_runs_of_one_and_two_workers_are_the_same_after_a_loss_too(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = describe(setting, tmp_path)
    found = {}
    for n in (1, 2):
        monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / f"home{n}"))
        found[n] = numbers(run(RunSpec.from_yaml(spec, [f"backend.workers={n}"])))
    assert found[1] == found[2]

    for path in stored(
        tmp_path / "home2"
    ):  # a run that was stopped, and goes on with another number
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: len(lines) // 2]))
    resumed = run(RunSpec.from_yaml(spec, ["backend.workers=1"]))
    assert numbers(resumed) == found[1]
    assert len(stored(tmp_path / "home2")) == 6, "the lost half was asked for"


def test_models_in_memory_have_no_workers(setting: Setting, tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path), ["backend.workers=2"])
    with pytest.raises(ConfigError, match="cannot be handed to other processes"):
        run(spec, models={"base": (object(), object())})
