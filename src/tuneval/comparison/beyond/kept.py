"""The share of its clean score that a variant keeps on changed inputs, with its interval."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, nan

from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import Codes
from tuneval.comparison.estimate.seeds import FEWEST_SEEDS, two_way

MOST = 1e3
"""A share beyond which no upper bound is looked for."""
STEPS = 60


def kept_share(
    clean: Floats, changed: Floats, codes: Codes | None, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Value and interval of mean(changed) / mean(clean) on the same cases.

    Parameters
    ----------
    clean, changed : ndarray, shape (n_seeds, n_cases)
        Values whose mean is the score; swap the two where less is better.
    codes : ndarray of int, shape (n_cases,), optional
        Clusters of the cases.

    Returns
    -------
    tuple of float
        The share, and the ends of all shares r for which mean(changed - r clean) is not told from
        0; infinite where there is no such end, nan where there is no value.

    References
    ----------
    Fieller (1954), Some problems in interval estimation.
    """
    if not clean.size or not clean.mean():
        return nan, nan, nan
    value = float(changed.mean() / clean.mean())

    def bounds(share: float) -> tuple[float, float]:
        found = two_way(changed - share * clean, codes=codes)
        estimate = found.estimate if len(clean) >= FEWEST_SEEDS else found.cases
        return estimate.interval(confidence)

    if not all(map(isfinite, bounds(value))):
        return value, nan, nan
    low = 0.0 if bounds(0.0)[0] <= 0 else _end(lambda r: bounds(r)[0] > 0, 0.0, value)
    is_open = bounds(MOST)[1] >= 0
    return value, low, inf if is_open else _end(lambda r: bounds(r)[1] < 0, MOST, value)


def _end(is_outside: Callable[[float], bool], outside: float, inside: float) -> float:
    """Halve the way between a share outside the interval and one inside it."""
    for _ in range(STEPS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if is_outside(middle) else (outside, middle)
    return inside
