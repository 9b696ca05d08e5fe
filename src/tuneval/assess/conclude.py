"""Assessments of all case sets -> adjusted comparisons, verdicts, and the one record of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tuneval import comparison
from tuneval.assess.assess import Assessment
from tuneval.assess.measure import LABELLED, Predictions, class_counts, is_missing
from tuneval.comparison.estimate.multiplicity import ALPHA
from tuneval.types import (
    CaseSet,
    Comparison,
    Effort,
    Finding,
    LearningCurve,
    RunResult,
    Score,
    TrainingLog,
    Variant,
    VariantFacts,
    Verdict,
    arms,
)
from tuneval.version import __version__


@dataclass(frozen=True, slots=True)
class About:
    """The run itself: what it is called, how it was asked for, where it ran and where it lies."""

    name: str
    run_id: str
    spec: Mapping[str, object]
    environment: Mapping[str, str]
    seconds: float
    output_dir: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared on what, and what is known of it besides."""

    variants: Sequence[Variant]
    case_sets: Sequence[CaseSet]
    facts: Sequence[VariantFacts] = ()
    logs: Mapping[str, TrainingLog] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What came out. The mappings are keyed by case set name."""

    predictions: Mapping[str, Predictions]
    assessments: Mapping[str, Assessment]
    primary_metrics: Mapping[str, str]
    findings: Sequence[Finding] = ()
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    alpha: float = ALPHA
    """What each kind of warning may use of the 5% of a run."""
    effort: tuple[Effort, ...] = ()


def conclude(about: About, compared: Compared, found: Found) -> RunResult:
    """Adjust the p-values over the whole run, decide, and put everything into one record."""
    variants, case_sets = compared.variants, compared.case_sets
    assessed = list(found.assessments.values())
    scores = tuple(score for one in assessed for score in one.scores)
    comparisons = adjust(assessed)
    curves = tuple(
        comparison.judge_training_log(log, variant, found.alpha / len(compared.logs))
        for variant, log in compared.logs.items()
    )
    findings = (*rankings(comparisons, found, variants), *lost_losses(curves), *found.findings)
    verdicts, headline = decide(
        comparisons,
        variants,
        found.primary_metrics,
        scores,
        compared.facts,
        curves,
        tuple(one.name for one in case_sets if one.is_guard),
        findings,
    )
    problems = (*found.problems, *missing_units(found.predictions))
    return RunResult(
        run_id=about.run_id,
        name=about.name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=about.seconds,
        tuneval_version=__version__,
        spec=about.spec,
        environment=about.environment,
        variants=tuple(variants),
        facts=tuple(compared.facts),
        case_sets=tuple(case_sets),
        predictions={
            one.name: tuple(
                read for cases in case_sets for read in found.predictions[cases.name][one.name]
            )
            for one in variants
        },
        case_scores={
            one.name: tuple(value for each in assessed for value in each.case_scores[one.name])
            for one in variants
        },
        primary_metrics=dict(found.primary_metrics),
        scores=scores,
        comparisons=comparisons,
        verdicts=verdicts,
        headline=headline,
        confusions=tuple(one for each in assessed for one in each.confusions),
        per_class=tuple(one for each in assessed for one in each.per_class),
        flips=tuple(one for each in assessed for one in each.flips),
        learning_curves=curves,
        findings=findings,
        problems=problems,
        notes=(
            *found.notes,
            *(line for cases in case_sets for line in baselines_of(cases)),
            *expected_warnings(findings, found.alpha, has_curves=bool(curves)),
        ),
        is_complete=not problems,
        output_dir=about.output_dir,
        effort=found.effort,
    )


def expected_warnings(
    findings: Sequence[Finding], alpha: float, *, has_curves: bool = False
) -> tuple[str, ...]:
    """How many false warnings a clean run of this shape is expected to have; () without any test."""
    tests = Counter(one.kind for one in findings if "p_adjusted" in one.values)
    kinds = [*tests, *(["loss curves"] if has_curves else [])]
    if not kinds:
        return ()
    return (
        f"A clean run of this shape is expected to have {alpha * len(kinds):.2f} false warnings: "
        f"tested for warnings were {', '.join(kinds)}, each with {100 * alpha:.1f}% for all arms and "
        "kinds together (Holm).",
    )


def lost_losses(curves: Iterable[LearningCurve]) -> Iterator[Finding]:
    """A warning for every training whose losses stopped being numbers: its weights may be none."""
    for curve in curves:
        step = curve.log.nan_from
        if step is not None:
            yield Finding(
                kind="training log",
                variant=curve.variant,
                case_set="",
                subject=curve.log.source,
                level="warning",
                sentence=curve.finding,
                values={"nan_from_step": float(step)},
            )


def rankings(
    comparisons: Sequence[Comparison], found: Found, variants: Sequence[Variant]
) -> list[Finding]:
    """Which of several tuned arms is best, as far as it can be told: one finding per case set."""
    from tuneval.assess.ranking import rank

    order = [arm for arm, own in arms(variants).items() if own[0].kind != "majority"]
    return [
        rank(name, one.selected, comparisons, one.scores, order)
        for name, one in found.assessments.items()
        if one.selected is not None
    ]


def adjust(assessments: Iterable[Assessment]) -> tuple[Comparison, ...]:
    """Correct the p-values of a whole run: Holm for what a verdict rests on, BH for the rest."""
    assessments = list(assessments)
    confirmatory = [one for found in assessments for one in found.confirmatory]
    exploratory = [one for found in assessments for one in found.exploratory]
    ranking = [one for found in assessments for one in found.ranking]
    return comparison.adjust(confirmatory, exploratory, ranking)


def decide(
    comparisons: Sequence[Comparison],
    variants: Sequence[Variant],
    primary_metrics: Mapping[str, str],
    scores: Sequence[Score],
    facts: Sequence[VariantFacts],
    curves: Sequence[LearningCurve],
    general: Collection[str] = (),
    findings: Sequence[Finding] = (),
) -> tuple[tuple[Verdict, ...], str]:
    """Judge what a run found, from records that all stand in its result.json.

    ``general`` names the case sets that guard what the base could do before.

    Returns the verdicts and the headline of the whole run.
    """
    verdicts, headline = comparison.decide(
        comparisons=comparisons,
        variants=variants,
        primary_metrics=primary_metrics,
        scores=scores,
        facts=facts,
        learning_curves=curves,
        general=general,
        findings=findings,
    )
    return (verdicts, headline) if verdicts else ((), "SCORES ONLY")


def decide_again(result: RunResult) -> RunResult:
    """Recompute the verdicts of a finished run from its own records; no model. Two runs laid side by
    side are no base and fine-tune: their verdicts stand."""
    if "diff" in result.spec:
        return result
    verdicts, headline = decide(
        result.comparisons,
        result.variants,
        result.primary_metrics,
        result.scores,
        result.facts,
        result.learning_curves,
        tuple(one.name for one in result.case_sets if one.is_guard),
        result.findings,
    )
    return replace(result, verdicts=verdicts, headline=headline)


def baselines_of(cases: CaseSet) -> tuple[str, ...]:
    """What a model that knows nothing would reach: the yardstick under every accuracy."""
    counts = class_counts(case for case in cases.cases if case.origin is None)
    if cases.task not in LABELLED or not counts:
        return ()
    from tuneval.comparison.decision.ranges import chance, majority

    label, share = majority(counts)
    guessing = chance(len(cases.labels or counts))
    return (
        f'{cases.name}: always answering "{label}" would be right in {share:.1%} of the cases, '
        f"guessing in {guessing:.1%}",
    )


def missing_units(predictions: Mapping[str, Predictions]) -> tuple[str, ...]:
    """One sentence for every answer that could not be had; an unreadable answer is not missing."""
    return tuple(
        f"{variant}, {one.case_id}: {one.problem}"
        for by_variant in predictions.values()
        for variant, own in by_variant.items()
        for one in own
        if is_missing(one)
    )
