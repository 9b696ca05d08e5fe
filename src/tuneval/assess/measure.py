"""What is measured: which metrics, which cases count, which slices they make, and the rows of each.

Not for: scores and comparisons (assess.py); what stands in a row is each metric's own matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tuneval import metrics
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.metrics.scripts import script_of
from tuneval.plan.spec import MetricsSpec
from tuneval.types import Case, CaseSet, Measurement, Prediction, Unit, Variant

UNREAD = "unparsed: one of several completions could not be read"

FEWEST_TO_SHOW = 10
"""A group of fewer cases gets no score."""

LABELLED = ("classify", "multiple_choice")
"""Tasks whose prediction is one of a few labels."""

Floats = NDArray[np.float64]

Predictions = Mapping[str, Sequence[Prediction]]
"""Variant name -> predictions in the order of the case set's cases."""


def choose_metrics(
    spec: MetricsSpec, cases: CaseSet, *, has_probabilities: bool = True
) -> tuple[Metric, ...]:
    """Build the metrics of a case set, the primary one first.

    Without label probabilities (labels that were generated, outputs from a file) the default
    metrics that need them are left out; one that was asked for is tried and says what it lacks. Prompts
    alone have none: a judge compares what was answered.

    Raises
    ------
    ConfigError, MetricError
        An unknown name, a metric whose package, model or data is missing, or one for prompts alone.
    """
    if cases.are_prompts_alone:
        if spec.primary != "auto":
            raise ConfigError(
                f'metric "{spec.primary}": {cases.name} has prompts alone, and nothing to compare an answer '
                "with but another answer. Leave --metrics away: the judge's win rate decides."
            )
        return ()
    defaults = metrics.defaults_of(cases)
    primary = metrics.expand([defaults[0] if spec.primary == "auto" else spec.primary])[0]
    others = metrics.expand(defaults if spec.also == "auto" else spec.also)
    named = _named([primary, *others])
    names = list(named)
    labels = labels_of(cases)
    script = script_of(text for case in cases.cases for text in case.references)
    built = tuple(
        metrics.build(name, labels=labels, script=script, **{**spec.options.get(name, {}), **word})
        for name, word in named.items()
    )
    if spec.also == "auto" and not has_probabilities:
        built = tuple(one for one in built if "label_probabilities" not in one.needs)
    unused = sorted(set(spec.options) - set(names))
    if unused:
        raise ConfigError(f'metrics.options: "{unused[0]}" is not among the metrics of this run.')
    return built


def _named(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """Name -> the option of its suffix; a name stands for one number, so for one suffix."""
    named: dict[str, dict[str, str]] = {}
    for name, option in map(metrics.with_suffix, dict.fromkeys(words)):
        if named.setdefault(name, option) != option:
            raise ConfigError(f'metric "{name}" is named twice, with different settings: name one.')
    return named


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
        metrics.try_out(metric, labels_of(cases))
        metric.per_case(cases.cases[: len(dry)], dry)


def labels_of(cases: CaseSet) -> tuple[str, ...]:
    """The declared labels of a case set, else those of its references."""
    if cases.labels:
        return cases.labels
    return tuple(sorted({case.references[0] for case in cases.cases if case.references}))


def measure(
    metric: Metric,
    cases: CaseSet,
    predictions: Sequence[Prediction],
    variant: Variant,
    positions: Sequence[int],
) -> Measurement:
    """Rows of one variant on the cases at these positions."""
    chosen = [cases.cases[position] for position in positions]
    rows, draws = rows_of(metric, chosen, [predictions[position] for position in positions])
    return Measurement(
        variant=variant.name,
        metric=metric.name,
        case_ids=tuple(case.id for case in chosen),
        rows=rows,
        draws=draws,
    )


def rows_of(
    metric: Metric, cases: Sequence[Case], predictions: Sequence[Prediction]
) -> tuple[Floats, Floats | None]:
    """Rows of a metric; of several completions of each case their mean, and those of each.

    Metrics of texts alone: a metric that looks at all completions itself has its own rule.
    """
    n_draws = max((len(one.texts) for one in predictions), default=0)
    if n_draws < 2 or tuple(metric.needs) != ("text",):
        return metric.per_case(cases, predictions), None
    draws = np.stack(
        [
            metric.per_case(cases, [_drawn(one, place) for one in predictions])
            for place in range(n_draws)
        ]
    )
    return draws.mean(axis=0), draws


def _drawn(prediction: Prediction, place: int) -> Prediction:
    """The prediction as if this completion were the only one."""
    if place >= len(prediction.texts):
        return prediction
    text = prediction.texts[place]
    return replace(prediction, text=text, problem=UNREAD if text is None else None)


def answered(cases: CaseSet, predictions: Predictions) -> dict[str, list[int]]:
    """Positions of the cases that count: slice name -> those that every variant could answer."""
    return _slices(cases, unanswered(predictions))


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


def is_swap(kind: str) -> bool:
    """Does a kind of twin ("gender:swap") exchange words about people? Such twins show whether the
    answer stays; keeping 90% of the score would be no excuse."""
    return kind.endswith(":swap")


def unanswered(predictions: Predictions) -> frozenset[int]:
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


def unparsed_share(
    members: Sequence[Variant], predictions: Predictions, positions: Sequence[int]
) -> float:
    """Share of an arm's answers that could not be read."""
    n_unread = sum(
        unread_share(predictions[member.name][position])
        for member in members
        for position in positions
    )
    return n_unread / max(len(members) * len(positions), 1)


def unread_share(prediction: Prediction) -> float:
    """How much of an answer could not be read: all or nothing, unless it was drawn several times."""
    if prediction.problem is not None or not prediction.texts:
        return float(prediction.problem is not None)
    return prediction.texts.count(None) / len(prediction.texts)


def class_counts(cases: Iterable[Case]) -> dict[str, int]:
    """Reference label -> number of cases."""
    return dict(Counter(case.references[0] for case in cases if case.references))


def worst_case(
    sides: Sequence[Sequence[Measurement]],
    is_unread: Mapping[str, Sequence[bool]],
    unit: Unit,
    *,
    gains: bool,
) -> list[list[Measurement]] | None:
    """Baseline and candidate as if every unread answer had spoken against the difference seen.

    Parameters
    ----------
    is_unread : mapping
        Variant name -> which of its cases have an answer that could not be read.
    gains : bool
        The candidate has the higher value.

    Returns
    -------
    list or None
        None where the values have no known range.
    """
    most = {"share": 1.0, "points": 100.0}.get(unit)
    if most is None or any(one.rows.shape[1] != 2 for side in sides for one in side):
        return None
    against: list[list[Measurement]] = []
    for side, worst in zip(sides, (most, 0.0) if gains else (0.0, most), strict=True):
        against.append([])
        for one in side:
            rows = one.rows.copy()
            rows[list(is_unread[one.variant])] = worst, 1.0  # one that was left out counts now
            against[-1].append(replace(one, rows=rows, draws=None))
    return against
