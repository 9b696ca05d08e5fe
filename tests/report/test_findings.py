"""Findings in reading order: warnings first, many notes folded, tables of one shape together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from report.finished_run import finished_run
from tuneval.report.findings import blocks, cell
from tuneval.types import Finding

RUN = finished_run(20)


def made(level: str, number: int, **more: Any) -> Finding:
    return Finding("robustness", f"arm{number}", "test", "typos", level, f"said {number}", **more)  # type: ignore[arg-type]


def block(*findings: Finding) -> Any:
    (one,) = blocks(dataclasses.replace(RUN, findings=findings), {})
    return one


def test_few_sentences_stand_warnings_first() -> None:
    found = block(made("note", 1), made("warning", 2), made("unclear", 3))
    assert [line.sign for line in found.lines] == ["!", "?", "="]
    assert found.further == ()
    assert found.has_warning


def test_of_many_the_notes_are_folded() -> None:
    found = block(*(made("note", n) for n in range(6)), made("warning", 7), made("unclear", 8))
    assert [line.sentence for line in found.lines] == ["said 7", "said 8"]
    assert len(found.further) == 6


def test_one_table_for_one_shape() -> None:
    columns = {"kept": "share", "p adjusted": "number", "n": "count"}
    rows = [((0.91, 0.0001, 1234),), ((None, 0.2, 5),)]
    found = block(*(made("note", n, columns=columns, rows=row) for n, row in enumerate(rows)))
    (table,) = found.tables
    assert table.header == ("variant", "kept", "p adjusted", "n")
    assert table.is_number == (False, True, True, True)
    assert table.rows == (("arm0", "91.0", "< .001", "1,234"), ("arm1", "n/a", ".200", "5"))


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.5, "share", "50.0"), ("a", "text", "a"), (None, "nats", "n/a"), (3, "count", "3")],
)
def test_cells(value: Any, unit: str, shown: str) -> None:
    assert cell(value, unit) == shown


def checkpoints(*rows: tuple[int, float | None, float | None, float | None, str]) -> Finding:
    columns = {
        "step": "count",
        "accuracy": "share",
        "low": "share",
        "high": "share",
        "against the best": "text",
    }
    return Finding(
        "checkpoints", "", "test", "out", "unclear", "said", {"best": 20.0}, columns, rows
    )


def test_checkpoints_are_drawn_as_a_path() -> None:
    rows = ((10, 0.6, 0.5, 0.7, "worse"), (20, 0.9, 0.8, 0.95, "the best"))
    found = block(checkpoints(*rows))
    (chart,) = found.charts
    assert chart.title == "out: accuracy by step"
    assert chart.header == ("step", "accuracy", "low", "high")
    assert chart.rows == (("10", "60.0", "50.0", "70.0"), ("20", "90.0", "80.0", "95.0"))
    assert chart.svg.count('class="bar thin base-0"') == 2
    (table,) = found.tables
    assert table.rows[1] == ("20", "90.0", "80.0", "95.0", "the best")


@pytest.mark.parametrize("rows", [((10, None, None, None, "the best"),), ()])
def test_a_path_without_numbers_is_drawn_empty_or_not_at_all(rows: Any) -> None:
    charts = block(checkpoints(*rows)).charts
    assert [chart.rows for chart in charts] == [()] * len(rows)
