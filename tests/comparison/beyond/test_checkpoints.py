"""Checkpoints on the same cases: who is best, who can be told from it, what looking costs."""

from __future__ import annotations

import numpy as np
import pytest

from comparison.fakes import Accuracy, Auroc, MacroF1, MeanScore, Perplexity, f1_rows, measured
from tuneval.comparison import Settings, compare, score
from tuneval.comparison.beyond.checkpoints import curve_sentence, judge_checkpoints

SETTINGS = Settings(resamples=300)


def right(*shares, n=100):
    """The first cases are right: a later checkpoint that knows more knows all the earlier one did."""
    return [measured(np.arange(n) < share * n, f"checkpoint-{k}") for k, share in enumerate(shares)]


def judged(measurements, metric=None, **more):
    return judge_checkpoints(measurements, metric or Accuracy(), SETTINGS, case_set="t", **more)


@pytest.mark.parametrize(
    ("shares", "best", "told", "sentence"),
    [
        pytest.param(
            (0.5, 0.9, 0.88),
            1,
            (True, False, False),
            "step 20 is the best of 3 checkpoints: accuracy 90.0 (81.0 to 95.0, widened: it is picked on "
            "these same cases); 30 cannot be told from it, 10 is worse; the last (30) against the best: "
            "-2.0 points (-7.2 to +2.4).",
            id="one is worse",
        ),
        pytest.param(
            (0.5, 0.55, 0.95),
            2,
            (True, True, False),
            "step 30 is the best of 3 checkpoints: accuracy 95.0 (87.3 to 98.1, widened: it is picked on "
            "these same cases); all others are worse.",
            id="the last is the best",
        ),
        pytest.param(
            (0.8, 0.8, 0.8),
            0,
            (False, False, False),
            "step 10 is the best of 3 checkpoints: accuracy 80.0 (71.1 to 86.7, widened: it is picked on "
            "these same cases); none of the others can be told from it; the last (30) against the best: "
            "+0.0 points (-3.0 to +3.0).",
            id="copies: the earliest, and nothing to pay",
        ),
    ],
)
def test_the_curve_in_words(shares, best, told, sentence):
    curve = judged(right(*shares))
    assert (curve.best, curve.is_told) == (best, told)
    assert curve.against_best[best] is None
    assert curve_sentence(curve, (10, 20, 30), "step", "accuracy", is_picked=True) == sentence
    chosen = curve_sentence(curve, (10, 20, 30), "step", "accuracy", is_picked=False)
    assert chosen == sentence.replace(", widened: it is picked on these same cases", "")


def test_copies_cost_nothing_and_independent_checkpoints_what_sidak_says():
    rng = np.random.default_rng(1)
    copies = judged([measured(np.arange(100) < 80, f"c{k}") for k in range(5)])
    apart = judged([measured(rng.random(4000) < 0.8, f"c{k}") for k in range(5)])
    assert copies.scores[0].interval.confidence == pytest.approx(0.95, abs=0.003)
    assert apart.scores[0].interval.confidence == pytest.approx(0.95 ** (1 / 5), abs=0.002)


def test_intervals_are_those_of_the_room_at_the_confidence_that_was_paid():
    curve = judged(right(0.5, 0.9, 0.88))
    paid = Settings(resamples=300, confidence=curve.scores[0].interval.confidence)
    assert 0.95 < paid.confidence < 0.95 ** (1 / 3) + 0.01
    assert curve.scores[2] == score(right(0.5, 0.9, 0.88)[2], Accuracy(), paid, case_set="t")
    last = curve.against_best[2]
    paid = Settings(resamples=300, confidence=last.interval.confidence)
    pair = right(0.5, 0.9, 0.88)
    assert last == compare(pair[1], pair[2], Accuracy(), paid, case_set="t")


def of_kind(kind, rng, skill):
    if kind == "f1":
        references = rng.choice(["a", "b"], 80)
        said = np.where(rng.random(80) < skill, references, "a")
        return MacroF1(), f1_rows(references, said, ["a", "b"])
    if kind == "ranks":
        inside = np.arange(80) % 2
        return Auroc(), np.stack([inside * skill + rng.random(80), inside], axis=1)
    if kind == "perplexity":
        return Perplexity(), np.stack([rng.random(80) + 3 * (1 - skill), np.full(80, 2.0)], axis=1)
    return MeanScore(), np.stack([rng.random(80) * skill, np.ones(80)], axis=1)


@pytest.mark.parametrize("kind", ["f1", "ranks", "perplexity", "mean"])
def test_every_kind_of_metric_has_a_curve(kind):
    """Less is better for perplexity: the best is the lowest."""
    rows = []
    for skill in (0.1, 0.9, 0.9):
        metric, own = of_kind(kind, np.random.default_rng(3), skill)
        rows.append(measured(None, f"c{len(rows)}", metric.name, rows=own))
    curve = judged(rows, metric)
    assert curve.best == 1
    assert curve.is_told == (True, False, False)


def test_clusters_widen_what_is_said():
    cases = right(0.6, 0.8, 0.7, n=40)
    alone = judged(cases)
    together = judged(cases, clusters=[f"passage {n // 10}" for n in range(40)])
    assert alone.is_told[0]
    assert not together.is_told[0]


def test_one_case_has_no_spread():
    curve = judged([measured([1.0], "a"), measured([0.0], "b")])
    assert curve.best == 0
    assert curve.scores[0].interval.confidence == 0.95


def test_what_has_no_correlation_is_paid_for_by_bonferroni():
    """Ranks over clusters cannot be resampled, and nobody knows how they vary together."""
    rows = [
        measured(None, f"c{k}", "auroc", rows=of_kind("ranks", np.random.default_rng(k), 0.5)[1])
        for k in range(3)
    ]
    curve = judged(rows, Auroc(), clusters=[f"p{n // 2}" for n in range(80)])
    assert [one.interval for one in curve.scores] == [None, None, None]
    assert curve.is_told == (False, False, False)


def test_a_metric_that_is_undefined_has_no_best():
    rows = [measured(None, f"c{k}", "auroc", rows=[[0.5, 1], [0.2, 1]]) for k in range(2)]
    curve = judged(rows, Auroc())
    assert np.isnan(curve.scores[curve.best].value)
    assert curve.is_told == (False, False)
