"""Predictions -> rows that add up; summed rows -> the number. Knows no variants and no p-values."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuneval import registry
from tuneval.types import Case, Prediction, StatisticKind, Unit


class Metric(Protocol):
    """One number of the field.

    ``uses_labels``: the constructor takes ``labels``, the label set, so that the columns of the rows
    are the same for every variant. ``needs`` names the fields of a Prediction that must be there
    ("text", "label", "label_probabilities", "nll", "completions"). A metric of kind "ranks" offers
    ``from_rows(rows) -> float``, and its ``from_totals`` refuses. One that needs data, a model or a
    package offers ``check()``, which raises MetricError with the remedy in one line.
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
    "aurc": "tuneval.metrics.calibration:RiskCoverage",
    "balanced_accuracy": "tuneval.metrics.classification:BalancedAccuracy",
    "bits_per_byte": "tuneval.metrics.perplexity:BitsPerByte",
    "brier": "tuneval.metrics.calibration:Brier",
    "brier_top_label": "tuneval.metrics.calibration:BrierTopLabel",
    "byte_perplexity": "tuneval.metrics.perplexity:BytePerplexity",
    "code_exact_match": "tuneval.metrics.exact_match:CodeExactMatch",
    "cohen_kappa": "tuneval.metrics.classification:CohenKappa",
    "ece": "tuneval.metrics.calibration:CalibrationError",
    "ece_width": "tuneval.metrics.calibration:CalibrationErrorWidth",
    "exact_match": "tuneval.metrics.exact_match:ExactMatch",
    "f1_binary": "tuneval.metrics.classification:F1Binary",
    "f1_macro": "tuneval.metrics.classification:F1Macro",
    "f1_micro": "tuneval.metrics.classification:F1Micro",
    "f1_weighted": "tuneval.metrics.classification:F1Weighted",
    "log_loss": "tuneval.metrics.calibration:LogLoss",
    "loss": "tuneval.metrics.perplexity:Loss",
    "mcc": "tuneval.metrics.classification:MatthewsCorrelation",
    "perplexity": "tuneval.metrics.perplexity:Perplexity",
    "precision_binary": "tuneval.metrics.classification:PrecisionBinary",
    "precision_macro": "tuneval.metrics.classification:PrecisionMacro",
    "precision_micro": "tuneval.metrics.classification:PrecisionMicro",
    "precision_weighted": "tuneval.metrics.classification:PrecisionWeighted",
    "recall_binary": "tuneval.metrics.classification:RecallBinary",
    "recall_macro": "tuneval.metrics.classification:RecallMacro",
    "recall_micro": "tuneval.metrics.classification:RecallMicro",
    "recall_weighted": "tuneval.metrics.classification:RecallWeighted",
    "word_perplexity": "tuneval.metrics.perplexity:WordPerplexity",
}

DEFAULTS: dict[str, tuple[str, ...]] = {
    "classify": (
        "accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "recall_macro",
        "balanced_accuracy",
        "mcc",
        "log_loss",
        "brier",
        "ece",
    ),
    "multiple_choice": ("accuracy", "log_loss", "brier", "ece"),
    "generate": ("exact_match",),
    "language_model": ("perplexity", "loss", "bits_per_byte"),
}
"""Task -> metrics that are computed unless told otherwise; the first is the primary one. One whose
``needs`` the task's predictions do not have (probabilities of generated labels) is dropped."""


@dataclass(frozen=True, slots=True)
class Description:
    """A line of ``tuneval list metrics``. ``reference`` is the program whose number is matched."""

    name: str
    summary: str
    unit: Unit
    higher_is_better: bool
    needs: tuple[str, ...]
    reference: str


def build(name: str, *, labels: Sequence[str] | None = None, **options: Any) -> Metric:
    """Make the metric called ``name``; ``labels`` goes to those that use them."""
    kind = registry.load(METRICS, name, room="metrics")
    if kind.uses_labels:
        options["labels"] = labels
    metric: Metric = kind(**options)
    return metric


def describe(name: str) -> Description:
    """Say what the metric called ``name`` is, from its class alone.

    Raises
    ------
    ConfigError
        There is no such metric.
    """
    kind = registry.load(METRICS, name, room="metrics")
    return Description(
        name=name,
        summary=(inspect.getdoc(kind) or "").partition("\n")[0],
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        needs=tuple(kind.needs),
        reference=getattr(kind, "reference", ""),
    )
