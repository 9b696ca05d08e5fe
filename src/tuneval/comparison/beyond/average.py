"""The score of a benchmark whose whole is several tasks: the mean of their scores, with an interval.

Not for: what each task's score is, or a single task's interval (``estimate/``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate.resampling import RANK_RESAMPLES, Floats, generator, summed
from tuneval.comparison.estimate.scoring import by_rows
from tuneval.comparison.estimate.slices import cluster_codes
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.types import Interval

_BLOCK = 64
"""Draws that are added up together: whole splits are long, and all weights at once would fill memory."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the whole.

    Attributes
    ----------
    name : str
    metrics : sequence of Statistic
        Their mean is the task's score.
    rows : mapping
        Variant -> rows of each metric, shape (n_cases, n_sums), of the same cases in the same order.
    clusters : sequence of str or None
        One per case.
    """

    name: str
    metrics: Sequence[Statistic]
    rows: Mapping[str, Sequence[Floats]]
    clusters: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Average:
    """A variant's mean over the tasks (0 to 1), its interval, and how far it is above the baseline's.

    The last two are None for the baseline itself. ``tasks``: task -> score.
    """

    variant: str
    value: float
    interval: Interval
    tasks: Mapping[str, float]
    difference: float | None = None
    difference_interval: Interval | None = None


def averages(
    tasks: Sequence[Task], variants: Sequence[str], baseline: str, settings: Settings, name: str
) -> list[Average]:
    """The mean over tasks of every variant, by a bootstrap that draws the cases of each task anew.

    Tasks are fixed, cases are drawn: within a task all variants are scored on the same draws, so that
    differences are paired, and tasks are independent of one another.

    Returns
    -------
    list of Average
        In the order of ``variants``. nan where a task's score is undefined for a variant.
    """
    n_draws = min(settings.resamples, RANK_RESAMPLES)
    values: dict[str, dict[str, float]] = {one: {} for one in variants}
    drawn = {one: np.zeros(n_draws) for one in variants}
    for task in tasks:
        rng = generator(settings.resampling_seed, "average", name, task.name)
        found = _draw(task, variants, n_draws, rng)
        for one in variants:
            values[one][task.name] = _score(task, one)
            drawn[one] += found[one] / len(tasks)
    level = settings.confidence
    return [
        Average(
            one,
            float(np.mean(list(values[one].values()))),
            _interval(drawn[one], level),
            values[one],
            *(
                (None, None)
                if one == baseline
                else (
                    float(np.mean([values[one][t.name] - values[baseline][t.name] for t in tasks])),
                    _interval(drawn[one] - drawn[baseline], level),
                )
            ),
        )
        for one in variants
    ]


def _score(task: Task, variant: str) -> float:
    return float(
        np.mean(
            [
                _of_rows(metric, rows)
                for metric, rows in zip(task.metrics, task.rows[variant], strict=True)
            ]
        )
    )


def _of_rows(metric: Statistic, rows: Floats) -> float:
    if metric.statistic == "ranks":
        return float(by_rows(metric).from_rows(rows))
    return float(metric.from_totals(rows.sum(axis=0)))


def _draw(
    task: Task, variants: Sequence[str], n_draws: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Scores of every variant on the same draws of the cases, or of whole clusters of them."""
    n_cases = len(task.clusters)
    codes = cluster_codes(task.clusters, n_cases)
    n_units = n_cases if codes is None else int(codes.max()) + 1
    found = {one: np.zeros(n_draws) for one in variants}
    for start in range(0, n_draws, _BLOCK):
        size = min(_BLOCK, n_draws - start)
        chosen = rng.integers(0, n_units, size=(size, n_units))
        weights = np.stack([np.bincount(row, minlength=n_units) for row in chosen]).astype(float)
        for one in variants:
            for metric, rows in zip(task.metrics, task.rows[one], strict=True):
                if metric.statistic == "ranks":
                    scores = _ranked(metric, rows, weights, codes)
                else:
                    scores = np.asarray(metric.from_totals(weights @ summed(rows, codes)))
                found[one][start : start + size] += scores / len(task.metrics)
    return found


def _ranked(
    metric: Statistic, rows: Floats, weights: Floats, codes: NDArray[np.int64] | None
) -> Floats:
    """A number of ranks on each draw: rows stand there as often as they, or their cluster, were drawn."""
    of_case = weights if codes is None else weights[:, codes]
    ranked = by_rows(metric)
    return np.array(
        [ranked.from_rows(np.repeat(rows, row.astype(np.int64), axis=0)) for row in of_case]
    )


def _interval(draws: Floats, level: float) -> Interval:
    """Percentiles of the draws on which the mean is defined; nan without any."""
    defined = draws[np.isfinite(draws)]
    if not defined.size:
        return Interval(float("nan"), float("nan"), level, "bootstrap")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap")


def average_sentence(title: str, found: Sequence[Average], n_tasks: int) -> str:
    """One sentence on all variants, in points."""
    said = "; ".join(_of_variant(one) for one in found)
    return f"{title}, mean of {n_tasks} tasks: {said}."


def _of_variant(one: Average) -> str:
    lacking = [name for name, value in one.tasks.items() if not isfinite(value)]
    if lacking:
        return f"{one.variant} has none, for {', '.join(lacking)} is undefined"
    text = f"{one.variant} {_points(one.value)} ({_ends(one.interval)})"
    if one.difference is None or one.difference_interval is None or not isfinite(one.difference):
        return text
    return f"{text}, {one.difference * 100:+.1f} ({_ends(one.difference_interval, '+')})"


def _points(value: float) -> str:
    return f"{value * 100:.1f}"


def _ends(interval: Interval, sign: str = "") -> str:
    return f"{interval.low * 100:{sign}.1f} to {interval.high * 100:{sign}.1f}"
