"""Which correction a star stands for, and no star beside a zero."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneval.report import wording
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
