"""What a judge preferred: win rates, length-controlled win rates, strengths of several variants.

Not for: asking a judge (tasks/judge.py). A preference y in [0, 1] is the candidate's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tuneval.comparison.estimate import exact
from tuneval.comparison.estimate import resampling as again
from tuneval.errors import MetricError

Floats = NDArray[np.float64]

ANCHOR_WEIGHT = 0.1
"""Weight of the concise and verbose answers of the baseline itself in the length model."""

ELO = 400 / log(10)

UNRELIABLE_BIAS = 0.30
"""A judge that leans to one place in more of its verdicts than that is not relied on."""

ALPHA = 0.05


def from_codes(preferences: Sequence[float]) -> Floats:
    """AlpacaEval's coding to [0, 1]: 1 baseline, 2 candidate, 0 or 1.5 tie; missing is dropped."""
    codes = np.asarray(preferences, dtype=np.float64)
    codes = codes[~np.isnan(codes)]
    bad = codes[(codes != 0) & ((codes < 1) | (codes > 2))]
    if bad.size:
        raise MetricError(
            f"{bad.size} preferences are neither 0 nor within 1 to 2 (first: {bad[0]:g}): "
            "1 is the baseline, 2 the candidate."
        )
    return np.where(codes == 0, 0.5, codes - 1)


@dataclass(frozen=True, slots=True)
class WinRate:
    """Win rates in points (0 to 100) with the standard error of the mean preference."""

    rate: float
    standard_error: float
    discrete_rate: float
    wins: int
    ties: int
    losses: int


def win_rate(y: Floats) -> WinRate:
    """Mean preference, and the share of wins with ties as half a win."""
    wins, ties = int(np.sum(y > 0.5)), int(np.sum(y == 0.5))
    n = y.size
    error = float(np.std(y, ddof=1)) / sqrt(n) if n > 1 else float("nan")
    mean = float(y.mean()) if n else float("nan")
    discrete = (wins + ties / 2) / n if n else float("nan")
    return WinRate(100 * mean, 100 * error, 100 * discrete, wins, ties, n - wins - ties)


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Verdicts that turned when the two answers changed places, by the place that they leant to.

    Turning alone is indecision: of two equal answers an unbiased judge turns half of its verdicts,
    as often to the one place as to the other. ``lean``: (first - second) / verdicts, with its
    Agresti-Min interval; ``p_value``: McNemar mid-p of first against second.
    """

    n_first: int
    n_second: int
    n_verdicts: int
    lean: float
    low: float
    high: float
    p_value: float

    @property
    def n_turned(self) -> int:
        """Verdicts that turned, whichever way."""
        return self.n_first + self.n_second

    @property
    def is_proved(self) -> bool:
        """Does the judge lean to one place beyond chance?"""
        return self.p_value < ALPHA

    @property
    def is_unreliable(self) -> bool:
        """Is the judge led by the order?"""
        return self.is_proved and abs(self.lean) > UNRELIABLE_BIAS

    def sentence(self) -> str:
        """Say how many turned and which way, and what it means where it is one way."""
        if not self.n_verdicts:
            return "The judge gave no verdict that could be read."
        text = (
            f"{self.n_turned} of {self.n_verdicts} verdicts turned with the order of the answers, "
            f"{self.n_first} towards the one shown first and {self.n_second} towards the second "
            f"(lean {100 * self.lean:+.1f} points, 95% CI {100 * self.low:+.1f} to "
            f"{100 * self.high:+.1f})"
        )
        if self.is_unreliable:
            return f"{text}: the judge is not reliable on this data."
        if self.is_proved:
            return f"{text}: the place has a part in its verdicts; both orders cancel it."
        return f"{text}: no lean to either place beyond chance."


def position_bias(n_first: int, n_second: int, n_verdicts: int) -> PositionBias:
    """Which place the verdicts that turned leant to; nan without verdicts."""
    nan = float("nan")
    if not n_verdicts:
        return PositionBias(0, 0, 0, nan, nan, nan, nan)
    low, high = exact.agresti_min(n_first, n_second, n_verdicts).interval()
    return PositionBias(
        n_first,
        n_second,
        n_verdicts,
        (n_first - n_second) / n_verdicts,
        low,
        high,
        exact.mcnemar(n_first, n_second).p_mid,
    )


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """Win rate (points) at equal length, its error, and the weights of the fitted model.

    ``standard_error`` is the leaderboard's: how the predictions scatter, with the model taken as
    known. ``sampling_error`` is how far the rate itself would move with other cases.
    ``label`` says whether the figure is comparable with the published leaderboard: without the
    published difficulties it is not.
    """

    rate: float
    standard_error: float
    sampling_error: float
    coefficients: tuple[float, ...]
    label: str


def length_controlled(
    y: Floats,
    length_difference: Floats,
    difficulty: Floats | None = None,
    anchors: Sequence[tuple[Floats, Floats, Floats | None]] = (),
) -> LengthControlled:
    """What the win rate would be if both answers were equally long.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Preferences for the candidate.
    length_difference : ndarray, shape (n,)
        Characters of the baseline's answer minus those of the candidate's.
    difficulty : ndarray, shape (n,), optional
        Published difficulty of each instruction; without it the figure is only local.
    anchors : sequence of (y, length_difference, difficulty)
        The baseline's own concise and verbose answers, which keep the length effect sane.

    Notes
    -----
    Logistic regression on soft labels, features tanh(L / sd L), difficulty, 1 (0 for anchors).

    References
    ----------
    Dubois et al. (2024), Length-controlled AlpacaEval, arXiv:2404.04475.
    """
    columns = _features(length_difference, difficulty, 1.0)
    rows, labels, weights = [columns], [y], [np.ones(y.size)]
    for anchor_y, anchor_length, anchor_difficulty in anchors:
        rows.append(_features(anchor_length, anchor_difficulty, 0.0))
        labels.append(anchor_y)
        weights.append(np.full(anchor_y.size, ANCHOR_WEIGHT))
    every, target, weight = np.concatenate(rows), np.concatenate(labels), np.concatenate(weights)
    coefficients = logistic(every, target, weight)
    at_equal_length = columns.copy()
    at_equal_length[:, 0] = 0
    share = expit(at_equal_length @ coefficients)
    predicted = 100 * share
    # Delta method: what each case adds through its own prediction and through the fitted weights.
    slope = (share * (1 - share)) @ at_equal_length / y.size
    fitted = expit(every @ coefficients)
    curvature = (every * (weight * fitted * (1 - fitted))[:, None]).T @ every
    through_fit = (
        every
        * (weight * (target - fitted))[:, None]
        @ np.linalg.lstsq(curvature, slope, rcond=None)[0]
    )
    influence = through_fit[: y.size] + (share - share.mean()) / y.size
    squares = float(influence @ influence) + float(through_fit[y.size :] @ through_fit[y.size :])
    return LengthControlled(
        float(predicted.mean()),
        float(predicted.std(ddof=1)) / sqrt(y.size),
        100 * sqrt(squares * y.size / (y.size - 1)),
        tuple(float(one) for one in coefficients),
        "length-adjusted (local)" if difficulty is None else "length-controlled",
    )


def _features(length_difference: Floats, difficulty: Floats | None, constant: float) -> Floats:
    spread = float(np.std(length_difference, ddof=1)) if length_difference.size > 1 else 0.0
    scaled = np.tanh(length_difference / spread) if spread else np.zeros_like(length_difference)
    columns = [scaled, np.full(length_difference.size, constant)]
    if difficulty is not None:
        columns.insert(1, difficulty)
    return np.stack(columns, axis=1)


def logistic(features: Floats, labels: Floats, weights: Floats, most_steps: int = 100) -> Floats:
    """Unpenalised logistic regression on soft labels, by Newton steps.

    Raises
    ------
    MetricError
        The labels are separated perfectly, so that no finite weights are best.
    """
    coefficients = np.zeros(features.shape[1])
    for _ in range(most_steps):
        predicted = expit(features @ coefficients)
        slope = features.T @ (weights * (labels - predicted))
        curvature = (features * (weights * predicted * (1 - predicted))[:, None]).T @ features
        step = np.linalg.lstsq(curvature, slope, rcond=None)[0]
        coefficients = np.asarray(coefficients + step)
        if np.abs(step).max() < 1e-10:
            return coefficients
        if np.abs(coefficients).max() > 1e3:
            break
    raise MetricError(
        "the length-controlled win rate has no finite solution: length alone separates wins from "
        "losses. Report the plain win rate."
    )


def bradley_terry(wins: Floats) -> Floats:
    """Maximum-likelihood log-strengths of several variants, centred to mean 0.

    Parameters
    ----------
    wins : ndarray, shape (k, k)
        ``wins[i, j]`` = how often i beat j; a tie is half a win each way.

    Raises
    ------
    MetricError
        The graph of wins is not strongly connected (one variant, or a set of them, never lost to
        the others): strengths would be infinite.

    References
    ----------
    Bradley & Terry (1952); Hunter (2004), MM algorithms for generalized Bradley-Terry models.
    """
    wins = np.asarray(wins, dtype=np.float64)
    k = len(wins)
    if not _is_strongly_connected(wins):
        raise MetricError(
            "strengths are not defined: some variants never lost to the others. "
            "Report the raw win rates."
        )
    games = wins + wins.T
    np.fill_diagonal(games, 0)
    strength = np.zeros(k)
    total = wins.sum(axis=1) - np.diag(wins)
    for _ in range(200):
        p = expit(strength[:, None] - strength[None, :])
        slope = total - (games * p).sum(axis=1)
        weight = games * p * (1 - p)
        curvature = np.diag(weight.sum(axis=1)) - weight
        step = np.linalg.lstsq(curvature, slope, rcond=None)[0]
        step /= max(1.0, float(np.abs(step).max()))
        strength = strength + step - (strength + step).mean()
        if np.abs(step).max() < 1e-11:
            break
    return strength


def elo(log_strength: Floats) -> Floats:
    """Strengths on the Elo scale, mean 1000."""
    return ELO * log_strength + 1000


def _is_strongly_connected(wins: Floats) -> bool:
    reach = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(max(2, len(wins))))))):
        reach = (reach.astype(np.int64) @ reach.astype(np.int64)) > 0
    return bool(reach.all())


def bradley_terry_intervals(
    per_instruction: Floats,
    resampling_seed: int,
    n_draws: int = 1_000,
    confidence: float = 0.95,
) -> tuple[Floats, Floats]:
    """Percentile bootstrap of the log-strengths over instructions.

    Parameters
    ----------
    per_instruction : ndarray, shape (n, k, k)
        Wins on each instruction.

    Returns
    -------
    low, high : ndarray, shape (k,)
        nan if more than 1% of the draws leave the strengths undefined.
    """
    n, k, _ = per_instruction.shape
    rng = again.generator(resampling_seed, "bradley-terry", "interval")
    flat = per_instruction.reshape(n, k * k)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(np.float64)
    found = [
        bradley_terry(one.reshape(k, k))
        for one in weights @ flat
        if _is_strongly_connected(one.reshape(k, k))
    ]
    if len(found) < 0.99 * n_draws:
        return np.full(k, np.nan), np.full(k, np.nan)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(np.stack(found), tails, axis=0)
    return low, high
