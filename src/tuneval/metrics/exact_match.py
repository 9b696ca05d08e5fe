"""Share of answers that are a reference, letter by letter. Not for: QA's lenient rules (squad.py)."""

from __future__ import annotations

from tuneval.metrics import fields
from tuneval.metrics.additive import MeanOfTexts
from tuneval.types import Case, StatisticKind, Unit


class ExactMatch(MeanOfTexts):
    """Share of texts equal to a reference, white space at both ends aside."""

    name = "exact_match"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "proportion"
    reference = "equality of the stripped texts"

    def value(self, case: Case, text: str | None) -> float:
        """1 where it equals any reference, else 0."""
        expected = {self.normalise(one) for one in fields.references(self.name, case)}
        return float(text is not None and self.normalise(text) in expected)

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
