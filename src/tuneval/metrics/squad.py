"""Exact match and F1 of short answers, by the rules of the two official SQuAD programs.

The scores leave case, punctuation, articles and white space out of account. Where a case has no
reference the question has no answer, and only an empty text is right.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from tuneval.errors import MetricError
from tuneval.metrics.additive import MeanOfTexts
from tuneval.types import Case, StatisticKind, Unit

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=65_536)
def normalise(text: str) -> str:
    """Lower case, no punctuation (removed, not spaced), no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


class _Squad(MeanOfTexts):
    name = ""
    unit: Unit = "share"
    higher_is_better = True
    reference = ""
    version = "2.0"

    def value(self, case: Case, text: str | None) -> float:
        """0 to 1; the best reference counts.

        A prediction with a problem scores 0, also where no answer would have been right.
        """
        expected = self._expected(case)
        if text is None:
            return 0.0
        return max(self.score(normalise(one), normalise(text)) for one in expected)

    def _expected(self, case: Case) -> Sequence[str]:
        if self.version == "2.0":
            return [one for one in case.references if normalise(one)] or [""]
        if not case.references:
            raise MetricError(
                f'metric "{self.name}": case "{case.id}" has no answer, which SQuAD 1.1 does not '
                f'know. Use "{self.name.replace("_v1", "")}".'
            )
        return case.references

    def score(self, expected: str, given: str) -> float:
        """The score of normalised texts."""
        raise AssertionError(f"{type(self).__name__} has no score")

    def signature(self) -> str:
        """Whose rules."""
        return f"rules:squad-{self.version}"


class SquadExactMatch(_Squad):
    """Share of answers equal to a reference but for case, punctuation and articles.

    References
    ----------
    Rajpurkar et al. (2018), Know what you don't know: unanswerable questions for SQuAD.
    """

    name = "squad_em"
    statistic: StatisticKind = "proportion"
    reference = "official evaluate-v2.0.py"

    def score(self, expected: str, given: str) -> float:
        return float(expected == given)


class SquadF1(_Squad):
    """Words shared with a reference (F1), but for case, punctuation and articles.

    References
    ----------
    Rajpurkar et al. (2018), Know what you don't know: unanswerable questions for SQuAD.
    """

    name = "squad_f1"
    reference = "official evaluate-v2.0.py"

    def score(self, expected: str, given: str) -> float:
        wanted, found = expected.split(), given.split()
        if not wanted or not found:
            # The one difference between the programs: two empty answers agree in 2.0 only.
            return float(wanted == found and self.version == "2.0")
        common = (Counter(wanted) & Counter(found)).total()
        if common == 0:
            return 0.0
        precision, recall = common / len(found), common / len(wanted)
        return 2 * precision * recall / (precision + recall)


class SquadV1ExactMatch(SquadExactMatch):
    """Exact match by the rules of SQuAD 1.1, where every question has an answer.

    References
    ----------
    Rajpurkar et al. (2016), SQuAD: 100,000+ questions for machine comprehension of text.
    """

    name, version = "squad_v1_em", "1.1"
    reference = "official evaluate-v1.1.py"


class SquadV1F1(SquadF1):
    """Word F1 by the rules of SQuAD 1.1, where every question has an answer.

    References
    ----------
    Rajpurkar et al. (2016), SQuAD: 100,000+ questions for machine comprehension of text.
    """

    name, version = "squad_v1_f1", "1.1"
    reference = "official evaluate-v1.1.py"
