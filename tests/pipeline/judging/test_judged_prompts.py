"""Prompts without references: the judge is the metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine.fake_server import serving
from pipeline.conftest import write_rows
from pipeline.judging.conftest import Run, prefers_good, score
from tuneval import registry
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError, DataError
from tuneval.plan.spec import RunSpec
from tuneval.report import REPORTS

N = 40


def alone(tmp_path: Path, make: Any) -> Path:
    return write_rows(tmp_path / "prompts.jsonl", [make(n) for n in range(N)])


ROWS = {
    "prompt": lambda n: {"prompt": f"Say {n}."},
    "instruction": lambda n: {"instruction": f"Say {n}.", "id": n},
    "question": lambda n: {"question": f"Say {n}."},
    "text": lambda n: {"text": f"Say {n}."},
    "messages": lambda n: {"messages": [{"role": "user", "content": f"Say {n}."}]},
    "turns in prompt": lambda n: {"prompt": [{"role": "user", "content": f"Say {n}."}]},
}


@pytest.mark.parametrize("rows", ROWS)
def test_the_win_rate_alone_decides(rows: str, run_judged: Run, tmp_path: Path) -> None:
    file = alone(tmp_path, ROWS[rows])
    with serving(content=prefers_good) as fake:
        result = run_judged(fake, data=str(file), metrics="auto")
    assert result.primary_metrics == {"prompts (judged)": "win_rate"}
    assert {one.metric.partition(",")[0] for one in result.scores} == {"win_rate"}
    assert [score(result, arm).value for arm in ("base", "lora", "full")] == [0.5, 0.875, 1.0]
    verdict = {(one.baseline, one.candidate): one for one in result.verdicts}
    assert verdict["base", "full"].decision == "better"
    again = RunSpec.from_yaml(Path(result.output_dir) / "run.yaml")
    assert again.cases[0].task == "generate"
    assert "win rate" in str(result)
    for kind in ("html", "md", "csv"):
        page = registry.load(REPORTS, kind, room="report")(result)
        assert "prompts (judged)" in page


def test_a_property_of_prompts_is_a_group(run_judged: Run, tmp_path: Path) -> None:
    file = alone(tmp_path, lambda n: {"prompt": f"Say {n}.", "category": f"c{n % 2}"})
    with serving(content=prefers_good) as fake:
        with pytest.raises(ConfigError, match="that is no answer but a property of them: --group"):
            run_judged(fake, data=str(file), metrics="auto")
        gates = {"win_rate@lora@prompts (judged)": ">= 60", "slice:category=c1": "> 80"}
        result = run_judged(fake, data=str(file), metrics="auto", groups=["category"], gates=gates)
    assert score(result, "lora", slice_="category=c1").value == 1.0
    assert {one.outcome for one in result.gates} == {"passed"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": ["rougeL"]}, "nothing to compare an answer with but another answer"),
        ({"judge": {"against": "reference"}}, "40 cases have no reference"),
        ({"statistics": {"until_decided": True}}, "--until-decided stops by a metric"),
        ({"validation": "prompts.jsonl"}, "--validation"),
    ],
)
def test_what_needs_references_says_so(
    changes: dict[str, Any], words: str, run_judged: Run, tmp_path: Path
) -> None:
    file = alone(tmp_path, ROWS["prompt"])
    with serving(content=prefers_good) as fake, pytest.raises(ConfigError, match=words):
        run_judged(fake, **{"data": str(file), "metrics": "auto", **changes})


def test_all_that_looks_at_cases_can_do_without_references(run_judged: Run, tmp_path: Path) -> None:
    """Groups, changed inputs and a training file with copies of prompts."""
    file = alone(tmp_path, lambda n: {"prompt": f"Say {n}.", "half": f"h{n % 2}"})
    rows = [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(10, 70)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    with serving(content=prefers_good) as fake:
        result = run_judged(
            fake,
            data=str(file),
            metrics="auto",
            groups=["half"],
            perturbations=["typos"],
            train_data=str(train),
        )
    assert [score(result, arm).value for arm in ("base", "lora", "full")] == [0.5, 0.875, 1.0]
    (leaked,) = [one for one in result.findings if one.kind == "contamination" and one.sentence]
    assert leaked.values["exact"] == 30


@pytest.mark.parametrize(
    "rows", [ROWS["prompt"], ROWS["instruction"], ROWS["messages"]], ids=["prompt", "bare", "chat"]
)
def test_without_a_judge_the_way_out_is_named(
    rows: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = alone(tmp_path, rows)
    words = ["compare", "base", "--full", "full", "--data", str(file), "--backend", "openai"]
    assert exit_code([*words, "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "--judge MODEL" in capsys.readouterr().err


def test_an_answer_in_some_conversations_is_a_fault(run_judged: Run, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps({"messages": turns[: 1 + n % 2]}) + "\n" for n in range(8)))
    words = 'the last turn is of "user"'
    with serving(content=prefers_good) as fake, pytest.raises(DataError, match=words):
        run_judged(fake, data=str(file), metrics="auto")
