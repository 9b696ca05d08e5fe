"""Accuracy that counts every group alike, whatever its size (MMLU over its subjects)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio
from tuneval.types import Case, Prediction, StatisticKind, Unit


class MacroAccuracy:
    """Mean over groups of the share of right labels.

    Parameters
    ----------
    group : str
        The attribute whose values are the groups.
    strata : sequence of str, optional
        Its values; by default those of the cases.

    References
    ----------
    Hendrycks et al. (2021), Measuring massive multitask language understanding.
    """

    name = "accuracy_macro"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("label",)
    reference = "mean of scikit-learn's accuracy_score over groups"

    def __init__(self, group: str = "subject", strata: Sequence[str] | None = None) -> None:
        self.group = group
        self.strata = None if strata is None else tuple(strata)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Mark right answers and cases in the columns of the case's group.

        Returns
        -------
        ndarray of float64, shape (n_cases, 2 * n_groups)
            Columns: right answers of each group, then cases of each group.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without label and without problem.
        """
        own = [case.groups.get(self.group, "") for case in cases]
        strata = (tuple(dict.fromkeys(own)) or ("",)) if self.strata is None else self.strata
        places = {name: place for place, name in enumerate(strata)}
        rows = np.zeros((len(cases), 2 * len(strata)))
        labels = fields.labels(self.name, cases, predictions)
        for row, case, stratum, label in zip(rows, cases, own, labels, strict=True):
            place = places.get(stratum)
            if place is not None:
                row[place] = label in fields.references(self.name, case)
                row[len(strata) + place] = 1
        return rows

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2 * n_groups) -> (...): mean over the groups that have cases; nan without any."""
        right, count = np.split(np.asarray(totals, dtype=np.float64), 2, axis=-1)
        share = np.nan_to_num(ratio(right, count), nan=0.0)
        return ratio(share.sum(axis=-1), (count > 0).sum(axis=-1))

    def signature(self) -> str:
        """What is averaged, and that unparsed predictions count as wrong."""
        n = "found" if self.strata is None else len(self.strata)
        return f"average:macro over {self.group}|groups:{n}|unparsed:wrong"
