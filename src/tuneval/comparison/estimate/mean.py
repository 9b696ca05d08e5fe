"""The mean of per-case values and its standard error, with and without clusters.

Not for: numbers that are no mean of cases (resampling.py), training seeds (seeds.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the standard error and the degrees of freedom of its t interval."""

    value: float
    standard_error: float
    df: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided t interval."""
        half = t_quantile(0.5 + confidence / 2, self.df) * self.standard_error
        return self.value - half, self.value + half

    def p_value(self) -> float:
        """Two-sided p of "the value is 0"; 1 when both value and error are 0."""
        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        return 2 * t_tail(abs(self.value) / self.standard_error, self.df)

    def equivalence(self, margin: float) -> tuple[float, float]:
        """Two one-sided tests of |value| < margin: p against -margin, p against +margin.

        References
        ----------
        Schuirmann (1987), A comparison of the two one-sided tests procedure.
        """
        if self.standard_error == 0:
            return float(self.value <= -margin), float(self.value >= margin)
        return (
            t_tail((self.value + margin) / self.standard_error, self.df),
            t_tail((margin - self.value) / self.standard_error, self.df),
        )


def one_sided(estimate: Estimate) -> float:
    """p of "the value is 0 or more" against "it is below 0"."""
    if estimate.standard_error == 0:
        return float(estimate.value >= 0)
    return t_tail(-estimate.value / estimate.standard_error, estimate.df)


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t; ``df`` may be infinite (normal)."""
    return float(stdtrit(min(df, 1e12), probability))


def t_tail(t: float, df: float) -> float:
    """Upper tail of Student's t."""
    return float(stdtr(min(df, 1e12), -t)) if t < inf else 0.0


def estimate_mean(values: NDArray[np.float64], codes: NDArray[np.int64] | None = None) -> Estimate:
    """Mean with its standard error: sd(ddof 1)/sqrt(n), or CR1 over clusters.

    Parameters
    ----------
    values : ndarray, shape (n,), n >= 1
    codes : ndarray of int, shape (n,), optional
        Cluster of each case, numbered 0..G-1.

    Returns
    -------
    Estimate
        ``df`` is n-1 or G-1; the standard error is nan where that is 0.

    References
    ----------
    Miller (2024), Adding error bars to evals, arXiv:2411.00640, section 2.2; the factor G/(G-1)
    (CR1) is ours.
    """
    n = values.size
    mean = float(values.mean())
    sums = values - mean if codes is None else np.bincount(codes, weights=values - mean)
    if values.min() == values.max():
        sums = np.zeros_like(sums)  # the mean of equal values may differ from them by rounding
    groups = sums.size
    if groups < 2:
        return Estimate(mean, float("nan"), 0)
    cr0 = sqrt(float(sums @ sums)) / n
    return Estimate(mean, cr0 * sqrt(groups / (groups - 1)), groups - 1)
