"""What the data support, in words: comparisons and findings -> verdicts and one headline.

Plain records in, plain records out: everything it reads stands in ``result.json``, so a verdict can
be recomputed without a model. Not for: computing differences, intervals or p-values.

A grade follows the point estimate; what is said about it follows the 90% interval, whose ends are
one-sided 95% bounds. "is" and "shows" need proof; "looks" is for what the data suggest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import Literal

from tuneval.comparison.beyond.overfitting import is_training_unfinished
from tuneval.comparison.beyond.preference import UNRELIABLE_BIAS
from tuneval.comparison.estimate import power
from tuneval.comparison.estimate.exact import clopper_pearson
from tuneval.comparison.wording import Gain, gain, scale
from tuneval.types import (
    Comparison,
    Decision,
    Finding,
    LearningCurve,
    Score,
    Variant,
    VariantFacts,
    Verdict,
    arms,
)

ALPHA = 0.05
FEWEST_CASES = 30
NO_CHANGE_POINTS = 1.0
FORGETTING_POINTS = 1.0
FORGETTING_LOSS = 0.02
ACCEPTABLE_POINTS = 5.0
FEWEST_DISCORDANT = 20
UNSURE_UNPARSED = 0.05
INVALID_UNPARSED = 0.20

NO_FULL = "No full fine-tune given: the LoRA gap is unknown."
UNCONVERGED = "Training had not converged; longer training is the first thing to try."
ONE_CHECKPOINT = (
    "This holds for this checkpoint: one training seed says nothing about the spread of the recipe."
)
TWO_CHECKPOINTS = (
    "This holds for these 2 checkpoints: the spread of the recipe needs 3 training seeds."
)

Outcome = Literal["better", "worse", "no change", "unclear"]
Support = Literal["proved", "suggested", "undecided"]


@dataclass(slots=True)
class _Reading:
    """One comparison, judged: what it counts as, what is said, what is doubtful."""

    outcome: Outcome
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decide(
    *,
    comparisons: Sequence[Comparison],
    variants: Sequence[Variant],
    primary_metrics: Mapping[str, str],
    scores: Sequence[Score] = (),
    facts: Sequence[VariantFacts] = (),
    learning_curves: Sequence[LearningCurve] = (),
    general: Collection[str] = (),
    findings: Sequence[Finding] = (),
    invalid: Sequence[str] = (),
    metric_labels: Mapping[str, str] | None = None,
) -> tuple[tuple[Verdict, ...], str]:
    """Turn adjusted comparisons into one verdict per pair and one headline for the run.

    Parameters
    ----------
    comparisons : sequence of Comparison
        As ``adjust`` returns them. Those of a case set's primary metric on slice "all" decide.
        Those of exploratory case sets (``details["confirmatory"]`` 0) decide nothing.
    variants : sequence of Variant
        Names in comparisons are variant names or recipe names.
    primary_metrics : mapping
        Case set -> metric.
    scores : sequence of Score
        Only to warn of undefined or unreliable scores of primary metrics.
    facts : sequence of VariantFacts
        ``settings["r"]`` of an adapter goes into the advice to raise the rank.
    general : collection of str
        Case sets that measure general ability: they count for forgetting, not for better or worse.
    findings : sequence of Finding
        Of the checks beyond the test score. A warning about an arm, or about the data, is a warning
        of the arm's verdict; its flag counts as one of the labels.
    invalid : sequence of str
        Reasons found elsewhere why the run compares nothing (unequal cases).
    metric_labels : mapping, optional
        Metric name -> name to print.

    Returns
    -------
    verdicts : tuple of Verdict
        In order of the pairs in ``comparisons``. The headline of a pair is a label of the overall
        table; for adapter against full fine-tune it is the grade ("EXCELLENT", "LOOKS EXCELLENT",
        ..., "INCONCLUSIVE").
    headline : str
        "INVALID", "WORSE", "MIXED", "BETTER, WITH WARNINGS", "OVERFIT", "BRITTLE", "FORGOT" (or
        several of these three joined by ", "), "BETTER", "NO CHANGE" or "INCONCLUSIVE".
    """
    case = _Case(
        arms(variants), facts, learning_curves, scores, metric_labels or {}, tuple(general)
    )
    case.warned = [one for one in findings if one.level == "warning"]
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for c in comparisons:
        if c.slice == "all" and c.baseline != c.candidate:
            is_primary = primary_metrics.get(c.case_set) == c.metric
            if is_primary and c.details.get("confirmatory", 1.0):
                pairs.setdefault((c.baseline, c.candidate), []).append(c)
    faults = [
        *invalid,
        *(one.sentence for one in case.warned if one.flag == "INVALID"),
        *_invalid(c for group in pairs.values() for c in group if c.case_set not in general),
    ]
    verdicts, readings, guards, flags = [], [], [], []
    for (baseline, candidate), group in pairs.items():
        if {case.kind(baseline), case.kind(candidate)} == {"adapter", "full"}:
            if all(c.case_set in general for c in group):
                continue  # forgetting is a question to the base alone
            verdicts.append(_adapter_against_full(case, group, faults))
            continue
        verdict, read, kept, flagged = _tuned_against_base(case, group, faults)
        verdicts.append(verdict)
        readings += read
        guards += kept
        flags += flagged
    if not readings and guards:  # nothing was to become better
        return tuple(verdicts), headline(_of_guards(guards), flags, is_invalid=bool(faults))
    if not readings:  # nothing but adapter against full, or nothing at all
        overall = verdicts[0].headline if len(verdicts) == 1 else "INCONCLUSIVE"
        return tuple(verdicts), "INVALID" if faults else overall
    return tuple(verdicts), headline([r.outcome for r in readings], flags, is_invalid=bool(faults))


def headline(outcomes: Sequence[Outcome], flags: Sequence[str], *, is_invalid: bool = False) -> str:
    """Label of table 9.8 for the outcomes of one or several tasks and the proved warnings."""
    if is_invalid:
        return "INVALID"
    if "worse" in outcomes:
        return "MIXED" if "better" in outcomes else "WORSE"
    if flags and "better" in outcomes:
        return "BETTER, WITH WARNINGS"
    alone = [flag for flag in ("OVERFIT", "BRITTLE", "FORGOT") if flag in flags]
    if alone:
        return ", ".join(alone)
    if "better" in outcomes:
        return "BETTER"
    if outcomes and all(outcome == "no change" for outcome in outcomes):
        return "NO CHANGE"
    return "INCONCLUSIVE"


class _Case:
    """Everything beside the comparisons, looked up by arm."""

    def __init__(
        self,
        rows: Mapping[str, tuple[Variant, ...]],
        facts: Sequence[VariantFacts],
        curves: Sequence[LearningCurve],
        scores: Sequence[Score],
        labels: Mapping[str, str],
        general: tuple[str, ...],
    ) -> None:
        self.arms = rows
        self.facts = {fact.variant: fact for fact in facts}
        self.curves = {curve.variant: curve for curve in curves}
        self.scores = scores
        self.labels = labels
        self.general = general
        self.warned: list[Finding] = []

    def members(self, name: str) -> tuple[Variant, ...]:
        """Variants of a recipe, or the variant of that name."""
        if name in self.arms:
            return self.arms[name]
        return tuple(v for row in self.arms.values() for v in row if v.name == name)

    def kind(self, name: str) -> str:
        """Kind of an arm, "" where it is not known."""
        members = self.members(name)
        return members[0].kind if members else ""

    def label(self, metric: str) -> str:
        """Name of a metric in sentences."""
        return self.labels.get(metric, metric)

    def count(self, kind: str) -> int:
        """How many arms are of this kind."""
        return sum(row[0].kind == kind for row in self.arms.values())

    def curves_of(self, name: str) -> list[LearningCurve]:
        """Learning curves of an arm's checkpoints."""
        names = [name, *(member.name for member in self.members(name))]
        return [self.curves[one] for one in dict.fromkeys(names) if one in self.curves]

    def rank(self, name: str) -> int | None:
        """LoRA rank of an arm, if the adapter's settings say it."""
        for member in (name, *(m.name for m in self.members(name))):
            settings = self.facts[member].settings if member in self.facts else {}
            if str(settings.get("r", "")).isdigit():
                return int(settings["r"])
        return None


def _invalid(primary: Iterable[Comparison]) -> list[str]:
    faults = []
    for c in primary:
        for side, name in (("baseline", c.baseline), ("candidate", c.candidate)):
            unread = c.details.get(f"unparsed_{side}", 0.0)
            if unread > INVALID_UNPARSED:
                faults.append(f"{unread:.0%} of {_what_is_read(c)} {name} could not be read.")
    return list(dict.fromkeys(faults))


def doubts(comparison: Comparison) -> list[str]:
    """Why nothing can be proved by this comparison, whatever its interval: [] if nothing."""
    found = []
    if comparison.n_cases < FEWEST_CASES:
        found.append(
            f"Only {comparison.n_cases} examples: fewer than {FEWEST_CASES} prove nothing."
        )
    for side, name in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        unread = comparison.details.get(f"unparsed_{side}", 0.0)
        if unread > UNSURE_UNPARSED:
            found.append(f"{unread:.0%} of {_what_is_read(comparison)} {name} could not be read.")
    bias = comparison.details.get("position_bias", 0.0)
    if bias > UNRELIABLE_BIAS:
        found.append(
            f"{bias:.0%} of the judge's verdicts turned with the order of the answers: the judge is "
            "not reliable on this data."
        )
    return found


def _what_is_read(comparison: Comparison) -> str:
    is_judged = "position_bias" in comparison.details
    return "the judge's verdicts on" if is_judged else "the answers of"


def _p(comparison: Comparison) -> float:
    for p in (comparison.p_adjusted, comparison.p_value):
        if p is not None and not isnan(p):
            return p
    return 1.0


def outcome_of(comparison: Comparison) -> Outcome:
    """Row of table 9.1 that a comparison of base and tuned variant falls into."""
    g = gain(comparison)
    if doubts(comparison) or not g.has_interval:
        return "unclear"
    if g.low > 0 and _p(comparison) < ALPHA:
        return "better"
    if g.high < 0 and _p(comparison) < ALPHA:
        return "worse"
    if g.has_points and g.low90 > -NO_CHANGE_POINTS and g.high90 < NO_CHANGE_POINTS:
        return "no change"
    return "unclear"


def base_to_tuned(
    comparison: Comparison, metric: str, *, over: str = "the base model"
) -> tuple[Outcome, str]:
    """Outcome and sentence of table 9.1.

    Parameters
    ----------
    metric : str
        Name of the metric as printed.
    over : str
        What the candidate is compared with.
    """
    g, s = gain(comparison), gain(comparison).scale
    outcome = outcome_of(comparison)
    span = f"{s.signed(g.low)} to {s.signed(g.high)}"
    n = comparison.n_cases
    if outcome == "better":
        return outcome, (
            f"Fine-tuning improved {metric} by {s.signed(g.value)}{s.noun} over {over} "
            f"(95% CI {span}, n={n})."
        )
    if outcome == "worse":
        return outcome, (
            f"Fine-tuning made {metric} worse by {s.plain(-g.value)}{s.noun} ({span}). Check the "
            "prompt template used at training time, the learning rate and the label order before "
            "changing the rank."
        )
    if outcome == "no change":
        return outcome, f"{metric} did not change by more than 1 point in either direction."
    if isnan(g.value):
        return outcome, f"The data cannot tell whether fine-tuning helped: {comparison.note}."
    text = f"The data cannot tell whether fine-tuning helped: {s.signed(g.value)}{s.noun}"
    text += f" ({span})." if g.has_interval else f" (no interval: {comparison.note})."
    return outcome, text + _how_many(comparison, g)


def _how_many(comparison: Comparison, g: Gain) -> str:
    """What n detects and what would settle it, as far as either is defined."""
    if not isfinite(g.detectable):
        return ""
    s = g.scale
    text = f" {comparison.n_cases} examples detect {s.plain(g.detectable)}"
    needed = comparison.details.get("cases_needed")
    if needed is not None and comparison.n_cases < FEWEST_CASES:
        needed = max(needed, FEWEST_CASES)
    size = s.plain(abs(g.value))
    if g.value == 0:
        return text + "."
    if needed is None:
        return text + "; more examples cannot settle it, more training seeds could."
    return text + f"; about {needed:.0f} would settle a difference of {size}."


def power_sentence(comparison: Comparison) -> str:
    """What n can detect and what was observed; printed with every comparison ("" if undefined)."""
    g, s = gain(comparison), gain(comparison).scale
    if not isfinite(g.detectable) or isnan(g.value):
        return ""
    return (
        f"Your {comparison.n_cases} examples can detect a difference of "
        f"{s.plain(g.detectable)}{s.noun} or more (80% power). "
        f"The observed difference is {s.signed(g.value)}."
    )


def exploratory_sentence(comparison: Comparison, metric: str) -> str:
    """What a comparison outside the confirmatory family suggests; "" where it suggests nothing.

    Secondary metrics, classes, groups and perturbations are many: after Benjamini-Hochberg they
    suggest, they never show.
    """
    g = gain(comparison)
    if not g.has_interval or doubts(comparison) or _p(comparison) >= ALPHA:
        return ""
    side = "better" if g.value > 0 else "worse"
    where = "" if comparison.slice == "all" else f" on {comparison.slice}"
    return (
        f"This suggests that {comparison.candidate} is {side} than {comparison.baseline} in "
        f"{metric}{where}: {g.scale.signed(g.value)}{g.scale.noun} "
        f"(95% CI {g.scale.signed(g.low)} to {g.scale.signed(g.high)}, n={comparison.n_cases})."
    )


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
    adapter: str = "LoRA",
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
    adapter : str
        How the adapter is called in the sentence.
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
    behind = f"{name} {{}} {gap} points behind full fine-tuning"
    if support == "undecided":
        text = _gap_unclear(comparison, g, adapter)
    elif grade == "lora ahead":
        verb = "is" if support == "proved" else "looks"
        text = f"{name} {verb} ahead of full fine-tuning by {s.plain(-g.value)} points."
    elif grade == "excellent" and support == "proved":
        text = f"{name} is within {margin:g} points of full fine-tuning (gap {gap}). Keep {name}."
    elif grade == "excellent":
        text = (
            f"The gap looks excellent ({gap} points), but {comparison.n_cases} examples allow a "
            f"gap up to {s.plain(g.high90)}."
        )
        needed = comparison.details.get("cases_needed_equivalence")
        if needed is not None:
            text += f" About {max(needed, comparison.n_cases + 1):.0f} would prove it."
    elif grade == "acceptable":
        text = behind.format("is" if support == "proved" else "looks") + (
            ": acceptable for most uses; try a higher rank if quality matters more than size."
        )
    elif support == "proved":
        steps = f" (r {rank} -> {2 * rank})" if rank else ""
        last = "reduce epochs" if is_overfitted else "train longer"
        text = behind.format("is") + (
            f". Raise the rank{steps}, add target modules (all linear layers), or {last}."
        )
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
    if doubts(comparison) or isnan(low) or isnan(high):
        return "undecided"
    zero, margin, acceptable = bounds
    if grade in {"lora ahead", "excellent"}:
        # Only the upper bound matters: being further ahead is no objection.
        limit, beyond = (zero, margin) if grade == "lora ahead" else (margin, acceptable)
        crossed = (high > limit) + (high > beyond)
    else:
        crossed = sum(low < bound < high for bound in bounds)
    if crossed == 0 and grade == "lora ahead" and _p(comparison) >= ALPHA:
        crossed = 1
    if (
        crossed == 0
        and grade == "excellent"
        and is_closeness_unprovable(
            comparison, margin / scale(comparison.unit).factor, is_adapter_baseline
        )
    ):
        crossed = 1
    supports: tuple[Support, ...] = ("proved", "suggested", "undecided")
    return supports[min(crossed, 2)]


def is_closeness_unprovable(
    comparison: Comparison, margin: float, is_adapter_baseline: bool = True
) -> bool:
    """Do the two disagree on too few cases for the interval to prove closeness?

    Below 20 disagreements the Agresti-Min bound is too bold at the margin. The exact bound on the
    share of cases that only the full fine-tune gets right holds for any count, so that closeness
    still counts as proved where that bound is inside the margin.
    """
    details = comparison.details
    if "only_candidate_right" not in details:
        return False
    only_full = details["only_candidate_right" if is_adapter_baseline else "only_baseline_right"]
    n_discordant = details["only_candidate_right"] + details["only_baseline_right"]
    if n_discordant >= FEWEST_DISCORDANT:
        return False
    whole = -int(-only_full // 1)  # means over seeds are no whole numbers: round up
    return clopper_pearson(whole, comparison.n_cases, 1 - 2 * ALPHA)[1] >= margin


def _gap_unclear(comparison: Comparison, g: Gain, adapter: str) -> str:
    s = g.scale
    if isnan(g.value):
        return f"The gap between {adapter} and full fine-tuning is unknown: {comparison.note}."
    if isnan(g.low90):
        span = f"no interval: {comparison.note}"
    else:
        span = f"90% CI {s.signed(g.low90)} to {s.signed(g.high90)}, n={comparison.n_cases}"
    return (
        f"The data cannot tell how far {adapter} is from full fine-tuning: "
        f"{s.signed(g.value)}{s.noun} ({span})."
    )


def _gap_without_points(comparison: Comparison, g: Gain, adapter: str) -> GapReading:
    """Grades are in points; in another unit only the direction can be judged."""
    s = g.scale
    grade: Grade = "lora ahead" if g.value < 0 else "large"
    if doubts(comparison) or not g.has_interval or g.low <= 0 <= g.high or _p(comparison) >= ALPHA:
        return GapReading(grade, "undecided", _gap_unclear(comparison, g, adapter))
    side = "ahead of" if g.value < 0 else "behind"
    text = (
        f"{adapter} is {side} full fine-tuning by {s.plain(abs(g.value))}{s.noun} "
        f"(95% CI of the gap {s.signed(g.low)} to {s.signed(g.high)}, n={comparison.n_cases})."
    )
    return GapReading(grade, "proved", text)


Forgot = Literal["forgot", "kept", "unclear"]


def forgetting(comparison: Comparison, bench: str, metric: str = "") -> tuple[Forgot, str]:
    """Outcome and sentence of table 9.6 for base -> tuned on a guard of general ability.

    Forgotten: adjusted p < .05, the 95% interval below 0 and a fall of at least 1 point (0.01 where
    the unit is a plain number). A loss has no points: it must rise by 2% of the base's, which is the
    same for nats per token, bits per byte and the logarithm of a perplexity, and is what table 9.4
    takes for the smallest rise of a validation loss worth a word. Kept: the one-sided 95% bound is
    inside that limit.
    """
    g, s = gain(comparison), scale(comparison.unit)
    name = metric or comparison.metric
    n, interval = comparison.n_cases, comparison.interval
    if interval is None or isnan(g.value) or not g.has_interval:
        why = comparison.note or "undefined"
        return "unclear", f"The data cannot tell whether {name} on {bench} was kept: {why}."
    span = (
        f"{s.signed(comparison.difference)}{s.noun} "
        f"(95% CI {s.signed(interval.low)} to {s.signed(interval.high)}, n={n})"
    )
    limit = _most_forgotten(comparison)
    unclear = f"The data cannot tell whether {name} on {bench} was kept: {span}."
    if doubts(comparison) or limit is None:
        return "unclear", unclear
    if g.high < 0 and g.value <= -limit and _p(comparison) < ALPHA:
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


def _tuned_against_base(
    case: _Case, group: Sequence[Comparison], faults: Sequence[str]
) -> tuple[Verdict, list[_Reading], list[Forgot], list[str]]:
    baseline, candidate = group[0].baseline, group[0].candidate
    over = "the base model" if case.kind(baseline) in {"base", ""} else baseline
    several = sum(c.case_set not in case.general for c in group) > 1
    readings, warnings, flags = [], list(faults), []
    guards: list[Forgot] = []
    of_guards: list[str] = []
    for c in group:
        if c.case_set in case.general:
            kept, text = forgetting(c, c.case_set, case.label(c.metric))
            guards.append(kept)
            if kept == "forgot":
                warnings.append(text)
                flags.append("FORGOT")
            else:
                of_guards.append(text)
            continue
        outcome, text = base_to_tuned(c, case.label(c.metric), over=over)
        reading = _Reading(outcome, [f"{c.case_set}: {text}" if several else text])
        warnings += doubts(c)
        readings.append(reading)
    for curve in case.curves_of(candidate):
        if curve.is_overfitted:
            warnings.append(curve.finding)
            flags.append("OVERFIT")
    for one in case.warned:
        if one.variant in ("", candidate, *(member.name for member in case.members(candidate))):
            warnings.append(one.sentence)
            flags.append(one.flag)
    warnings += _unreliable_scores(case, group)
    reasons = [reason for reading in readings for reason in reading.reasons]
    if several and {"better", "worse"} <= {reading.outcome for reading in readings}:
        reasons.append(_both_lists(group, readings, case.general))
    n_seeds = group[0].details.get("training_seeds_candidate", 1.0)
    if any(reading.outcome in {"better", "worse"} for reading in readings):
        reasons += {1.0: [ONE_CHECKPOINT], 2.0: [TWO_CHECKPOINTS]}.get(n_seeds, [])
    if case.kind(candidate) == "adapter" and not case.count("full"):
        reasons.append(NO_FULL)
    outcomes = [reading.outcome for reading in readings]
    verdict = Verdict(
        candidate=candidate,
        baseline=baseline,
        decision=_decision(outcomes) if not faults else "undecided",
        headline=headline(outcomes or _of_guards(guards), flags, is_invalid=bool(faults)),
        reasons=tuple(dict.fromkeys([*reasons, *of_guards])),
        warnings=tuple(dict.fromkeys(warnings)),
    )
    return verdict, readings, guards, flags


def _of_guards(guards: Sequence[Forgot]) -> list[Outcome]:
    """What a run of nothing but guards can say beside FORGOT: that nothing changed for the worse."""
    return ["no change" if kept == "kept" else "unclear" for kept in guards]


def _both_lists(
    group: Sequence[Comparison], readings: Sequence[_Reading], general: Collection[str]
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


def _unreliable_scores(case: _Case, group: Sequence[Comparison]) -> list[str]:
    keys = {(c.case_set, c.metric) for c in group}
    names = {group[0].baseline, group[0].candidate}
    return [
        f"{s.variant}, {case.label(s.metric)} on {s.case_set}: {s.note}."
        for s in case.scores
        if s.slice == "all"
        and s.variant in names
        and (s.case_set, s.metric) in keys
        and ("unreliable" in s.note or isnan(s.value))
    ]


_GRADE_HEADLINES: dict[Grade, str] = {
    "lora ahead": "LORA AHEAD",
    "excellent": "EXCELLENT",
    "acceptable": "ACCEPTABLE",
    "large": "LARGE GAP",
}


def _adapter_against_full(
    case: _Case, group: Sequence[Comparison], faults: Sequence[str]
) -> Verdict:
    first = group[0]
    is_adapter_baseline = case.kind(first.baseline) == "adapter"
    adapter = first.baseline if is_adapter_baseline else first.candidate
    curves = case.curves_of(adapter)
    is_overfitted = any(curve.is_overfitted for curve in curves)
    called = "LoRA" if case.count("adapter") == 1 else adapter
    primary = [c for c in group if c.case_set not in case.general]
    reasons, warnings, gaps = [], list(faults), []
    for c in primary:
        gap = adapter_to_full(
            c,
            is_adapter_baseline=is_adapter_baseline,
            rank=case.rank(adapter),
            is_overfitted=is_overfitted,
            adapter=called,
        )
        gaps.append(gap)
        reasons.append(f"{c.case_set}: {gap.text}" if len(primary) > 1 else gap.text)
        warnings += doubts(c)
        margin = c.details.get("margin")
        if gap.grade in {"lora ahead", "excellent"} and margin is not None:
            g = gain(c, of_baseline=not is_adapter_baseline)
            unit = scale(c.unit).factor
            if is_closeness_unprovable(c, margin, is_adapter_baseline):
                reasons.append("too few disagreements to prove closeness")
            elif (
                gap.grade == "lora ahead"
                and gap.support == "suggested"
                and g.high90 <= margin * unit
            ):
                reasons.append(f"{called} is within {margin * unit:g} points of full fine-tuning.")
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
        if doubts(c) or not g.has_interval:
            found.add("undecided")
        elif g.has_points and -margin < g.low90 and g.high90 < margin:
            is_proved = not is_closeness_unprovable(c, c.details.get("margin", inf))
            found.add("equivalent" if is_proved else "undecided")
        elif _p(c) < ALPHA and (g.low > 0 or g.high < 0):
            found.add("better" if g.low > 0 else "worse")
        else:
            found.add("undecided")
    return found.pop() if len(found) == 1 else "undecided"


def plan_sentence(n: int, discordant: float) -> str:
    """What ``n`` cases can show when two variants disagree on this share of them."""
    points = 100 * power.detectable(n, discordant)
    return (
        f"{n} examples can detect a difference of {points:.1f} points or more (80% power) "
        f"where two variants disagree on {discordant:.0%} of the cases."
    )
