"""Whether judges say the same, beyond chance: Cohen's kappa of two, Krippendorff's alpha of all.

Not for: which of them is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate import resampling as again

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

N_DRAWS = 2_000


def agreement(first: Sequence[object], second: Sequence[object]) -> tuple[float, float]:
    """Share of equal judgements and Cohen's kappa (nan where chance alone explains all)."""
    values, codes = np.unique(np.array([*first, *second]), return_inverse=True)
    both = codes.reshape(2, len(first))
    table = pair_tables(both[0], both[1], len(values)).sum(axis=0)
    return float(np.trace(table) / table.sum()), float(cohen_kappa(table))


def pair_tables(first: Codes, second: Codes, n_values: int) -> Floats:
    """One table (k, k) for each judgement, a 1 where the two fell; zeros where one has none (-1)."""
    tables = np.zeros((first.size, n_values, n_values))
    at = np.flatnonzero((first >= 0) & (second >= 0))
    tables[at, first[at], second[at]] = 1.0
    return tables


def cohen_kappa(tables: Floats) -> Floats:
    """Cohen's kappa of tables (..., k, k) of two judges; nan where chance explains all.

    References
    ----------
    Cohen (1960), A coefficient of agreement for nominal scales.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables / tables.sum(axis=(-2, -1), keepdims=True)
        same = np.trace(shares, axis1=-2, axis2=-1)
        chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
        return np.where(chance < 1, (same - chance) / (1 - chance), np.nan)


def coincidences(judgements: Codes, n_values: int) -> Floats:
    """Krippendorff's coincidences of each unit: what pairs of its judges said, each unit with the weight
    of its judges.

    Parameters
    ----------
    judgements : ndarray of int, shape (n_units, n_judges)
        Codes from 0; -1 where a judge said nothing.

    Returns
    -------
    ndarray, shape (n_units, n_values, n_values)
        Zeros for a unit that fewer than two have judged.
    """
    counts = np.stack([(judgements == value).sum(axis=1) for value in range(n_values)], axis=1)
    counts = counts.astype(np.float64)
    n = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    places = np.arange(n_values)
    pairs[:, places, places] -= counts
    return np.where((n > 1)[:, None, None], pairs / np.maximum(n - 1, 1)[:, None, None], 0.0)


def krippendorff_alpha(tables: Floats) -> Floats:
    """Krippendorff's alpha (nominal) of summed coincidences (..., k, k); nan where all said one thing.

    References
    ----------
    Krippendorff (2011), Computing Krippendorff's alpha-reliability.
    """
    totals = tables.sum(axis=-1)
    n = totals.sum(axis=-1)
    seen = n - np.trace(tables, axis1=-2, axis2=-1)
    expected = n**2 - (totals**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * seen / expected, np.nan)


def interval(
    statistic: Callable[[Floats], Floats], per_case: Floats, resampling_seed: int
) -> tuple[float, float]:
    """Percentile bootstrap over cases (95%) of a statistic of summed tables.

    Parameters
    ----------
    per_case : ndarray, shape (n_cases, k, k)

    Notes
    -----
    A draw in which chance explains all is undefined: nothing shows that the judges differ, and it
    counts as 1.
    """
    n, *shape = per_case.shape
    rng = again.generator(resampling_seed, "agreement", "interval")
    weights = rng.multinomial(n, np.full(n, 1 / n), size=N_DRAWS).astype(np.float64)
    tables = (weights @ per_case.reshape(n, -1)).reshape(N_DRAWS, *shape)
    low, high = np.quantile(np.nan_to_num(statistic(tables), nan=1.0), [0.025, 0.975])
    return float(low), float(high)


def alpha_sentence(n_judges: int, alpha: float, low: float, high: float) -> str:
    """Say how far judges agree; ``alpha`` is nan where that is not defined."""
    text = f"{n_judges} judges: the score of a case is the mean of theirs. "
    if not isfinite(alpha):
        return f"{text}They said one thing throughout: their agreement is not defined."
    return (
        f"{text}Agreement on win, tie and loss: Krippendorff's alpha {alpha:.2f} (95% interval {low:.2f} to "
        f"{high:.2f}, bootstrap over cases; 1 is full agreement, 0 is chance)."
    )


def directions_sentence(
    candidate: str, baseline: str, differences: Mapping[str, float], *, is_proved: bool
) -> str:
    """Say that judges point in different directions. ``differences``: judge -> share of wins, candidate
    minus baseline; ``is_proved``: two of them prove the opposite of each other."""
    told = "; ".join(f"{name} {100 * one:+.1f} points" for name, one in differences.items())
    text = f"The judges do not agree on {candidate} beside {baseline}: {told}."
    if is_proved:
        return f"{text} Their mean hides that: look at what each of them prefers."
    return f"{text} No more than chance does: two of them would have to prove it."
