"""Did a fine-tune lose what the baseline could do on some of the cases, whatever it won on the rest?

Not for: differences between groups within one arm (groups.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from tuneval.comparison.estimate.multiplicity import holm
from tuneval.comparison.wording import gain, p_text, scale
from tuneval.types import Comparison

FEWEST_CASES = 30
"""Slices of fewer cases are shown and never judged."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One arm on one slice: one-sided p of "no worse than the baseline", and Holm over all slices
    and arms of the run. ``is_proved``: below the share of the error rate."""

    comparison: Comparison
    p_value: float
    p_adjusted: float
    is_proved: bool


def slice_losses(comparisons: Sequence[Comparison], alpha: float) -> list[Loss]:
    """Judge baseline -> arm on every slice of at least 30 cases that has a test."""
    judged = [
        one
        for one in comparisons
        if one.n_cases >= FEWEST_CASES and one.p_value is not None and not isnan(one.p_value)
    ]
    p_values = [_one_sided(one) for one in judged]
    return [
        Loss(one, p, float(adjusted), bool(adjusted < alpha))
        for one, p, adjusted in zip(judged, p_values, holm(p_values), strict=True)
    ]


def _one_sided(one: Comparison) -> float:
    """Half of a two-sided p on the side of a loss; the rest on the other side."""
    half = (one.p_value or 0.0) / 2
    return half if gain(one).value < 0 else 1 - half


def loss_sentence(loss: Loss) -> str:
    """What a proved loss says."""
    one, s = loss.comparison, scale(loss.comparison.unit)
    ends = [one.details[f"{side}_value"] for side in ("baseline", "candidate")]
    verb = "falls" if one.higher_is_better else "rises"
    span = (
        f"{s.signed(one.difference)}{s.noun}, 95% CI {s.signed(one.interval.low)} to "
        f"{s.signed(one.interval.high)}, "
        if one.interval is not None
        else ""
    )
    return (
        f"{one.candidate} is worse than {one.baseline} on {one.slice}: {one.metric} {verb} from "
        f"{s.plain(ends[0])} to {s.plain(ends[1])} ({span}n={one.n_cases}, adjusted "
        f"{p_text(loss.p_adjusted)})."
    )
