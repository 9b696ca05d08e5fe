"""LoRA against full fine-tuning: the grade of the gap and what supports it (table 9.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from tuneval.comparison.beyond.overfitting import is_training_unfinished
from tuneval.comparison.decision.alike import alike
from tuneval.comparison.decision.circumstances import Circumstances
from tuneval.comparison.decision.doubt import ALPHA, doubts, p_of, stopped_early
from tuneval.comparison.estimate.seeds import FEWEST_SEEDS
from tuneval.comparison.wording import Gain, cases_text, gain, scale
from tuneval.types import Comparison, Decision, Verdict

ACCEPTABLE_POINTS = 5.0
SIDES = ("baseline", "candidate")

ONE_EACH = (
    "This holds for these two checkpoints: one training seed each says nothing about the spread of "
    "the recipes."
)

NOT_BETTER = "It is not proved that {} is better than the base."

UNCONVERGED = "Training had not converged; longer training is the first thing to try."

Support = Literal["proved", "suggested", "undecided"]

Grade = Literal["lora ahead", "excellent", "acceptable", "large"]


@dataclass(frozen=True, slots=True)
class GapReading:
    """Grade of the gap full - LoRA with its support. ``text`` is the sentence of table 9.2."""

    grade: Grade
    support: Support
    text: str


def adapter_to_full(
    comparison: Comparison,
    *,
    is_adapter_baseline: bool = True,
    rank: int | None = None,
    is_overfitted: bool = False,
    acts_everywhere: bool = False,
    adapter: str = "LoRA",
    is_kept: bool = True,
) -> GapReading:
    """Grade of the gap between an adapter and the full fine-tune (table 9.2).

    Parameters
    ----------
    comparison : Comparison
        Adapter as baseline and full as candidate, or the reverse.
    rank : int, optional
        The adapter's r, for the advice on a large gap.
    is_overfitted : bool
        The adapter's loss curve rose: advise fewer epochs, not longer training.
    acts_everywhere : bool
        The adapter sits on all linear layers already.
    adapter : str
        How the adapter is called in the sentence.
    is_kept : bool
        The advice to keep a close adapter may be given: it beats the base, or no base was run.
    """
    g = gain(comparison, of_baseline=not is_adapter_baseline)
    if not g.has_points:
        return _gap_without_points(comparison, g, adapter)
    unit = scale(comparison.unit).factor
    margin = comparison.details.get("margin", 2.0 / unit) * unit
    bounds = (0.0, margin, max(ACCEPTABLE_POINTS, margin))
    grades: tuple[Grade, ...] = ("lora ahead", "excellent", "acceptable", "large")
    grade = grades[0 if g.value < 0 else 1 + sum(g.value > bound for bound in bounds[1:])]
    support = _gap_support(comparison, g, grade, bounds, is_adapter_baseline)
    s = g.scale
    name, gap = adapter, s.plain(g.value)
    full = _the_full(comparison, is_adapter_baseline)
    behind = f"{name} {{}} {gap} points behind {full}"
    if support == "undecided":
        text = _gap_unclear(comparison, g, adapter)
    elif grade == "lora ahead":
        verb = "is" if support == "proved" else "looks"
        text = f"{name} {verb} ahead of {full} by {s.plain(-g.value)} points."
    elif grade == "excellent" and support == "proved":
        text = f"{name} is within {margin:g} points of {full} (gap {gap}). "
        text += f"Keep {name}." if is_kept else NOT_BETTER.format(name)
    elif grade == "excellent":
        text = (
            f"The gap looks excellent ({gap} points), but {comparison.n_cases} examples allow a "
            f"gap up to {s.plain(g.high90)}."
        )
        needed = comparison.details.get("cases_needed_equivalence")
        if needed is not None:
            text += (
                f" {cases_text(max(needed, comparison.n_cases + 1)).capitalize()} would prove it."
            )
    elif grade == "acceptable":
        text = behind.format("is" if support == "proved" else "looks") + (
            ": acceptable for most uses; try a higher rank if quality matters more than size."
        )
    elif support == "proved":
        steps = f" (r {rank} -> {2 * rank})" if rank else ""
        more = "" if acts_everywhere else ", add target modules (all linear layers),"
        last = "reduce epochs" if is_overfitted else "train longer"
        text = behind.format("is") + f". Raise the rank{steps}{more} or {last}."
    else:
        text = behind.format("looks") + "; confirm with more data before spending a training run."
    return GapReading(grade, support, text)


def _gap_support(
    comparison: Comparison,
    g: Gain,
    grade: Grade,
    bounds: tuple[float, float, float],
    is_adapter_baseline: bool,
) -> Support:
    low, high = g.low90, g.high90
    if doubts(comparison, of_size=True) or isnan(low) or isnan(high):
        return "undecided"
    zero, margin, acceptable = bounds
    if grade in {"lora ahead", "excellent"}:
        # Only the upper bound matters: being further ahead is no objection.
        limit, beyond = (zero, margin) if grade == "lora ahead" else (margin, acceptable)
        crossed = (high > limit) + (high > beyond)
    else:
        crossed = sum(low < bound < high for bound in bounds)
    if crossed == 0 and grade == "lora ahead" and p_of(comparison) >= ALPHA:
        crossed = 1
    supports: tuple[Support, ...] = ("proved", "suggested", "undecided")
    return supports[min(crossed, 2)]


def _the_full(comparison: Comparison, is_adapter_baseline: bool) -> str:
    """One checkpoint of full fine-tuning is called one; unless the spread of its recipe is known."""
    side = "candidate" if is_adapter_baseline else "baseline"
    n_seeds = comparison.details.get(f"training_seeds_{side}", FEWEST_SEEDS)
    is_recipe = n_seeds >= FEWEST_SEEDS or "spread_borrowed" in comparison.details
    return "full fine-tuning" if is_recipe else "this full fine-tune"


def _gap_unclear(comparison: Comparison, g: Gain, adapter: str) -> str:
    s, same = g.scale, alike(comparison)
    if same:
        return f"The data cannot tell how far {adapter} is from full fine-tuning. {same}"
    if isnan(g.value):
        return f"The gap between {adapter} and full fine-tuning is unknown: {comparison.note}."
    if isnan(g.low90):
        span = f"no interval: {comparison.note}"
    else:
        confidence = comparison.details.get("bound_confidence", 0.9)
        span = f"{confidence:.0%} CI {s.signed(g.low90)} to {s.signed(g.high90)}, n={comparison.n_cases}"
    return (
        f"The data cannot tell how far {adapter} is from full fine-tuning: "
        f"{s.signed(g.value)}{s.noun} ({span})."
    )


def _gap_without_points(comparison: Comparison, g: Gain, adapter: str) -> GapReading:
    """Grades are in points; in another unit only the direction can be judged."""
    s = g.scale
    grade: Grade = "lora ahead" if g.value < 0 else "large"
    if doubts(comparison) or not g.has_interval or p_of(comparison) >= ALPHA:
        return GapReading(grade, "undecided", _gap_unclear(comparison, g, adapter))
    side = "ahead of" if g.value < 0 else "behind"
    text = (
        f"{adapter} is {side} full fine-tuning by {s.plain(abs(g.value))}{s.noun} "
        f"({g.level_text} CI of the gap {s.signed(g.low)} to {s.signed(g.high)}, n={comparison.n_cases})."
    )
    return GapReading(grade, "proved", text)


_GRADE_HEADLINES: dict[Grade, str] = {
    "lora ahead": "LORA AHEAD",
    "excellent": "EXCELLENT",
    "acceptable": "ACCEPTABLE",
    "large": "LARGE GAP",
}


def adapter_against_full(
    known: Circumstances,
    group: Sequence[Comparison],
    faults: Sequence[str],
    *,
    is_kept: bool = True,
) -> Verdict:
    """The verdict of an adapter and a full fine-tune over all case sets that are no guards."""
    first = group[0]
    is_adapter_baseline = known.kind(first.baseline) == "adapter"
    adapter = first.baseline if is_adapter_baseline else first.candidate
    curves = known.curves_of(adapter)
    is_overfitted = any(curve.is_overfitted for curve in curves)
    called = "LoRA" if known.count("adapter") == 1 else adapter
    primary = [c for c in group if c.case_set not in known.general]
    reasons, warnings, gaps = [], list(faults), []
    for c in primary:
        gap = adapter_to_full(
            c,
            is_adapter_baseline=is_adapter_baseline,
            rank=known.rank(adapter),
            is_overfitted=is_overfitted,
            acts_everywhere=known.acts_everywhere(adapter),
            adapter=called,
            is_kept=is_kept,
        )
        gaps.append(gap)
        reasons.append(f"{c.case_set}: {gap.text}" if len(primary) > 1 else gap.text)
        warnings += doubts(c, of_size=True)
        margin = c.details.get("margin")
        if gap.grade in {"lora ahead", "excellent"} and margin is not None:
            g = gain(c, of_baseline=not is_adapter_baseline)
            unit = scale(c.unit).factor
            if (
                gap.grade == "lora ahead"
                and gap.support == "suggested"
                and g.high90 <= margin * unit
            ):
                full = _the_full(c, is_adapter_baseline)
                reasons.append(f"{called} is within {margin * unit:g} points of {full}.")
    reasons += [text for c in primary if (text := stopped_early(c))]
    if gaps and any(gap.support == "proved" for gap in gaps):
        counts = [primary[0].details.get(f"training_seeds_{side}") for side in SIDES]
        reasons += [ONE_EACH] if counts == [1.0, 1.0] else []
    if any(is_training_unfinished(curve.log) for curve in curves):
        reasons.append(UNCONVERGED)
    return Verdict(
        candidate=first.candidate,
        baseline=first.baseline,
        decision="undecided" if faults else _gap_decision(primary),
        headline="INVALID" if faults else _gap_headline(gaps),
        reasons=tuple(dict.fromkeys(reasons)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _gap_headline(gaps: Sequence[GapReading]) -> str:
    """The least favourable grade over the tasks, with its support."""
    if not gaps or any(gap.support == "undecided" for gap in gaps):
        return "INCONCLUSIVE"
    order = list(_GRADE_HEADLINES)
    worst = max(gaps, key=lambda gap: (order.index(gap.grade), gap.support == "suggested"))
    looks = "" if worst.support == "proved" else "LOOKS "
    return looks + _GRADE_HEADLINES[worst.grade]


def _gap_decision(group: Sequence[Comparison]) -> Decision:
    """Candidate against baseline: a proved difference beyond the margin, else equivalence."""
    found: set[Decision] = set()
    for c in group:
        g = gain(c)
        margin = c.details.get("margin", inf) * scale(c.unit).factor
        if doubts(c, of_size=True) or not g.has_interval:
            found.add("undecided")
        elif g.has_points and -margin < g.low90 and g.high90 < margin:
            found.add("equivalent")
        elif p_of(c) < ALPHA and g.value != 0:
            found.add("better" if g.value > 0 else "worse")
        else:
            found.add("undecided")
    return found.pop() if len(found) == 1 else "undecided"
