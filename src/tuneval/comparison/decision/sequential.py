"""Look as often as you like, stop when decided, keep the error rate: e-values for paired cases.

Not for: drawing cases or asking models (the corridor does, chunk by chunk), metrics that are no mean
of cases, fixed-size tests (paired.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, logsumexp, roots_jacobi

from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.paired import cells, margin_of
from tuneval.comparison.estimate.scoring import checked, counted, kind_of
from tuneval.comparison.estimate.slices import same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.errors import MetricError
from tuneval.types import Comparison, Interval, Measurement

Floats = NDArray[np.float64]
Stop = Literal["decided better", "decided worse", "within margin", "budget used"]

PRIOR = 10
"""Weight of the beta mixture: tuned for differences of a few points."""

N_BETS = 256
PRECISION = 1e-4
"""Ends of a confidence sequence are found to a hundredth of a point, rounded outwards."""

MOST_BET = 0.5
"""An adaptive bet never risks more than half of the capital."""


def draw_order(n: int, resampling_seed: int, case_set: str) -> NDArray[np.int64]:
    """Random order in which cases are drawn: the same for every variant of the run."""
    return again.generator(resampling_seed, case_set, "order of cases").permutation(n)


def log_e_mcnemar(only_candidate: Floats, only_baseline: Floats, prior: float = PRIOR) -> Floats:
    """Log e-value against "both are right equally often" after these discordant counts.

    Valid at any stopping time, for independent cases and for a random order of a finite benchmark.

    References
    ----------
    Robbins (1970), Statistical methods related to the law of the iterated logarithm; Lindon &
    Malek (2020), Anytime-valid inference for multinomial count data.
    """
    b, c = np.asarray(only_candidate, float), np.asarray(only_baseline, float)
    e: Floats = (b + c) * log(2) + betaln(b + prior, c + prior) - betaln(prior, prior)
    return e


def log_e_mixture(values: Floats, counts: Floats, mean: float) -> float:
    """Log e-value against "the mean difference is ``mean``", by a mixture of bets.

    Every bet is a share of the capital staked on the difference being higher (or lower) than
    ``mean``; the shares are mixed as in ``log_e_mcnemar``, which this equals for right and wrong and
    a mean of 0. All means together make one confidence sequence: what is outside is rejected.

    Parameters
    ----------
    values, counts : ndarray, shape (n_kinds,)
        Distinct differences in [-1, 1] and how often each was drawn.

    References
    ----------
    Robbins (1970); Waudby-Smith & Ramdas (2024), arXiv:2010.09686.
    """
    bets, log_weights = _bets()
    shares = bets / (1 + abs(mean))
    grown = counts @ np.log1p(np.outer(values - mean, shares))
    return float(logsumexp(grown + log_weights))


@cache
def _bets() -> tuple[Floats, Floats]:
    """Shares of the capital in (-1, 1) and the logarithms of their weights, which add up to 1."""
    shares, weights = roots_jacobi(N_BETS, PRIOR - 1, PRIOR - 1)
    kept = weights > 1e-12 * weights.sum()
    return shares[kept], np.log(weights[kept] / weights[kept].sum())


def mixture_sequence(differences: Floats, alpha: float) -> tuple[float, float]:
    """Means that ``log_e_mixture`` does not reject after all ``differences``, valid at any look."""
    if differences.size == 0:
        return -1.0, 1.0
    values, counts = _kinds(differences)
    middle = float(differences.mean())  # never rejected: no bet gains against it
    ends = []
    for end in (-1.0, 1.0):
        inside, outside = middle, end
        while abs(outside - inside) > PRECISION:
            tried = (inside + outside) / 2
            if log_e_mixture(values, counts, tried) < -log(alpha):
                inside = tried
            else:
                outside = tried
        ends.append(outside)
    return ends[0], ends[1]


def _kinds(differences: Floats) -> tuple[Floats, Floats]:
    values, counts = np.unique(differences, return_counts=True)
    return values, np.asarray(counts, dtype=np.float64)


def log_e_whole_benchmark(differences: Floats, n_total: int) -> Floats:
    """Log e-value against "over all ``n_total`` cases the differences add up to 0".

    Draws without replacement: under the hypothesis the cases left must make up for the sum so far,
    so that the fair price of the next is -sum/left. Decides small differences that the form for an
    endless stream of cases cannot.
    """
    n = differences.size
    before = np.concatenate([[0.0], np.cumsum(differences)[:-1]])
    fair = -before / (n_total - np.arange(n))
    impossible = np.abs(fair) > 1 + 1e-9
    surprise = differences - np.clip(fair, -1, 1)
    bets = _adaptive_bets(surprise) / (1 + np.abs(np.clip(fair, -1, 1)))
    log_e = _hedged(surprise, bets)
    if impossible.any():  # what is left cannot bring the sum back to 0
        log_e[np.argmax(impossible) :] = np.inf
    return log_e


def _adaptive_bets(values: Floats) -> Floats:
    """Signed bet for each value from those before it."""
    t = np.arange(1, values.size + 1)
    mean = np.cumsum(values) / (t + 1)
    # One imagined value of variance 1 keeps the first bets small.
    square = (1 + np.cumsum(values**2)) / (t + 1)
    return np.concatenate([[0.0], np.clip(mean / square, -MOST_BET, MOST_BET)[:-1]])[: values.size]


def _hedged(values: Floats, bets: Floats) -> Floats:
    up = np.cumsum(np.log1p(np.maximum(bets, 0) * values))
    down = np.cumsum(np.log1p(np.minimum(bets, 0) * values))
    total: Floats = np.logaddexp(up, down) - log(2)
    return total


def predictable_bets(x: Floats, alpha: float, most: float) -> Floats:
    """Predictable plug-in bets on observations in [0, 1] (empirical Bernstein)."""
    t = np.arange(1, x.size + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])[: x.size]
    bets: Floats = np.sqrt(2 * log(2 / alpha) / (t * np.log1p(t) * before))
    return np.minimum(bets, most)


def hedged_capital(x: Floats, mean: float = 0.5, alpha: float = 0.05) -> Floats:
    """Capital max(K+, K-)/2 against ``mean`` after each observation in [0, 1]."""
    bets = predictable_bets(x, alpha, 1.0)
    up = np.cumsum(np.log1p(bets * (x - mean)))
    down = np.cumsum(np.log1p(-bets * (x - mean)))
    capital: Floats = np.exp(np.maximum(up, down)) / 2
    return capital


def confidence_sequence(x: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Interval for the mean of observations in [0, 1] after each of them, valid at all times.

    Returns
    -------
    low, high : ndarray, shape (n,)
        Empirical-Bernstein bounds, without running intersection.

    References
    ----------
    Waudby-Smith & Ramdas (2024), arXiv:2010.09686, theorem 2.
    """
    return _lower(x, alpha), 1 - _lower(1 - x, alpha)


def _lower(x: Floats, alpha: float) -> Floats:
    bets = predictable_bets(x, alpha, 0.5)
    t = np.arange(1, x.size + 1)
    past = np.concatenate([[0.0], (np.cumsum(x) / t)[:-1]])[: x.size]
    cost = (x - past) ** 2 * (-np.log1p(-bets) - bets)
    bound: Floats = (np.cumsum(bets * x) - log(2 / alpha) - np.cumsum(cost)) / np.cumsum(bets)
    return bound


@dataclass(frozen=True, slots=True)
class Look:
    """What the cases drawn so far say.

    ``comparison`` carries the confidence sequence as its interval and the anytime p-value;
    ``stop`` is None while undecided.
    """

    comparison: Comparison
    stop: Stop | None


def look(
    baseline: Sequence[Measurement],
    candidate: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    n_total: int,
    baseline_name: str,
    candidate_name: str,
    margin_points: float | None = None,
    is_whole_benchmark: bool = False,
) -> Look:
    """Judge the cases drawn so far; may be called after any number of them.

    Parameters
    ----------
    baseline, candidate : sequence of Measurement
        One per training seed, rows in the order in which cases were drawn at random. With one seed
        a side and a proportion the test is the sequential McNemar test, else betting on the mean
        difference over seeds (which speaks for these checkpoints). The interval is that of the
        test: 0 is outside exactly where the test has decided.
    n_total : int
        Size of the benchmark.
    margin_points : float, optional
        Stop "within margin" once the confidence sequence lies inside it.
    is_whole_benchmark : bool
        Ask what all ``n_total`` cases would say, instead of what further cases like these would.

    Raises
    ------
    MetricError
        The metric is no mean of cases, a value is missing, or differences leave [-1, 1].
    """
    d, details = _differences(baseline, candidate, metric)
    n, alpha = d.size, 1 - settings.confidence
    is_binary = "only_baseline_right" in details
    bounds = _running_bounds if is_whole_benchmark else mixture_sequence
    if is_whole_benchmark:
        test = "betting without replacement"
        best = float(log_e_whole_benchmark(d, n_total).max()) if n else 0.0
    else:
        test = "sequential McNemar" if is_binary else "betting"
        best = log_e_mixture(*_kinds(d), 0.0) if n else 0.0
    p_value = float(np.exp(-max(best, 0.0)))
    low, high = bounds(d, alpha)
    low90, high90 = bounds(d, 2 * alpha)
    factor = 100.0 if metric.unit == "points" else 1.0
    details |= {
        "interval90_low": factor * low90,
        "interval90_high": factor * high90,
        "n_total": float(n_total),
        "log_e": best if isfinite(best) else 1e3,
    }
    margin = margin_of(metric.unit, settings)
    if margin is not None:
        details["margin"] = margin
    value = float(d.mean()) if n else float("nan")
    comparison = Comparison(
        baseline=baseline_name,
        candidate=candidate_name,
        case_set=case_set,
        metric=metric.name,
        slice="all",
        difference=factor * value,
        interval=Interval(factor * low, factor * high, settings.confidence, "confidence sequence")
        if n
        else None,
        p_value=p_value,
        p_adjusted=None,
        test=test,
        n_cases=n,
        detectable_difference=None,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        details=details,
        note=f"estimate from {n} of {n_total} items",
    )
    inside = None if margin_points is None else margin_points / 100
    stop = _stop(p_value <= alpha, value, (low, high), inside, n, n_total, metric)
    return Look(comparison, stop)


def _stop(
    is_decided: bool,
    value: float,
    bounds: tuple[float, float],
    margin: float | None,
    n: int,
    n_total: int,
    metric: Statistic,
) -> Stop | None:
    if is_decided:
        is_better = value > 0 if metric.higher_is_better else value < 0
        return "decided better" if is_better else "decided worse"
    if margin is not None and n and -margin < bounds[0] and bounds[1] < margin:
        return "within margin"
    return "budget used" if n >= n_total else None


def _running_bounds(d: Floats, alpha: float) -> tuple[float, float]:
    """Running intersection of the guaranteed confidence sequence of the mean difference."""
    if d.size == 0:
        return -1.0, 1.0
    low, high = confidence_sequence((d + 1) / 2, alpha)
    return max(-1.0, 2 * float(low.max()) - 1), min(1.0, 2 * float(high.min()) - 1)


def _differences(
    baseline: Sequence[Measurement], candidate: Sequence[Measurement], metric: Statistic
) -> tuple[Floats, dict[str, float]]:
    first = baseline[0]
    if metric.statistic not in {"proportion", "mean"}:
        raise MetricError(
            f'metric "{metric.name}" is no mean of cases, so it cannot be judged while cases are '
            "drawn: run all of them, or choose a primary metric that is (accuracy, exact match)."
        )
    a, b = (
        np.stack([checked(same_cases(first, one)) for one in side])
        for side in (baseline, candidate)
    )
    flat = np.concatenate([*a, *b])
    if not counted("mean", flat).all() or not np.isfinite(flat).all():
        raise MetricError(f'metric "{metric.name}": some cases drawn so far have no value.')
    x, y = a[:, :, 0], b[:, :, 0]
    if metric.unit == "points":
        x, y = x / 100, y / 100
    d = y.mean(axis=0) - x.mean(axis=0)
    if d.size and np.abs(d).max() > 1 + 1e-9:
        raise MetricError(
            f'metric "{metric.name}": a difference of {np.abs(d).max():g} is outside [-1, 1], for '
            "which the sequential test holds."
        )
    is_binary = len(x) == len(y) == 1 and kind_of(metric, flat) == "proportion"
    details = {"discordant_share": float(np.mean(d != 0)) if d.size else 0.0}
    return d, details | cells(x[0], y[0]) if is_binary else details
