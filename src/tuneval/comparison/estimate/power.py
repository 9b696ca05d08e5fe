"""What n cases can show, and how many cases a difference needs, before or after a run.

Not for: the estimates themselves. Shares and differences are on [0, 1], or in the metric's unit
where a standard deviation is given.
"""

from __future__ import annotations

from math import ceil, inf, sqrt

from scipy.special import ndtri

ASSUMED_DISCORDANT = {"base to tuned": 0.2, "adapter to full": 0.1}
"""Share of cases on which two variants disagree, where there are no data yet."""


NO_DIFFERENCE = 1e-9
"""What is left of equal means by rounding is no difference that more cases could settle."""


def z_sum(alpha: float = 0.05, power: float = 0.8) -> float:
    """Quantile sum of a two-sided test: 2.8016 at alpha .05 and power .8."""
    return float(ndtri(1 - alpha / 2) + ndtri(power))


def detectable(n: int, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference of two paired shares that ``n`` cases detect with ``power``."""
    z = z_sum(alpha, power)
    return z * sqrt(discordant / (n + z * z))


def cases_for(delta: float, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Cases needed to detect a difference ``delta`` of two paired shares; inf for 0."""
    if abs(delta) < NO_DIFFERENCE:
        return inf
    z = z_sum(alpha, power)
    return max(1.0, ceil(z * z * (discordant - delta**2) / delta**2))


def cases_for_mean(
    delta: float, variance: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The same for per-case values whose difference has ``variance``."""
    if abs(delta) < NO_DIFFERENCE:
        return inf
    return max(1.0, ceil(z_sum(alpha, power) ** 2 * variance / delta**2))


def cases_for_equivalence(
    margin: float,
    variance: float,
    *,
    true_gap: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Cases needed to show that a difference stays inside ``margin``.

    Parameters
    ----------
    variance : float
        Of the per-case difference; for shares the discordant share.
    true_gap : float
        With 0 the two one-sided tests must both succeed (truly equal variants). A gap towards the
        margin leaves only ``margin - true_gap`` to resolve; the larger of both counts is given.
    """
    if abs(true_gap) >= margin:
        return inf
    both = (ndtri(1 - alpha) + ndtri(1 - (1 - power) / 2)) ** 2 * variance / margin**2
    one = (ndtri(1 - alpha) + ndtri(power)) ** 2 * variance / (margin - abs(true_gap)) ** 2
    return float(max(1, ceil(both), ceil(one)))
