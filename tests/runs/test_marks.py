"""Marks of a person: read with their faults named, counted, held against a judge's verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from report.finished_run import finished_run
from tuneval.cli.main import exit_code
from tuneval.comparison.beyond.prediction_powered import prediction_powered
from tuneval.errors import DataError
from tuneval.report import console, html, results_json
from tuneval.runs.judged_pairs import judged_pairs
from tuneval.runs.marks import MARKS, read_marks, with_marks
from tuneval.types import Case, CaseSet, Finding, Prediction, RunResult

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
    own = tuple(
        Prediction(c.id, label=v, completions=(v, v)) for c, v in zip(cases, verdicts, strict=True)
    )
    ties = tuple(Prediction(c.id, text="tie", label="tie") for c in cases)
    return replace(
        RUN,
        case_sets=(first, judged),
        predictions={
            name: (*answers, *({"full": own, "base": ties}.get(name, nobody)))
            for name, answers in RUN.predictions.items()
        },
    )


def _about(
    run: RunResult, tmp_path: Path, rows: list[dict[str, str]], subject: str
) -> list[Finding]:
    marked = with_marks(run, read_marks(_file(tmp_path, *rows), run))
    return [o for o in marked.findings[len(run.findings) :] if subject in (o.kind, o.subject)]


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
    (found,) = _about(run, tmp_path, rows, "agreement")
    words = {"better": "candidate", "same": "tie", "worse": "baseline"}
    expected = cohen_kappa_score([words[one] for one in person], judge)
    assert found.values["kappa"] == pytest.approx(expected, abs=1e-12)
    assert found.values["low"] < expected < found.values["high"]
    assert found.sentence.startswith("The judge says what the person says in 14 of 20 cases")


def test_few_marks_have_no_kappa(tmp_path: Path) -> None:
    run = _judged(["candidate"] * 4)
    (found,) = _about(run, tmp_path, [GOOD], "agreement")
    assert "in 1 of 1 cases; too few" in found.sentence
    assert "kappa" not in found.values


def _person(n: int) -> str:
    """Prefers the candidate in every second case, and sees no difference in every tenth."""
    return "same" if n % 10 == 0 else ("better", "worse")[n % 2]


def _long_run(n_cases: int) -> RunResult:
    """A judge that calls every fourth loss of the candidate a win."""
    words = {"better": "candidate", "same": "tie", "worse": "baseline"}
    said = [words[_person(n)] for n in range(n_cases)]
    kind = ["candidate" if v == "baseline" and n % 4 == 1 else v for n, v in enumerate(said)]
    return _judged(kind)


def test_marks_on_the_drawn_cases_correct_the_judge(tmp_path: Path) -> None:
    run = _long_run(40)
    (pair,) = judged_pairs(run)
    assert (pair.opponent, pair.candidate) == ("base", "full")
    assert sorted(pair.shares) != list(pair.shares), "the order is drawn"
    drawn = list(pair.shares)[:30]
    rows = [
        GOOD | {"case_id": case, "mark": _person(int(case.rpartition(":")[2]) - 1)}
        for case in drawn
    ]
    rows[3] |= {"mark": "wrong reference"}
    (found,) = _about(run, tmp_path, rows, "corrected")
    marks, shares = drawn_pairs(rows, pair.shares)
    others = np.array([one for case, one in pair.shares.items() if case not in drawn])
    expected = prediction_powered(marks, shares, others)
    assert found.values["win_rate"] == pytest.approx(expected.value)
    assert (found.values["marks"], found.values["cases"]) == (29, 39)
    assert (found.values["low"], found.values["high"]) == pytest.approx(expected.interval())
    assert [row[0] for row in found.rows] == ["the judge alone", "the marks alone", "corrected"]
    assert "Left out: 1 with a wrong reference." in found.sentence
    # Marks of the other side say the same.
    turned = {"better": "worse", "worse": "better"}
    other = [
        row
        | {"baseline": "full", "candidate": "base", "mark": turned.get(row["mark"], row["mark"])}
        for row in rows
    ]
    assert _about(run, tmp_path, other, "corrected") == [found]


def drawn_pairs(rows: list[dict[str, str]], shares: Mapping[str, float]) -> tuple[Any, Any]:
    worth = {"better": 1.0, "same": 0.5, "worse": 0.0}
    marked = [row for row in rows if row["mark"] in worth]
    return (
        np.array([worth[row["mark"]] for row in marked]),
        np.array([shares[row["case_id"]] for row in marked]),
    )


def test_a_judge_that_is_kind_to_one_side_is_warned_of(tmp_path: Path) -> None:
    run = _judged(["candidate"] * 40)
    (pair,) = judged_pairs(run)
    rows = [GOOD | {"case_id": case, "mark": "worse"} for case in list(pair.shares)[:30]]
    (found,) = _about(run, tmp_path, rows, "corrected")
    assert found.level == "warning"
    assert "The judge is kinder to full than the person, by 100.0 points" in found.sentence


@pytest.mark.parametrize("chosen", ["by hand", "one left out"])
def test_marks_that_somebody_chose_correct_nothing(chosen: str, tmp_path: Path) -> None:
    run = _long_run(40)
    (pair,) = judged_pairs(run)
    order = list(pair.shares)
    cases = order[1:] if chosen == "by hand" else [*order[:5], *order[6:]]
    rows = [GOOD | {"case_id": case, "mark": "better"} for case in cases]
    (found,) = _about(run, tmp_path, rows, "corrected")
    n = 0 if chosen == "by hand" else 5
    assert found.sentence.startswith(f"{n} of the marks on full beside base begin the random order")
    assert not found.values


def test_cases_to_mark_are_written_filled_and_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _long_run(40)
    (tmp_path / "result.json").write_text(results_json.render(run))
    words = ["report", str(tmp_path), "--to-mark", "25"]
    assert exit_code(words) == 0
    file = tmp_path / "to_mark.jsonl"
    assert "25 of 25 rows wait for a mark (better, same, worse)" in capsys.readouterr().out
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["case_id"] for row in rows] == list(judged_pairs(run)[0].shares)[:25]
    assert rows[0]["candidate_answer"] and rows[0]["prompt"]
    assert read_marks(file, run) == [], "nothing is marked yet"
    assert exit_code(words) == 2
    assert "is there already and may hold marks" in capsys.readouterr().err
    marked = tmp_path / "marked.jsonl"
    marked.write_text("".join(json.dumps(row | {"mark": "better"}) + "\n" for row in rows))
    assert exit_code(["report", str(tmp_path), "--marks", str(marked), "--to", "md"]) == 0
    more = tmp_path / "more.jsonl"
    words = ["report", str(tmp_path), "--to-mark", "30", "--marks", str(marked), "-o", str(more)]
    assert exit_code(words) == 0
    assert "5 of 30 rows wait" in capsys.readouterr().out
    page = tmp_path / "page.html"
    words = ["report", str(tmp_path), "--to-mark", "30", "--to", "html", "-o", str(page)]
    assert exit_code(words) == 0
    assert "30 cases drawn at random" in page.read_text()


def test_a_run_without_a_judge_has_nothing_to_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result.json").write_text(results_json.render(RUN))
    assert exit_code(["report", str(tmp_path), "--to-mark", "5"]) == 2
    assert "no judge has compared two variants" in capsys.readouterr().err
