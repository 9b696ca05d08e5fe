"""Entities in a row of tags: precision, recall and F1 by seqeval's rules; the share of right tags.

A text is one tag a word, joined by blanks. Not for: reading tags from a model (``tasks/tag.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit

Entity = tuple[str, int, int]
"""Type, first word, last word."""

_OUTSIDE = "O"
_ENDS = frozenset({"BB", "BS", "BO", "IB", "IS", "IO"})
"""Tag before and tag now between which an entity of one type ends; E and S always end one."""
_STARTS = frozenset({"EE", "EI", "SE", "SI", "OE", "OI"})
"""Tag before and tag now between which an entity of one type starts; B and S always start one."""


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of a row of tags, lenient as conlleval: BIO, IOB1, BIOES and mixtures.

    An I that follows nothing of its type starts an entity.

    References
    ----------
    Nakayama (2018), seqeval: ``get_entities`` in its default mode.
    """
    found = set()
    before, kind_before, start = _OUTSIDE, "", 0
    for place, tag in enumerate((*tags, _OUTSIDE)):
        now, kind = tag[0], kind_of(tag)
        is_other = kind != kind_before
        if before in "ES" or before + now in _ENDS or (before not in "O." and is_other):
            found.add((kind_before, start, place - 1))
        if now in "BS" or before + now in _STARTS or (now not in "O." and is_other):
            start = place
        before, kind_before = now, kind
    return found


def kind_of(tag: str) -> str:
    """The type that a tag names: "PER" of "B-PER"; "_" where it names none."""
    return tag[1:].split("-", maxsplit=1)[-1] or "_"


def kinds_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The types that tags name, sorted."""
    return tuple(sorted({kind_of(tag) for tag in tags if tag != _OUTSIDE}))


class _Entities:
    """Rows: right, predicted and expected entities, in total or of each type."""

    name = ""
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    reference = ""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Count entities; one with a problem has predicted none. The best of several references
        counts.

        Returns
        -------
        ndarray of float64, shape (n_cases, 3 * n_kinds)
            Columns: right entities of each kind, then predicted, then expected.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        kinds = self.kinds(cases)
        counted = []
        for case, text in zip(cases, fields.texts(self.name, cases, predictions), strict=True):
            given = entities((text or "").split())
            expected = [entities(one.split()) for one in fields.references(self.name, case)]
            best = max(expected, key=lambda one: _f1(len(one & given), len(given), len(one)))
            counted.append(
                count for part in (best & given, given, best) for count in self.counts(part, kinds)
            )
        return rows(counted, 3 * max(1, len(kinds)))

    def kinds(self, cases: Sequence[Case]) -> tuple[str, ...]:
        """What is counted apart; nothing here."""
        return ()

    def counts(self, found: set[Entity], kinds: Sequence[str]) -> Sequence[int]:
        """How many of each kind."""
        return (len(found),)

    def from_totals(self, totals: Floats) -> Floats:
        """The number, shape (..., 3 * n_kinds) -> (...); nan where no entity is or was expected."""
        right, given, expected = np.split(np.asarray(totals, dtype=np.float64), 3, axis=-1)
        has_some = (given + expected).sum(axis=-1) > 0
        return np.where(has_some, self.number(right, given, expected), np.nan)

    def number(self, right: Floats, given: Floats, expected: Floats) -> Floats:
        """From counts of shape (..., n_kinds)."""
        return _f1(right[..., 0], given[..., 0], expected[..., 0])

    def signature(self) -> str:
        """Whose rules."""
        return "rules:seqeval-1.2.2 default|average:micro|no tags:no entities"


class EntityF1(_Entities):
    """Entities found with type and borders right: F1 over all types (micro).

    References
    ----------
    Tjong Kim Sang & De Meulder (2003), Introduction to the CoNLL-2003 shared task.
    """

    name = "entity_f1"
    reference = "seqeval 1.2.2 f1_score"


class EntityPrecision(_Entities):
    """Share of the predicted entities that are right in type and borders.

    References
    ----------
    Tjong Kim Sang & De Meulder (2003), Introduction to the CoNLL-2003 shared task.
    """

    name = "entity_precision"
    reference = "seqeval 1.2.2 precision_score"

    def number(self, right: Floats, given: Floats, expected: Floats) -> Floats:
        return _share(right[..., 0], given[..., 0])


class EntityRecall(_Entities):
    """Share of the expected entities that were found with type and borders right.

    References
    ----------
    Tjong Kim Sang & De Meulder (2003), Introduction to the CoNLL-2003 shared task.
    """

    name = "entity_recall"
    reference = "seqeval 1.2.2 recall_score"

    def number(self, right: Floats, given: Floats, expected: Floats) -> Floats:
        return _share(right[..., 0], expected[..., 0])


class EntityF1Macro(_Entities):
    """Mean over the types of entities of each type's F1.

    References
    ----------
    Tjong Kim Sang & De Meulder (2003), Introduction to the CoNLL-2003 shared task.
    """

    name = "entity_f1_macro"
    uses_labels = True
    reference = "seqeval 1.2.2 f1_score(average=macro)"

    def __init__(self, labels: Sequence[str] | None = None) -> None:
        self.labels = labels

    def kinds(self, cases: Sequence[Case]) -> tuple[str, ...]:
        """Types that the tags name, the last for all that no tag names.

        Predictions have no say, so that the columns are the same for every variant.
        """
        tags = self.labels or [
            tag for case in cases for one in case.references for tag in one.split()
        ]
        return (*kinds_of(word for tag in tags for word in tag.split()), "")

    def counts(self, found: set[Entity], kinds: Sequence[str]) -> Sequence[int]:
        known = set(kinds)
        counts = Counter(kind if kind in known else "" for kind, _, _ in found)
        return [counts[kind] for kind in kinds]

    def number(self, right: Floats, given: Floats, expected: Floats) -> Floats:
        # As seqeval does: a type that is neither expected nor predicted is no part of the mean.
        occurs = given + expected > 0
        return ratio((_f1(right, given, expected) * occurs).sum(axis=-1), occurs.sum(axis=-1))

    def signature(self) -> str:
        """Whose rules."""
        return "rules:seqeval-1.2.2 default|average:macro|unknown types:one|no tags:no entities"


class TagAccuracy:
    """Share of the words whose tag is right.

    References
    ----------
    Nakayama (2018), seqeval: a Python framework for sequence labeling evaluation.
    """

    name = "tag_accuracy"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    reference = "seqeval 1.2.2 accuracy_score"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right tags, words); a word without a tag is wrong, the best reference counts.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        counted = []
        for case, text in zip(cases, fields.texts(self.name, cases, predictions), strict=True):
            given = (text or "").split()
            options = [
                _right_tags(one.split(), given) for one in fields.references(self.name, case)
            ]
            counted.append(max(options, key=lambda one: one[0] / max(1, one[1])))
        return rows(counted, 2)

    def from_totals(self, totals: Floats) -> Floats:
        """Right by all; nan without any word. Shape (..., 2) -> (...)."""
        return ratio(totals[..., 0], totals[..., 1])

    def signature(self) -> str:
        """What a missing tag is."""
        return "no tag:wrong"


def _right_tags(expected: Sequence[str], given: Sequence[str]) -> tuple[int, int]:
    pairs = list(zip_longest(expected, given))[: len(expected)]
    return sum(wanted == found for wanted, found in pairs), len(expected)


def _f1(right: Floats | float, given: Floats | float, expected: Floats | float) -> Floats:
    return _share(2 * np.asarray(right, float), np.asarray(given, float) + expected)


def _share(part: Floats, whole: Floats) -> Floats:
    """0 where there is nothing to share in, as seqeval's zero_division=0 has it."""
    return np.nan_to_num(ratio(part, whole), nan=0.0)
