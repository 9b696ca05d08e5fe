"""Whether the probabilities of labels can be believed: calibration error, Brier score, log loss.

Confidence is the probability of the predicted label, always from likelihoods, never from text.
Not for: fitting a temperature, which needs a split of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, ratio, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit

N_BINS = 15


class _Probabilities:
    name = ""
    unit: Unit = "share"
    higher_is_better = False
    statistic: StatisticKind = "mean"
    uses_labels = False
    needs: tuple[str, ...] = ("label_probabilities",)
    reference = ""

    def probabilities(self, case: Case, prediction: Prediction) -> Mapping[str, float] | None:
        """Label -> probability; None where a problem left none."""
        found = prediction.label_probabilities
        if not found:
            if prediction.problem is None:
                raise fields.missing(self.name, case, "label_probabilities")
            return None
        expected = fields.references(self.name, case)[0]
        if expected not in found:
            raise MetricError(
                f'metric "{self.name}": case "{case.id}" expects "{expected}", to which the '
                "prediction gives no probability. Add it to the label set, or drop the case."
            )
        return found

    def confidence(self, case: Case, prediction: Prediction) -> tuple[float, float, float]:
        """Confidence, right (0 or 1), and 1; all 0 where a problem left no probabilities."""
        found = self.probabilities(case, prediction)
        if found is None:
            return 0.0, 0.0, 0.0
        label = max(found, key=lambda name: found[name])
        return found[label], float(label in case.references), 1.0


class _Binned(_Probabilities):
    def __init__(self, bins: int = N_BINS) -> None:
        if bins < 1:
            raise MetricError(f'metric "{self.name}": bins is "{bins}" and must be 1 or more.')
        self.bins = bins


class _Ranked(_Probabilities):
    """Numbers of all (confidence, right) together."""

    statistic: StatisticKind = "ranks"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (confidence, right, 1); zeros where a problem left no probabilities.

        Raises
        ------
        MetricError
            A prediction has no label probabilities: its task does not score labels.
        """
        return rows(map(self.confidence, cases, predictions), 3)

    def from_totals(self, totals: Floats) -> Floats:
        """Not to be had from sums.

        Raises
        ------
        MetricError
            Always; use ``from_rows``.
        """
        raise MetricError(f'metric "{self.name}" needs all rows: use from_rows.')


class CalibrationError(_Binned, _Ranked):
    """Mean gap of confidence and accuracy over 15 bins of equally many cases.

    Biased upwards on few cases: a perfect model shows about 0.09 at 200 cases and 0.04 at 1,000.

    References
    ----------
    Naeini et al. (2015), Obtaining well calibrated probabilities using Bayesian binning; bins of
    equal mass as in Nguyen & O'Connor (2015).
    """

    name = "ece"
    why_no_interval = "no interval: the error is biased upwards by its bins"
    reference = "own; bins by numpy.array_split of the sorted confidences"

    def from_rows(self, rows: Floats) -> float:
        """The number from all rows, shape (n_cases, 3); nan without any."""
        rows = rows[rows[:, 2] > 0]
        if len(rows) == 0:
            return float("nan")
        ordered = rows[np.argsort(rows[:, 0], kind="stable")]
        # Where array_split would cut: the first bins take one case more.
        size, longer = divmod(len(ordered), self.bins)
        sizes = [size + (place < longer) for place in range(self.bins)]
        starts = np.cumsum([0, *sizes[:-1]])[np.array(sizes) > 0]
        gaps = np.add.reduceat(ordered[:, 0] - ordered[:, 1], starts)
        return float(np.abs(gaps).sum() / len(ordered))

    def signature(self) -> str:
        """Number and kind of bins."""
        return f"bins:{self.bins}|kind:equal mass|confidence:top label"


class CalibrationErrorWidth(_Binned):
    """Mean gap of confidence and accuracy over 15 bins of equal width.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks.
    """

    name = "ece_width"
    why_no_interval = "no interval: the error is biased upwards by its bins"
    statistic: StatisticKind = "corpus"
    reference = "scikit-learn calibration_curve, weighted by bin"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Confidence minus right, in the column of the case's bin, then 1 in the last column.

        Returns
        -------
        ndarray of float64, shape (n_cases, bins + 1)

        Raises
        ------
        MetricError
            A prediction has no label probabilities: its task does not score labels.
        """
        found = rows(map(self.confidence, cases, predictions), 3)
        confidence, right, counted = found.T
        # Bins are open below and closed above; 0 itself goes to the first.
        place = np.clip(np.ceil(confidence * self.bins).astype(np.int64) - 1, 0, self.bins - 1)
        marks = np.zeros((len(found), self.bins + 1))
        marks[np.arange(len(found)), place] = confidence - right
        marks[:, -1] = counted
        return marks

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., bins + 1) -> (...); nan without any case."""
        return ratio(np.abs(totals[..., :-1]).sum(axis=-1), totals[..., -1])

    def signature(self) -> str:
        """Number and kind of bins."""
        return f"bins:{self.bins}|kind:equal width|confidence:top label"


class RiskCoverage(_Ranked):
    """Area under the risk-coverage curve: mean error rate among the i most confident, over i.

    References
    ----------
    Geifman & El-Yaniv (2017), Selective classification for deep neural networks.
    """

    name = "aurc"
    reference = "own"

    def from_rows(self, rows: Floats) -> float:
        """The number from all rows, shape (n_cases, 3); nan without any.

        Equally confident cases share the mean of their errors, so their order does not count.
        """
        rows = rows[rows[:, 2] > 0]
        if len(rows) == 0:
            return float("nan")
        _, place, count = np.unique(-rows[:, 0], return_inverse=True, return_counts=True)
        wrong = np.bincount(place, weights=1 - rows[:, 1]) / count
        errors = np.cumsum(np.repeat(wrong, count))
        return float(np.mean(errors / np.arange(1, len(rows) + 1)))

    def signature(self) -> str:
        """How ties are broken."""
        return "ties:shared|confidence:top label"


class Brier(Mean, _Probabilities):
    """Squared distance of the probabilities from the right label, summed over labels: 0 to 2.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability.
    """

    name = "brier"
    unit: Unit = "number"
    statistic: StatisticKind = "mean"
    reference = "lm-evaluation-harness brier_score"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (squared distance, 1); zeros where a problem left no probabilities.

        Raises
        ------
        MetricError
            A prediction has no label probabilities: its task does not score labels.
        """
        return rows(map(self._row, cases, predictions), 2)

    def _row(self, case: Case, prediction: Prediction) -> tuple[float, float]:
        found = self.probabilities(case, prediction)
        return (0.0, 0.0) if found is None else (self.value(case, found), 1.0)

    def value(self, case: Case, found: Mapping[str, float]) -> float:
        """The number of one case."""
        expected = case.references[0]
        return sum((share - (label == expected)) ** 2 for label, share in found.items())

    def signature(self) -> str:
        """What is summed."""
        return "over:all labels"


class BrierTopLabel(Brier):
    """Squared distance of the confidence from right (1) or wrong (0): 0 to 1."""

    name = "brier_top_label"
    unit: Unit = "share"
    reference = "scikit-learn brier_score_loss of confidence and correctness"

    def value(self, case: Case, found: Mapping[str, float]) -> float:
        label = max(found, key=lambda name: found[name])
        return (found[label] - (label in case.references)) ** 2

    def signature(self) -> str:
        """What is squared."""
        return "over:top label"


class LogLoss(Brier):
    """Negative log-probability of the right label, in nats."""

    name = "log_loss"
    unit: Unit = "nats"
    reference = "scikit-learn log_loss"

    def value(self, case: Case, found: Mapping[str, float]) -> float:
        # scikit-learn's clip: a probability that underflowed to 0 must not decide the mean alone.
        return float(-np.log(max(found[case.references[0]], np.finfo(np.float64).eps)))

    def signature(self) -> str:
        """The smallest probability that counts."""
        return "clip:2.2e-16"
