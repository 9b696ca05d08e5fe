"""Sums of rows -> a number: the ratio of two sums, and the metrics that are plain means.

Not for: what stands in the rows, which is each metric's own matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuneval.metrics import fields
from tuneval.types import Case, Prediction, StatisticKind

Floats = NDArray[np.float64]


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Divide elementwise; nan where ``below`` is 0, without a warning."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    found: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return found


def rows(values: Iterable[Iterable[float]], n_sums: int) -> Floats:
    """The rows as float64 of shape (n_cases, n_sums), also when there is no case."""
    return np.array([tuple(value) for value in values], dtype=np.float64).reshape(-1, n_sums)


class Mean:
    """A metric whose rows are (value, 1), or (0, 0) where a case has no value."""

    statistic: StatisticKind = "mean"
    uses_labels = False

    def from_totals(self, totals: Floats) -> Floats:
        """Mean over cases; nan without any. Shape (..., 2) -> (...)."""
        return ratio(totals[..., 0], totals[..., 1])


class MeanOfTexts(Mean):
    """A mean over texts, each compared with its own references and nothing else."""

    name: str
    needs: tuple[str, ...] = ("text",)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (score, 1).

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        given = fields.texts(self.name, cases, predictions)
        return rows(((self.value(*one), 1.0) for one in zip(cases, given, strict=True)), 2)

    def value(self, case: Case, text: str | None) -> float:
        """The score of one answer, whose text is None where a problem left none."""
        raise AssertionError(f"{type(self).__name__} has no value")
