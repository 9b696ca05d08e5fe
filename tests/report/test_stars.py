"""Which correction a star stands for, and no star beside a zero."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report.finished_run import finished_run
from tuneval.report import console, wording
from tuneval.types import Comparison

SHOWN = Comparison("a", "b", "t", "m", "all", 0.051, None, 0.01, 0.01, "x", 100, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "+5.1 *"),
        ({"details": {"confirmatory": 0.0, "holm": 0.0}}, "+5.1 (*)"),
        ({"details": {"confirmatory": 0.0, "holm": 1.0}}, "+5.1 *"),
        ({"p_adjusted": 0.2}, "+5.1"),
        ({"difference": 0.0004}, "+<0.1 *"),
        ({"difference": -0.0004}, "-<0.1 *"),
        ({"difference": 0.0004, "p_adjusted": 0.2}, "0.0"),
    ],
)
def test_starred(changes, text):
    assert wording.starred(replace(SHOWN, **changes)) == text


def test_the_legend_says_what_occurs():
    suggested = replace(SHOWN, details={"holm": 0.0})
    assert wording.star_legend([replace(SHOWN, p_adjusted=0.5)]) == []
    assert wording.star_legend([SHOWN]) == ["* p < .05, Holm"]
    assert wording.star_legend([SHOWN, suggested]) == [
        "* p < .05, Holm",
        "(*) suggests: Benjamini-Hochberg",
    ]


def test_the_level_of_intervals_that_hold_at_once_is_explained() -> None:
    result = finished_run(6)
    one = result.comparisons[0]
    shared = {"shared_low": 0.1, "shared_high": 0.2, "shared_confidence": 1 - 0.05 / 3}
    known = replace(one, details={**one.details, **shared})
    assert wording.level_legend([one]) == []
    assert wording.level_legend([one, known]) == ["98.3% CI: 95% for all verdicts at once"]
    shown = console.render(replace(result, comparisons=(known, *result.comparisons[1:])))
    assert "98.3% CI: 95% for all verdicts at once" in " ".join(shown.split())
