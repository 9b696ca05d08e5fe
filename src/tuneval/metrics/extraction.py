"""How well answers in JSON say what was to be taken from a text: form, whole value, single fields.

How an answer is read, and what a field is: ``json_answer.py``. Not for: schemas (json_schema.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, MeanOfTexts, ratio, rows
from tuneval.metrics.json_answer import fields as fields_of
from tuneval.metrics.json_answer import is_json, parse, read_json, spelled
from tuneval.types import Case, Prediction, StatisticKind, Unit


def expected_value(metric: str, case: Case) -> list[Any]:
    """The values of a case's references.

    Raises
    ------
    MetricError
        There is none, or one is no JSON.
    """
    found = [(text, parse(text)) for text in fields.references(metric, case)]
    for text, one in found:
        if one is None:
            raise MetricError(
                f'metric "{metric}": the reference of case "{case.id}" is no JSON '
                f'("{text[:40]}"). Write it as JSON, or leave the metric out.'
            )
    return [one.value for _, one in found if one is not None]


class _OfJson(MeanOfTexts):
    """Common to the means: any two made-up references would be no JSON, so that there is no dry run."""

    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "proportion"

    def check(self) -> None:
        """Nothing can be missing."""


class JsonValid(_OfJson):
    """Share of answers that are one JSON object or array and nothing else.

    References
    ----------
    RFC 8259 (2017), The JavaScript Object Notation data interchange format.
    """

    name = "json_valid"
    reference = "RFC 8259"

    def value(self, case: Case, text: str | None) -> float:
        """1 or 0; a code fence around the whole answer is no fault."""
        return float(text is not None and is_json(text))

    def signature(self) -> str:
        """What may stand around it."""
        return "around:code fence"


class JsonExact(_OfJson):
    """Share of answers whose JSON equals that of a reference, the order of keys aside.

    References
    ----------
    Equality of JSON values as in JSON Schema 2020-12, section 4.2.2: 1.0 is 1, true is not.
    """

    name = "json_exact"
    reference = "equality of values, JSON Schema 2020-12"

    def value(self, case: Case, text: str | None) -> float:
        """1 or 0; an answer with words around its JSON is read, too."""
        expected = {spelled(one) for one in expected_value(self.name, case)}
        found = None if text is None else read_json(text)
        return float(found is not None and spelled(found.value) in expected)

    def signature(self) -> str:
        """How an answer is read."""
        return "json:the one value in the answer"


class _Fields:
    """Common to the three: fields that are right, given, expected, summed over cases."""

    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    name: str

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right, given, expected); of several references the one with most in common counts.

        Raises
        ------
        MetricError
            A reference is no JSON, or a prediction has neither text nor problem.
        """
        given = fields.texts(self.name, cases, predictions)
        return rows((self._row(*one) for one in zip(cases, given, strict=True)), 3)

    def _row(self, case: Case, text: str | None) -> tuple[int, int, int]:
        found = None if text is None else read_json(text)
        said: Counter[tuple[str, str]] = Counter() if found is None else fields_of(found.value)
        every = [
            ((said & expected).total(), said.total(), expected.total())
            for expected in map(fields_of, expected_value(self.name, case))
        ]
        return max(every, key=lambda row: 2 * row[0] / max(row[1] + row[2], 1))

    def check(self) -> None:
        """Nothing can be missing."""

    def signature(self) -> str:
        """What a field is."""
        return "fields:leaves by path, order of lists aside|average:micro"


class FieldF1(_Fields):
    """Harmonic mean of precision and recall over the fields of all answers.

    References
    ----------
    scikit-learn f1_score(average="micro") over the fields of each case as a set of labels.
    """

    name = "field_f1"
    reference = 'scikit-learn f1_score(average="micro") on fields'

    def from_totals(self, totals: Floats) -> Floats:
        """2 right / (given + expected); nan without any field. Shape (..., 3) -> (...)."""
        return ratio(2 * totals[..., 0], totals[..., 1] + totals[..., 2])


class FieldPrecision(_Fields):
    """Share of the fields given that are right; 0 where none is given.

    References
    ----------
    scikit-learn precision_score(average="micro", zero_division=0).
    """

    name = "field_precision"
    reference = 'scikit-learn precision_score(average="micro") on fields'

    def from_totals(self, totals: Floats) -> Floats:
        """Right / given. Shape (..., 3) -> (...)."""
        return _or_zero(totals[..., 0], totals[..., 1], totals[..., 2])


class FieldRecall(_Fields):
    """Share of the fields expected that are given.

    References
    ----------
    scikit-learn recall_score(average="micro", zero_division=0).
    """

    name = "field_recall"
    reference = 'scikit-learn recall_score(average="micro") on fields'

    def from_totals(self, totals: Floats) -> Floats:
        """Right / expected. Shape (..., 3) -> (...)."""
        return _or_zero(totals[..., 0], totals[..., 2], totals[..., 1])


def _or_zero(above: Floats, below: Floats, others: Floats) -> Floats:
    """A ratio that is 0, not unknown, where only the other side has fields."""
    return ratio(above, below + (below == 0) * (others > 0))
