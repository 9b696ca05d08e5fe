"""Averages over labels: precision, recall and F1 in every form, balanced accuracy, MCC, kappa.

All share one kind of row: for each label, whether the case is a true positive, a false positive
and a false negative of it. An unparsed prediction is a false negative of its reference alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio
from tuneval.metrics.confusion import codes
from tuneval.types import Case, Prediction, StatisticKind, Unit


class _LabelCounts:
    name = ""
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = True
    needs: tuple[str, ...] = ("label",)
    reference = ""
    averaging = ""

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        self.labels = None if labels is None else tuple(labels)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Mark true positives, false positives and false negatives.

        Returns
        -------
        ndarray of float64, shape (n_cases, 3 * n_labels)
            Columns: true positive of each label, then false positive, then false negative.

        Raises
        ------
        MetricError
            A reference outside the label set, or a prediction without label and without problem.
        """
        labels = fields.label_set(self.labels, cases)
        expected, given = codes(self.name, cases, predictions, labels)
        # One column more than there are labels takes the unparsed, and is cut off again.
        marks = np.zeros((len(cases), 3, len(labels) + 1))
        case = np.arange(len(cases))
        is_right = expected == given
        marks[case[is_right], 0, expected[is_right]] = 1
        marks[case[~is_right], 1, given[~is_right]] = 1
        marks[case[~is_right], 2, expected[~is_right]] = 1
        return marks[:, :, :-1].reshape(len(cases), 3 * len(labels))

    def from_totals(self, totals: Floats) -> Floats:
        """Average over labels. Shape (..., 3 * n_labels) -> (...); nan without any case."""
        totals = np.asarray(totals, dtype=np.float64)
        right, false, missed = np.split(totals, 3, axis=-1)
        value = self.average(right, false, missed)
        has_cases = (right + missed).sum(axis=-1) > 0
        return np.where(has_cases, value, np.nan)

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        """The number, from counts of shape (..., n_labels)."""
        raise AssertionError(f"{type(self).__name__} has no average")

    def signature(self) -> str:
        """How labels are averaged, and what an unparsed prediction is."""
        return f"{self.averaging}|unparsed:missed"


def _of(kind: str, right: Floats, false: Floats, missed: Floats) -> Floats:
    # scikit-learn's zero_division=0: a label that occurs somewhere has a value.
    below = {
        "precision": right + false,
        "recall": right + missed,
        "f1": right + (false + missed) / 2,
    }[kind]
    return np.nan_to_num(ratio(right, below), nan=0.0)


class _Macro(_LabelCounts):
    kind = ""
    averaging = "average:macro|absent labels:left out"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        # As scikit-learn does when it is given no label set: labels that are neither expected
        # nor predicted are no part of the average. So a subgroup without a class is not punished.
        occurs = right + false + missed > 0
        values = _of(self.kind, right, false, missed)
        return ratio((values * occurs).sum(axis=-1), occurs.sum(axis=-1))


class _Weighted(_LabelCounts):
    kind = ""
    averaging = "average:weighted"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        support = right + missed
        values = _of(self.kind, right, false, missed)
        return ratio((values * support).sum(axis=-1), support.sum(axis=-1))


class _Micro(_LabelCounts):
    kind = ""
    averaging = "average:micro"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        return _of(self.kind, right.sum(axis=-1), false.sum(axis=-1), missed.sum(axis=-1))


class _Binary(_LabelCounts):
    kind = ""
    suffix = "positive"

    def __init__(self, labels: Sequence[str] | None = None, positive: str | None = None) -> None:
        super().__init__(labels)
        if labels is not None:
            self._place_of_positive(labels, positive)
        self.positive = positive

    def _place_of_positive(self, labels: Sequence[str], positive: str | None) -> int:
        if positive is not None and positive not in labels:
            raise MetricError(
                f'metric "{self.name}": the positive label "{positive}" is not one of the labels '
                f"({', '.join(labels)}). Name one of them."
            )
        if positive is None and len(labels) != 2:
            raise MetricError(
                f'metric "{self.name}" needs two labels or a positive one, and there are '
                f'{len(labels)}. Name the positive one ("{self.name}:LABEL"), or use '
                f'"{self.name.replace("binary", "macro")}".'
            )
        return 1 if positive is None else list(labels).index(positive)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Mark true positives, false positives and false negatives of the positive label.

        Returns
        -------
        ndarray of float64, shape (n_cases, 4)
            Columns: true positive, false positive, false negative, 1.

        Raises
        ------
        MetricError
            As for the other averages, or no positive label can be told.
        """
        labels = fields.label_set(self.labels, cases)
        if not cases:
            return np.zeros((0, 4))
        place = self._place_of_positive(labels, self.positive)
        marks = super().per_case(cases, predictions).reshape(len(cases), 3, len(labels))
        return np.column_stack([marks[:, :, place], np.ones(len(cases))])

    def from_totals(self, totals: Floats) -> Floats:
        """The number of the positive label. Shape (..., 4) -> (...); nan without any case."""
        totals = np.asarray(totals, dtype=np.float64)
        value = _of(self.kind, totals[..., 0], totals[..., 1], totals[..., 2])
        return np.where(totals[..., 3] > 0, value, np.nan)

    def signature(self) -> str:
        """The positive label."""
        positive = self.positive or (self.labels[1] if self.labels else "second label")
        return f"average:binary|positive:{positive}|unparsed:missed"


class PrecisionMacro(_Macro):
    """Precision, averaged over labels."""

    name, kind = "precision_macro", "precision"
    reference = 'scikit-learn precision_score(average="macro")'


class RecallMacro(_Macro):
    """Recall, averaged over labels."""

    name, kind = "recall_macro", "recall"
    reference = 'scikit-learn recall_score(average="macro")'


class F1Macro(_Macro):
    """Harmonic mean of precision and recall, averaged over labels."""

    name, kind = "f1_macro", "f1"
    reference = 'scikit-learn f1_score(average="macro")'


class PrecisionWeighted(_Weighted):
    """Precision, averaged over labels by how often each is expected."""

    name, kind = "precision_weighted", "precision"
    reference = 'scikit-learn precision_score(average="weighted")'


class RecallWeighted(_Weighted):
    """Recall, averaged over labels by how often each is expected."""

    name, kind = "recall_weighted", "recall"
    reference = 'scikit-learn recall_score(average="weighted")'


class F1Weighted(_Weighted):
    """Harmonic mean of precision and recall, averaged over labels by how often each is expected."""

    name, kind = "f1_weighted", "f1"
    reference = 'scikit-learn f1_score(average="weighted")'


class PrecisionMicro(_Micro):
    """Right predictions among those that name a label."""

    name, kind = "precision_micro", "precision"
    reference = 'scikit-learn precision_score(average="micro")'


class RecallMicro(_Micro):
    """Right predictions among all cases."""

    name, kind = "recall_micro", "recall"
    reference = 'scikit-learn recall_score(average="micro")'


class F1Micro(_Micro):
    """Harmonic mean of micro precision and micro recall; accuracy where nothing is unparsed."""

    name, kind = "f1_micro", "f1"
    reference = 'scikit-learn f1_score(average="micro")'


class PrecisionBinary(_Binary):
    """Precision of the positive label."""

    name, kind = "precision_binary", "precision"
    reference = 'scikit-learn precision_score(average="binary")'


class RecallBinary(_Binary):
    """Recall of the positive label."""

    name, kind = "recall_binary", "recall"
    reference = 'scikit-learn recall_score(average="binary")'


class F1Binary(_Binary):
    """Harmonic mean of precision and recall of the positive label."""

    name, kind = "f1_binary", "f1"
    reference = 'scikit-learn f1_score(average="binary")'


class BalancedAccuracy(_LabelCounts):
    """Recall, averaged over the labels that are expected somewhere."""

    name = "balanced_accuracy"
    reference = "scikit-learn balanced_accuracy_score"
    averaging = "average:recall of expected labels"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        is_expected = right + missed > 0
        recalls = _of("recall", right, false, missed)
        return ratio((recalls * is_expected).sum(axis=-1), is_expected.sum(axis=-1))


class MatthewsCorrelation(_LabelCounts):
    """Correlation of expected and predicted labels, from -1 to 1; unparsed is a label of its own.

    0 where only one label is expected or predicted, as in scikit-learn.

    References
    ----------
    Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """

    name = "mcc"
    unit: Unit = "number"
    reference = "scikit-learn matthews_corrcoef"
    averaging = "form:multiclass"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        expected, predicted = right + missed, right + false
        n = expected.sum(axis=-1)
        unparsed = n - predicted.sum(axis=-1)
        together = right.sum(axis=-1) * n - (expected * predicted).sum(axis=-1)
        spread = n**2 - (expected**2).sum(axis=-1)
        spread_predicted = n**2 - (predicted**2).sum(axis=-1) - unparsed**2
        return np.nan_to_num(ratio(together, np.sqrt(spread * spread_predicted)), nan=0.0)


class CohenKappa(_LabelCounts):
    """Agreement of expected and predicted labels beyond chance; unparsed is a label of its own.

    References
    ----------
    Cohen (1960), A coefficient of agreement for nominal scales.
    """

    name = "cohen_kappa"
    unit: Unit = "number"
    reference = "scikit-learn cohen_kappa_score"
    averaging = "weights:none"

    def average(self, right: Floats, false: Floats, missed: Floats) -> Floats:
        expected, predicted = right + missed, right + false
        n = expected.sum(axis=-1)
        by_chance = (expected * predicted).sum(axis=-1)
        return ratio(right.sum(axis=-1) * n - by_chance, n**2 - by_chance)
