"""Closed forms for counts and small samples: binomial intervals, McNemar, exact sign flips.

Not for: anything that draws random numbers (resampling.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, chdtrc, ndtri

TIE = 1e-12
"""Two statistics nearer than this (times their size) are a tie, and ties count as extreme."""

MOST_EXACT = 16
"""Up to this many non-zero differences all sign patterns are enumerated."""


def wilson(x: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval for ``x`` successes out of ``n`` (n > 0).

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    z = float(ndtri(0.5 + confidence / 2))
    share = x / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson(x: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval: never covers less than ``confidence``, used at 0 and n successes.

    References
    ----------
    Clopper & Pearson (1934), The use of confidence or fiducial limits.
    """
    alpha = 1 - confidence
    low = 0.0 if x == 0 else float(betaincinv(x, n - x + 1, alpha / 2))
    high = 1.0 if x == n else float(betaincinv(x + 1, n - x, 1 - alpha / 2))
    return low, high


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values of "both variants are right equally often"."""

    p_exact: float
    p_mid: float
    chi2: float
    p_chi2: float
    chi2_corrected: float
    p_chi2_corrected: float


def mcnemar(only_candidate: int, only_baseline: int) -> McNemar:
    """Test the discordant counts; ``p_mid`` is the one that is reported.

    The exact test is too cautious and the chi-square forms are either too bold or too cautious;
    mid-p keeps its level in enumeration (docs/statistics.md).

    References
    ----------
    Fagerland, Lydersen & Laake (2013), The McNemar test for binary matched-pairs data.
    """
    n = only_candidate + only_baseline
    if n == 0:
        return McNemar(1.0, 1.0, 0.0, 1.0, 0.0, 1.0)
    fewer = min(only_candidate, only_baseline)
    below = float(bdtr(fewer, n, 0.5))
    at = below - (float(bdtr(fewer - 1, n, 0.5)) if fewer else 0.0)
    exact = min(1.0, 2 * below)
    gap = abs(only_candidate - only_baseline)
    plain, corrected = gap**2 / n, max(gap - 1, 0) ** 2 / n
    return McNemar(
        exact,
        exact - at,
        plain,
        float(chdtrc(1, plain)),
        corrected,
        float(chdtrc(1, corrected)),
    )


@dataclass(frozen=True, slots=True)
class ProportionDifference:
    """Agresti-Min estimate: ``centre`` is shrunk, the reported point stays (b - c)/n."""

    centre: float
    standard_error: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided interval, kept inside [-1, 1]."""
        half = float(ndtri(0.5 + confidence / 2)) * self.standard_error
        return max(-1.0, self.centre - half), min(1.0, self.centre + half)


def agresti_min(only_candidate: float, only_baseline: float, n: int) -> ProportionDifference:
    """Difference of two paired proportions: add 0.5 to each of the four cells, then Wald.

    References
    ----------
    Agresti & Min (2005), Simple improved confidence intervals for comparing matched proportions.
    """
    total = n + 2
    gap = only_candidate - only_baseline
    variance = (only_candidate + only_baseline + 1 - gap**2 / total) / total**2
    return ProportionDifference(gap / total, sqrt(variance))


def sign_flip(differences: NDArray[np.float64], tie: float = 1.0) -> float:
    """Exact two-sided p of the mean difference over all sign patterns; ties count as extreme.

    Parameters
    ----------
    differences : ndarray, shape (n,)
        At most 22 of them non-zero (zeros change nothing and are dropped).
    tie : float
        What a tie counts: 1, or 1/2 for the mid-p of values that tie often (sums of right and wrong).
    """
    moving = differences[differences != 0]
    if moving.size == 0:
        return 1.0
    assert moving.size <= 22, moving.size  # 2^22 sums are 32 MB
    sums = np.zeros(1)
    for value in moving:
        sums = np.concatenate([sums + value, sums - value])
    observed, near = abs(moving.sum()), TIE * np.abs(moving).sum()
    beyond = float(np.mean(np.abs(sums) > observed + near))
    return beyond + tie * (float(np.mean(np.abs(sums) >= observed - near)) - beyond)
