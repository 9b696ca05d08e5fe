"""Predictions -> rows that add up; summed rows -> the number. Knows no variants and no p-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuneval import registry
from tuneval.types import Case, Prediction, StatisticKind, Unit


class Metric(Protocol):
    """One number of the field.

    ``uses_labels``: the constructor takes ``labels``, the label set, so that the columns of the rows
    are the same for every variant. ``needs`` names the fields of a Prediction that must be there
    ("text", "label", "label_probabilities", "nll", "completions").
    """

    name: str
    unit: Unit
    higher_is_better: bool
    statistic: StatisticKind
    uses_labels: bool
    needs: tuple[str, ...]

    def per_case(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> NDArray[np.float64]: ...
    def from_totals(self, totals: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def signature(self) -> str: ...


METRICS = {
    "accuracy": "tuneval.metrics.accuracy:Accuracy",
}


def build(name: str, *, labels: Sequence[str] | None = None, **options: Any) -> Metric:
    """Make the metric called ``name``; ``labels`` goes to those that use them."""
    kind = registry.load(METRICS, name, room="metrics")
    if kind.uses_labels:
        options["labels"] = labels
    metric: Metric = kind(**options)
    return metric
