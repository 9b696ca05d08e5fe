"""A training file beside a run: what leaked is named, counted and taken out of a second score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.conftest import rows, write_rows
from tuneval.api import RunResult
from tuneval.errors import DataError
from tuneval.types import Finding

Run = Callable[..., RunResult]
OTHERS = [
    {
        "text": f"Nothing of this kind stands in the other file, dear reader, said {n}",
        "label": "positive",
    }
    for n in range(40)
]


def contamination(result: RunResult) -> list[Finding]:
    return [one for one in result.findings if one.kind == "contamination"]


def test_leaked_cases_are_named_and_scored_apart(run_it: Run, tmp_path: Path) -> None:
    leaked = [rows(24)[3], {**rows(24)[5], "label": "positive"}]
    train = write_rows(tmp_path / "train.jsonl", [*OTHERS, *leaked])
    result = run_it(train_data=str(train), adapters=())
    first, *arms = contamination(result)
    assert first.level == "warning"
    assert (first.values["exact"], first.values["exact_with_reference"]) == (2, 1)
    assert [row[0] for row in first.rows if row[1] == "exact"] == ["test.jsonl:4", "test.jsonl:6"]
    assert [row[2] for row in first.rows if row[1] == "exact"] == [
        "train.jsonl:41",
        "train.jsonl:42",
    ]
    assert {one.variant for one in arms} == {"base", "full"}
    slices = {s.slice: s.n_cases for s in result.scores if s.variant == "full"}
    assert slices["overlap=leaked"] + slices["overlap=clean"] == 24
    assert any(first.sentence in verdict.warnings for verdict in result.verdicts)


def test_more_than_one_in_twenty_makes_a_run_invalid(run_it: Run, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [*OTHERS, *rows(24)[:12]])
    result = run_it(train_data=str(train), adapters=())
    assert result.headline == "INVALID"
    assert contamination(result)[0].flag == "INVALID"


def test_no_leak_no_alarm(run_it: Run, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", OTHERS)
    (found,) = contamination(run_it(train_data=str(train), adapters=()))
    assert found.level == "clear"
    assert "No case of test occurs in the training file" in found.sentence


def test_likelihoods_of_the_texts_are_judged_beside_the_base(run_it: Run, tmp_path: Path) -> None:
    cases = [
        {"text": f"{n} small boats went out on a calm sea", "label": "positive"} for n in range(40)
    ]
    data = write_rows(tmp_path / "sea.jsonl", cases)
    train = write_rows(tmp_path / "train.jsonl", OTHERS)
    result = run_it(data=str(data), train_data=str(train), labels=["positive", "negative"])
    found = {one.variant: one for one in result.findings if one.kind == "memorisation"}
    assert set(found) == {"lora-1", "lora-2", "full"}, "every checkpoint by itself, beside the base"
    assert found["full"].rows[0][-2:] == (40, 40)
    assert found["full"].values["low"] < found["full"].values["gap_nats"]


def test_a_training_file_that_cannot_be_read_stops_the_run_first(
    run_it: Run, tmp_path: Path
) -> None:
    train = write_rows(tmp_path / "train.jsonl", [{"text": "a", "label": "unheard of"}])
    with pytest.raises(DataError, match="unheard of"):
        run_it(train_data=str(train))
