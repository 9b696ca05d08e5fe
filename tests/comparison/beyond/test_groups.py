"""Group gaps beyond chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import Accuracy, MacroF1, MeanScore, f1_rows, measured, vector
from tuneval.comparison import Settings
from tuneval.comparison.beyond.groups import fairness_gaps, group_sentence, judge_groups
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=500)


def test_fairness_vector():
    found = vector("fairness")
    given, expected = found["input"], found["expected"]
    gaps = fairness_gaps(given["y_true"], given["y_pred"], given["group"])
    near = {"abs": found["tolerance"]}
    assert gaps.accuracy == pytest.approx(expected["accuracy"], **near)
    assert gaps.accuracy_gap == pytest.approx(expected["accuracy_gap"], **near)
    assert gaps.demographic_parity_difference == pytest.approx(
        expected["demographic_parity_difference"], **near
    )
    assert gaps.equalized_odds_difference == pytest.approx(
        expected["equalized_odds_difference"], **near
    )


def judged(values, groups, metric=None):
    metric = metric or Accuracy()
    rows = values if np.ndim(values) == 2 else None
    measurement = measured(values, "lora", metric.name, rows)
    return judge_groups(
        [measurement], metric, SETTINGS, case_set="t", attribute="writer", groups=groups
    )


def test_a_real_gap_is_named():
    values = [1] * 95 + [0] * 5 + [1] * 60 + [0] * 40
    gap = judged(values, ["fluent"] * 100 + ["learner"] * 100)
    assert gap.p_value == pytest.approx(1 / 501)
    assert group_sentence(gap, Accuracy(), "accuracy") == (
        "accuracy differs between groups by about 32.9 points (95% CI 24.6 to 45.4), permutation p=0.002; "
        "lowest: writer=learner, n=100."
    )
    assert [c.slice for c in gap.against_rest] == ["writer=fluent", "writer=learner"]
    assert gap.against_rest[1].difference == pytest.approx(-0.35)
    assert gap.against_rest[1].p_adjusted == pytest.approx(1 / 501)


def test_no_gap_says_what_would_be_visible():
    values = ([1] * 85 + [0] * 15) * 2
    gap = judged(values, ["a"] * 100 + ["b"] * 100)
    assert gap.p_value == 1
    assert group_sentence(gap, Accuracy(), "accuracy") == (
        "No difference between groups beyond chance; gaps under 14 points would not be visible."
    )


def test_small_groups_are_shown_not_judged():
    gap = judged([1] * 40 + [0] * 20 + [1] * 40, ["a"] * 40 + ["b"] * 20 + [None] * 40)
    assert gap.values == {"a": 1.0, "b": 0.0}
    assert np.isnan(gap.p_value)
    assert group_sentence(gap, Accuracy(), "accuracy") == ""


def test_groups_of_sums():
    rng = np.random.default_rng(0)
    reference = np.arange(120) % 3
    wrong = rng.random(120) < np.where(np.arange(120) < 60, 0.05, 0.6)
    rows = f1_rows(reference, np.where(wrong, (reference + 1) % 3, reference), range(3))
    gap = judged(rows, ["a"] * 60 + ["b"] * 60, MacroF1())
    assert (gap.p_value, gap.lowest) == (pytest.approx(1 / 501), "b")


def test_dealing_kinds_is_shuffling_cases():
    """Against the hypergeometric distribution of a 2 x 2 table, which is exact."""
    values = [1] * 40 + [0] * 10 + [1] * 30 + [0] * 20
    gap = judge_groups(
        [measured(values, "lora")],
        Accuracy(),
        Settings(resamples=20_000),
        case_set="t",
        attribute="writer",
        groups=["a"] * 50 + ["b"] * 50,
    )
    right = np.arange(20, 51)
    extreme = np.abs(right - (70 - right)) >= 10
    expected = stats.hypergeom.pmf(right, 100, 70, 50) @ extreme
    assert gap.p_value == pytest.approx(expected, abs=0.006)
    rng = np.random.default_rng(0)
    slow = judged(rng.random(100), ["a"] * 50 + ["b"] * 50, MeanScore())
    assert 0 < slow.p_value <= 1


def test_wrong_number_of_groups_is_refused():
    with pytest.raises(MetricError, match="2 groups for 3 cases"):
        judged([1, 0, 1], ["a", "b"])


@pytest.mark.parametrize("seed", range(5))
def test_fairness_equals_fairlearn(seed):
    """Two labels, and each of several labels against the rest."""
    from fairlearn.metrics import (
        MetricFrame,
        demographic_parity_difference,
        equalized_odds_difference,
    )
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], 300)
    for labels in (["no", "yes"], ["x", "y", "z", "w"]):
        reference = rng.choice(labels, 300)
        said = np.where(rng.random(300) < 0.6, reference, rng.choice(labels, 300))
        for positive in labels:
            found = fairness_gaps(reference, said, group, positive)
            truth, told = (reference == positive).astype(int), (said == positive).astype(int)
            given = {"sensitive_features": group}
            assert found.demographic_parity_difference == pytest.approx(
                demographic_parity_difference(truth, told, **given), abs=1e-12
            )
            assert found.equalized_odds_difference == pytest.approx(
                equalized_odds_difference(truth, told, **given), abs=1e-12
            )
            frame = MetricFrame(
                metrics=accuracy_score, y_true=reference, y_pred=said, sensitive_features=group
            )
            assert found.accuracy_gap == pytest.approx(frame.difference(), abs=1e-12)


def test_rates_over_too_few_cases_are_undefined():
    found = fairness_gaps([1] * 5 + [0] * 95, [1] * 100, ["a"] * 50 + ["b"] * 50, fewest=10)
    assert found.demographic_parity_difference == 0
    assert found.equalized_odds_difference == 0  # of the false positives alone
    one = fairness_gaps([1, 0], [1, 1], ["a", "b"], fewest=10)
    assert np.isnan(one.demographic_parity_difference)
