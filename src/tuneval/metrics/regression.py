"""How near predicted numbers are to the references: correlations and errors. Not for: labels or texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, ratio, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit


def number(text: str) -> float | None:
    """The finite number that a text is, None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class _Numbers:
    """Pairs of reference and predicted number; a prediction that is no number is left out."""

    name = ""
    unit: Unit = "number"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    reference = ""

    def pairs(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> list[tuple[float, float] | None]:
        """Reference and prediction of each case; None where the prediction is no number.

        Raises
        ------
        MetricError
            A reference is no number, or a prediction has neither text nor problem.
        """
        given = fields.texts(self.name, cases, predictions)
        found: list[tuple[float, float] | None] = []
        for case, text in zip(cases, given, strict=True):
            told = fields.references(self.name, case)[0]
            expected = number(told)
            if expected is None:
                raise MetricError(
                    f'metric "{self.name}": the reference of case "{case.id}" is "{told[:40]}", no '
                    "number. Use a metric of texts or labels, or mend the row."
                )
            predicted = None if text is None else number(text)
            found.append(None if predicted is None else (expected, predicted))
        return found

    def check(self) -> None:
        """Nothing is needed; labels of a dry row would be no numbers."""

    def signature(self) -> str:
        """What happens to answers that are no number."""
        return "no number:left out"


class _Errors(_Numbers, Mean):
    statistic: StatisticKind = "mean"
    higher_is_better = False

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (error, 1), in the unit of the references or its square; (0, 0) without a number."""
        found = self.pairs(cases, predictions)
        return rows((((0, 0) if one is None else (self.error(*one), 1)) for one in found), 2)

    def error(self, expected: float, predicted: float) -> float:
        """How far off one prediction is."""
        raise AssertionError(f"{type(self).__name__} has no error")


class MeanAbsoluteError(_Errors):
    """Mean distance between predicted and expected number, in their unit."""

    name = "mae"
    reference = "scikit-learn mean_absolute_error"

    def error(self, expected: float, predicted: float) -> float:
        return abs(predicted - expected)


class MeanSquaredError(_Errors):
    """Mean squared distance between predicted and expected number."""

    name = "mse"
    reference = "scikit-learn mean_squared_error"

    def error(self, expected: float, predicted: float) -> float:
        return (predicted - expected) ** 2


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean squared distance between predicted and expected number, in their unit."""

    name = "rmse"
    statistic: StatisticKind = "corpus"
    reference = "scikit-learn root_mean_squared_error"

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2) -> (...)."""
        return np.sqrt(super().from_totals(totals))


class _Moments(_Numbers):
    """Numbers that follow from sums of x, y, and their products."""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (1, x, y, x², y², xy) for reference x and prediction y; zeros without a number."""
        found = self.pairs(cases, predictions)
        return rows(
            (
                (0,) * 6
                if one is None
                else (1, one[0], one[1], one[0] ** 2, one[1] ** 2, one[0] * one[1])
                for one in found
            ),
            6,
        )


class Pearson(_Moments):
    """Linear correlation of predicted and expected numbers, from -1 to 1; nan where either is constant.

    References
    ----------
    Pearson (1895), Notes on regression and inheritance in the case of two parents.
    """

    name = "pearson"
    reference = "scipy.stats.pearsonr"

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 6) -> (...)."""
        n, x, y, xx, yy, xy = np.moveaxis(totals, -1, 0)
        above = n * xy - x * y
        spreads = [n * xx - x * x, n * yy - y * y]
        # A constant leaves what rounding left of it.
        is_flat = (spreads[0] <= 1e-12 * n * xx) | (spreads[1] <= 1e-12 * n * yy)
        below = np.sqrt(np.maximum(spreads[0], 0)) * np.sqrt(np.maximum(spreads[1], 0))
        found = ratio(above, np.where(is_flat, 0, below))
        return np.clip(found, -1, 1)


class RSquared(_Moments):
    """Share of the references' variance that is explained; below 0 where their mean does better."""

    name = "r2"
    reference = "scikit-learn r2_score"

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 6) -> (...)."""
        n, x, _, xx, yy, xy = np.moveaxis(totals, -1, 0)
        spread = xx - ratio(x * x, n)
        is_flat = ~(spread > 1e-12 * xx)
        return 1 - ratio(xx + yy - 2 * xy, np.where(is_flat, 0, spread))


class _Ranks(_Numbers):
    """Numbers that follow from the order of all rows."""

    statistic: StatisticKind = "ranks"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (reference, prediction, 1); zeros without a number."""
        found = self.pairs(cases, predictions)
        return rows(((0, 0, 0) if one is None else (*one, 1) for one in found), 3)

    def from_totals(self, totals: Floats) -> Floats:
        """Refuse: an order is not a sum.

        Raises
        ------
        MetricError
            Always; use ``from_rows``.
        """
        raise MetricError(f'metric "{self.name}" depends on an order, not on sums: use from_rows.')

    def from_rows(self, rows: Floats) -> float:
        """The number of all rows, shape (n_cases, 3); nan where either side is constant."""
        x, y = rows[rows[:, 2] > 0, :2].T
        if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return float("nan")
        return self.correlation(x, y)

    def correlation(self, x: Floats, y: Floats) -> float:
        """Of references and predictions, neither constant."""
        raise AssertionError(f"{type(self).__name__} has no correlation")


class Spearman(_Ranks):
    """Linear correlation of the ranks of predicted and expected numbers, ties at their mean rank.

    References
    ----------
    Spearman (1904), The proof and measurement of association between two things.
    """

    name = "spearman"
    reference = "scipy.stats.spearmanr"

    def correlation(self, x: Floats, y: Floats) -> float:
        from scipy.stats import rankdata

        a, b = (ranks - ranks.mean() for ranks in (rankdata(x), rankdata(y)))
        return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1, 1))


class KendallTau(_Ranks):
    """Share of pairs of cases in the same order less those in the other, ties allowed for (tau-b).

    References
    ----------
    Kendall (1945), The treatment of ties in ranking problems.
    """

    name = "kendall_tau"
    reference = "scipy.stats.kendalltau (tau-b)"

    def correlation(self, x: Floats, y: Floats) -> float:
        from scipy.stats import kendalltau

        return float(kendalltau(x, y).statistic)
