"""Loss curves of a training run: has it begun to overfit, is it still learning, what to keep.

Not for: finding or reading log files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate import independent, power
from tuneval.comparison.estimate.paired import Finding, to_comparison
from tuneval.comparison.statistic import TRAINING_GAP, Settings, Statistic
from tuneval.comparison.wording import gain
from tuneval.errors import MetricError
from tuneval.types import Comparison, LearningCurve, Measurement, TrainingLog

FEWEST_EVALUATIONS = 3
ENOUGH_TO_SMOOTH = 8
FEWEST_FOR_NOISE = 6
ASSUMED_NOISE = 0.04
"""Noise of a validation loss, as a share of it, where too few evaluations tell."""
FEWEST_TRAINING_CASES = 200
WIDE_GAP_POINTS = 5.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Validation losses in step order, one per step (the last logged)."""

    steps: tuple[int, ...]
    losses: NDArray[np.float64]

    @property
    def best(self) -> int:
        """Index of the smallest loss."""
        return int(np.argmin(self.losses))


def in_step_order(steps: Sequence[int], losses: Sequence[float]) -> Curve:
    """Drop duplicate steps (a resumed run logs them twice), keeping the last; drop nan and inf."""
    last = {step: loss for step, loss in zip(steps, losses, strict=True) if np.isfinite(loss)}
    ordered = sorted(last)
    return Curve(tuple(ordered), np.array([last[step] for step in ordered]))


def is_overfitted(losses: NDArray[np.float64], alpha: float = 0.05) -> bool:
    """Has the validation loss risen from its minimum by more than noise explains?

    A flat curve raises the alarm in at most a share ``alpha`` of all runs: the rise is held against
    what flat curves of as many evaluations show (``_critical``). From 8 evaluations on, the rise is
    that of the last two, averaged, above the minimum of the running median of 3, in units of the
    noise: the root mean square of the second differences around and after the minimum (the steep
    start of a curve is not noise) but the largest; it must be 2% at least. With 3 to 7 evaluations a curve cannot tell its
    own noise from a rise: noise of 4% is assumed, and the end must be 5% above a minimum that is
    not last. Fewer than 3: never.
    """
    n = losses.size
    if n < FEWEST_EVALUATIONS:
        return False
    if n < ENOUGH_TO_SMOOTH:
        rise = float(losses[-1] / losses.min() - 1)
        return rise > max(0.05, _critical(n, alpha)) and bool(np.argmin(losses) < n - 1)
    rises, noises, bottoms = _rise(losses[None])
    rise, noise, bottom = float(rises[0]), float(noises[0]), float(bottoms[0])
    return rise > max(0.02 * bottom, _critical(n, alpha) * noise)


def _rise(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Rise at the end, noise and smoothed minimum of curves of 8 or more, shape (n_curves, n)."""
    n = curves.shape[1]
    smooth = running_median(curves)
    at, bottom = smooth.argmin(axis=1), smooth.min(axis=1)
    bends = np.abs(np.diff(curves, 2, axis=1))
    noise = np.empty(len(curves))
    for place in np.unique(at):
        width = max(FEWEST_FOR_NOISE, n - int(place) + 1) - 2
        chosen = at == place
        # Without the largest: where a curve turns it bends, and that is no noise.
        kept = np.sort(bends[chosen, -width:], axis=1)[:, :-1]
        noise[chosen] = np.sqrt(np.mean(kept**2, axis=1))
    return curves[:, -2:].mean(axis=1) - bottom, noise / np.sqrt(6), bottom


@lru_cache(maxsize=64)
def _critical(n: int, alpha: float) -> float:
    """What a share ``alpha`` of flat curves of ``n`` evaluations with normal noise exceed by chance.

    In units of the noise, which cancels; below 8 evaluations the share by which the end lies above
    the minimum at the assumed noise.
    """
    rng = np.random.Generator(np.random.PCG64(n))
    noise = rng.standard_normal((min(20_000, max(2_000, 4_000_000 // n)), n))
    if n < ENOUGH_TO_SMOOTH:
        flat = 1 + ASSUMED_NOISE * noise
        return float(np.quantile(flat[:, -1] / flat.min(axis=1) - 1, 1 - alpha))
    rises, noises, _ = _rise(noise)
    return float(np.quantile(rises / noises, 1 - alpha))


def running_median(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running median of 3 along the last axis; at the ends the median of the two values there are."""
    ends = np.full((*losses.shape[:-1], 1), np.nan)
    padded = np.concatenate([ends, losses, ends], axis=-1)
    around = np.stack([padded[..., :-2], padded[..., 1:-1], padded[..., 2:]])
    return np.asarray(np.nanmedian(around, axis=0), dtype=np.float64)


def is_still_falling(losses: NDArray[np.float64]) -> bool:
    """Did the last quarter of the curve improve by more than 1%?

    Means over an eighth of the curve are compared, because single training losses are noisy.
    """
    n = losses.size
    if n < FEWEST_EVALUATIONS + 1:
        return False
    width = max(1, n // 8)
    at = n - max(width, round(n / 4))
    before, end = losses[max(0, at - width) : at].mean(), losses[-width:].mean()
    return bool(before > 0 and (before - end) / before > 0.01)


def judge_training_log(log: TrainingLog, variant: str, alpha: float = 0.05) -> LearningCurve:
    """Say what the loss curves of ``variant`` show.

    Parameters
    ----------
    alpha : float
        How often a flat curve may be called overfitted.

    Returns
    -------
    LearningCurve
        ``finding`` says one of: too few evaluations, overfitting with the step to evaluate instead,
        still falling, or stable; before it, from where on the losses are NaN and nothing is judged.
    """
    if log.nan_from is None:
        return _judge(log, variant, alpha)
    sound = _until(log, log.nan_from)
    if not sound.steps and not sound.validation_steps:
        finding = f"All logged losses are NaN, from step {log.nan_from} on: nothing is judged."
        return LearningCurve(variant, log, finding, is_overfitted=False)
    until = _judge(sound, variant, alpha)
    finding = (
        f"The losses became NaN at step {log.nan_from}; nothing is judged from there on: evaluate a "
        "checkpoint from before that step."
    )
    if len(sound.validation_steps) >= FEWEST_EVALUATIONS:
        finding += f" Until then: {until.finding}"
    return LearningCurve(variant, log, finding, until.is_overfitted)


def _until(log: TrainingLog, end: int) -> TrainingLog:
    """What was logged before step ``end``."""
    train = [one for one in zip(log.steps, log.train_loss, strict=True) if one[0] < end]
    n = sum(step < end for step in log.validation_steps)
    return replace(
        log,
        steps=tuple(step for step, _ in train),
        train_loss=tuple(loss for _, loss in train),
        validation_steps=log.validation_steps[:n],
        validation_loss=log.validation_loss[:n],
        epochs=log.epochs[:n],
        nan_from=None,
    )


def _judge(log: TrainingLog, variant: str, alpha: float) -> LearningCurve:
    curve = in_step_order(log.validation_steps, log.validation_loss)
    n = len(curve.steps)
    if n < FEWEST_EVALUATIONS:
        finding = f"Only {n} evaluations logged: set eval_strategy to steps to detect overfitting."
        return LearningCurve(variant, log, finding, is_overfitted=False)
    if is_overfitted(curve.losses, alpha):
        return LearningCurve(variant, log, _overfitting(curve, log), is_overfitted=True)
    if is_still_falling(curve.losses) and curve.best == n - 1:
        finding = (
            f"Validation loss was still falling at the last step ({curve.losses[-1]:.3f} at step "
            f"{curve.steps[-1]}): longer training may help."
        )
    else:
        finding = (
            f"Validation loss is stable: {curve.losses[-1]:.3f} at the last step, "
            f"minimum {curve.losses.min():.3f} at step {curve.steps[curve.best]}."
        )
    return LearningCurve(variant, log, finding, is_overfitted=False)


def _overfitting(curve: Curve, log: TrainingLog) -> str:
    best, end = float(curve.losses[curve.best]), float(curve.losses[-1])
    step = curve.steps[curve.best]
    return (
        f"Validation loss reached its minimum {best:.3f} at step {step} and rose to {end:.3f} "
        f"({end / best - 1:+.0%}). The checkpoint at step {step} is the one to evaluate; "
        f"train {_fewer(curve, log)} or add dropout/weight decay."
    )


def _fewer(curve: Curve, log: TrainingLog) -> str:
    """How many epochs were too many, where the log says so."""
    for steps in (log.validation_steps, log.steps):
        if len(log.epochs) == len(steps) > 1:
            epoch = np.interp(
                [curve.steps[curve.best], curve.steps[-1]], *_ascending(steps, log.epochs)
            )
            k = round(float(epoch[1] - epoch[0]), 1)
            return f"{k:g} fewer {'epoch' if k == 1 else 'epochs'}"
    return "fewer epochs"


def _ascending(
    steps: Sequence[int], epochs: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = sorted(dict(zip(steps, epochs, strict=True)).items())
    assert all(a[0] < b[0] for a, b in pairwise(pairs))
    return np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float)


def is_training_unfinished(log: TrainingLog) -> bool:
    """Was the training loss still falling at the last step, and all losses numbers?"""
    return log.nan_from is None and is_still_falling(
        in_step_order(log.steps, log.train_loss).losses
    )


def generalisation_gap(
    train: Measurement,
    test: Measurement,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    clusters: Sequence[str | None] | None = None,
) -> Comparison:
    """Score on training cases minus score on test cases of one variant, as independent samples.

    Parameters
    ----------
    train, test : Measurement
        The same variant and metric; ``train`` needs at least 200 cases.
    clusters : sequence of str or None, optional
        Of the test cases.

    Returns
    -------
    Comparison
        Of the variant with itself on slice "train - test".

    Raises
    ------
    MetricError
        Fewer than 200 training cases.
    """
    if len(train.case_ids) < FEWEST_TRAINING_CASES:
        raise MetricError(
            f"{len(train.case_ids)} training cases were scored; a generalisation gap needs at "
            f"least {FEWEST_TRAINING_CASES}: give a larger sample of the training file."
        )
    found = independent.welch(
        independent.estimate(test, metric, settings, clusters),
        independent.estimate(train, metric, settings),
    )
    finding = Finding(
        "Welch t, training against test cases",
        found.p_value(),
        found.interval,
        "t",
        power.z_sum() * found.standard_error,
        {"standard_error": found.standard_error, "n_train": float(len(train.case_ids))},
    )
    return to_comparison(
        finding,
        metric,
        settings,
        names=(test.variant, test.variant),
        place=(case_set, TRAINING_GAP),
        difference=found.value,
        n_cases=len(test.case_ids),
    )


def gap_sentence(gap: Comparison, label: str) -> str:
    """Warning if the variant is at least 5 points better on what it was trained on, else ""."""
    g = gain(gap)
    if not g.has_points or not g.low90 > WIDE_GAP_POINTS:
        return ""
    return (
        f"{gap.candidate} scores {g.scale.plain(g.value)} points higher in {label} on its training "
        f"cases than on the test cases ({g.scale.signed(g.low)} to {g.scale.signed(g.high)}): "
        "a sign of overfitting."
    )
