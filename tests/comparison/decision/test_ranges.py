"""The reading aids of table 9.7."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison.fakes import Accuracy, measured
from tuneval.comparison import Settings, score
from tuneval.comparison.decision import ranges


def scored(metric, value, unit="share"):
    plain = score(measured([1.0, 0.0]), Accuracy(), Settings(), case_set="t")
    return replace(plain, metric=metric, value=value, unit=unit)


@pytest.mark.parametrize(
    ("metric", "value", "unit", "word"),
    [
        ("accuracy", 0.96, "share", "strong"),
        ("accuracy", 0.95, "share", "usual"),
        ("accuracy", 0.80, "share", "usual"),
        ("accuracy", 0.50, "share", ""),
        ("perplexity", 50.0, "perplexity", "weak"),
        ("perplexity", 49.9, "perplexity", "usual"),
        ("perplexity", 10.0, "perplexity", "usual"),
        ("perplexity", 9.9, "perplexity", "strong"),
        ("bleu", 24.9, "points", "weak"),
        ("bleu", 25.0, "points", "usual"),
        ("bleu", 35.0, "points", "usual"),
        ("bleu", 36.0, "points", "good"),
        ("bleu", 50.0, "points", "strong"),
        ("rouge1", 0.29, "share", "weak"),
        ("rouge1", 0.35, "share", "usual"),
        ("rouge1", 0.45, "share", "good"),
        ("rouge1", 0.50, "share", "strong"),
        ("chrf", 0.50, "points", ""),
        ("accuracy", float("nan"), "share", ""),
    ],
)
def test_table_9_7(metric, value, unit, word):
    assert ranges.reading(scored(metric, value, unit)) == word


def test_baselines():
    counts = {"billing": 60, "refund": 40}
    assert ranges.majority(counts) == ("billing", 0.6)
    assert ranges.chance(4) == 0.25
    values = [1] * 62 + [0] * 38
    weak = score(measured(values), Accuracy(), Settings(), case_set="t")
    assert ranges.against_majority(weak, counts) == "no better than always answering billing"
    fine = score(measured([1] * 95 + [0] * 5), Accuracy(), Settings(), case_set="t")
    assert ranges.against_majority(fine, counts) == ""
    assert ranges.against_majority(replace(weak, value=float("nan")), counts) == ""
