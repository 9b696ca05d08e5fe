"""Bounds for means with a range: equal to known ones where there are any, near draws elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tuneval.comparison.estimate import bounded


@pytest.mark.parametrize(("right", "n"), [(0, 30), (1, 30), (30, 30), (12, 40), (299, 300)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_right_and_wrong_are_clopper_pearson(right, n, confidence):
    values = np.array([1.0] * right + [0.0] * (n - right))
    low, high = bounded.interval(values, np.ones(n), (0.0, 1.0), confidence)
    tail = (1 - confidence) / 2
    assert low == pytest.approx(stats.beta.ppf(tail, right, n - right + 1) if right else 0.0)
    is_all = right == n
    assert high == pytest.approx(1.0 if is_all else stats.beta.ppf(1 - tail, right + 1, n - right))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.zeros(30), id="no change"),
        pytest.param(np.r_[np.zeros(197), 1.0, 1.0, -1.0], id="few changes"),
        pytest.param(np.linspace(-0.6, 0.7, 40), id="many sizes"),
        pytest.param(np.r_[np.zeros(5), 0.5, 0.3, -0.2], id="few cases"),
    ],
)
def test_the_bound_is_the_quantile_of_the_weighted_mean(values):
    rng = np.random.default_rng(0)
    with_worst = np.append(values, 1.0)
    drawn = rng.dirichlet(np.ones(with_worst.size), 200_000) @ with_worst
    found = bounded.upper(values, np.ones(values.size), 1.0, 0.05)
    assert found == pytest.approx(np.quantile(drawn, 0.95), rel=0.01, abs=5e-4)


def test_a_cluster_counts_once():
    sums, sizes = np.zeros(4), np.full(4, 10.0)
    assert bounded.upper(sums, sizes, 1.0, 0.05) == pytest.approx(1 - 0.05**0.25)


def test_many_cases_approach_the_t_interval():
    values = np.random.default_rng(0).random(20_000)
    half = 1.96 * values.std() / np.sqrt(values.size)
    low, high = bounded.interval(values, np.ones(values.size), (0.0, 1.0))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-4)


@pytest.mark.parametrize(
    ("unit", "values", "span"),
    [
        ("share", [0.0, 1.0], (0.0, 1.0)),
        ("share", [0.0, 1.1], None),
        ("points", [0.0, 37.0], (0.0, 100.0)),
        ("nats", [0.5], None),
        ("share", [float("nan")], None),
    ],
)
def test_what_has_a_range(unit, values, span):
    assert bounded.span_of(unit, np.array(values)) == span
