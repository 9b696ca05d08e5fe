"""The final number of a worked answer: what is read, and who else finds it right."""

from __future__ import annotations

import pytest

from metrics.making import made_cases
from shared import shared_rows
from tuneval.metrics import build, defaults_of
from tuneval.types import Case, CaseSet, Prediction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 2 = 4\n#### 4", "4"),
        ("#### 1,234", "1234"),
        ("#### 18.50 dollars, not 7", "18.5"),
        ("first 3, then 12.", "12"),
        ("She pays $1,250.00", "1250"),
        ("it fell to -7", "-7"),
        ("0.50 of it", "0.5"),
        ("no number at all ", "no number at all"),
        ("#### 5\nno, #### 6", "6"),
        ("3 boxes\n#### none", "#### none"),
    ],
)
def test_what_is_compared(text: str, expected: str) -> None:
    got = build("final_number").normalise(text)  # type: ignore[attr-defined]
    assert got == (expected if expected != "#### none" else text)


def test_published_judgements_of_worked_answers() -> None:
    """Right or wrong as the publishers say, wherever the answer was marked as theirs must be."""
    metric = build("final_number")
    for row in shared_rows("gsm8k", "model_solutions_half.jsonl.gz"):
        marked = [v for v in row.values() if isinstance(v, dict) and "A:" in v["solution"]]
        cases = made_cases([row["ground_truth"]] * len(marked))
        given = [Prediction(c.id, text=m["solution"]) for c, m in zip(cases, marked, strict=True)]
        found = metric.per_case(cases, given)[:, 0].tolist()
        assert found == [float(one["is_correct"]) for one in marked], row["idx"]


def case_set(layout: str, references: list[str], task: str = "generate") -> CaseSet:
    cases = tuple(Case(f"t:{n}", {"question": "q"}, (r,)) for n, r in enumerate(references))
    return CaseSet("t", "t", layout, task, cases)


@pytest.mark.parametrize(
    ("cases", "first"),
    [
        (case_set("question and answer", ["so 1\n#### 4", "#### 1,000"]), "final_number"),
        (case_set("question and answer", ["so 1\n#### 4", "five"]), "rougeL"),
        (case_set("squad", ["five", ""]), "squad_f1"),
        (case_set("squad", ["a", "b"], "classify"), "accuracy"),
    ],
)
def test_the_first_metric_fits_the_rows(cases: CaseSet, first: str) -> None:
    assert defaults_of(cases)[0] == first
