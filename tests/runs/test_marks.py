"""Marks of a person: read with their faults named, counted, held against a judge's verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from report.finished_run import finished_run
from tuneval.errors import DataError
from tuneval.report import console, html
from tuneval.runs.marks import MARKS, read_marks, with_marks
from tuneval.types import Case, CaseSet, Prediction, RunResult

RUN = finished_run(40)
GOOD = {"case_id": "test.jsonl:3", "baseline": "base", "candidate": "full", "mark": "better"}


def _file(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "marks.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_marks_become_a_finding_whose_cases_are_linked(tmp_path: Path) -> None:
    rows = [
        GOOD | {"note": "<b>why</b>", "run": RUN.run_id},
        GOOD | {"case_id": "test.jsonl:4", "mark": "worse"},
        GOOD | {"case_id": "test.jsonl:5", "mark": "wrong reference"},
    ]
    marked = with_marks(RUN, read_marks(_file(tmp_path, *rows), RUN))
    (found,) = marked.findings[len(RUN.findings) :]
    assert found.sentence.startswith(
        "A person marked 3 cases: full better than base in 1, worse in 1, the same in 0; "
        "1 has a wrong reference."
    )
    page = html.render(marked)
    assert '<a href="#cases?kind=&amp;open=test.jsonl%3A3">test.jsonl:3</a>' in page
    assert "&lt;b&gt;why&lt;/b&gt;" in page
    assert marked.headline == RUN.headline
    assert console.render(marked) == console.render(RUN)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GOOD | {"mark": "nice"}, ["line 2", "'nice'", ", ".join(MARKS)]),
        (GOOD | {"case_id": "other.jsonl:3"}, ["line 2", "no case 'other.jsonl:3'"]),
        (GOOD | {"candidate": "lora"}, ["line 2", "candidate is 'lora'", "lora-0"]),
        (GOOD | {"run": "0000"}, ["line 2", "of run 0000", RUN.run_id]),
        ([1], ["line 2", "not an object"]),
    ],
)
def test_a_row_that_is_no_mark_is_named(tmp_path: Path, row: object, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read_marks(_file(tmp_path, GOOD, row), RUN)
    for word in words:
        assert word in str(caught.value)


def _judged(verdicts: list[str]) -> RunResult:
    """The run with a judge's verdicts on full against base, one a case."""
    first = RUN.case_sets[0]
    cases = tuple(
        Case(f"test.jsonl:{n + 1} (judged)", {"question": "?"}) for n in range(len(verdicts))
    )
    judged = CaseSet("test judged", "", "judged", "judge", cases)
    nobody = tuple(Prediction(case.id, problem="not judged") for case in cases)
    own = tuple(Prediction(c.id, label=v) for c, v in zip(cases, verdicts, strict=True))
    return replace(
        RUN,
        case_sets=(first, judged),
        predictions={
            name: (*answers, *(own if name == "full" else nobody))
            for name, answers in RUN.predictions.items()
        },
    )


def test_a_judge_is_held_against_the_person(tmp_path: Path) -> None:
    judge = ["candidate", "candidate", "tie", "baseline"] * 5
    person = ["better", "worse", "same", "worse"] * 5
    person[3] = "better"
    rows = [
        GOOD | {"case_id": f"test.jsonl:{n + 1}", "mark": mark} for n, mark in enumerate(person)
    ]
    # The other way round it is the same judgement.
    rows[1] = rows[1] | {"baseline": "full", "candidate": "base", "mark": "better"}
    run = _judged(judge)
    *_, found = with_marks(run, read_marks(_file(tmp_path, *rows), run)).findings
    words = {"better": "candidate", "same": "tie", "worse": "baseline"}
    expected = cohen_kappa_score([words[one] for one in person], judge)
    assert found.values["kappa"] == pytest.approx(expected, abs=1e-12)
    assert found.values["low"] < expected < found.values["high"]
    assert found.sentence.startswith("The judge says what the person says in 14 of 20 cases")


def test_few_marks_have_no_kappa(tmp_path: Path) -> None:
    run = _judged(["candidate"] * 4)
    *_, found = with_marks(run, read_marks(_file(tmp_path, GOOD), run)).findings
    assert "in 1 of 1 cases; too few" in found.sentence
    assert "kappa" not in found.values
