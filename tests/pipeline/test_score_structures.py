"""Objects, calls and sets of labels that were answered already are scored as a run scores them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.spec import OutputSpec

N = 30
COLOURS = ("amber", "teal", "plum")


def _write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


SHAPES = {
    "extract": (
        lambda n: {"text": f"gate {n}", "output": {"gate": n, "colours": [COLOURS[n % 3], "old"]}},
        lambda n: {"prediction": {"gate": n, "colours": ["old", COLOURS[n % 2]]}},
        "field_f1",
    ),
    "tool_call": (
        lambda n: {"query": f"gate {n}", "tools": [{"name": "open"}],
                   "answers": [{"name": "open", "arguments": {"gate": n}}] if n % 5 else []},
        lambda n: {"prediction": f"[open(gate={n - n % 2})]" if n % 5 else "I cannot."},
        "tool_call_accuracy",
    ),
    "multilabel": (
        lambda n: {"text": f"gate {n}", "labels": [COLOURS[n % 3], "old"]},
        lambda n: {"prediction": f"old, {COLOURS[n % 2]}"},
        "multilabel_f1_micro",
    ),
}  # fmt: skip
EXPECTED = {
    # n, and whether the colour (0, 1, 0, 1, ... of 0, 1, 2, 0, ...) is right: n % 3 == n % 2
    "extract": sum(2 + (n % 3 == n % 2) for n in range(N)) / (3 * N),
    "tool_call": sum(n % 5 == 0 or n % 2 == 0 for n in range(N)) / N,
    "multilabel": sum(1 + (n % 3 == n % 2) for n in range(N)) / (2 * N),
}


@pytest.mark.parametrize("task", SHAPES)
def test_scored_as_expected(task: str, tmp_path: Path) -> None:
    expected, answered, metric = SHAPES[task]
    references = _write(tmp_path / "test.jsonl", [expected(n) for n in range(N)])
    one = _write(tmp_path / "one.jsonl", [answered(n) for n in range(N)])
    other = _write(tmp_path / "other.jsonl", [{"prediction": "nothing"} for _ in range(N)])
    found = score(
        Expected(references),
        {"base": other, "tuned": one},
        output=OutputSpec(dir=str(tmp_path / "runs"), reports=("html", "md", "csv")),
    )
    assert found.spec["task"] == task
    scores = {s.variant: s.value for s in found.scores if s.metric == metric and s.slice == "all"}
    assert scores["tuned"] == pytest.approx(EXPECTED[task])
    assert found.verdicts[0].decision == "better"
