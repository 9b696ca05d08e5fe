"""The BLEU programs of CodeXGLUE, which are not sacrebleu's: smoothed, on words between spaces.

Not for: text in natural language (translation.py).
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, MeanOfTexts, ratio, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit

ORDERS = 4
Ngram = tuple[str, ...]

# The program first parts words from marks and then applies the rules of mteval-v11b, of which only
# the one that sets "_" apart still finds anything.
WORD_OR_MARK = re.compile(r"[^\W_]+|_|[^\w\s]")


def ngrams(words: Sequence[str]) -> Counter[Ngram]:
    """How often each run of 1 to 4 words occurs."""
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, ORDERS + 1)
        for start in range(len(words) - order + 1)
    )


def matches(words: Sequence[str], expected: Sequence[Sequence[str]]) -> list[int]:
    """Runs shared with any reference, by order; each counts as often as one reference has it."""
    wanted = Counter[Ngram]()
    for reference in expected:
        wanted |= ngrams(reference)
    found = [0] * ORDERS
    for run, count in (ngrams(words) & wanted).items():
        found[len(run) - 1] += count
    return found


def possible(words: Sequence[str]) -> list[int]:
    """Runs of each order in a text."""
    return [max(0, len(words) - order) for order in range(ORDERS)]


class CodeXGlueBleu(Mean):
    """Corpus BLEU of code, one added to every count (translation, refinement, text to code).

    References
    ----------
    Lu et al. (2021), CodeXGLUE; smoothing of Lin & Och (2004), ORANGE.
    """

    name = "codexglue_bleu"
    unit: Unit = "points"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    needs: tuple[str, ...] = ("text",)
    reference = "CodeXGLUE code-to-code-trans evaluator (bleu.py)"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Count words and runs of words.

        Returns
        -------
        ndarray of float64, shape (n_cases, 10)
            Columns: length, length of the shortest reference, matches of each order, runs of each
            order.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        given = fields.texts(self.name, cases, predictions)
        return rows(map(self._row, cases, given), 2 + 2 * ORDERS)

    def _row(self, case: Case, text: str | None) -> list[int]:
        words = (text or "").split()
        expected = [one.split() for one in fields.references(self.name, case)]
        shortest = min(map(len, expected))
        return [len(words), shortest, *matches(words, expected), *possible(words)]

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 10) -> (...), 0 to 100; nan without any word on either side."""
        totals = np.asarray(totals, dtype=np.float64)
        length, expected = totals[..., 0], totals[..., 1]
        found, most = np.split(totals[..., 2:], 2, axis=-1)
        mean = np.log((found + 1) / (most + 1)).mean(axis=-1)
        # The program itself divides by zero where the text or the reference is empty.
        shortage = np.where(length > 0, ratio(expected, np.maximum(length, 1)), np.inf)
        score = 100 * np.exp(mean + np.minimum(0.0, 1 - shortage))
        return np.where(length + expected > 0, score, np.nan)

    def signature(self) -> str:
        """Tokens, smoothing, and whose program."""
        return "tok:spaces|smooth:add-1, all orders|case:mixed|as:codexglue-bleu.py"


class CodeXGlueTextBleu(MeanOfTexts):
    """Mean sentence BLEU of comments on code (CodeXGLUE code to text, "smoothed BLEU-4").

    References
    ----------
    Lu et al. (2021), CodeXGLUE; the program goes back to mteval-v11b and Moses' smoothing.
    """

    name = "codexglue_text_bleu"
    unit: Unit = "points"
    higher_is_better = True
    reference = "CodeXGLUE code-to-text evaluator (evaluator.py)"

    def value(self, case: Case, text: str | None) -> float:
        """0 to 100."""
        words = words_and_marks(text or "")
        expected = [words_and_marks(one) for one in fields.references(self.name, case)]
        return 100 * _sentence_bleu(words, expected)

    def signature(self) -> str:
        """Tokens, smoothing, and whose program."""
        return "tok:mteval-v11b|smooth:add-1, orders 2-4|case:lc|as:codexglue-evaluator.py"


def words_and_marks(text: str) -> list[str]:
    """Words and marks of a text in lower case."""
    return WORD_OR_MARK.findall(text.lower())


def _sentence_bleu(words: Sequence[str], expected: Sequence[Sequence[str]]) -> float:
    # The smallest float keeps log(0) finite, as in the program: no match at all scores about 0.
    tiny = sys.float_info.min
    mean = sum(
        math.log(found + (order > 0) + tiny) - math.log(most + (order > 0) + tiny)
        for order, (found, most) in enumerate(
            zip(matches(words, expected), possible(words), strict=True)
        )
    )
    shortest = min(map(len, expected))
    return math.exp(mean / ORDERS + min(0.0, 1 - (shortest + 1) / (len(words) + 1)))
