"""ROUGE-1, -2, -L and -Lsum, equal to rouge-score 0.1.2 and many times as fast.

The speed comes from tokens, stems and n-gram counts that are made once per text, and from
subsequences found with machine words instead of a table. Latin letters and digits alone are
tokens, as in the reference program; where the references are in another script, its characters or
words are, too (scripts.py).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Literal

from rapidfuzz.distance import LCSseq

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import MeanOfTexts
from tuneval.metrics.porter import Stems
from tuneval.metrics.scripts import WORD, Script
from tuneval.types import Case, Unit

Part = Literal["f1", "precision", "recall"]
Splitter = Literal["newline", "sentence"]
Overlap = tuple[float, float]
Tokens = tuple[str, ...]

Tokenizer = Literal["latin", "scripts"]

TOKENIZERS: dict[str, re.Pattern[str]] = {"latin": re.compile(r"[a-z0-9]+"), "scripts": WORD}
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])")
STEMS = Stems(shortest=3)


@lru_cache(maxsize=16_384)
def tokens(text: str, stemmer: bool, tokenize: str = "latin") -> Tokens:
    """Runs of Latin letters and digits in lower case; stems of those longer than three letters.

    ``tokenize`` "scripts": characters or words of other scripts, too.
    """
    found = TOKENIZERS[tokenize].findall(text.lower())
    return tuple(map(STEMS.__getitem__, found)) if stemmer else tuple(found)


@lru_cache(maxsize=16_384)
def ngrams(text: str, stemmer: bool, n: int, tokenize: str = "latin") -> Counter[object]:
    """How often each run of ``n`` tokens occurs; shared, so never to be changed."""
    found = tokens(text, stemmer, tokenize)
    return Counter(found if n == 1 else zip(*(found[start:] for start in range(n)), strict=False))


class _Rouge(MeanOfTexts):
    name = ""
    unit: Unit = "share"
    higher_is_better = True
    reference = "rouge-score 0.1.2"

    suffix = "tokenize"

    def __init__(
        self, stemmer: bool = True, part: Part = "f1", tokenize: Tokenizer = "latin"
    ) -> None:
        if part not in ("f1", "precision", "recall"):
            raise MetricError(
                f'metric "{self.name}": part is "{part}"; choose f1, precision or recall.'
            )
        if tokenize not in TOKENIZERS:
            raise MetricError(
                f'metric "{self.name}": tokenize is "{tokenize}"; choose latin or scripts.'
            )
        self.stemmer = stemmer
        self.part = part
        self.tokenize = tokenize

    @staticmethod
    def for_script(script: Script) -> dict[str, str]:
        """As rouge-score where references are Latin; it would find no word in another script."""
        return {} if script == "latin" else {"tokenize": "scripts"}

    def value(self, case: Case, text: str | None) -> float:
        """0 to 1; the reference with the best F1 counts."""
        overlaps = [
            self.overlap(expected, text or "") for expected in fields.references(self.name, case)
        ]
        precision, recall = max(overlaps, key=lambda one: _f1(*one))
        return {"f1": _f1(precision, recall), "precision": precision, "recall": recall}[self.part]

    def overlap(self, expected: str, text: str) -> Overlap:
        """Precision and recall of a text against one reference."""
        raise AssertionError(f"{type(self).__name__} has no overlap")

    def _tokens(self, text: str) -> Tokens:
        return tokens(text, self.stemmer, self.tokenize)

    def signature(self) -> str:
        """Part, stemmer, and the program whose number it is."""
        stemmer = "porter" if self.stemmer else "none"
        cut = "a-z0-9|as:rouge-score-0.1.2"
        if self.tokenize == "scripts":
            cut = "characters of Han, Kana, Thai and the like, words of other scripts"
        return f"{self.name}|part:{self.part}|stemmer:{stemmer}|tok:{cut}"


def _f1(precision: float, recall: float) -> float:
    both = precision + recall
    return 2 * precision * recall / both if both > 0 else 0.0


class _Ngrams(_Rouge):
    n = 1

    def overlap(self, expected: str, text: str) -> Overlap:
        wanted = ngrams(expected, self.stemmer, self.n, self.tokenize)
        found = ngrams(text, self.stemmer, self.n, self.tokenize)
        fewer, more = (found, wanted) if len(found) < len(wanted) else (wanted, found)
        hits = sum(min(count, more[one]) for one, count in fewer.items() if one in more)
        return hits / max(found.total(), 1), hits / max(wanted.total(), 1)


class Rouge1(_Ngrams):
    """Overlap of single words with the reference.

    References
    ----------
    Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """

    name, n = "rouge1", 1


class Rouge2(_Ngrams):
    """Overlap of pairs of words with the reference.

    References
    ----------
    Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """

    name, n = "rouge2", 2


class RougeL(_Rouge):
    """Longest common subsequence of words with the reference, line breaks ignored.

    References
    ----------
    Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """

    name = "rougeL"

    def overlap(self, expected: str, text: str) -> Overlap:
        wanted, found = self._tokens(expected), self._tokens(text)
        if not wanted or not found:
            return 0.0, 0.0
        common = LCSseq.similarity(wanted, found)
        return common / len(found), common / len(wanted)


class RougeLsum(_Rouge):
    """Longest common subsequences sentence by sentence, the "ROUGE-L" of summarisation papers.

    Sentences are lines, as in rouge-score; ``splitter="sentence"`` cuts lines at sentence ends too,
    for texts that were never split (without either it equals ROUGE-L).

    References
    ----------
    Lin (2004), ROUGE: a package for automatic evaluation of summaries, section 3.2.
    """

    name = "rougeLsum"

    def __init__(
        self,
        stemmer: bool = True,
        part: Part = "f1",
        splitter: Splitter = "newline",
        tokenize: Tokenizer = "latin",
    ) -> None:
        super().__init__(stemmer, part, tokenize)
        if splitter not in ("newline", "sentence"):
            raise MetricError(
                f'metric "{self.name}": splitter is "{splitter}"; choose newline or sentence.'
            )
        self.splitter = splitter

    def overlap(self, expected: str, text: str) -> Overlap:
        wanted, found = self._sentences(expected), self._sentences(text)
        left_wanted, left_found = Counter[str](), Counter[str]()
        for sentence in wanted:
            left_wanted.update(sentence)
        for sentence in found:
            left_found.update(sentence)
        n_wanted, n_found = left_wanted.total(), left_found.total()
        if not n_wanted or not n_found:
            return 0.0, 0.0
        hits = 0
        for sentence in wanted:
            places = set[int]().union(*(common_places(sentence, other) for other in found))
            for place in sorted(places):
                token = sentence[place]
                # A token counts as often as both sides have it, as in ROUGE 1.5.5.
                if left_found[token] > 0 and left_wanted[token] > 0:
                    hits += 1
                    left_found[token] -= 1
                    left_wanted[token] -= 1
        return hits / n_found, hits / n_wanted

    def _sentences(self, text: str) -> list[Tokens]:
        lines = text.split("\n")
        if self.splitter == "sentence":
            lines = [part for line in lines for part in SENTENCE_END.split(line)]
        return [self._tokens(line) for line in lines if line]

    def signature(self) -> str:
        """Part, stemmer, splitter, and the program whose number it is."""
        return f"{super().signature()}|split:{self.splitter}"


def common_places(wanted: Tokens, found: Tokens) -> list[int]:
    """Places in ``wanted`` of one longest common subsequence: the one that rouge-score finds.

    Which one matters, because the places found in several sentences are united. The table of
    lengths is kept as one integer per token of ``found``, whose bit i is 0 where the table grows
    from i to i + 1 (Hyyro 2004), so that walking back needs no table.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(wanted):
        places[token] = places.get(token, 0) | 1 << place
    if not any(token in places for token in found):
        return []
    full = (1 << len(wanted)) - 1
    column, columns = full, []
    for token in found:
        matches = column & places.get(token, 0)
        column = ((column + matches) | (column - matches)) & full
        columns.append(column)
    picked = []
    i, j = len(wanted), len(found)
    while i > 0 and j > 0:
        if wanted[i - 1] == found[j - 1]:
            i, j = i - 1, j - 1
            picked.append(i)
        elif columns[j - 1] >> (i - 1) & 1:
            i -= 1
        else:
            j -= 1
    return picked
