"""Base against tuned: better, worse, no change or unclear, and why (table 9.1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isfinite, isnan, sqrt

from tuneval.comparison.decision.alike import alike
from tuneval.comparison.decision.circumstances import Circumstances
from tuneval.comparison.decision.doubt import (
    ALPHA,
    FEWEST_CASES,
    Outcome,
    doubts,
    p_of,
    stands_whatever_was_unread,
    stopped_early,
    unread_sentences,
)
from tuneval.comparison.decision.forgetting import Forgot, forgetting
from tuneval.comparison.decision.headline import headline, of_guards
from tuneval.comparison.estimate import power
from tuneval.comparison.wording import Gain, cases_text, gain
from tuneval.types import Comparison, Decision, Verdict

NO_CHANGE_POINTS = 1.0

NO_FULL = "No full fine-tune given: the LoRA gap is unknown."

ONE_CHECKPOINT = (
    "This holds for this checkpoint: one training seed says nothing about the spread of the recipe."
)

TWO_CHECKPOINTS = (
    "This holds for these 2 checkpoints: the spread of the recipe needs 3 training seeds."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One comparison, judged: what it counts as, and what is said."""

    outcome: Outcome
    reason: str


def tuned_against_base(
    known: Circumstances, group: Sequence[Comparison], faults: Sequence[str]
) -> tuple[Verdict, list[Reading], list[Forgot], list[str]]:
    """The verdict of a pair, and what the run's headline needs of it: readings, guards, flags."""
    baseline, candidate = group[0].baseline, group[0].candidate
    is_base = known.kind(baseline) in {"base", ""}
    # Outputs that exist already say nothing of what made them; a name may.
    is_tuning = bool(known.facts) or not is_base or baseline.casefold().startswith("base")
    several = sum(c.case_set not in known.general for c in group) > 1
    readings, warnings, flags = [], list(faults), []
    guards: list[Forgot] = []
    guard_reasons: list[str] = []
    for c in group:
        if c.case_set in known.general:
            kept, text = forgetting(c, c.case_set, c.metric)
            guards.append(kept)
            if kept == "forgot":
                warnings.append(text)
                flags.append("FORGOT")
            else:
                guard_reasons.append(text)
            continue
        over = "the base model" if is_base else baseline
        outcome, text = base_to_tuned(c, c.metric, over=over, is_tuning=is_tuning)
        readings.append(Reading(outcome, f"{c.case_set}: {text}" if several else text))
        warnings += doubts(c) or unread_sentences(c)
    for curve in known.curves_of(candidate):
        if curve.is_overfitted:
            warnings.append(curve.finding)
            flags.append("OVERFIT")
    for one in known.warned:
        if one.variant in ("", candidate, *(member.name for member in known.members(candidate))):
            warnings.append(one.sentence)
            flags.append(one.flag)
    warnings += _unreliable_scores(known, group)
    reasons = [reading.reason for reading in readings]
    reasons += [text for c in group if (text := stopped_early(c))]
    if several and {"better", "worse"} <= {reading.outcome for reading in readings}:
        reasons.append(_both_lists(group, readings, known.general))
    n_seeds = group[0].details.get("training_seeds_candidate", 1.0)
    if is_tuning and any(one.outcome in {"better", "worse"} for one in readings):
        reasons += {1.0: [ONE_CHECKPOINT], 2.0: [TWO_CHECKPOINTS]}.get(n_seeds, [])
    if known.kind(candidate) == "adapter" and not known.count("full"):
        reasons.append(NO_FULL)
    outcomes = [reading.outcome for reading in readings]
    verdict = Verdict(
        candidate=candidate,
        baseline=baseline,
        decision=_decision(outcomes) if not faults else "undecided",
        headline=headline(outcomes or of_guards(guards), flags, is_invalid=bool(faults)),
        reasons=tuple(dict.fromkeys([*reasons, *guard_reasons])),
        warnings=tuple(dict.fromkeys(warnings)),
    )
    return verdict, readings, guards, flags


def outcome_of(comparison: Comparison) -> Outcome:
    """Row of table 9.1 that a comparison of base and tuned variant falls into."""
    g = gain(comparison)
    if doubts(comparison) or not g.has_interval:
        return "unclear"
    if p_of(comparison) < ALPHA and g.value != 0:  # the interval agrees with the test about 0
        return "better" if g.value > 0 else "worse"
    if unread_sentences(comparison):
        return "unclear"
    most = _no_change_points(comparison)
    if g.has_points and g.low90 > -most and g.high90 < most:
        return "no change"
    return "unclear"


def _no_change_points(comparison: Comparison) -> float:
    """What counts as no change: 1 point, or the margin within which drawing was to stop."""
    return comparison.details.get("decided_margin_points", NO_CHANGE_POINTS)


def base_to_tuned(
    comparison: Comparison, metric: str, *, over: str = "the base model", is_tuning: bool = True
) -> tuple[Outcome, str]:
    """Outcome and sentence of table 9.1.

    Parameters
    ----------
    metric : str
        Name of the metric as printed.
    over : str
        What the candidate is compared with.
    is_tuning : bool
        Whether the candidate was made from the baseline; of two systems of which that is not known
        nothing is said about fine-tuning.
    """
    g, s = gain(comparison), gain(comparison).scale
    outcome = outcome_of(comparison)
    span = _span(comparison, g)
    left, right = comparison.baseline, comparison.candidate
    if outcome == "better":
        what = f"Fine-tuning improved {metric} by {_amount(comparison, g)} over {over}"
        if not is_tuning:
            what = f"{right} is better than {left} in {metric} by {_amount(comparison, g)}"
        return outcome, (
            f"{what} ({g.level_text} CI {span}, n={_n_text(comparison)}).{_whatever(comparison, g)}"
        )
    if outcome == "worse":
        if not is_tuning:
            return outcome, (
                f"{right} is worse than {left} in {metric} by {_amount(comparison, g)} ({span})."
                f"{_whatever(comparison, g)}"
            )
        return outcome, (
            f"Fine-tuning made {metric} worse by {_amount(comparison, g)} ({span})."
            f"{_whatever(comparison, g)} Check the prompt template used at training time, the "
            "learning rate and the label order before changing the rank."
        )
    cannot = "The data cannot tell whether fine-tuning helped"
    if not is_tuning:
        cannot = f"The data cannot tell {right} from {left} in {metric}"
    same = alike(comparison)
    if outcome == "no change":
        most = _no_change_points(comparison)
        points = f"{most:g} point" + ("s" if most != 1 else "")
        text = f"{metric} did not change by more than {points} in either direction."
        return outcome, f"{text} {same}".rstrip()
    if isnan(g.value):
        return outcome, f"{cannot}: {comparison.note}."
    if same:
        return outcome, f"{cannot}. {same}"
    text = f"{cannot}: {s.signed(_own_sign(comparison) * g.value)}{s.noun}"
    if not g.has_interval:
        text += f" (no interval: {comparison.note})."
    elif p_of(comparison) >= ALPHA and (
        g.low > 0 or g.high < 0
    ):  # of several tests, this one alone is not enough
        text += f" ({span} for this comparison alone; adjusted p={p_of(comparison):.3f})."
    else:
        text += f" ({span})."
    return outcome, text + _how_many(comparison, g)


def _own_sign(comparison: Comparison) -> int:
    """Gains are positive where things got better; numbers are printed with their metric's sign."""
    return 1 if comparison.higher_is_better else -1


def _amount(comparison: Comparison, g: Gain) -> str:
    """How much better or worse; a rise of a metric where more is better bears its sign."""
    s = g.scale
    if s.plain(g.value) == s.plain(0.0):
        return f"less than {10.0**-s.digits:g}{s.noun}"
    is_rise = comparison.higher_is_better and g.value > 0
    return f"{s.signed(g.value) if is_rise else s.plain(abs(g.value))}{s.noun}"


def _span(comparison: Comparison, g: Gain) -> str:
    """The interval of the difference, in the metric's own direction."""
    if comparison.higher_is_better:
        return f"{g.scale.signed(g.low)} to {g.scale.signed(g.high)}"
    return f"{g.scale.signed(-g.high)} to {g.scale.signed(-g.low)}, lower is better"


def _n_text(comparison: Comparison) -> str:
    """Number of cases, and of what is independent among them where that is fewer."""
    n_clusters = comparison.details.get("n_clusters", comparison.n_cases)
    n = str(comparison.n_cases)
    return n if n_clusters >= comparison.n_cases else f"{n}, {n_clusters:.0f} independent"


def _whatever(comparison: Comparison, g: Gain) -> str:
    """What is left of a difference if every unread answer spoke against it."""
    if not unread_sentences(comparison) or not stands_whatever_was_unread(comparison):
        return ""
    unit = gain(replace(comparison, difference=comparison.details["worst_case_difference"]))
    left = g.scale.signed(unit.value)
    return f" Had every unread answer spoken against it, {left}{g.scale.noun} would be left."


def _how_many(comparison: Comparison, g: Gain) -> str:
    """What n detects and what would settle it, as far as either is defined."""
    if not isfinite(g.detectable):
        return ""
    s = g.scale
    n_clusters = comparison.details.get("n_clusters", comparison.n_cases)
    n = f"{n_clusters:.0f} independent" if n_clusters < comparison.n_cases else comparison.n_cases
    text = f" {n} examples detect {s.plain(g.detectable)} in 80 of 100 test sets"
    share = comparison.details.get("draw_share", 0.0)
    if s.plain(least := g.detectable * sqrt(1 - share)) != s.plain(g.detectable):
        text += f" ({s.plain(least)} with ever more completions of each)"
    needed = comparison.details.get("cases_needed")
    if needed is not None and comparison.n_cases < FEWEST_CASES:
        needed = max(needed, FEWEST_CASES)
    size = s.plain(abs(g.value))
    if abs(g.value) < power.NO_DIFFERENCE or not float(size):  # nobody wants to settle "0.0"
        return text + "."
    if needed is None:
        return text + "; more examples cannot settle it, more training seeds could."
    return text + f"; {cases_text(needed)} would settle a difference of {size}."


def _both_lists(
    group: Sequence[Comparison], readings: Sequence[Reading], general: Collection[str]
) -> str:
    names = [c.case_set for c in group if c.case_set not in general]
    judged = list(zip(names, readings, strict=True))
    better = ", ".join(name for name, reading in judged if reading.outcome == "better")
    worse = ", ".join(name for name, reading in judged if reading.outcome == "worse")
    return f"Better on {better}; worse on {worse}."


def _decision(outcomes: Sequence[Outcome]) -> Decision:
    kinds = set(outcomes)
    if "worse" in kinds:
        return "undecided" if "better" in kinds else "worse"
    if "better" in kinds:
        return "better"
    return "equivalent" if kinds == {"no change"} else "undecided"


def _unreliable_scores(known: Circumstances, group: Sequence[Comparison]) -> list[str]:
    keys = {(c.case_set, c.metric) for c in group}
    names = {group[0].baseline, group[0].candidate}
    return [
        f"{s.variant}, {s.metric} on {s.case_set}: {s.note}."
        for s in known.scores
        if s.slice == "all"
        and s.variant in names
        and (s.case_set, s.metric) in keys
        and ("unreliable" in s.note or isnan(s.value))
    ]
