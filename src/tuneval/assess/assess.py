"""Predictions -> measurements -> scores, comparisons and verdicts: the half of the line after the
models, shared by runs that have models and runs that only have outputs.

Chooses what is measured and compared with what; the formulas are in metrics and comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import isnan

from tuneval import comparison, metrics
from tuneval.comparison import Settings
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.plan.spec import MetricsSpec
from tuneval.types import (
    Case,
    CaseSet,
    Comparison,
    Confusion,
    Finding,
    Flips,
    LearningCurve,
    Measurement,
    PerClass,
    Prediction,
    RunResult,
    Score,
    TrainingLog,
    Variant,
    VariantFacts,
    Verdict,
    arms,
)
from tuneval.version import __version__

FEWEST_TO_SHOW = 10
"""A group of fewer cases gets no score."""

Predictions = Mapping[str, Sequence[Prediction]]
"""Variant name -> predictions in the order of the case set's cases."""


@dataclass(slots=True)
class Assessment:
    """What was found on one case set. ``confirmatory`` comparisons are those that a verdict may
    rest on (primary metric, all cases of a set that is not exploratory); the others suggest."""

    scores: list[Score] = field(default_factory=list)
    confirmatory: list[Comparison] = field(default_factory=list)
    exploratory: list[Comparison] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    per_class: list[PerClass] = field(default_factory=list)
    flips: list[Flips] = field(default_factory=list)
    case_scores: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    measured: dict[str, dict[str, Measurement]] = field(default_factory=dict)
    """Rows of the primary metric: slice -> variant name -> Measurement."""

    def demote(self) -> None:
        """Let no verdict rest on it."""
        self.exploratory += self.confirmatory
        self.confirmatory = []


def choose_metrics(
    spec: MetricsSpec, cases: CaseSet, *, has_probabilities: bool = True
) -> tuple[Metric, ...]:
    """Build the metrics of a case set, the primary one first.

    Without label probabilities (labels that were generated, outputs from a file) the default
    metrics that need them are left out; one that was asked for is tried and says what it lacks.

    Raises
    ------
    ConfigError, MetricError
        An unknown name, or a metric whose package, model or data is missing.
    """
    defaults = metrics.defaults_of(cases)
    primary = metrics.expand([defaults[0] if spec.primary == "auto" else spec.primary])[0]
    others = metrics.expand(defaults if spec.also == "auto" else spec.also)
    names = [primary, *(name for name in others if name != primary)]
    labels = cases.labels or _labels_in(cases)
    built = tuple(
        metrics.build(name, labels=labels, **spec.options.get(name, {})) for name in names
    )
    if spec.also == "auto" and not has_probabilities:
        built = tuple(one for one in built if "label_probabilities" not in one.needs)
    unused = sorted(set(spec.options) - set(names))
    if unused:
        raise ConfigError(f'metrics.options: "{unused[0]}" is not among the metrics of this run.')
    return built


def try_metrics(chosen: Sequence[Metric], cases: CaseSet, dry: Sequence[Prediction] = ()) -> None:
    """Let a metric that lacks something fail now and not after hours of inference.

    Parameters
    ----------
    dry : sequence of Prediction
        At most one: what the run's task makes of a made-up answer to the first case.

    Raises
    ------
    MetricError
        What is missing and how to get it.
    """
    for metric in chosen:
        metrics.try_out(metric, cases.labels or _labels_in(cases))
        metric.per_case(cases.cases[: len(dry)], dry)


def _labels_in(cases: CaseSet) -> tuple[str, ...]:
    return tuple(sorted({case.references[0] for case in cases.cases if case.references}))


def assess(
    cases: CaseSet,
    chosen: Sequence[Metric],
    predictions: Predictions,
    variants: Sequence[Variant],
    baseline: str,
    settings: Settings,
) -> Assessment:
    """Measure, score and compare every arm on one case set, on every slice that it has.

    The first of ``chosen`` is the primary metric: it alone is measured on slices, and its
    comparisons on all cases are what a verdict may rest on. A case that one variant could not
    answer counts for none of them: a failure is not a wrong answer.
    """
    found = Assessment()
    rows = arms(variants)
    slices = _slices(cases, _unanswered(predictions))
    for metric in chosen:
        chosen_slices = slices if metric is chosen[0] else {"all": slices["all"]}
        measured = {
            slice_: {
                variant.name: measure(metric, cases, predictions[variant.name], variant, positions)
                for variant in variants
            }
            for slice_, positions in chosen_slices.items()
        }
        if metric is chosen[0]:
            found.measured = measured
        for slice_, by_variant in measured.items():
            if is_swap(slice_):
                continue  # shows whether answers stay, not a score to compare
            of_slice = _Slice(cases, slice_, slices[slice_], metric, settings)
            found.scores += [
                _signed(of_slice.score(arm, rows[arm], by_variant), cases) for arm in rows
            ]
            comparisons = [
                of_slice.compare(left, right, rows, by_variant, predictions)
                for left, right in pairs(rows, baseline)
            ]
            is_confirmatory = slice_ == "all" and metric is chosen[0] and not cases.is_exploratory
            (found.confirmatory if is_confirmatory else found.exploratory).extend(comparisons)
        if metric is chosen[0]:
            clean = _Slice(cases, "all", slices["all"], metric, settings)
            found.exploratory += _robustness(clean, measured, rows)
    found.case_scores = {
        variant.name: _case_values(chosen[0], cases, predictions[variant.name])
        for variant in variants
    }
    found.flips = _flips(cases, found.case_scores, chosen[0], rows, baseline)
    if cases.task in LABELLED:
        _add_confusions(found, cases, predictions, variants)
    return found


def add_slice(
    found: Assessment,
    name: str,
    positions: Sequence[int],
    cases: CaseSet,
    metric: Metric,
    predictions: Predictions,
    variants: Sequence[Variant],
    baseline: str,
    settings: Settings,
) -> None:
    """Score and compare every arm on one more choice of original cases; what it shows only suggests.

    Cases that one variant could not answer are left out, as everywhere.
    """
    rows = arms(variants)
    unanswered = _unanswered(predictions)
    kept = [position for position in positions if position not in unanswered]
    of_slice = _Slice(cases, name, kept, metric, settings)
    measured = {
        variant.name: measure(metric, cases, predictions[variant.name], variant, kept)
        for variant in variants
    }
    found.scores += [_signed(of_slice.score(arm, rows[arm], measured), cases) for arm in rows]
    found.exploratory += [
        of_slice.compare(left, right, rows, measured, predictions)
        for left, right in pairs(rows, baseline)
    ]


def _signed(score: Score, cases: CaseSet) -> Score:
    """A benchmark's number is comparable only with one of the same prompts and rows."""
    if not cases.signature:
        return score
    return replace(score, signature=f"{score.signature}|{cases.signature}")


LABELLED = ("classify", "multiple_choice")
"""Tasks whose prediction is one of a few labels."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """One metric on one choice of cases: what every score and comparison on it has in common."""

    cases: CaseSet
    name: str
    positions: Sequence[int]
    metric: Metric
    settings: Settings

    @property
    def chosen(self) -> list[Case]:
        return [self.cases.cases[position] for position in self.positions]

    @property
    def clusters(self) -> list[str] | None:
        """Cluster ids, or None if every case stands for itself."""
        ids = [case.cluster if case.cluster is not None else case.id for case in self.chosen]
        return ids if len(set(ids)) < len(ids) else None

    @property
    def class_counts(self) -> Mapping[str, int] | None:
        return class_counts(self.chosen) if self.metric.uses_labels else None

    def score(
        self, arm: str, members: Sequence[Variant], measured: Mapping[str, Measurement]
    ) -> Score:
        if len(members) == 1:
            return comparison.score(
                measured[members[0].name],
                self.metric,
                self.settings,
                case_set=self.cases.name,
                slice=self.name,
                clusters=self.clusters,
                class_counts=self.class_counts,
            )
        return comparison.score_recipe(
            [measured[member.name] for member in members],
            self.metric,
            self.settings,
            name=arm,
            case_set=self.cases.name,
            slice=self.name,
            clusters=self.clusters,
            class_counts=self.class_counts,
        )

    def compare(
        self,
        left: str,
        right: str,
        rows: Mapping[str, Sequence[Variant]],
        measured: Mapping[str, Measurement],
        predictions: Predictions,
    ) -> Comparison:
        return comparison.compare_recipe(
            [measured[one.name] for one in rows[left]],
            [measured[one.name] for one in rows[right]],
            self.metric,
            self.settings,
            baseline_name=left,
            candidate_name=right,
            case_set=self.cases.name,
            slice=self.name,
            clusters=self.clusters,
            unparsed=(
                unparsed_share(rows[left], predictions, self.positions),
                unparsed_share(rows[right], predictions, self.positions),
            ),
        )


def unparsed_share(
    members: Sequence[Variant], predictions: Predictions, positions: Sequence[int]
) -> float:
    """Share of an arm's answers that could not be read."""
    n_unread = sum(
        predictions[member.name][position].problem is not None
        for member in members
        for position in positions
    )
    return n_unread / max(len(members) * len(positions), 1)


def class_counts(cases: Iterable[Case]) -> dict[str, int]:
    """Reference label -> number of cases."""
    return dict(Counter(case.references[0] for case in cases if case.references))


def pairs(rows: Mapping[str, Sequence[Variant]], baseline: str) -> list[tuple[str, str]]:
    """Who is compared with whom: the baseline with every other arm, every adapter with every full."""
    against_baseline = [(baseline, arm) for arm in rows if arm != baseline]
    adapters = [arm for arm, members in rows.items() if members[0].kind == "adapter"]
    fulls = [arm for arm, members in rows.items() if members[0].kind == "full" and arm != baseline]
    return against_baseline + [(adapter, full) for adapter in adapters for full in fulls]


def adjust(assessments: Iterable[Assessment]) -> tuple[Comparison, ...]:
    """Correct the p-values of a whole run: Holm for what a verdict rests on, BH for the rest."""
    assessments = list(assessments)
    confirmatory = [one for found in assessments for one in found.confirmatory]
    exploratory = [one for found in assessments for one in found.exploratory]
    return comparison.adjust(confirmatory, exploratory)


def conclude(
    *,
    name: str,
    run_id: str,
    spec: Mapping[str, object],
    environment: Mapping[str, str],
    variants: Sequence[Variant],
    facts: Sequence[VariantFacts],
    case_sets: Sequence[CaseSet],
    predictions: Mapping[str, Predictions],
    assessments: Mapping[str, Assessment],
    primary_metrics: Mapping[str, str],
    logs: Mapping[str, TrainingLog],
    notes: Sequence[str],
    seconds: float,
    output_dir: str,
    findings: Sequence[Finding] = (),
    problems: Sequence[str] = (),
) -> RunResult:
    """Adjust the p-values over the whole run, decide, and put everything into one record.

    ``predictions`` and ``assessments`` are keyed by case set name.
    """
    found = list(assessments.values())
    scores = tuple(score for one in found for score in one.scores)
    comparisons = adjust(found)
    curves = tuple(comparison.judge_training_log(log, variant) for variant, log in logs.items())
    verdicts, headline = decide(
        comparisons,
        variants,
        primary_metrics,
        scores,
        facts,
        curves,
        tuple(one.name for one in case_sets if one.is_guard),
        findings,
    )
    problems = (*problems, *missing_units(predictions))
    return RunResult(
        run_id=run_id,
        name=name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=seconds,
        tuneval_version=__version__,
        spec=spec,
        environment=environment,
        variants=tuple(variants),
        facts=tuple(facts),
        case_sets=tuple(case_sets),
        predictions={
            one.name: tuple(
                read for cases in case_sets for read in predictions[cases.name][one.name]
            )
            for one in variants
        },
        case_scores={
            one.name: tuple(value for each in found for value in each.case_scores[one.name])
            for one in variants
        },
        primary_metrics=dict(primary_metrics),
        scores=scores,
        comparisons=comparisons,
        verdicts=verdicts,
        headline=headline,
        confusions=tuple(one for each in found for one in each.confusions),
        per_class=tuple(one for each in found for one in each.per_class),
        flips=tuple(one for each in found for one in each.flips),
        learning_curves=curves,
        findings=tuple(findings),
        problems=problems,
        notes=(*notes, *(line for cases in case_sets for line in baselines_of(cases))),
        is_complete=not problems,
        output_dir=output_dir,
    )


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
    """Recompute the verdicts of a finished run from its own records; no model."""
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


def _unanswered(predictions: Predictions) -> frozenset[int]:
    """Positions of cases to which some variant has no answer at all."""
    return frozenset(
        position
        for own in predictions.values()
        for position, one in enumerate(own)
        if is_missing(one)
    )


def is_missing(prediction: Prediction) -> bool:
    """No answer could be had. One that could not be read is an answer, and wrong."""
    problem = prediction.problem
    return problem is not None and not problem.startswith("unparsed")


def is_swap(kind: str) -> bool:
    """Does a kind of twin ("gender:swap") exchange words about people? Such twins show whether the
    answer stays; keeping 90% of the score would be no excuse."""
    return kind.endswith(":swap")


def answered(cases: CaseSet, predictions: Predictions) -> dict[str, list[int]]:
    """Positions of the cases that count: slice name -> those that every variant could answer."""
    return _slices(cases, _unanswered(predictions))


def _slices(cases: CaseSet, left_out: frozenset[int]) -> dict[str, list[int]]:
    """Slice name -> positions: all original cases, each group value, each kind of perturbation.

    A twin whose original is left out is left out with it. A group of fewer than 10 cases makes no
    slice: its number would only mislead.
    """
    gone = {cases.cases[position].id for position in left_out}
    slices: dict[str, list[int]] = {"all": []}
    twins: dict[str, list[int]] = {}
    for position, case in enumerate(cases.cases):
        if position in left_out or case.origin in gone:
            continue
        if case.perturbation is not None:
            twins.setdefault(case.perturbation, []).append(position)
            continue
        slices["all"].append(position)
        for attribute, value in case.groups.items():
            slices.setdefault(f"{attribute}={value}", []).append(position)
    slices = {
        name: positions
        for name, positions in slices.items()
        if name == "all" or len(positions) >= FEWEST_TO_SHOW
    }
    return slices | twins


def measure(
    metric: Metric,
    cases: CaseSet,
    predictions: Sequence[Prediction],
    variant: Variant,
    positions: Sequence[int],
) -> Measurement:
    """Rows of one variant on the cases at these positions."""
    chosen = [cases.cases[position] for position in positions]
    return Measurement(
        variant=variant.name,
        metric=metric.name,
        case_ids=tuple(case.id for case in chosen),
        rows=metric.per_case(chosen, [predictions[position] for position in positions]),
    )


def _robustness(
    clean: _Slice,
    measured: Mapping[str, Mapping[str, Measurement]],
    rows: Mapping[str, Sequence[Variant]],
) -> list[Comparison]:
    """Each arm's perturbed cases against its own clean ones, for every kind of perturbation."""
    twins = [case for case in clean.cases.cases if case.origin is not None]
    origins = {case.id: case.origin for case in twins if case.origin is not None}
    kinds = dict.fromkeys(case.perturbation for case in twins if case.perturbation in measured)
    return [
        comparison.judge_robustness(
            [measured["all"][member.name] for member in members],
            [measured[kind][member.name] for member in members],
            clean.metric,
            clean.settings,
            case_set=clean.cases.name,
            kind=kind,
            origins=origins,
            name=arm,
            clusters=clean.clusters,
        )
        for kind in kinds
        if kind is not None and not is_swap(kind)
        for arm, members in rows.items()
    ]


def _case_values(
    metric: Metric, cases: CaseSet, predictions: Sequence[Prediction]
) -> tuple[float | None, ...]:
    """The metric of each single case; None where the answer could not be had."""
    if metric.statistic == "ranks":
        return (None,) * len(cases.cases)
    values = metric.from_totals(metric.per_case(cases.cases, predictions))
    return tuple(
        None if is_missing(one) or isnan(value) else float(value)
        for one, value in zip(predictions, values, strict=True)
    )


def _flips(
    cases: CaseSet,
    values: Mapping[str, Sequence[float | None]],
    metric: Metric,
    rows: Mapping[str, Sequence[Variant]],
    baseline: str,
) -> list[Flips]:
    """Paired 2 x 2 tables, for metrics that are right or wrong; a recipe shows its first seed."""
    is_binary = all(one in (0, 1, None) for own in values.values() for one in own)
    if metric.statistic != "proportion" or not is_binary:
        return []
    tables = []
    for left, right in pairs(rows, baseline):
        one, other = values[rows[left][0].name], values[rows[right][0].name]
        table: dict[tuple[bool, bool], list[str]] = {}
        for case, a, b in zip(cases.cases, one, other, strict=True):
            if case.origin is None and a is not None and b is not None:
                table.setdefault((a == 1, b == 1), []).append(case.id)
        tables.append(
            Flips(
                baseline=rows[left][0].name,
                candidate=rows[right][0].name,
                case_set=cases.name,
                both_right=len(table.get((True, True), ())),
                both_wrong=len(table.get((False, False), ())),
                fixed=tuple(table.get((False, True), ())),
                broken=tuple(table.get((True, False), ())),
            )
        )
    return tables


def _add_confusions(
    found: Assessment, cases: CaseSet, predictions: Predictions, variants: Sequence[Variant]
) -> None:
    from tuneval.metrics.confusion import confusion_matrix, per_class

    labels = cases.labels or _labels_in(cases)
    clean = _slices(cases, _unanswered(predictions))["all"]
    chosen = [cases.cases[position] for position in clean]
    for variant in variants:
        counts = confusion_matrix(
            chosen, [predictions[variant.name][position] for position in clean], labels
        )
        found.confusions.append(
            Confusion(
                variant=variant.name,
                case_set=cases.name,
                labels=labels,
                counts=tuple(tuple(int(count) for count in row) for row in counts),
            )
        )
        precision, recall, f1 = per_class(counts)
        found.per_class += [
            PerClass(
                variant=variant.name,
                case_set=cases.name,
                label=label,
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
                n_cases=int(counts[index].sum()),
            )
            for index, label in enumerate(labels)
        ]
