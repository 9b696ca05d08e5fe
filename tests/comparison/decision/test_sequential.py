"""Sequential tests: vectors, refusals, stop reasons; error rates live in test_simulation.py."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from comparison.fakes import Accuracy, MacroF1, MeanScore, measured, vector
from tuneval.comparison import Settings
from tuneval.comparison.decision.sequential import (
    confidence_sequence,
    draw_order,
    hedged_capital,
    log_e_mcnemar,
    log_e_mixture,
    log_e_whole_benchmark,
    look,
    mixture_sequence,
)
from tuneval.errors import MetricError

SETTINGS = Settings()
NAMES = {"case_set": "mmlu", "baseline_name": "base", "candidate_name": "lora"}


@pytest.mark.parametrize("name", ["sequential_mcnemar_a1", "sequential_mcnemar_a20"])
def test_log_e(name):
    found = vector(name)
    given, expected = found["input"], found["expected"]
    log_e = log_e_mcnemar(given["b"], given["c"], given["a"])
    assert log_e == pytest.approx(expected["log_e"], abs=found["tolerance"])
    assert (log_e >= log(1 / 0.05)) == expected["reject_at_0.05"]


def test_confidence_sequence_and_capital():
    found = vector("confidence_sequence_bounded")
    x, expected = np.array(found["input"]["x"]), found["expected"]
    low, high = confidence_sequence(x)
    assert low[-1] == pytest.approx(expected["eb_low"], abs=found["tolerance"])
    assert high[-1] == pytest.approx(expected["eb_high"], abs=found["tolerance"])
    capital = hedged_capital(x)
    assert capital[-1] == pytest.approx(expected["hedged_capital"], abs=found["tolerance"])
    assert capital.max() == pytest.approx(expected["hedged_capital_max"], abs=found["tolerance"])


def pair(x, y, metric="accuracy"):
    return [measured(x, "base", metric)], [measured(y, "lora", metric)]


def looked(x, y, metric=None, n_total=1000, **more):
    metric = metric or Accuracy()
    return look(*pair(x, y, metric.name), metric, SETTINGS, n_total=n_total, **NAMES, **more)


@pytest.mark.parametrize(
    ("b", "c", "both", "n_total", "margin", "stop"),
    [
        (60, 10, 130, 1000, None, "decided better"),
        (10, 60, 130, 1000, None, "decided worse"),
        (20, 15, 165, 1000, None, None),
        (20, 15, 165, 200, None, "budget used"),
        (1, 1, 998, 5000, 5.0, "within margin"),
        (0, 0, 0, 1000, 5.0, None),
    ],
)
def test_stop_reasons(b, c, both, n_total, margin, stop):
    rng = np.random.default_rng(0)
    order = rng.permutation(b + c + both)
    x = np.array([0.0] * b + [1.0] * c + [1.0] * both)[order]
    y = np.array([1.0] * b + [0.0] * c + [1.0] * both)[order]
    found = looked(x, y, n_total=n_total, margin_points=margin)
    assert found.stop == stop
    assert found.comparison.note == f"estimate from {b + c + both} of {n_total} items"
    assert found.comparison.test == "sequential McNemar"
    assert (found.comparison.p_value <= 0.05) == (stop or "").startswith("decided")


def test_less_is_better():
    rng = np.random.default_rng(0)
    x, y = rng.random(400), rng.random(400) * 0.5
    metric = MeanScore("error", higher_is_better=False)
    assert looked(x, y, metric).stop == "decided better"


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 50), (7, 2, 90), (60, 20, 400), (150, 90, 2000)])
def test_the_mixture_is_the_sequential_mcnemar_test(b, c, n):
    counts = np.array([c, n - b - c, b], float)
    found = log_e_mixture(np.array([-1.0, 0.0, 1.0]), counts, 0.0)
    assert found == pytest.approx(float(log_e_mcnemar(b, c)), abs=1e-6)


@pytest.mark.parametrize("b", range(20, 60, 4))
def test_the_interval_excludes_0_where_the_test_decides(b):
    d = np.array([1.0] * b + [-1.0] * 20 + [0.0] * (400 - b - 20))
    found = looked((d < 0).astype(float), (d > 0).astype(float)).comparison
    assert (found.interval.low > 0) == (found.p_value <= 0.05)
    assert found.interval.method == "confidence sequence"
    assert found.interval.low < found.details["interval90_low"] < found.difference
    assert mixture_sequence(d, 0.05) == (found.interval.low, found.interval.high)


def test_what_is_left_cannot_make_up_for_it():
    d = np.array([1.0] * 60 + [0.0] * 30)
    assert np.isinf(log_e_whole_benchmark(d, 100)[-1])
    assert not np.isinf(log_e_whole_benchmark(d, 1000)[-1])


def test_without_replacement_decides_what_the_stream_form_cannot():
    rng = np.random.default_rng(3)
    d = np.array([1.0] * 1474 + [-1.0] * 1334 + [0.0] * 11234)[rng.permutation(14042)]
    assert log_e_whole_benchmark(d, d.size).max() > log(20)
    assert log_e_mcnemar((d > 0).sum(), (d < 0).sum()) < log(20)


def test_seeds_are_averaged_and_bet_on():
    rng = np.random.default_rng(0)
    base = [measured(rng.integers(0, 2, 200), "base")]
    tuned = [measured(np.ones(200), f"s{i}") for i in range(3)]
    found = look(base, tuned, Accuracy(), SETTINGS, n_total=500, **NAMES)
    assert (found.comparison.test, found.stop) == ("betting", "decided better")


def test_betting_under_the_null_stays_small():
    rng = np.random.default_rng(7)
    d = rng.choice([-1.0, 0.0, 1.0], 3000, p=[0.1, 0.8, 0.1])
    assert log_e_mixture(d, np.ones_like(d), 0.0) < log(20)
    assert exp(log_e_whole_benchmark(d - d.mean(), 3000)[:2900].max()) < 20


def test_sums_are_refused():
    with pytest.raises(MetricError, match='metric "f1_macro" is no mean of cases'):
        looked(np.ones(5), np.ones(5), MacroF1())


def test_wide_differences_are_refused():
    with pytest.raises(MetricError, match=r"a difference of 4 is outside \[-1, 1\]"):
        looked(np.zeros(5), np.full(5, 4.0), MeanScore())


def test_missing_values_are_refused():
    with pytest.raises(MetricError, match="some cases drawn so far have no value"):
        looked(np.zeros(5), np.full(5, np.nan), MeanScore())


def test_points_are_scaled():
    rng = np.random.default_rng(0)
    x, y = rng.random(300), rng.random(300)
    share = looked(x, y, MeanScore()).comparison
    points = looked(100 * x, 100 * y, MeanScore(unit="points")).comparison
    assert points.interval.low == pytest.approx(100 * share.interval.low)
    assert points.difference == pytest.approx(100 * share.difference)


def test_the_order_is_fixed_by_the_seed():
    first = draw_order(50, 0, "mmlu")
    assert sorted(first) == list(range(50))
    assert (first == draw_order(50, 0, "mmlu")).all()
    assert (first != draw_order(50, 1, "mmlu")).any()
