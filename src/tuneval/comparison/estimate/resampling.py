"""Draw cases again, swap two variants, leave cases out: everything that reweights additive rows.

Not for: closed forms (exact.py, mean.py), knowing what a row means. A "unit" is what is drawn: a
case, or the summed rows of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tuneval.comparison.estimate.exact import TIE
from tuneval.comparison.estimate.mean import estimate_mean

Floats = NDArray[np.float64]
Totals = Callable[[Floats], Floats]
"""Summed rows, shape (..., n_sums) -> numbers, shape (...)."""
Rows = Callable[[Floats], float]
"""All rows, shape (n, n_sums) -> one number."""

BLOCK_BYTES = 16 * 2**20
"""Weights are drawn in blocks of at most this size, so that they stay in the cache."""

SPARSE = 0.05
"""Rows with fewer numbers than this are added up without their zeros."""

TILE = 64

RANK_RESAMPLES = 2_000
"""A number of ranks is computed anew from all rows each time, so fewer resamples must do."""


def generator(resampling_seed: int, *key: str) -> np.random.Generator:
    """Random numbers that depend on the run's seed and on what they are for, on nothing else."""
    text = "|".join([str(resampling_seed), *key])
    digest = blake2b(text.encode("utf-8"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def summed(rows: Floats, codes: NDArray[np.int64] | None) -> Floats:
    """Sum the rows of each cluster; without clusters, the rows themselves."""
    if codes is None:
        return rows
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(rows[order], starts, axis=0)


def distinct(units: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Distinct rows and how often each occurs.

    Rows of classification metrics take few values; a draw over the kinds of rows is the same
    draw, and hundreds of times cheaper.
    """
    packed = np.ascontiguousarray(units)
    keys = packed.view(np.dtype((np.void, packed.dtype.itemsize * packed.shape[1]))).ravel()
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    if first.size * 8 > len(units):
        return units, np.ones(len(units), dtype=np.int64)
    order = np.argsort(first)  # by first occurrence: swapping two variants draws the same
    return units[first[order]], counts[order].astype(np.int64)


def blocks(n_draws: int, width: int) -> Iterator[int]:
    """Numbers of draws that add up to ``n_draws``, each few enough for the cache."""
    size = max(1, BLOCK_BYTES // (8 * max(1, width)))
    for start in range(0, n_draws, size):
        yield min(size, n_draws - start)


def _weights(rng: np.random.Generator, n_draws: int, counts: NDArray[np.int64]) -> Floats:
    """How often each kind of unit occurs in a draw with replacement, shape (n_draws, n_kinds)."""
    n, kinds = int(counts.sum()), counts.size
    if kinds < n:
        return rng.multinomial(n, counts / n, size=n_draws).astype(np.float64)
    weights = np.empty((n_draws, n))
    for row in weights:  # one draw at a time stays in the cache: twice as fast as all at once
        row[:] = np.bincount(rng.integers(0, n, size=n), minlength=n)
    return weights


def summing(kinds: Floats) -> Callable[[Floats], Floats]:
    """Weights, shape (n_draws, n_kinds) -> summed rows, shape (n_draws, n_sums).

    Rows of many labels are nearly all zeros: a case touches one or two of 150. Whole numbers add up
    to the same in any order, so leaving out the zeros changes nothing.
    """
    is_sparse = 0 < np.count_nonzero(kinds) < SPARSE * kinds.size
    if not is_sparse or not np.array_equal(kinds, np.rint(kinds)):
        return lambda weights: weights @ kinds
    from scipy.sparse import csr_array

    columns = csr_array(kinds.T)

    def total(weights: Floats) -> Floats:
        totals = np.empty((len(weights), kinds.shape[1]))
        for start in range(0, len(weights), TILE):  # a turned tile stays in the cache
            tile = slice(start, start + TILE)
            totals[tile] = (columns @ np.ascontiguousarray(weights[tile].T)).T
        return totals

    return total


def bootstrap(units: Floats, statistic: Totals, n_draws: int, rng: np.random.Generator) -> Floats:
    """Recompute ``statistic`` on ``n_draws`` draws of the units with replacement.

    Parameters
    ----------
    units : ndarray, shape (n_units, n_sums)

    Returns
    -------
    ndarray, shape (n_draws,)
        nan where a draw leaves the number undefined.
    """
    kinds, counts = distinct(units)
    total = summing(kinds)
    found = [
        _apply(statistic, total(_weights(rng, size, counts)))
        for size in blocks(n_draws, len(kinds))
    ]
    return np.concatenate(found)


def bootstrap_ranks(
    rows: Floats, statistic: Rows, n_draws: int, rng: np.random.Generator
) -> Floats:
    """The same for a number of ranks: rows are drawn by index."""
    n = len(rows)
    return np.array([statistic(rows[rng.integers(0, n, size=n)]) for _ in range(n_draws)])


def jackknife(units: Floats, statistic: Totals) -> Floats:
    """``statistic`` without each unit in turn, shape (n_units,)."""
    total = units.sum(axis=0)
    width = units.shape[1]
    size = max(1, BLOCK_BYTES // (8 * width))
    found = [
        _apply(statistic, total - units[start : start + size])
        for start in range(0, len(units), size)
    ]
    return np.concatenate(found)


def jackknife_ranks(rows: Floats, statistic: Rows, rng: np.random.Generator) -> Floats:
    """The same for a number of ranks, leaving out one of at most 200 random groups at a time."""
    n = len(rows)
    groups = rng.permutation(n) % min(n, 200)
    return np.array([statistic(rows[groups != group]) for group in range(min(n, 200))])


@dataclass(frozen=True, slots=True)
class Resampled:
    """A statistic on the data, on draws with replacement, and without each unit."""

    value: float
    draws: Floats
    left_out: Floats

    @property
    def standard_error(self) -> float:
        """Standard deviation of the draws on which the statistic is defined; nan without any."""
        defined = self.draws[np.isfinite(self.draws)]
        return float(defined.std()) if defined.size else float("nan")

    @property
    def pseudo_values(self) -> Floats:
        """What each unit adds to the statistic: the jackknife's values, whose mean it is."""
        change = (self.left_out.size - 1) * (self.left_out.mean() - self.left_out)
        return np.asarray(self.value + change)

    @property
    def undefined_share(self) -> float:
        """Share of draws that leave the statistic undefined."""
        return float(np.mean(~np.isfinite(self.draws)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """BCa interval, never narrower than that of Student's t over the pseudo-values.

        Draws of few units scatter less than the units do, and know nothing of the degrees of freedom:
        BCa alone covers 83 to 89% for a perplexity of 6 clusters or 30 cases (docs/statistics.md).
        """
        low, high = bca(self.value, self.draws, self.left_out, confidence)
        linear = estimate_mean(self.pseudo_values).interval(confidence)
        return float(np.fmin(low, linear[0])), float(np.fmax(high, linear[1]))


def resample(units: Floats, statistic: Totals, n_draws: int, rng: np.random.Generator) -> Resampled:
    """Everything that a bootstrap interval of a number of sums needs."""
    return Resampled(
        float(_apply(statistic, units.sum(axis=0))),
        bootstrap(units, statistic, n_draws, rng),
        jackknife(units, statistic),
    )


def resample_ranks(
    rows: Floats, statistic: Rows, n_draws: int, rng: np.random.Generator
) -> Resampled:
    """The same for a number of ranks."""
    return Resampled(
        float(statistic(rows)),
        bootstrap_ranks(rows, statistic, n_draws, rng),
        jackknife_ranks(rows, statistic, rng),
    )


def bca(value: float, draws: Floats, left_out: Floats, confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval; percentile where the correction fails.

    Parameters
    ----------
    value : float
        The statistic on the data.
    draws, left_out : ndarray
        From ``bootstrap`` and ``jackknife``.

    References
    ----------
    Efron (1987), Better bootstrap confidence intervals; agrees with scipy.stats.bootstrap.
    """
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return float("nan"), float("nan")
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    below = (np.mean(draws < value) + np.mean(draws <= value)) / 2
    if 0 < below < 1:
        bias = ndtri(below)
        z = bias + ndtri(tails)
        shrink = 1 - _acceleration(left_out) * z
        if np.all(shrink > 0):
            tails = ndtr(bias + z / shrink)
    low, high = np.quantile(draws, tails)
    return float(low), float(high)


def _acceleration(left_out: Floats) -> float:
    deviation = left_out.mean() - left_out
    squares = float(np.sum(deviation**2))
    if not np.isfinite(squares) or squares == 0:
        return 0.0
    return float(np.sum(deviation**3) / (6 * squares**1.5))


def randomisation(
    baseline: Floats,
    candidate: Floats,
    statistic: Totals,
    n_draws: int,
    rng: np.random.Generator,
    tie_counts: float = 1.0,
) -> float:
    """Two-sided p of the difference of two variants: swap them unit by unit.

    p = (1 + number of swaps at least as extreme) / (n_draws + 1); ties count as extreme (or as
    ``tie_counts`` of one, the mid-p of statistics that tie often), without
    which the test rejects far too often where few units differ. A swap that leaves the number
    undefined counts as extreme too.

    References
    ----------
    Noreen (1989), Computer-intensive methods for testing hypotheses; Phipson & Smyth (2010) on
    the added one.
    """
    from_baseline, from_candidate = baseline.sum(axis=0), candidate.sum(axis=0)
    both = from_baseline + from_candidate
    changes = candidate - baseline
    kinds, counts = distinct(changes[np.any(changes != 0, axis=1)])
    ends = _apply(statistic, np.stack([from_baseline, from_candidate]))
    observed = abs(ends[1] - ends[0])
    tie = TIE * max(1.0, float(np.max(np.abs(ends))))
    if len(kinds) == 0 or not np.isfinite(observed):
        return 1.0 if len(kinds) == 0 else float("nan")
    extreme = 0.0
    total = summing(kinds)
    for size in blocks(n_draws, len(kinds)):
        swapped = from_baseline + total(_halves(rng, size, counts))
        gap = np.abs(_apply(statistic, both - swapped) - _apply(statistic, swapped))
        beyond = int(np.sum(~(gap <= observed + tie)))
        extreme += beyond + tie_counts * (int(np.sum(~(gap < observed - tie))) - beyond)
    return (1 + extreme) / (n_draws + 1)


def _halves(rng: np.random.Generator, n_draws: int, counts: NDArray[np.int64]) -> Floats:
    """How many units of each kind are swapped, each with probability 1/2."""
    kinds = counts.size
    if counts.max() > 1:
        return rng.binomial(counts, 0.5, size=(n_draws, kinds)).astype(np.float64)
    row = (kinds + 7) // 8
    packed = np.frombuffer(rng.bytes(n_draws * row), dtype=np.uint8).reshape(n_draws, row)
    return np.unpackbits(packed, axis=1, count=kinds).astype(np.float64)


def randomisation_ranks(
    baseline: Floats, candidate: Floats, statistic: Rows, n_draws: int, rng: np.random.Generator
) -> float:
    """The same for a number of ranks."""
    observed = abs(statistic(candidate) - statistic(baseline))
    if not np.isfinite(observed):
        return float("nan")
    extreme = 0
    for _ in range(n_draws):
        swap = rng.integers(0, 2, size=len(baseline), dtype=np.int8).astype(bool)[:, None]
        gap = abs(
            statistic(np.where(swap, baseline, candidate))
            - statistic(np.where(swap, candidate, baseline))
        )
        extreme += not gap < observed - TIE
    return (1 + extreme) / (n_draws + 1)


def sign_flip(
    sums: Floats, n_draws: int, rng: np.random.Generator, tie_counts: float = 1.0
) -> float:
    """Two-sided p of a zero mean: flip the sign of each unit's sum; ties count as extreme."""
    one_column = sums[:, None]
    nothing = np.zeros_like(one_column)
    return randomisation(nothing, one_column, _only_column, n_draws, rng, tie_counts)


def _only_column(totals: Floats) -> Floats:
    column: Floats = totals[..., 0]
    return column


def _apply(statistic: Totals, totals: Floats) -> Floats:
    # A draw may leave a metric undefined (no case of a class); its nan is dealt with, not warned of.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(statistic(totals), dtype=np.float64)
