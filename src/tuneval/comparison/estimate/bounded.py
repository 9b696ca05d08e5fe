"""Bounds for the mean of scores that have a lowest and a highest value: no normal distribution.

A sample without a single change has no spread, and a t interval of no width; that the next case could
still change is what these bounds know. Not for: scores without a range (mean.py).
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, isfinite, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from tuneval.types import Unit

Floats = NDArray[np.float64]

Bounds = Callable[[float], tuple[float, float]]
"""Confidence -> low and high end."""

STEPS = 60
"""Halvings of the range of a bound: more than a double can tell apart."""


def interval(
    sums: Floats,
    sizes: Floats,
    span: tuple[float, float],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Two-sided interval for the mean of cases in ``span``; each end is a one-sided bound.

    Parameters
    ----------
    sums, sizes : ndarray, shape (n_units,)
        Sum of the cases' values and number of cases of each unit (a case, or a cluster).
    span : pair of float
        Lowest and highest value that a case can have.
    """
    alpha = (1 - confidence) / 2
    low, high = span
    return -upper(-sums, sizes, -low, alpha), upper(sums, sizes, high, alpha)


def span_of(unit: Unit, values: Floats) -> tuple[float, float] | None:
    """Lowest and highest value of a case, by the unit; None where values leave it or it has none."""
    most = {"share": 1.0, "points": 100.0}.get(unit)
    if most is None or (values.size and not (values.min() >= 0 and values.max() <= most)):
        return None
    return 0.0, most


def of_differences(d: Floats, codes: NDArray[np.int64] | None, span: tuple[float, float]) -> Bounds:
    """Confidence -> ``interval`` of the mean difference of two scores in ``span``."""
    width = span[1] - span[0]
    sizes, sums = np.ones_like(d), d
    if codes is not None:
        sizes = np.asarray(np.bincount(codes), dtype=np.float64)
        sums = np.asarray(np.bincount(codes, weights=d), dtype=np.float64)
    return lambda confidence: interval(sums, sizes, (-width, width), confidence)


def linear_interval(
    pseudo: Floats, span: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """``interval`` for a number that is no mean, by the values of its units' influence.

    Parameters
    ----------
    pseudo : ndarray, shape (n_units,)
        Jackknife pseudo-values, whose mean is the number.
    span : pair of float
        What a case could be; widened where a pseudo-value lies outside.
    """
    span = min(span[0], float(pseudo.min())), max(span[1], float(pseudo.max()))
    return interval(pseudo, np.ones_like(pseudo), span, confidence)


def hull(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The interval from the lower of both low ends to the higher of both high ends."""
    return min(one[0], other[0]), max(one[1], other[1])


def upper(sums: Floats, sizes: Floats, most: float, alpha: float) -> float:
    """One-sided upper bound at level ``alpha``: Gaffke's.

    The units, and one more that has the highest value, are weighted by Dirichlet(1, ..., 1): the
    bound is the 1 - alpha quantile of the weighted mean. For right and wrong it is the
    Clopper-Pearson bound; for many cases it approaches the t bound. Nothing is drawn: the
    quantile is that of a sum of exponentials, by Lugannani and Rice's formula.

    References
    ----------
    Gaffke (2005), Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable; Learned-Miller & Thomas (2019), A new confidence interval for the mean of
    a bounded random variable, arXiv:1905.06208; Lugannani & Rice (1980).
    """
    size = float(np.mean(sizes))
    units = np.append(sums, size * most) + 1j * np.append(sizes, size)  # pairs that sort fast
    distinct, counts = np.unique(units, return_counts=True)
    kinds = np.stack([distinct.real, distinct.imag], axis=1)
    values = kinds[:, 0] / kinds[:, 1]
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(1.0, abs(most)):
        return most
    if len(kinds) == 2 and kinds[0, 1] == kinds[1, 1]:
        above = counts[values == high].sum()
        share = float(betaincinv(above, counts.sum() - above, 1 - alpha))
        return float(low + share * (high - low))
    total = float(counts @ kinds[:, 1])
    centre = float(counts @ kinds[:, 0]) / total
    spread = sqrt(float(counts @ (kinds[:, 0] - centre * kinds[:, 1]) ** 2)) / total
    wanted = float(ndtri(1 - alpha))

    def excess(bound: float) -> float:
        return float(ndtri(_at_most_zero(kinds[:, 0] - bound * kinds[:, 1], counts))) - wanted

    start = centre + wanted * spread, spread
    return _root(excess, (low, high), start, 1e-10 * max(1.0, abs(most)))


def _root(
    excess: Callable[[float], float],
    bracket: tuple[float, float],
    start: tuple[float, float],
    precision: float,
) -> float:
    """Where a growing function is 0: secant steps kept inside a bracket.

    ``start``: a first guess, and how far the root is from it for each unit of the function. In
    normal deviates the function is nearly a straight line, so that a few steps do.
    """
    low, high = bracket
    at, per_unit = start
    before: tuple[float, float] | None = None
    if not low < at < high:
        at = (low + high) / 2
    for _ in range(STEPS):
        value = excess(at)
        if value == 0:
            return at
        low, high = (at, high) if value < 0 else (low, at)
        if before is not None and isfinite(change := value - before[1]) and change:
            per_unit = (at - before[0]) / change
        following = at - value * per_unit
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - at) < precision:
            return following
        before, at = (at, value), following
    return high


def _at_most_zero(values: Floats, counts: NDArray[np.int64]) -> float:
    """P(sum of ``values`` times independent Gamma(counts) <= 0), by its saddlepoint."""
    top, bottom = float(values.max()), float(values.min())
    if bottom >= 0 or top <= 0:
        return float(top <= 0)
    s = _saddlepoint(values, counts, 1 / bottom, 1 / top)
    left = 1 - s * values
    cumulant = -float(counts @ np.log(left))
    curvature = float(counts @ (values / left) ** 2)
    u = s * sqrt(curvature)
    w = (1 if s > 0 else -1) * sqrt(max(-2 * cumulant, 0.0))
    if abs(w) < 1e-4:  # at the mean the two terms cancel: their limit
        third = 2 * float(counts @ (values / left) ** 3)
        return 0.5 + third / (6 * sqrt(2 * pi) * curvature * sqrt(curvature))
    below, density = float(ndtr(w)), exp(-w * w / 2) / sqrt(2 * pi)
    return min(1.0, max(0.0, below + density * (1 / w - 1 / u)))


def _saddlepoint(values: Floats, counts: NDArray[np.int64], low: float, high: float) -> float:
    """Where the derivative of the cumulant, which only grows, is 0: Newton kept inside a bracket."""
    s = 0.0
    for _ in range(STEPS):
        ratio = values / (1 - s * values)
        slope, curvature = float(counts @ ratio), float(counts @ ratio**2)
        low, high = (s, high) if slope < 0 else (low, s)
        following = s - slope / curvature
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - s) <= 1e-12 * (high - low) or abs(slope) < 1e-11 * sqrt(curvature):
            return s
        s = following
    return s
