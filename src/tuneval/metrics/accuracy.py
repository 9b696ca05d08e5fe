"""Share of right labels. Not for: texts (exact_match.py)."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit


class Accuracy(Mean):
    """Share of cases whose predicted label is the reference (any of them, where several)."""

    name = "accuracy"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "proportion"
    needs: tuple[str, ...] = ("label",)
    reference = "scikit-learn accuracy_score"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right, 1); an unparsed prediction is wrong.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without label and without problem.
        """
        given = fields.labels(self.name, cases, predictions)
        return rows(
            (
                (label in fields.references(self.name, case), 1)
                for case, label in zip(cases, given, strict=True)
            ),
            2,
        )

    def signature(self) -> str:
        """Unparsed predictions count as wrong."""
        return "unparsed:wrong"
