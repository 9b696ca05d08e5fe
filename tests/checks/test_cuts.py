"""Cuts are told, and warned of where they may move a score."""

from __future__ import annotations

import pytest

from checks.scenes import case_set, look
from tuneval.checks.cuts import Cuts
from tuneval.types import Case, Prediction, Variant

CASES = case_set([Case(f"c{n}", {"text": str(n)}, ("yes",)) for n in range(40)])


def found(n_cut: int, n_wrong: int, *, what: str) -> list[tuple[str, str, str, str]]:
    """Cut the first answers (or prompts) of the adapter; ``n_wrong`` of those are wrong."""

    def answer(variant: Variant, case: Case) -> Prediction:
        number = int(str(case.inputs["text"]))
        is_cut = variant.name == "lora" and number < n_cut
        return Prediction(
            case.id,
            text="...",
            label="no" if is_cut and number < n_wrong else "yes",
            finish_reasons=("length" if is_cut and what == "answers" else "stop",),
            is_truncated=is_cut and what == "prompts",
        )

    return [
        (one.variant, one.subject, one.level, one.sentence)
        for one in look(Cuts, CASES, answer, metric="accuracy").findings
    ]


ANSWERS = "--max-tokens gives more room, --stop ends what goes on."
PROMPTS = "The middle of long messages is left out: see the prompts of its cases."


@pytest.mark.parametrize(
    ("what", "n_cut", "n_wrong", "level", "sentence"),
    [
        (
            "answers",
            8,
            6,
            "warning",
            f"lora: 8 of 40 answers were cut at the token limit; 75% of those cut are wrong. {ANSWERS}",
        ),
        (
            "answers",
            30,
            1,
            "note",
            f"lora: 30 of 40 answers were cut at the token limit; 3% of those cut are wrong. {ANSWERS}",
        ),
        (
            "answers",
            1,
            1,
            "note",
            f"lora: 1 of 40 answers was cut at the token limit; 100% of those cut are wrong. {ANSWERS}",
        ),
        (
            "prompts",
            2,
            0,
            "warning",
            f"lora: 2 of 40 prompts were cut to fit the context; 0% of those cut are wrong. {PROMPTS}",
        ),
        (
            "prompts",
            1,
            1,
            "note",
            f"lora: 1 of 40 prompts was cut to fit the context; 100% of those cut are wrong. {PROMPTS}",
        ),
    ],
)
def test_what_was_cut_is_told(what, n_cut, n_wrong, level, sentence) -> None:
    assert found(n_cut, n_wrong, what=what) == [("lora", what, level, sentence)]


def test_nothing_is_said_where_nothing_was_cut() -> None:
    assert found(0, 0, what="answers") == []
