"""Checkpoints of one training on the same cases: the curve, which can be told from the best, the last.

Whoever picks the best of several on the test cases has looked several times; here that is paid for. Not
for: overfitting in a trainer's own losses (overfitting.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.paired import compare
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import Codes, checked, counted, kind_of, score
from tuneval.comparison.estimate.seeds import linear
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.comparison.wording import gain, scale
from tuneval.types import Comparison, Measurement, Score

DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class CheckpointCurve:
    """The score at every step, and what it is beside the best one.

    Attributes
    ----------
    scores : tuple of Score
        In order of steps. Their intervals hold all at once, so that the best may be picked by looking.
    best : int
        Index of the best score; the earliest on a tie.
    against_best : tuple of Comparison or None
        Each checkpoint minus the best, None for the best itself. The intervals hold for all pairs of
        checkpoints at once.
    """

    scores: tuple[Score, ...]
    best: int
    against_best: tuple[Comparison | None, ...]

    @property
    def is_told(self) -> tuple[bool, ...]:
        """Which are worse than the best beyond chance, in order of steps."""
        return tuple(one is not None and gain(one).high < 0 for one in self.against_best)


def judge_checkpoints(
    measurements: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    clusters: Sequence[str | None] | None = None,
) -> CheckpointCurve:
    """Score every checkpoint and compare it with the best, with the selection paid for.

    Parameters
    ----------
    measurements : sequence of Measurement
        One a checkpoint, in order of steps, on the same cases.

    Notes
    -----
    Intervals are those of ``score`` and ``compare`` at a higher confidence: that at which the largest
    of all their errors stays inside, found from 10,000 draws of Student's t with the correlation that
    the checkpoints have over the cases. Copies cost nothing; independent checkpoints cost what Sidak's
    correction would.

    References
    ----------
    Hothorn, Bretz and Westfall (2008), Simultaneous inference in general parametric models.
    """
    for_one, for_pairs = _paid(measurements, metric, settings, clusters)
    scores = tuple(
        score(one, metric, for_one, case_set=case_set, clusters=clusters) for one in measurements
    )
    sign = 1 if metric.higher_is_better else -1
    values = np.array([sign * one.value for one in scores])
    best = int(np.nanargmax(values)) if np.isfinite(values).any() else 0
    against = tuple(
        compare(measurements[best], one, metric, for_pairs, case_set=case_set, clusters=clusters)
        if n != best
        else None
        for n, one in enumerate(measurements)
    )
    return CheckpointCurve(scores, best, against)


def _paid(
    measurements: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    clusters: Sequence[str | None] | None,
) -> tuple[Settings, Settings]:
    """Settings whose confidence holds for all checkpoints, and for all pairs of them, at once."""
    rows = np.stack([checked(same_cases(measurements[0], one)) for one in measurements])
    codes = cluster_codes(clusters, rows.shape[1])
    n = len(measurements)
    each = np.eye(n)
    pairs = np.array([each[i] - each[j] for i in range(n) for j in range(i)])
    covariance, df = _covariance(metric, rows, codes, settings)
    rng = again.generator(settings.resampling_seed, metric.name, "checkpoints")

    def paid(contrasts: Floats) -> Settings:
        confidence = 1 - (1 - settings.confidence) / len(
            contrasts
        )  # Bonferroni needs no correlation
        if np.isfinite(covariance).all():
            confidence = _joint(contrasts, covariance, df, settings.confidence, rng)
        return replace(settings, confidence=confidence)

    return paid(each), paid(pairs)


def _covariance(
    metric: Statistic, rows: Floats, codes: Codes | None, settings: Settings
) -> tuple[Floats, int]:
    """Covariance of the checkpoints' numbers over cases (CR1 over clusters), and its degrees of freedom;
    nan where the metric is undefined or, being one of ranks, has none over clusters."""
    unknown = np.full((len(rows), len(rows)), np.nan), 0
    if metric.statistic == "ranks" and codes is not None:
        return unknown
    flat = rows.reshape(-1, rows.shape[2])
    kept = counted(kind_of(metric, flat), flat).reshape(rows.shape[:2]).all(axis=0)
    if not kept.any():
        return unknown
    codes = codes if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    values, codes = linear(metric, rows[:, kept], codes, settings)
    centred = values - values.mean(axis=1, keepdims=True)
    sums = np.stack([again.summed(one[:, None], codes)[:, 0] for one in centred])
    groups = sums.shape[1]
    if groups < 2:
        return np.zeros((len(values), len(values))), 0
    return sums @ sums.T * groups / (groups - 1) / values.shape[1] ** 2, groups - 1


def _joint(
    contrasts: Floats, covariance: Floats, df: int, confidence: float, rng: np.random.Generator
) -> float:
    """The confidence of a single interval at which all of ``contrasts`` hold together."""
    errors = np.sqrt(np.clip(np.einsum("ik,kl,il->i", contrasts, covariance, contrasts), 0, None))
    spread = errors > 1e-12
    if not df or not spread.any():
        return confidence
    roots, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(roots, 0, None))
    draws = rng.standard_normal((DRAWS, len(covariance))) @ root.T
    largest = np.abs(draws @ contrasts[spread].T / errors[spread]).max(axis=1)
    largest /= np.sqrt(rng.chisquare(df, DRAWS) / df)
    return max(confidence, 1 - 2 * means.t_tail(float(np.quantile(largest, confidence)), df))


def curve_sentence(
    curve: CheckpointCurve, steps: Sequence[int], unit: str, metric: str, *, is_picked: bool
) -> str:
    """The best checkpoint, those that cannot be told from it, and the last.

    ``unit``: what the steps count ("step" or "epoch"); ``metric``: its name as printed; ``is_picked``:
    nothing else says which one to take.
    """
    best = curve.scores[curve.best]
    alike = [step for n, step in enumerate(steps) if n != curve.best and not curve.is_told[n]]
    told = [step for n, step in enumerate(steps) if curve.is_told[n]]
    widened = ", widened: it is picked on these same cases" if is_picked else ""
    parts = [
        f"{unit} {steps[curve.best]} is the best of {len(steps)} checkpoints: {metric} "
        f"{score_text(best, widened)}"
    ]
    if not alike:
        parts.append("all others are worse")
    elif not told:
        parts.append("none of the others can be told from it")
    else:
        parts.append(
            f"{_listed(alike)} cannot be told from it, {_listed(told)} "
            f"{'are' if len(told) > 1 else 'is'} worse"
        )
    last = curve.against_best[-1]
    if last is not None:
        g = gain(last)
        span = f" ({g.scale.signed(g.low)} to {g.scale.signed(g.high)})" if g.has_interval else ""
        parts.append(
            f"the last ({steps[-1]}) against the best: {g.scale.signed(g.value)}{g.scale.noun}{span}"
        )
    return "; ".join(parts) + "."


def score_text(one: Score, remark: str = "") -> str:
    """A score with its interval, and a remark on that."""
    unit = scale(one.unit)
    if one.interval is None:
        return unit.plain(one.value)
    span = f"{unit.plain(one.interval.low)} to {unit.plain(one.interval.high)}"
    return f"{unit.plain(one.value)} ({span}{remark})"


def _listed(steps: Sequence[int]) -> str:
    *first, last = map(str, steps)
    return f"{', '.join(first)} and {last}" if first else last
