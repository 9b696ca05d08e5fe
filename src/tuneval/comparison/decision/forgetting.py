"""Forgetting: did a fine-tune keep what the base could do before (table 9.6)?"""

from __future__ import annotations

from math import isfinite, isnan
from typing import Literal

from tuneval.comparison.decision.doubt import ALPHA, doubts, p_of
from tuneval.comparison.wording import gain, scale
from tuneval.types import Comparison

FORGETTING_POINTS = 1.0
FORGETTING_LOSS = 0.02

Forgot = Literal["forgot", "kept", "unclear"]


def forgetting(comparison: Comparison, bench: str, metric: str = "") -> tuple[Forgot, str]:
    """Outcome and sentence of table 9.6 for base -> tuned on a guard of general ability.

    Forgotten: adjusted p < .05 and a fall of at least 1 point (0.01 where
    the unit is a plain number). A loss has no points: it must rise by 2% of the base's, which is the
    same for nats per token, bits per byte and the logarithm of a perplexity, and is what table 9.4
    takes for the smallest rise of a validation loss worth a word. Kept: the one-sided 95% bound is
    inside that limit. A base whose share is below a point has nothing that could be forgotten, and is
    never said to have kept it.
    """
    g, s = gain(comparison), scale(comparison.unit)
    name = metric or comparison.metric
    n = comparison.n_cases
    if isnan(g.value) or not g.has_interval:
        why = comparison.note or "undefined"
        return "unclear", f"The data cannot tell whether {name} on {bench} was kept: {why}."
    if _has_nothing_to_lose(comparison):
        base = 100 * comparison.details["baseline_value"]
        return "unclear", (
            f"Nothing could be forgotten on {bench}: the base has {base:.1f}% in {name}, so this guard says "
            "nothing."
        )
    low, high = (g.low, g.high) if comparison.higher_is_better else (-g.high, -g.low)
    span = (
        f"{s.signed(comparison.difference)}{s.noun} "
        f"({g.level_text} CI {g.scale.signed(low)} to {g.scale.signed(high)}, n={n})"
    )
    limit = _most_forgotten(comparison)
    unclear = f"The data cannot tell whether {name} on {bench} was kept: {span}."
    if doubts(comparison, of_size=True) or limit is None:
        return "unclear", unclear
    if g.value <= -limit and p_of(comparison) < ALPHA:
        if g.has_points:
            fall = f"General ability fell {g.scale.plain(-g.value)} points on {bench}."
        else:
            verb = "fell" if comparison.higher_is_better else "rose"
            ends = [
                s.plain(comparison.details[f"{side}_value"]) for side in ("baseline", "candidate")
            ]
            fall = f"General ability fell on {bench}: {name} {verb} from {ends[0]} to {ends[1]}{s.noun}."
        return "forgot", (
            f"{fall} Mix in general data, lower the learning rate, or use LoRA instead of full "
            "fine-tuning."
        )
    if isfinite(g.low90) and g.low90 > -limit:
        return "kept", f"{name} on {bench} was kept: {span}."
    return "unclear", unclear


def _has_nothing_to_lose(comparison: Comparison) -> bool:
    """Whether the base's share is too low to fall by what counts as forgetting."""
    base = comparison.details.get("baseline_value")
    return (
        comparison.unit == "share"
        and comparison.higher_is_better
        and base is not None
        and 100 * base < FORGETTING_POINTS
    )


def _most_forgotten(comparison: Comparison) -> float | None:
    """Smallest fall that counts as forgetting, in shown units; None where there is no base value."""
    unit = comparison.unit
    if unit in {"share", "points"}:
        return FORGETTING_POINTS
    if unit == "number":
        return FORGETTING_POINTS / 100
    base = comparison.details.get("baseline_value")
    if base is None or base <= 0:
        return None
    if unit == "perplexity":  # 2% of ln ppl more: ppl ** 1.02
        return base ** (1 + FORGETTING_LOSS) - base if base > 1 else None
    return FORGETTING_LOSS * base
