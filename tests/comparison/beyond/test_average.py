"""The mean of several tasks' scores: its value, and an interval that closed forms and a plain script give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from comparison.fakes import Accuracy
from tuneval.comparison.beyond.average import Task, average_sentence, averages
from tuneval.comparison.statistic import Settings
from tuneval.metrics import build

SETTINGS = Settings(resamples=2000)


def shares(
    rights: dict[str, np.ndarray], name: str, clusters: list[str | None] | None = None
) -> Task:
    n = len(next(iter(rights.values())))
    rows = {key: [np.column_stack([one, np.ones(n)])] for key, one in rights.items()}
    return Task(name, [Accuracy()], rows, clusters or [None] * n)


def test_the_mean_of_shares_has_the_error_of_independent_tasks() -> None:
    draw = np.random.default_rng(1)
    sizes = (300, 80, 500)
    right = [draw.random(n) < p for n, p in zip(sizes, (0.7, 0.5, 0.9), strict=True)]
    better = [one | (draw.random(len(one)) < 0.2) for one in right]
    tasks = [
        shares({"base": a.astype(float), "tuned": b.astype(float)}, str(n))
        for n, (a, b) in enumerate(zip(right, better, strict=True))
    ]
    base, tuned = averages(tasks, ["base", "tuned"], "base", SETTINGS, "x")
    assert base.value == pytest.approx(np.mean([one.mean() for one in right]))
    error = math.sqrt(sum(one.var() / len(one) for one in right)) / 3
    assert base.interval.high - base.interval.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    gains = [b.astype(float) - a for a, b in zip(right, better, strict=True)]
    assert tuned.difference == pytest.approx(np.mean([one.mean() for one in gains]))
    error = math.sqrt(sum(one.var() / len(one) for one in gains)) / 3
    width = tuned.difference_interval.high - tuned.difference_interval.low
    assert width == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert base.difference is None


def test_clusters_are_drawn_whole() -> None:
    right = np.repeat(np.random.default_rng(2).random(40) < 0.6, 10).astype(float)
    names = [str(n // 10) for n in range(400)]
    alone, whole = (
        averages([shares({"base": right}, "t", clusters)], ["base"], "base", SETTINGS, "x")[
            0
        ].interval
        for clusters in (None, names)
    )
    assert (whole.high - whole.low) / (alone.high - alone.low) == pytest.approx(
        math.sqrt(10), rel=0.12
    )


def test_ranks_and_sums_stand_side_by_side() -> None:
    draw = np.random.default_rng(3)
    x = draw.normal(size=120)
    y = x + draw.normal(size=120)
    moments = np.column_stack([np.ones(120), x, y, x * x, y * y, x * y])
    ranks = np.column_stack([x, y, np.ones(120)])
    built = [build("pearson"), build("spearman")]
    task = Task("sts", built, {"base": [moments, ranks]}, [None] * 120)
    (found,) = averages([task], ["base"], "base", SETTINGS, "x")
    stats = pytest.importorskip("scipy.stats")
    value = (stats.pearsonr(x, y).statistic + stats.spearmanr(x, y).statistic) / 2
    assert found.value == pytest.approx(value, abs=1e-12)
    again = []
    for _ in range(1000):
        rows = draw.integers(0, 120, 120)
        again.append(
            (
                stats.pearsonr(x[rows], y[rows]).statistic
                + stats.spearmanr(x[rows], y[rows]).statistic
            )
            / 2
        )
    low, high = np.quantile(again, [0.025, 0.975])
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.03)


def test_a_task_without_a_score_leaves_the_mean_undefined() -> None:
    moments = np.zeros((9, 6))
    tasks = [
        shares({"base": np.ones(9)}, "t"),
        Task("sts", [build("pearson")], {"base": [moments]}, [None] * 9),
    ]
    (found,) = averages(tasks, ["base"], "base", SETTINGS, "x")
    assert math.isnan(found.value)
    assert math.isnan(found.interval.low)
    assert average_sentence("GLUE", [found], 2) == (
        "GLUE, mean of 2 tasks: base has none, for sts is undefined."
    )


def test_the_sentence() -> None:
    right = {"base": np.array([1.0, 0] * 50), "lora": np.array([1.0, 1, 1, 0] * 25)}
    found = averages([shares(right, "t")], ["base", "lora"], "base", SETTINGS, "x")
    said = average_sentence("GLUE", found, 9)
    assert said.startswith("GLUE, mean of 9 tasks: base 50.0 (")
    assert "; lora 75.0 (" in said
    assert ", +25.0 (+" in said
