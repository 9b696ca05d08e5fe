"""Sets of labels: read from an answer that lists them, and held against the expected set.

A reference is a JSON list of labels. Columns are the declared labels, and one for what is none of them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, ratio, rows
from tuneval.metrics.json_answer import read_json
from tuneval.types import Case, Prediction, StatisticKind, Unit

NONE = frozenset(("", "none", "no label", "no labels", "nothing", "n/a", "null"))
_LEAD = re.compile(
    r"^\s*(?:(?:the\s+)?(?:labels?|tags?|categor(?:y|ies)|answer)\s*(?:are|is|:)+\s*)", re.I
)
_MARKS = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")


def read_labels(text: str, labels: Sequence[str]) -> tuple[str, ...] | None:
    """The labels that an answer lists, unknown ones as they are spelled; None where it lists nothing
    that is known and does not say that there is none.

    Read are a JSON list, an object with one list or with the probability of each label (those of 0.5 or more
    fit), and texts apart by line breaks, or else by semicolons,
    or bars, or commas; case, blanks, quotes and bullets do not matter.
    """
    spelled = {_fold(label): label for label in labels}
    found = read_json(text)
    listed = None if found is None else _list_in(found.value)
    if listed is None and found is not None:
        listed = _likely_in(found.value, labels)
    if listed is None:
        bare = _LEAD.sub("", text.strip()).strip().removesuffix(".")
        if _fold(bare) in NONE:
            return ()
        listed = [bare] if _fold(bare) in spelled else _parted(bare)
    said = tuple(dict.fromkeys(spelled.get(_fold(one), one) for one in listed))
    return said if not said or set(said) & set(labels) else None


def _list_in(value: object) -> list[str] | None:
    if isinstance(value, Mapping) and len(value) == 1:
        (value,) = value.values()
    if not isinstance(value, list) or any(isinstance(one, dict | list) for one in value):
        return None
    return [one if isinstance(one, str) else json.dumps(one) for one in value]


def _likely_in(value: object, labels: Sequence[str]) -> list[str] | None:
    """The labels whose probability is 0.5 or more, of an object that holds that of each."""
    if not isinstance(value, Mapping) or not labels or value.keys() != set(labels):
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value.values()):
        return None
    return [label for label in labels if value[label] >= 0.5]


def _parted(text: str) -> list[str]:
    mark = next((mark for mark in "\n;|," if mark in text), None)
    parts = [text] if mark is None else text.split(mark)
    bare = [_MARKS.sub("", part).strip() for part in parts]
    return [part for part in bare if part]


def _fold(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip("\"'`*_ ").removesuffix(".")


class _Sets:
    """Common to all: expected and given sets as rows of 0 and 1."""

    name: str
    unit: Unit = "share"
    higher_is_better = True
    uses_labels = True
    needs: tuple[str, ...] = ("text",)

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        self.labels = None if labels is None else tuple(labels)

    def sets(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> tuple[Floats, Floats, list[bool]]:
        """Expected and given, each of shape (n_cases, n_labels + 1), the last column for labels that are
        none; and which answers could be read. The others are no label at all.

        Raises
        ------
        MetricError
            A reference is no JSON list, or a prediction has neither text nor problem.
        """
        expected = [_expected(self.name, case) for case in cases]
        labels = self.labels or tuple(sorted({one for own in expected for one in own}))
        given = [
            None if text is None else read_labels(text, labels)
            for text in fields.texts(self.name, cases, predictions)
        ]
        return (
            _marked(expected, labels),
            _marked([one or () for one in given], labels),
            [one is not None for one in given],
        )

    def check(self) -> None:
        """Nothing can be missing."""

    def signature(self) -> str:
        """How many labels, and how they are read."""
        n = "of_references" if self.labels is None else len(self.labels)
        return f"labels:{n}|read:list"


def _expected(metric: str, case: Case) -> tuple[str, ...]:
    reference = fields.references(metric, case)[0]
    try:
        found = json.loads(reference)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise MetricError(
            f'metric "{metric}": the reference of case "{case.id}" is no list of labels '
            f'("{reference[:40]}").'
        )
    return tuple(found)


def _marked(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Floats:
    column = {label: n for n, label in enumerate(labels)}
    marked = np.zeros((len(sets), len(labels) + 1))
    for row, own in zip(marked, sets, strict=True):
        for label in own:
            row[column.get(label, len(labels))] = 1.0
    return marked


class _Counted(_Sets):
    """Common to the F1: true positives, false positives, false negatives of each label."""

    statistic: StatisticKind = "corpus"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows of true positives, false positives and false negatives, each (n_labels + 1) columns, then 1.

        Raises
        ------
        MetricError
            A reference is no list of labels, or a prediction has neither text nor problem.
        """
        expected, given, _ = self.sets(cases, predictions)
        ones = np.ones((len(cases), 1))
        return np.hstack([expected * given, (1 - expected) * given, expected * (1 - given), ones])

    def counts(self, totals: Floats) -> tuple[Floats, Floats]:
        """True positives and half of all errors, of each column."""
        n = (totals.shape[-1] - 1) // 3
        right = totals[..., :n]
        return right, (totals[..., n : 2 * n] + totals[..., 2 * n : 3 * n]) / 2


class MultilabelF1Micro(_Counted):
    """Harmonic mean of precision and recall over the labels of all cases.

    References
    ----------
    scikit-learn f1_score(average="micro", zero_division=0) on indicators.
    """

    name = "multilabel_f1_micro"
    reference = 'scikit-learn f1_score(average="micro")'

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., n_sums) -> (...); nan without a case, 0 where there is no label at all."""
        right, wrong = (one.sum(axis=-1) for one in self.counts(totals))
        return _of_cases(right, right + wrong, totals)


class MultilabelF1Macro(_Counted):
    """F1 of each label, averaged over labels.

    References
    ----------
    scikit-learn f1_score(average="macro", zero_division=0) on indicators.
    """

    name = "multilabel_f1_macro"
    reference = 'scikit-learn f1_score(average="macro")'

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., n_sums) -> (...); a label that nobody expects or gives counts 0."""
        right, wrong = (one[..., :-1] for one in self.counts(totals))
        each = _of_cases(right, right + wrong, totals[..., None, :])
        return np.asarray(each.mean(axis=-1)) if each.shape[-1] else each.sum(axis=-1) * np.nan


def _of_cases(above: Floats, below: Floats, totals: Floats) -> Floats:
    """A ratio that is 0 over 0 where there are cases, and unknown where there is none."""
    return ratio(above, below + (below == 0) * (totals[..., -1] > 0))


class Jaccard(_Sets, Mean):
    """Labels in both sets over labels in either, averaged over cases; 1 where both are empty.

    References
    ----------
    scikit-learn jaccard_score(average="samples", zero_division=1).
    """

    name = "jaccard"
    statistic: StatisticKind = "mean"
    reference = 'scikit-learn jaccard_score(average="samples")'

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (share, 1). Raises MetricError as ``MultilabelF1Micro`` does."""
        expected, given, read = self.sets(cases, predictions)
        both, either = (expected * given).sum(axis=1), np.maximum(expected, given).sum(axis=1)
        shares = np.where(either > 0, both / np.maximum(either, 1), read)
        return rows(((share, 1) for share in shares), 2)


class SubsetAccuracy(_Sets, Mean):
    """Share of cases whose set of labels is exactly the expected one.

    References
    ----------
    scikit-learn accuracy_score on indicators.
    """

    name = "subset_accuracy"
    statistic: StatisticKind = "proportion"
    reference = "scikit-learn accuracy_score on indicators"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (equal, 1); an answer that cannot be read is wrong, also where no label is expected.
        Raises MetricError as ``MultilabelF1Micro`` does."""
        expected, given, read = self.sets(cases, predictions)
        equal = (expected == given).all(axis=1)
        return rows(((a and b, 1) for a, b in zip(equal, read, strict=True)), 2)


class HammingLoss(_Sets, Mean):
    """Share of decisions, one for each label of each case, that are wrong.

    References
    ----------
    scikit-learn hamming_loss on indicators.
    """

    name = "hamming_loss"
    higher_is_better = False
    statistic: StatisticKind = "mean"
    reference = "scikit-learn hamming_loss"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (wrong / labels, 1), a label that is none counting as one decision. Raises MetricError as
        ``MultilabelF1Micro`` does."""
        expected, given, _ = self.sets(cases, predictions)
        n_labels = max(expected.shape[1] - 1, 1)
        wrong = np.minimum((expected != given).sum(axis=1) / n_labels, 1.0)
        return rows(((share, 1) for share in wrong), 2)
