"""A judge's verdicts on all cases, corrected by a person's marks on some drawn at random.

Not for: marks that somebody chose (``runs.marks`` tells them apart).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

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


FEWEST_ON_A_SIDE = 10
"""With fewer marks for (or against) the candidate an interval by t holds the truth too seldom
(docs/judge.md)."""


class Rate(NamedTuple):
    """A share with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In points."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.value:.1f} (95% CI {low:.1f} to {high:.1f})"


class Sizes(NamedTuple):
    """``n_rarer``: marks of the side, for or against the candidate, that has fewer of them."""

    n_marked: int
    n_cases: int
    n_left_out: int
    n_rarer: int


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


def correction_sentence(
    candidate: str,
    baseline: str,
    rates: tuple[Rate, Rate, Rate],
    sizes: Sizes,
    power: float,
    lean: Estimate,
) -> str:
    """Say what a person would, beside what the judge says.

    Parameters
    ----------
    rates : tuple
        The candidate's win rate: corrected, by the judge alone, by the marks alone.
    lean : Estimate
        As ``leaning`` returns it.
    """
    corrected, judge, alone = rates
    text = (
        f"Win rate of {candidate} beside {baseline} as the person sees it: {corrected}; the judge says "
        f"{judge}, the marks alone {alone}. Corrected are the verdicts on {sizes.n_cases} cases, by marks on "
        f"{sizes.n_marked} drawn at random (prediction-powered, weight of the judge {power:.2f})."
    )
    if sizes.n_left_out:
        text += f" Left out: {sizes.n_left_out} with a wrong reference."
    if sizes.n_rarer < FEWEST_ON_A_SIDE:
        text += (
            f" Only {sizes.n_rarer} marks are not like all the others: so near to 0 or 100 the interval may "
            "be too narrow."
        )
    low, high = lean.interval()
    if low <= 0 <= high:
        return f"{text} No lean of the judge to either side beyond chance."
    side = baseline if lean.value > 0 else candidate
    least, most = sorted((abs(low), abs(high)))
    return (
        f"{text} The judge is kinder to {side} than the person, by {100 * abs(lean.value):.1f} points (95% CI "
        f"{100 * least:.1f} to {100 * most:.1f}): rely on the corrected figure."
    )
