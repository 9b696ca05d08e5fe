"""The metrics by which two records can be compared: built again where that needs no model, else the
values that the runs recorded of single cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose

import numpy as np
from numpy.typing import NDArray

from tuneval import metrics as metrics_room
from tuneval.assess.measure import labels_of
from tuneval.metrics import Metric
from tuneval.runs.shared import Shared
from tuneval.types import Case, CaseSet, Prediction, RunResult, Score, StatisticKind, Unit


def comparable_metrics(
    first: RunResult, second: RunResult, one: Shared, notes: list[str]
) -> list[Metric]:
    """Metrics that both runs measured the same way on this set, the second's primary one first."""
    before, after = (
        _scores(result, cases) for result, cases in ((first, one.first), (second, one.second))
    )
    primary = second.primary_metrics.get(one.second.name, "")
    chosen: list[Metric] = []
    for name in sorted(after, key=lambda metric: metric != primary):
        if name not in before or _signature(before[name], one.first) != _signature(
            after[name], one.second
        ):
            if name == primary:
                notes.append(f"{one.cases.name}: {name} was not measured the same way in both runs")
            continue
        metric: Metric | None = _rebuilt(after[name], second, one)
        if metric is None and name == primary == first.primary_metrics.get(one.first.name):
            metric = Recorded.of(after[name], first, second, one)
        if metric is not None:
            chosen.append(metric)
        elif name == primary:
            notes.append(
                f"{one.cases.name}: {name} cannot be compared from the records of the runs"
            )
    return chosen


def _scores(result: RunResult, cases: CaseSet) -> dict[str, Score]:
    return {
        one.metric: one
        for one in result.scores
        if one.case_set == cases.name and one.slice == "all"
    }


def _signature(score: Score, cases: CaseSet) -> str:
    """The metric's own, without that of the benchmark's cases."""
    return (
        score.signature.removesuffix(f"|{cases.signature}") if cases.signature else score.signature
    )


def _rebuilt(score: Score, result: RunResult, one: Shared) -> Metric | None:
    """The metric itself, where it needs no model and measures as it did in the run."""
    words = result.spec.get("metrics")
    options = words.get("options", {}).get(score.metric, {}) if isinstance(words, Mapping) else {}
    if score.metric not in metrics_room.METRICS:
        return None
    metric = metrics_room.build(score.metric, labels=labels_of(one.cases), **options)
    is_light = getattr(metric, "check", None) is None
    return metric if is_light and metric.signature() == _signature(score, one.second) else None


@dataclass(slots=True)
class Recorded:
    """The mean of the values that a run gave to single cases: for a metric that a record alone cannot
    measure again (a judge, a sandbox, another tool, a model)."""

    name: str
    unit: Unit
    higher_is_better: bool
    statistic: StatisticKind
    recorded_signature: str
    uses_labels: bool = False
    needs: tuple[str, ...] = ()

    @classmethod
    def of(cls, score: Score, first: RunResult, second: RunResult, one: Shared) -> Recorded | None:
        """None where the run's number is not the mean of its cases."""
        if not _is_mean(score, second, one):
            return None
        values = {
            value for run in (first, second) for own in run.case_scores.values() for value in own
        }
        kind: StatisticKind = "proportion" if values <= {0.0, 1.0, None} else "mean"
        return cls(score.metric, score.unit, score.higher_is_better, kind, score.signature)

    def with_value(self, prediction: Prediction, value: float | None) -> Prediction:
        if value is None:
            return replace(prediction, problem=prediction.problem or "no value in the run's record")
        return replace(prediction, values={**prediction.values, self.name: (value, 1.0)})

    def per_case(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> NDArray[np.float64]:
        """Rows (value, 1); nothing of a case without a value, which ``assess`` leaves out."""
        rows = [one.values.get(self.name, (0.0, 0.0)) for one in predictions]
        return np.asarray(rows, dtype=np.float64).reshape(len(predictions), 2)

    def from_totals(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(totals[..., 0] / totals[..., 1])

    def signature(self) -> str:
        return self.recorded_signature


def _is_mean(score: Score, result: RunResult, one: Shared) -> bool:
    start = min(one.after) - one.second.cases.index(one.cases.cases[0])
    members = {score.variant} | {v.name for v in result.variants if v.recipe == score.variant}
    means = []
    for name in members & set(result.case_scores):
        own = result.case_scores[name][start : start + len(one.second.cases)]
        pairs = zip(one.second.cases, own, strict=True)
        kept = [value for case, value in pairs if case.origin is None and value is not None]
        means.append(sum(kept) / len(kept) if kept else float("nan"))
    return bool(means) and isclose(sum(means) / len(means), score.value, abs_tol=1e-9)
