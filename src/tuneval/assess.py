"""Predictions -> measurements -> scores, comparisons and verdicts: the half of the line after the
models, shared by runs that have models and runs that only have outputs.

Chooses what is measured and compared with what; the formulas are in metrics and comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tuneval import comparison, metrics
from tuneval.comparison import Settings
from tuneval.config import MetricsSpec
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.types import (
    Case,
    CaseSet,
    Comparison,
    Confusion,
    Flips,
    Measurement,
    PerClass,
    Prediction,
    Score,
    Variant,
    arms,
)

Predictions = Mapping[str, Sequence[Prediction]]
"""Variant name -> predictions in the order of the case set's cases."""


@dataclass(slots=True)
class Assessment:
    """What was found on one case set. ``confirmatory`` comparisons are those that a verdict may
    rest on (primary metric, all cases); the others only suggest."""

    scores: list[Score] = field(default_factory=list)
    confirmatory: list[Comparison] = field(default_factory=list)
    exploratory: list[Comparison] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    per_class: list[PerClass] = field(default_factory=list)
    flips: list[Flips] = field(default_factory=list)
    case_scores: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    robustness: list[comparison.Robustness] = field(default_factory=list)


def choose_metrics(spec: MetricsSpec, cases: CaseSet) -> tuple[Metric, ...]:
    """Build the metrics of a case set, the primary one first.

    Raises
    ------
    ConfigError, MetricError
        An unknown name, or a metric whose package, model or data is missing.
    """
    defaults = metrics.DEFAULTS[cases.task]
    primary = defaults[0] if spec.primary == "auto" else spec.primary
    others = defaults if spec.also == "auto" else spec.also
    names = [primary, *(name for name in others if name != primary)]
    labels = cases.labels or _labels_in(cases)
    built = tuple(
        metrics.build(name, labels=labels, **spec.options.get(name, {})) for name in names
    )
    unused = sorted(set(spec.options) - set(names))
    if unused:
        raise ConfigError(f'metrics.options: "{unused[0]}" is not among the metrics of this run.')
    return built


def try_metrics(chosen: Sequence[Metric], cases: CaseSet) -> None:
    """Measure one made-up perfect prediction, so that a metric that lacks something fails now and
    not after hours of inference.

    Raises
    ------
    MetricError
        What is missing and how to get it.
    """
    case = cases.cases[0]
    reference = case.references[0] if case.references else ""
    labels = cases.labels or _labels_in(cases)
    perfect = Prediction(
        case_id=case.id,
        text=reference,
        label=reference,
        label_probabilities={label: float(label == reference) for label in labels},
        completions=(reference,),
        nll=1.0,
        n_tokens=1,
        n_bytes=max(len(reference.encode()), 1),
        token_logprobs=(-1.0,),
    )
    for metric in chosen:
        metric.per_case([case], [perfect])


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
    """Measure, score and compare every arm on one case set, on every slice that it has."""
    found = Assessment()
    slices = _slices(cases)
    rows = arms(variants)
    for metric in chosen:
        is_primary = metric is chosen[0]
        for slice_, positions in slices.items():
            measured = {
                variant.name: _measure(metric, cases, predictions[variant.name], variant, positions)
                for variant in variants
            }
            clusters = _clusters(cases.cases[position] for position in positions)
            common = {"case_set": cases.name, "slice": slice_, "clusters": clusters}
            found.scores += [
                _score(arm, members, measured, metric, settings, common)
                for arm, members in rows.items()
            ]
            if slice_ != "all" and not is_primary:
                continue
            comparisons = [
                comparison.compare_recipe(
                    [measured[one.name] for one in rows[left]],
                    [measured[one.name] for one in rows[right]],
                    metric,
                    settings,
                    baseline_name=left,
                    candidate_name=right,
                    **common,
                )
                for left, right in pairs(rows, baseline)
            ]
            if is_primary and slice_ == "all":
                found.confirmatory += comparisons
            else:
                found.exploratory += comparisons
    primary = chosen[0]
    found.robustness += _robustness(cases, primary, predictions, rows, slices, settings)
    found.case_scores = {
        variant.name: _case_values(primary, cases, predictions[variant.name])
        for variant in variants
    }
    found.flips = _flips(cases, found.case_scores, primary, rows, baseline)
    if cases.task in ("classify", "multiple_choice"):
        _add_confusions(found, cases, predictions, variants)
    return found


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


def _slices(cases: CaseSet) -> dict[str, list[int]]:
    """Slice name -> positions: all original cases, each group value, each kind of perturbation."""
    slices: dict[str, list[int]] = {"all": []}
    for position, case in enumerate(cases.cases):
        if case.origin is None:
            slices["all"].append(position)
            for attribute, value in case.groups.items():
                slices.setdefault(f"{attribute}={value}", []).append(position)
    for position, case in enumerate(cases.cases):
        if case.perturbation is not None:
            slices.setdefault(case.perturbation, []).append(position)
    return slices


def _measure(
    metric: Metric,
    cases: CaseSet,
    predictions: Sequence[Prediction],
    variant: Variant,
    positions: Sequence[int],
) -> Measurement:
    chosen = [cases.cases[position] for position in positions]
    return Measurement(
        variant=variant.name,
        metric=metric.name,
        case_ids=tuple(case.id for case in chosen),
        rows=metric.per_case(chosen, [predictions[position] for position in positions]),
    )


def _clusters(cases: Iterable[Case]) -> list[str] | None:
    """Cluster ids, or None if every case stands for itself."""
    ids = [case.cluster if case.cluster is not None else case.id for case in cases]
    return ids if len(set(ids)) < len(ids) else None


def _score(
    arm: str,
    members: Sequence[Variant],
    measured: Mapping[str, Measurement],
    metric: Metric,
    settings: Settings,
    common: Mapping[str, object],
) -> Score:
    if len(members) == 1:
        one = comparison.score(measured[members[0].name], metric, settings, **common)  # type: ignore[arg-type]
    else:
        one = comparison.score_recipe(
            [measured[member.name] for member in members],
            metric,
            settings,
            **common,  # type: ignore[arg-type]
        )
    return replace(one, variant=arm)


def _case_values(
    metric: Metric, cases: CaseSet, predictions: Sequence[Prediction]
) -> tuple[float | None, ...]:
    """The metric of each single case; None where the answer could not be had."""
    if metric.statistic == "ranks":
        return (None,) * len(cases.cases)
    values = metric.from_totals(metric.per_case(cases.cases, predictions))
    return tuple(
        None if value != value else float(value) for value in (float(one) for one in values)
    )


def _flips(
    cases: CaseSet,
    values: Mapping[str, Sequence[float | None]],
    metric: Metric,
    rows: Mapping[str, Sequence[Variant]],
    baseline: str,
) -> list[Flips]:
    """Paired 2 x 2 tables, for metrics that are right or wrong; a recipe shows its first seed."""
    if metric.statistic != "proportion":
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
    clean = [position for position, case in enumerate(cases.cases) if case.origin is None]
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
