"""Every report over every shape of run; golden files compared as text.

``TUNEVAL_REWRITE_GOLDEN=1 pytest tests/report`` writes the golden files anew.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from report.finished_run import (
    HOSTILE_TEXTS,
    finished_run,
    five_arms,
    free_text,
    with_benchmark,
)
from tuneval import registry
from tuneval.report import REPORTS, console, html, markdown, predictions, table_csv
from tuneval.types import RunResult

GOLDEN = Path(__file__).parents[1] / "golden"
RUN = finished_run(20)

Render = Callable[[RunResult], str]
RENDERS: dict[str, Render] = {name: registry.load(REPORTS, name, room="report") for name in REPORTS}
RENDERS |= {
    "console": console.render,
    "predictions": predictions.render,
    "notebook": html.render_summary,
}


def _undefined(result: RunResult) -> RunResult:
    return dataclasses.replace(
        result,
        scores=tuple(
            dataclasses.replace(score, value=math.nan, interval=None) for score in result.scores
        ),
        comparisons=tuple(
            dataclasses.replace(
                c, difference=math.nan, interval=None, p_value=None, p_adjusted=None
            )
            for c in result.comparisons
        ),
    )


def _hostile(result: RunResult) -> RunResult:
    bad = "".join(HOSTILE_TEXTS)
    return dataclasses.replace(
        result,
        name=bad,
        headline=bad,
        run_id=bad,
        notes=(bad,),
        problems=(bad,),
        output_dir=bad,
        spec={bad: bad},
        environment={bad: bad},
        facts=tuple(
            dataclasses.replace(f, tokenizer=bad, settings={bad: bad}, warnings=(bad,))
            for f in result.facts
        ),
        variants=tuple(dataclasses.replace(v, model=bad) for v in result.variants),
        scores=tuple(dataclasses.replace(s, signature=bad, note=bad) for s in result.scores),
        comparisons=tuple(dataclasses.replace(c, test=bad, note=bad) for c in result.comparisons),
        verdicts=tuple(
            dataclasses.replace(v, reasons=(bad,), warnings=(bad,)) for v in result.verdicts
        ),
        learning_curves=tuple(dataclasses.replace(c, finding=bad) for c in result.learning_curves),
        confusions=tuple(
            dataclasses.replace(c, labels=tuple(f"{bad}{i}" for i in range(8)))
            for c in result.confusions
        ),
    )


SHAPES: dict[str, RunResult] = {
    "usual": RUN,
    "five arms": five_arms(RUN),
    "two case sets": with_benchmark(RUN),
    "free text": free_text(RUN),
    "incomplete": dataclasses.replace(RUN, is_complete=False),
    "undefined": _undefined(RUN),
    "hostile": _hostile(RUN),
    "base only": dataclasses.replace(
        RUN, variants=RUN.variants[:1], comparisons=(), verdicts=(), flips=(), learning_curves=()
    ),
    "no cases": dataclasses.replace(
        RUN,
        case_sets=(),
        predictions={},
        case_scores={},
        scores=(),
        comparisons=(),
        flips=(),
        confusions=(),
    ),
    "nothing": dataclasses.replace(
        RUN,
        **{
            f.name: ()
            for f in dataclasses.fields(RUN)
            if f.name
            in {
                "variants",
                "facts",
                "case_sets",
                "scores",
                "comparisons",
                "verdicts",
                "confusions",
                "per_class",
                "flips",
                "learning_curves",
                "problems",
                "notes",
            }
        },
        predictions={},
        case_scores={},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RENDERS)
def test_renders_every_shape_the_same_twice(name: str, shape: str) -> None:
    text = RENDERS[name](SHAPES[shape])
    assert text == RENDERS[name](SHAPES[shape])
    if name not in {"json", "predictions", "csv"}:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("shape", SHAPES)
def test_markdown_fits_a_comment(shape: str) -> None:
    text = markdown.render(SHAPES[shape])
    assert len(text.splitlines()) <= 40
    assert not re.search(r"(?<!\\)<(?!/?sub>|br>|!-- -->)", text)


@pytest.mark.parametrize("shape", SHAPES)
def test_csv_has_no_formula_and_whole_rows(shape: str) -> None:
    rows = list(csv.reader(io.StringIO(table_csv.render(SHAPES[shape]), newline="")))
    assert rows[0] == list(table_csv.COLUMNS)
    assert {len(row) for row in rows} == {len(table_csv.COLUMNS)}
    text_columns = [i for i, name in enumerate(rows[0]) if name in {"signature", "note", "test"}]
    assert not any(row[i].startswith(tuple("=+-@")) for row in rows[1:] for i in text_columns)
    values = rows[0].index("value")
    assert all(isinstance(float(row[values]), float) for row in rows[1:] if row[1] != "finding")


def test_predictions_has_one_line_per_case_and_variant() -> None:
    lines = predictions.render(RUN).splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == len(RUN.case_sets[0].cases) * len(RUN.variants)
    first = rows[0]
    assert first["case_id"] == "test.jsonl:1"
    assert first["input"] == HOSTILE_TEXTS[0]
    assert first["metric"] == "accuracy"
    assert {row["problem"] for row in rows} == {None, "unparsed: no label in the answer"}


SUFFIXES = {
    "console": "txt",
    "junit": "junit.xml",
    "notebook": "notebook.html",
    "predictions": "predictions.jsonl",
}


@pytest.mark.parametrize("name", RENDERS)
def test_golden(name: str) -> None:
    path = GOLDEN / f"report.{SUFFIXES.get(name, name)}"
    text = _normalised(RENDERS[name](finished_run(6)))
    if os.environ.get("TUNEVAL_REWRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8"), "TUNEVAL_REWRITE_GOLDEN=1 accepts the change"


def _normalised(text: str) -> str:
    """Without what changes with every release: version, date, style and script."""
    text = text.replace("0.1.0", "VERSION").replace("2026-11-21T10:00:00Z", "DATE")
    text = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.DOTALL)
    text = re.sub(r"<script>.*?</script>", "<script></script>", text, flags=re.DOTALL)
    return re.sub(r"sha256-[\w+/=]+", "sha256-HASH", text).replace("2026-11-21", "DAY")


def test_predictions_name_their_prompt() -> None:
    run = finished_run(20)
    prompts = [json.loads(line) for line in predictions.render_prompts(run).splitlines()]
    assert len({one["text"] for one in prompts}) == len(prompts) == len(run.prompts)
    for line in predictions.render(run).splitlines():
        row = json.loads(line)
        shown = prompts[row["prompt"]]["text"]
        assert shown.startswith("<s><|user|>Message: ") is (row["variant"] == "full")
        assert row["input"] in shown
