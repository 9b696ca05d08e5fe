"""Whole runs by worker processes: the same bits for any number of them, after a stop as well."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.conftest import Setting
from pipeline.test_sharding import describe, numbers
from tuneval.errors import BackendUnavailable, ConfigError
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_run_on_a_ray_cluster_has_the_answers_of_one_on_this_machine(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'tuneval[ray]')")
    spec = describe(setting, tmp_path)
    found = {}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for words in ("backend.workers=1", "backend.kind=ray"):
        monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / words.replace(".", "-")))
        found[words] = numbers(run(RunSpec.from_yaml(spec, [words])))
    first, again = found.values()
    assert first == again

    n_stored = len(stored(tmp_path / "backend-kind=ray"))
    run(RunSpec.from_yaml(spec, ["backend.workers=2"]))
    assert len(stored(tmp_path / "backend-kind=ray")) == n_stored, "nothing was asked again"


@pytest.mark.skipif(bool(find_spec("ray")), reason="Ray is installed")
def test_without_ray_it_is_said_how_to_install_it(setting: Setting, tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path), ["backend.kind=ray"])
    with pytest.raises(BackendUnavailable, match=r"a Ray cluster needs ray, .*tuneval\[ray\]"):
        run(spec)


@pytest.mark.parametrize("words", ["address=head:6379", "gpus_per_worker=0.5", "start_seconds=9"])
def test_settings_of_ray_are_refused_elsewhere(
    setting: Setting, tmp_path: Path, words: str
) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path), [f"backend.{words}"])
    name = words.partition("=")[0]
    with pytest.raises(ConfigError, match=f'backend "hf" has no option "{name}"'):
        run(spec)


def test_models_in_memory_have_no_workers(setting: Setting, tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path), ["backend.workers=2"])
    with pytest.raises(ConfigError, match="cannot be handed to other processes"):
        run(spec, models={"base": (object(), object())})
