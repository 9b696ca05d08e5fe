"""A judge's verdicts on all cases, corrected by a person's marks on some drawn at random.

Not for: marks that somebody chose (``runs.marks`` tells them apart).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate.mean import Estimate
from tuneval.errors import MetricError

Floats = NDArray[np.float64]

FEWEST_MARKS = 20
"""With fewer marks an interval by t is a guess."""

UNSEEN = 2 * 0.5**2
"""Squares that are added to those of the marks' residuals: two more marks, each off by half a win. A judge
that agrees with 30 marks may still be wrong on the next ones; without them such an interval holds the true
rate in 81 to 92% of the runs (docs/judge.md)."""


@dataclass(frozen=True, slots=True)
class Corrected(Estimate):
    """A mean in shares, its error with degrees of freedom, and ``power``: how much the judge counted,
    from 0 (the marks alone) to 1."""

    power: float


def prediction_powered(
    marks: Floats, judged: Floats, unmarked: Floats, *, power: float | None = None
) -> Corrected:
    """Estimate the mean mark of all cases from some marks and the judge's verdicts on all.

    Parameters
    ----------
    marks : ndarray, shape (n,)
        The person's, on cases drawn at random: 1 the candidate, 0.5 as good, 0 the baseline.
    judged : ndarray, shape (n,)
        The judge's verdicts on the same cases, from 0 to 1.
    unmarked : ndarray, shape (N,)
        The judge's verdicts on the cases without a mark; may be empty.
    power : float, optional
        How much the judge counts; left out, what makes the error least (PPI++), within 0 and 1.

    Returns
    -------
    Corrected
        The rate of the population that the cases were drawn from, with n - 1 degrees of freedom.

    Raises
    ------
    MetricError
        Fewer than two marks, or not one verdict a mark.

    Notes
    -----
    Estimate and power equal ``ppi_py.ppi_mean_pointestimate``; the error has n - 1 in place of n, and
    ``UNSEEN`` added, because marks are few.

    References
    ----------
    Angelopoulos et al. (2023), Prediction-powered inference, Science 382.
    Angelopoulos, Duchi & Zrnic (2023), PPI++: efficient prediction-powered inference, arXiv:2311.01453.
    """
    n, n_other = marks.size, unmarked.size
    if n < 2 or judged.size != n:
        raise MetricError(f"{n} marks with {judged.size} verdicts: give two or more, one for each.")
    if power is None:
        power = best_power(marks, judged, unmarked)
    residuals = marks - power * judged
    value = float(residuals.mean())
    variance = (float(((residuals - value) ** 2).sum()) + UNSEEN) / (n - 1) / n
    if n_other:
        value += power * float(unmarked.mean())
        variance += power**2 * float(unmarked.var(ddof=1)) / n_other if n_other > 1 else 0.0
    return Corrected(value, sqrt(variance), n - 1, power)


def best_power(marks: Floats, judged: Floats, unmarked: Floats) -> float:
    """How much the judge must count for the least error: 0 where it says nothing of the marks."""
    n, n_other = marks.size, unmarked.size
    if not n_other:
        return 0.0  # all are marked
    spread = float(np.concatenate([judged, unmarked]).var(ddof=1))
    if not spread:
        return 0.0
    together = float(np.mean((marks - marks.mean()) * (judged - judged.mean())))
    return min(max(together / ((1 + n / n_other) * spread), 0.0), 1.0)


def leaning(marks: Floats, judged: Floats) -> Estimate:
    """How far people are from the judge on the marked cases: the mean of mark minus verdict."""
    apart = marks - judged
    n = apart.size
    squares = float(((apart - apart.mean()) ** 2).sum()) + UNSEEN
    return Estimate(float(apart.mean()), sqrt(squares / (n - 1) / n), n - 1)
