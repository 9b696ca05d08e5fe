"""Share of answers that are a reference, letter by letter. Not for: QA's lenient rules (squad.py)."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit


class ExactMatch(Mean):
    """Share of texts equal to a reference, white space at both ends aside."""

    name = "exact_match"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "proportion"
    needs: tuple[str, ...] = ("text",)
    reference = "equality of the stripped texts"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (equal to any reference, 1).

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        given = fields.texts(self.name, cases, predictions)
        return rows(map(self._row, cases, given), 2)

    def _row(self, case: Case, text: str | None) -> tuple[float, float]:
        expected = {self.normalise(one) for one in fields.references(self.name, case)}
        return float(text is not None and self.normalise(text) in expected), 1.0

    def normalise(self, text: str) -> str:
        """What is compared."""
        return text.strip()

    def signature(self) -> str:
        """What is ignored."""
        return "ignore:outer space"


class CodeExactMatch(ExactMatch):
    """Share of programs equal to a reference token by token, whatever the white space between."""

    name = "code_exact_match"
    reference = "CodeXGLUE text-to-code evaluator"

    def normalise(self, text: str) -> str:
        """White space runs are one space."""
        return " ".join(text.split())

    def signature(self) -> str:
        """What is ignored."""
        return "ignore:amount of white space"
