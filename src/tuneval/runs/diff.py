"""Two finished runs -> one record: each arm against itself of the other run, on the cases that both
have. The same statistics as within a run; the sentences are of its own, since neither side is a base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval.assess.assess import Assessment, assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.comparison import Settings
from tuneval.comparison.decision.doubt import Outcome, doubts
from tuneval.comparison.decision.headline import headline
from tuneval.comparison.decision.tuned import outcome_of
from tuneval.comparison.wording import gain
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.registry import unknown
from tuneval.report import wording
from tuneval.report.view import Arm, View
from tuneval.runs.changes import Change, changes, finding
from tuneval.runs.recorded import Recorded, comparable_metrics
from tuneval.runs.shared import Shared, of_cases, shared_cases
from tuneval.types import (
    CaseSet,
    Comparison,
    Decision,
    Prediction,
    RunResult,
    Variant,
    VariantFacts,
    VariantKind,
    Verdict,
)

SAME = "THE SAME"


def diff(first: RunResult, second: RunResult, arms: Sequence[str] = ()) -> RunResult:
    """Lay two runs side by side.

    Parameters
    ----------
    arms : sequence of str
        None: every arm that both have; one: that arm of both; two: the first run's and the second's.

    Returns
    -------
    RunResult
        ``variants`` carry the run's name in brackets, the first run's as "base"; the cases are those
        that both have; the first finding lists what changed.

    Raises
    ------
    ConfigError
        No such arm, or no case and metric that both runs have.
    """
    shared = shared_cases(first, second)
    if not shared:
        raise ConfigError("the two runs have no case in common: there is nothing to compare.")
    pairs = [_Pair.of(first, second, *one) for one in _paired(first, second, arms)]
    changed = changes(first, second, shared, [(one.before, one.after) for one in pairs])
    equal = [pair for pair in pairs if pair.is_same(first, second, shared)]
    compared = [pair for pair in pairs if pair not in equal] or pairs
    notes: list[str] = []
    predictions: dict[str, dict[str, list[Prediction]]] = {}
    assessments: dict[str, Assessment] = {}
    primary: dict[str, str] = {}
    for one in shared:
        metrics = comparable_metrics(first, second, one, notes)
        if metrics:
            read = _read(first, second, one, compared, metrics[0])
            predictions[one.cases.name], primary[one.cases.name] = read, metrics[0].name
            assessments[one.cases.name] = _assess(
                one.cases, metrics, read, compared, _settings(second)
            )
    if not assessments:
        raise ConfigError("the two runs have no metric in common on the cases that both have.")
    case_sets = [one.cases for one in shared if one.cases.name in assessments]
    result = conclude(
        About(
            name=f"{first.name} -> {second.name}",
            run_id=f"{first.run_id} -> {second.run_id}",
            spec={"diff": [_where(first), _where(second)]},
            environment=second.environment,
            seconds=0.0,
            output_dir="",
        ),
        Compared(
            [variant for pair in compared for variant in (*pair.old, *pair.new)],
            case_sets,
            [fact for pair in compared for fact in pair.facts(first, second)],
        ),
        Found(
            predictions,
            assessments,
            primary,
            [finding(changed, [pair.named for pair in equal])],
            notes=notes,
        ),
    )
    judged = [_judge(pair, result, changed, is_same=pair in equal) for pair in compared]
    outcomes = [outcome for _, found in judged for outcome in found]
    overall = SAME if len(equal) == len(pairs) else headline(outcomes, [])
    return replace(result, verdicts=tuple(verdict for verdict, _ in judged), headline=overall)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An arm of the first run and one of the second, and what their variants are called here."""

    before: Arm
    after: Arm
    old: tuple[Variant, ...]
    new: tuple[Variant, ...]

    @classmethod
    def of(cls, first: RunResult, second: RunResult, before: Arm, after: Arm) -> _Pair:
        labels = _labels(first, second)
        kind: VariantKind = "full" if after.kind == "base" else after.kind
        return cls(
            before,
            after,
            tuple(_called(one, labels[0], "base") for one in before.variants),
            tuple(_called(one, labels[1], kind) for one in after.variants),
        )

    @property
    def named(self) -> str:
        return (
            self.before.name
            if self.before.name == self.after.name
            else f"{self.before.name} and {self.after.name}"
        )

    def is_same(self, first: RunResult, second: RunResult, shared: Sequence[Shared]) -> bool:
        """Are all answers to the shared cases equal?"""
        if len(self.old) != len(self.new):
            return False
        return all(
            repr(of_cases(first.predictions[old.name], one.before, one.cases))
            == repr(of_cases(second.predictions[new.name], one.after, one.cases))
            for old, new in zip(self.before.variants, self.after.variants, strict=True)
            for one in shared
        )

    def facts(self, first: RunResult, second: RunResult) -> list[VariantFacts]:
        sides = ((first, self.before, self.old), (second, self.after, self.new))
        return [
            replace(fact, variant=called.name)
            for result, arm, variants in sides
            for own, called in zip(arm.variants, variants, strict=True)
            for fact in result.facts
            if fact.variant == own.name
        ]


def _paired(first: RunResult, second: RunResult, names: Sequence[str]) -> list[tuple[Arm, Arm]]:
    before, after = ({arm.name: arm for arm in View.of(one).arms} for one in (first, second))
    if len(names) > 2:
        raise ConfigError(
            "--arm: give one arm of both runs, or one of the first and one of the second."
        )
    for name, known in zip([*names, *names][:2], (before, after), strict=False):
        if name not in known:
            raise ConfigError(f"--arm: {unknown(name, known)}.")
    if names:
        return [(before[names[0]], after[names[-1]])]
    both = [(before[name], after[name]) for name in before if name in after]
    if not both:
        raise ConfigError(
            f"no arm has the same name in both runs ({', '.join(before)}; {', '.join(after)}).\n"
            "Name two of them: --arm ARM_OF_THE_FIRST --arm ARM_OF_THE_SECOND."
        )
    return both


def _labels(first: RunResult, second: RunResult) -> tuple[str, str]:
    """What tells the runs apart in a name."""
    for one, other in ((first.name, second.name), (first.run_id, second.run_id)):
        if one != other:
            return one, other
    return "first", "second"


def _called(variant: Variant, label: str, kind: VariantKind) -> Variant:
    recipe = variant.recipe and f"{variant.recipe} ({label})"
    return replace(variant, name=f"{variant.name} ({label})", recipe=recipe, kind=kind)


def _where(result: RunResult) -> str:
    return result.output_dir or f"{result.name}-{result.run_id}"


def _settings(result: RunResult) -> Settings:
    words = result.spec.get("statistics")
    known = ("confidence", "resamples", "resampling_seed", "margin_points")
    return (
        Settings(**{key: words[key] for key in known if key in words})
        if isinstance(words, Mapping)
        else Settings()
    )


def _assess(
    cases: CaseSet,
    metrics: Sequence[Metric],
    read: Mapping[str, Sequence[Prediction]],
    pairs: Sequence[_Pair],
    settings: Settings,
) -> Assessment:
    """Every pair by itself: what one arm could not answer is not missing for another pair."""
    whole = Assessment()
    for pair in pairs:
        variants = (*pair.old, *pair.new)
        own = {one.name: read[one.name] for one in variants}
        baseline = pair.old[0].recipe or pair.old[0].name
        found = assess(cases, metrics, own, variants, baseline, settings)
        for name in ("scores", "confirmatory", "exploratory", "confusions", "per_class", "flips"):
            getattr(whole, name).extend(getattr(found, name))
        whole.case_scores |= found.case_scores
    return whole


def _read(
    first: RunResult, second: RunResult, one: Shared, pairs: Sequence[_Pair], primary: Metric
) -> dict[str, list[Prediction]]:
    """Variant -> answers to the shared cases, each with the value that its run gave it."""
    read = {}
    for pair in pairs:
        for result, arm, called, positions in (
            (first, pair.before, pair.old, one.before),
            (second, pair.after, pair.new, one.after),
        ):
            for own, variant in zip(arm.variants, called, strict=True):
                answers = of_cases(result.predictions[own.name], positions, one.cases)
                if isinstance(primary, Recorded):
                    values = result.case_scores[own.name]
                    answers = [
                        primary.with_value(answer, values[position])
                        for answer, position in zip(answers, positions, strict=True)
                    ]
                read[variant.name] = answers
    return read


def _judge(
    pair: _Pair, result: RunResult, changed: Sequence[Change], *, is_same: bool
) -> tuple[Verdict, list[Outcome]]:
    """The verdict on one pair, over all sets that both runs have."""
    names = [one[0].recipe or one[0].name for one in (pair.old, pair.new)]
    found = [
        one
        for one in result.comparisons
        if one.slice == "all"
        and one.details.get("confirmatory", 1.0)
        and one.metric == result.primary_metrics[one.case_set]
        and one.baseline in {names[0], pair.old[0].name}
        and one.candidate in {names[1], pair.new[0].name}
    ]
    outcomes: list[Outcome] = [outcome_of(one) for one in found]
    is_one_set = len(result.case_sets) == 1
    reasons = []
    for one, outcome in zip(found, outcomes, strict=True):
        of_set = "" if is_one_set else f" of {one.case_set}"
        shared = f"the {one.n_cases:,} cases{of_set} that both runs have"
        reasons.append(_sentence(one, outcome, names, shared, is_same=is_same))
    warnings = [text for one in found for text in doubts(one)]
    areas = {one.area for one in changed}
    if "prompts" in areas and not is_same:
        warnings.append("The prompts differ, too: the difference is not that of the weights alone.")
    if len(pair.old) == len(pair.new) == 1 and pair.after.kind != "base" and not is_same:
        reasons.append(
            "One training seed a side: this holds for the two checkpoints, not for their recipes."
        )
    overall = SAME if is_same else headline(outcomes, [])
    decision: Decision = "equivalent" if is_same else _decision(outcomes)
    said = tuple(dict.fromkeys(warnings))
    return Verdict(names[1], names[0], decision, overall, tuple(reasons), said), outcomes


def _decision(outcomes: Sequence[Outcome]) -> Decision:
    kinds = set(outcomes)
    if kinds == {"no change"}:
        return "equivalent"
    if "worse" in kinds:
        return "undecided" if "better" in kinds else "worse"
    return "better" if "better" in kinds else "undecided"


def _sentence(
    one: Comparison, outcome: Outcome, names: Sequence[str], shared: str, *, is_same: bool
) -> str:
    old, new = names
    if is_same:
        return f"{new} and {old} are the same: every answer is equal on {shared}."
    g = gain(one)
    amount = f"{g.scale.plain(abs(g.value))}{g.scale.noun}"
    metric = wording.metric_title(one.metric)
    if outcome in ("better", "worse"):
        low, high = (g.low, g.high) if outcome == "better" else (-g.high, -g.low)
        bounds = f"({g.scale.plain(low)} to {g.scale.plain(high)})"
        return f"{new} is {outcome} than {old} by {amount} {bounds} in {metric} on {shared}."
    bounds = (
        f"({g.scale.signed(g.low)} to {g.scale.signed(g.high)})"
        if g.has_interval
        else "(no interval)"
    )
    value = f"{g.scale.signed(g.value)}{g.scale.noun} {bounds}"
    if outcome == "no change":
        return f"{new} and {old} differ by less than 1 point in {metric}: {value} on {shared}."
    return f"The data cannot tell {new} from {old}: {value} in {metric} on {shared}."
