"""Two disjoint sets of cases: a group against the rest, training cases against test cases.

Not for: two variants on the same cases (paired.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from tuneval.comparison import Settings, Statistic
from tuneval.comparison import mean as means
from tuneval.comparison.scoring import checked, counted, kind_of, value_of
from tuneval.comparison.seeds import linear
from tuneval.comparison.slices import cluster_codes
from tuneval.types import Measurement


def estimate(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    clusters: Sequence[str | None] | None = None,
) -> means.Estimate:
    """The metric with a t-type error: of the cases, or of their jackknife pseudo-values."""
    rows = checked(measurement)
    kept = counted(kind_of(metric, rows), rows)
    codes = cluster_codes(clusters, len(rows))
    codes = None if codes is None else codes[kept]
    rows = rows[kept]
    if len(rows) < 2:
        return means.Estimate(value_of(metric, rows), float("nan"), 0)
    values, codes = linear(metric, rows[None], codes, settings)
    return means.estimate_mean(values[0], codes)


def welch(first: means.Estimate, second: means.Estimate) -> means.Estimate:
    """``second`` minus ``first`` with Satterthwaite's degrees of freedom.

    References
    ----------
    Welch (1947), The generalization of "Student's" problem.
    """
    parts = [one.standard_error**2 for one in (first, second)]
    variance = sum(parts)
    spread = sum(
        part**2 / one.df for part, one in zip(parts, (first, second), strict=True) if one.df
    )
    df = variance**2 / spread if spread > 0 else inf
    return means.Estimate(second.value - first.value, sqrt(variance), df)
