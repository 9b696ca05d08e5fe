"""Programs that exist already: what hostile ones cannot do to the score, and how far the run is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.yard import probed
from shared import shared_path
from tuneval.pipeline.outcomes import OutcomeStore
from tuneval.pipeline.score_code import Problems, score_code
from tuneval.plan.spec import OutputSpec
from tuneval.sandbox import Outcome


class Told:
    """What a progress line would show: done and total of each stage."""

    def __init__(self) -> None:
        self.stages: list[list[int]] = []

    def begin(self, stage: str, total: int) -> None:
        self.stages.append([0, total])

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        self.stages[-1][0] += n

    def note(self, text: str) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("case", ["infra", "inproc"])
def test_hostile_sample_is_a_failed_sample(case: str, tmp_path: Path) -> None:
    """One right and one hostile sample: neither leaves n, and the run goes on."""
    probed("auto")
    folder = shared_path("..", "cases", "sandbox")
    result = score_code(
        Problems(str(folder / f"{case}_problems.jsonl")),
        [f"m={folder / f'{case}_samples.jsonl'}"],
        output=OutputSpec(dir=str(tmp_path)),
    )
    assert [score.value for score in result.scores if score.slice == "all"] == [0.5]
    assert result.problems == ()
    lines = (Path(result.output_dir) / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["passed"] for line in lines) == [False, True]


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    """Two metrics, and the same programs again: each sample is counted once."""
    probed("auto")
    problem = {
        "task_id": "T/0",
        "prompt": "def two():\n",
        "entry_point": "two",
        "test": "def check(candidate):\n    assert candidate() == 2\n",
    }
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n", encoding="utf-8")
    for system, results in (("a", (1, 2, 2)), ("b", (2, 3, 1))):
        rows = [{"task_id": "T/0", "completion": f"    return {one}\n"} for one in results]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{system}.jsonl").write_text(text, encoding="utf-8")
    told = Told()
    score_code(
        Problems(str(tmp_path / "problems.jsonl")),
        [f"{system}={tmp_path / f'{system}.jsonl'}" for system in "ab"],
        k=(1, 2),
        output=OutputSpec(dir=str(tmp_path / "runs")),
        progress=told,
    )
    assert told.stages == [[3, 3], [3, 3]]


@pytest.mark.parametrize("later", ["passed", "timeout", "wrong_answer"])
def test_store_forgets_a_timeout_for_what_was_found_later(later: str, tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    store.record("k", Outcome("timeout", machine="a"))
    store.record("k", Outcome(later, machine="b"))  # type: ignore[arg-type]
    store.record("other", Outcome("passed", machine="a"))
    store.record("other", Outcome("timeout", machine="b"))
    known = OutcomeStore(tmp_path).known
    assert (known["k"].outcome, known["k"].machine) == (later, "b")
    assert known["other"].outcome == "passed"
