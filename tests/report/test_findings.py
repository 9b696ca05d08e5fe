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
