"""METEOR: aligned words, stems and synonyms, and how broken the order is. Not METEOR 1.5."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

from tuneval.errors import MetricError
from tuneval.metrics import fields, wordnet
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.metrics.porter import Stems
from tuneval.types import Case, Prediction, Unit

Placed = list[tuple[int, str]]
"""Words that are still free, with their places in the text."""
Pairs = list[tuple[int, int]]

STEMS = Stems()
WORD = re.compile(r"\w+|[^\w\s]")


class Meteor(Mean):
    """Words aligned with the reference, exactly, by stem and by WordNet synonym.

    ``tokenize="words"`` parts punctuation from words; the default, white space, is what
    ``meteor_score(reference.split(), ...)`` is given in most scripts.

    References
    ----------
    Lavie & Agarwal (2007), METEOR: an automatic metric for MT evaluation with high levels of
    correlation with human judgments; parameters and ties as in nltk 3.10.
    """

    name = "meteor"
    unit: Unit = "share"
    higher_is_better = True
    needs: tuple[str, ...] = ("text",)
    reference = "nltk meteor_score"

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 3.0,
        gamma: float = 0.5,
        tokenize: Literal["whitespace", "words"] = "whitespace",
    ) -> None:
        if tokenize not in ("whitespace", "words"):
            raise MetricError(
                f'metric "{self.name}": tokenize is "{tokenize}"; choose whitespace or words.'
            )
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.tokenize = tokenize

    def check(self) -> None:
        """Make sure that WordNet is here.

        Raises
        ------
        MetricError
            It is not; says where it was looked for and how to get it.
        """
        wordnet.find(self.name)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (score, 1), the score from 0 to 1; the best reference counts.

        Raises
        ------
        MetricError
            WordNet is missing, a case has no reference, or a prediction no text and no problem.
        """
        synonyms = wordnet.load(wordnet.find(self.name)).synonyms
        given = fields.texts(self.name, cases, predictions)
        return rows(
            (
                (
                    max(
                        self._score(self._words(expected), self._words(text or ""), synonyms)
                        for expected in fields.references(self.name, case)
                    ),
                    1,
                )
                for case, text in zip(cases, given, strict=True)
            ),
            2,
        )

    def _words(self, text: str) -> list[str]:
        text = text.lower()
        return text.split() if self.tokenize == "whitespace" else WORD.findall(text)

    def _score(
        self, expected: list[str], given: list[str], synonyms: Callable[[str], Iterable[str]]
    ) -> float:
        pairs = align(given, expected, synonyms)
        if not pairs:
            return 0.0
        precision, recall = len(pairs) / len(given), len(pairs) / len(expected)
        mean = precision * recall / (self.alpha * precision + (1 - self.alpha) * recall)
        penalty: float = self.gamma * (chunks(pairs) / len(pairs)) ** self.beta
        return float((1 - penalty) * mean)

    def signature(self) -> str:
        """Parameters and tokens."""
        return (
            f"alpha:{self.alpha:g}|beta:{self.beta:g}|gamma:{self.gamma:g}|tok:{self.tokenize}"
            "|stemmer:porter|synonyms:wordnet|as:nltk-3.10"
        )


def align(
    given: Sequence[str], expected: Sequence[str], synonyms: Callable[[str], Iterable[str]]
) -> Pairs:
    """Pair words of two texts: equal words, then equal stems, then synonyms.

    Each stage goes from the last word to the first and takes the last one free, as nltk does. So
    it also looks up synonyms of the *stems* that are left, which finds fewer than of the words.

    Returns
    -------
    list of (place in ``given``, place in ``expected``), in the order of ``given``
    """
    same, free_given, free_expected = _match(list(enumerate(given)), list(enumerate(expected)))
    if not free_given or not free_expected:
        return sorted(same)
    by_stem, free_given, free_expected = _match(
        [(place, STEMS[word]) for place, word in free_given],
        [(place, STEMS[word]) for place, word in free_expected],
    )
    if not free_given or not free_expected:
        return sorted(same + by_stem)
    return sorted(same + by_stem + _match_synonyms(free_given, free_expected, synonyms))


def _match(given: Placed, expected: Placed) -> tuple[Pairs, Placed, Placed]:
    places = _places(expected)
    pairs: Pairs = []
    left: Placed = []
    for place, word in reversed(given):
        if places.get(word):
            pairs.append((place, places[word].pop()))
        else:
            left.append((place, word))
    taken = {place for _, place in pairs}
    return pairs, left[::-1], [one for one in expected if one[0] not in taken]


def _match_synonyms(
    given: Placed, expected: Placed, synonyms: Callable[[str], Iterable[str]]
) -> Pairs:
    places = _places(expected)
    pairs: Pairs = []
    for place, word in reversed(given):
        found = places.keys() & {word, *synonyms(word)}
        best = max(
            (name for name in found if places[name]),
            key=lambda name: places[name][-1],
            default=None,
        )
        if best is not None:
            pairs.append((place, places[best].pop()))
    return pairs


def _places(words: Placed) -> dict[str, list[int]]:
    places = defaultdict(list)
    for place, word in words:
        places[word].append(place)
    return dict(places)


def chunks(pairs: Pairs) -> int:
    """Runs of pairs that are neighbours in both texts."""
    return 1 + sum((here[0] + 1, here[1] + 1) != following for here, following in pairwise(pairs))
