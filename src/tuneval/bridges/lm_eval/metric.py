"""lm-eval's numbers as sums over documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneval.bridges.lm_eval.installed import installed_version
from tuneval.types import Case, Prediction, StatisticKind, Unit

Floats = NDArray[np.float64]


SHARES = ("acc", "exact_match", "em", "f1", "mc1", "mc2", "pass@", "contains", "likelihood_diff")


@dataclass(frozen=True, slots=True)
class Sums:
    """How one of lm-eval's aggregations becomes sums: the row of a value, and the number of sums."""

    width: int
    statistic: StatisticKind
    unit: Unit


SUMS: Mapping[str, Sums] = {
    "mean": Sums(2, "mean", "number"),
    "nanmean": Sums(2, "mean", "number"),
    "brier_score": Sums(2, "mean", "number"),
    "perplexity": Sums(2, "corpus", "perplexity"),
    "weighted_perplexity": Sums(2, "corpus", "perplexity"),
    "bits_per_byte": Sums(2, "corpus", "bits"),
    "f1": Sums(3, "corpus", "share"),
    "matthews_corrcoef": Sums(4, "corpus", "number"),
}


def row_of(aggregation: str, value: Any) -> tuple[float, ...]:
    """Turn what lm-eval found for a document into a row that adds up.

    Raises
    ------
    ValueError, TypeError
        The value is not of the form that its aggregation takes.
    """
    if aggregation == "nanmean" and math.isnan(float(value)):
        return 0.0, 0.0
    if aggregation in ("mean", "nanmean", "perplexity"):
        return float(value), 1.0
    first, second = value
    if aggregation in ("weighted_perplexity", "bits_per_byte"):
        return float(first), float(second)
    if aggregation == "brier_score":
        expected = np.eye(len(second))[int(first)]
        return float(np.sum((np.asarray(second, dtype=float) - expected) ** 2)), 1.0
    expected, found = int(first), int(second)
    if {expected, found} - {0, 1}:
        raise ValueError(f"{aggregation} of more than two classes is no sum over documents")
    cells = (
        float(expected and found),
        float(found and not expected),
        float(expected and not found),
        float(not expected and not found),
    )
    return cells[: SUMS[aggregation].width]


def number_of(aggregation: str, sums: Floats) -> Floats:
    """Turn sums into the number that lm-eval's aggregation of the same documents gives."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if aggregation in ("f1", "matthews_corrcoef"):
            found = _f1(sums) if aggregation == "f1" else _mcc(sums)
            return np.where(sums.sum(axis=-1) > 0, found, np.nan)
        mean = sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], np.nan)
        if aggregation in ("perplexity", "weighted_perplexity"):
            return np.asarray(np.exp(-mean))
        return np.asarray(-mean / math.log(2) if aggregation == "bits_per_byte" else mean)


def _f1(sums: Floats) -> Floats:
    right, false, missed = (sums[..., n] for n in range(3))
    return np.nan_to_num(2 * right / (2 * right + false + missed), nan=0.0)


def _mcc(sums: Floats) -> Floats:
    tp, fp, fn, tn = (sums[..., n] for n in range(4))
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.nan_to_num((tp * tn - fp * fn) / below, nan=0.0, posinf=0.0, neginf=0.0)


class LmEvalMetric:
    """One of lm-eval's metrics, read from ``Prediction.values``.

    Parameters
    ----------
    name : str
        As lm-eval prints it: the metric, and after a comma the filter where there is one.
    aggregation : str
        A key of ``SUMS``.
    """

    uses_labels = False
    needs: tuple[str, ...] = ()

    def __init__(self, name: str, aggregation: str, *, higher_is_better: bool) -> None:
        sums = SUMS[aggregation]
        is_share = sums.statistic == "mean" and name.startswith(SHARES)
        self.name = name
        self.aggregation = aggregation
        self.higher_is_better = higher_is_better
        self.unit: Unit = "share" if is_share else sums.unit
        self.statistic: StatisticKind = "proportion" if is_share else sums.statistic
        self.reference = "lm-evaluation-harness"

    def check(self) -> None:
        """Nothing is needed: lm-eval is here, or the task would not be."""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """The sums that each document brought; zeros where it brought none."""
        nothing = (0.0,) * SUMS[self.aggregation].width
        rows = [one.values.get(self.name, nothing) for one in predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, len(nothing))

    def from_totals(self, totals: Floats) -> Floats:
        """lm-eval's aggregation, from sums."""
        return number_of(self.aggregation, totals)

    def signature(self) -> str:
        """Whose number it is."""
        return f"lm_eval:{installed_version()}|{self.name}|{self.aggregation}"
