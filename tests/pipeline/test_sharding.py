"""Shares of one run over a common folder of answers, and the run that joins them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.conftest import Setting
from pipeline.shard_worker import Dying
from tuneval.errors import ConfigError
from tuneval.pipeline import run as pipeline_run
from tuneval.pipeline.sharding import Shard, answer_shard
from tuneval.plan.spec import RunSpec
from tuneval.types import RunResult

N = 3
WORKER = Path(__file__).with_name("shard_worker.py")


def describe(setting: Setting, folder: Path, **backend: Any) -> Path:
    """A run.yaml of base, LoRA and full fine-tune on the labelled cases."""
    content = {
        "variants": [
            {"name": "base", "model": str(setting.base)},
            {"name": "lora", "adapter": str(setting.adapters[0])},
            {"name": "full", "model": str(setting.full)},
        ],
        "cases": [{"file": str(setting.data)}],
        "prompting": {"trial": "none"},
        "statistics": {"resamples": 200},
        "backend": {"device": "cpu", "offline": True, **backend},
        "output": {"dir": str(folder / "runs")},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def numbers(result: RunResult) -> dict[str, list[Any]]:
    return {
        name: [(one.case_id, one.label, one.label_probabilities) for one in of_variant]
        for name, of_variant in result.predictions.items()
    }


def start(spec: Path, shard: str, *words: str) -> subprocess.Popen[str]:
    source = Path(pipeline_run.__file__).parents[2]
    tests = WORKER.parents[1]
    paths = os.pathsep.join([str(source), str(tests)])
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(spec), shard, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.fault
def test_shares_in_processes_one_of_them_lost(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = describe(setting, tmp_path, kind="scripted")
    lost = start(spec, f"2/{N}", "7")
    others = [start(spec, f"{n}/{N}") for n in (1, 3)]
    asked = [int(one.communicate(timeout=120)[0]) for one in others]
    lost.communicate(timeout=120)
    assert lost.returncode == -signal.SIGKILL
    n_whole = 3 * 3 * 24  # variants, labels, cases

    backend = Dying()
    monkeypatch.setattr(pipeline_run, "make_backend", lambda *_: backend)
    joined = pipeline_run.run(RunSpec.from_yaml(spec))
    n_left = n_whole - sum(asked) - 7
    assert n_left > 0
    assert len(backend.asked) == n_left, "what the lost one had not answered, and nothing else"

    again = pipeline_run.run(RunSpec.from_yaml(spec))
    assert len(backend.asked) == n_left, "and the next run asks nothing"
    assert joined.is_complete and numbers(again) == numbers(joined)

    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "another"))
    whole = pipeline_run.run(RunSpec.from_yaml(spec))
    assert len(backend.asked) == n_left + n_whole
    assert numbers(whole) == numbers(joined)


@pytest.mark.fault
def test_a_lost_share_goes_on_where_it_was(setting: Setting, tmp_path: Path) -> None:
    spec = describe(setting, tmp_path, kind="scripted")
    lost = start(spec, "1/2", "5")
    lost.communicate(timeout=120)
    asked = [int(start(spec, f"{n}/2").communicate(timeout=120)[0]) for n in (1, 2)]
    assert sum(asked) == 3 * 3 * 24 - 5


def test_shares_of_real_models_are_joined_without_a_question(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path))
    found = [answer_shard(spec, Shard(n, N)) for n in range(1, N + 1)]
    assert sum(one.n_own for one in found) == found[0].n_questions == 3 * 3 * 24
    assert all(one.n_own and not one.n_known and not one.n_failed for one in found)
    assert [answer_shard(spec, Shard(2, N)).n_known] == [found[1].n_own]

    joined = pipeline_run.run(spec, announce=None)
    shards = sorted((tmp_path / "home" / "answers").glob("*/*.jsonl"))
    lines = [line for path in shards for line in path.read_text().splitlines()]
    assert len(lines) == 3 * 3 * 24, "no answer was asked for by the plain run"

    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "another"))
    whole = pipeline_run.run(spec)
    assert numbers(joined).keys() == numbers(whole).keys()
    for name, rows in numbers(whole).items():
        for (case, label, shares), (case_, label_, shares_) in zip(
            rows, numbers(joined)[name], strict=True
        ):
            assert (case, label) == (case_, label_)
            assert shares_ == pytest.approx(shares, abs=1e-5)


def test_shares_try_the_wording_as_the_plain_run_does(setting: Setting, tmp_path: Path) -> None:
    """With the trial of wordings, which comes before any share's first question."""
    spec = RunSpec.from_yaml(
        describe(setting, tmp_path), ["prompting.trial=warn", "cases.0.limit=20"]
    )
    found = [answer_shard(spec, Shard(n, 2)) for n in (1, 2)]
    shards = (tmp_path / "home" / "answers").glob("*/*.jsonl")
    n_before = sum(len(path.read_text().splitlines()) for path in shards)
    assert n_before > sum(one.n_own - one.n_known for one in found), "the trial was asked, too"
    joined = pipeline_run.run(spec)
    shards = (tmp_path / "home" / "answers").glob("*/*.jsonl")
    assert sum(len(path.read_text().splitlines()) for path in shards) == n_before
    assert joined.is_complete


@pytest.mark.parametrize("words", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/5000"])
def test_words_that_are_no_share(words: str) -> None:
    with pytest.raises(ConfigError, match="is no share: give K/N"):
        Shard.of(words)


def test_a_run_that_stops_when_decided_has_no_shares(setting: Setting, tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(describe(setting, tmp_path), ["statistics.until_decided=true"])
    with pytest.raises(ConfigError, match="hangs on the answers before them"):
        answer_shard(spec, Shard(1, 2))


def test_the_command_says_what_was_done(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tuneval.cli.main import exit_code

    spec = describe(setting, tmp_path)
    assert exit_code(["run", str(spec), "--shard", "1/2", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("shard 1/2: ")
    assert "of 216 questions" in said and "0 known before" in said
    assert exit_code(["run", str(spec), "--shard", "3/2", "--quiet"]) == 2
