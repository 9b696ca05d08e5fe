"""How likely the reference text is: loss, perplexity per token, word and byte, bits per byte.

Rows hold the sum and the counts, so a corpus number is exp(all nats / all tokens), never the mean
of numbers of documents. Not for: windows and scored positions, which are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit


class Loss:
    """Mean negative log-likelihood per token, in nats; comparable with one tokenizer only."""

    name = "loss"
    unit: Unit = "nats"
    higher_is_better = False
    statistic: StatisticKind = "corpus"
    uses_labels = False
    needs: tuple[str, ...] = ("nll",)
    reference = "cross-entropy as transformers' Trainer logs it"
    per = "token"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Sum negative log-likelihood and units (tokens, words or bytes) for each case.

        Returns
        -------
        ndarray of float64, shape (n_cases, 2)
            Columns: negative log-likelihood (nats), scored units. Both are 0 where a problem left
            no finite number; the corridor counts these.

        Raises
        ------
        MetricError
            A prediction has no log-likelihood: its task does not ask for one.
        """
        return rows(map(self._row, cases, predictions), 2)

    def _row(self, case: Case, prediction: Prediction) -> tuple[float, float]:
        if prediction.nll is None or not np.isfinite(prediction.nll):
            if prediction.problem is None and prediction.nll is None:
                raise fields.missing(self.name, case, "nll")
            return 0.0, 0.0
        return prediction.nll, self.count(case, prediction)

    def count(self, case: Case, prediction: Prediction) -> float:
        """Units over which the log-likelihood is spread."""
        return prediction.n_tokens

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2) -> (...); nan where nothing was scored."""
        return ratio(totals[..., 0], totals[..., 1])

    def signature(self) -> str:
        """What the log-likelihood is divided by."""
        return f"per:{self.per}|over:corpus"


class Perplexity(Loss):
    """exp of the mean negative log-likelihood per token; comparable with one tokenizer only.

    References
    ----------
    Jelinek et al. (1977), Perplexity: a measure of the difficulty of speech recognition tasks.
    """

    name = "perplexity"
    unit: Unit = "perplexity"
    reference = "exp of the corpus loss"

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2) -> (...); nan where nothing was scored, inf where it overflows."""
        with np.errstate(over="ignore"):
            return np.exp(super().from_totals(totals))


class BytePerplexity(Perplexity):
    """exp of the mean negative log-likelihood per UTF-8 byte: comparable across tokenizers."""

    name = "byte_perplexity"
    reference = "lm-evaluation-harness byte_perplexity"
    per = "byte"

    def count(self, case: Case, prediction: Prediction) -> float:
        return prediction.n_bytes


class WordPerplexity(Perplexity):
    """exp of the mean negative log-likelihood per word (between white space)."""

    name = "word_perplexity"
    reference = "lm-evaluation-harness word_perplexity"
    per = "word"

    def count(self, case: Case, prediction: Prediction) -> float:
        """Words of the scored text: the reference, else the main input.

        Raises
        ------
        MetricError
            The case has neither.
        """
        text = case.references[0] if case.references else case.inputs.get("text")
        if not isinstance(text, str):
            raise MetricError(
                f'metric "{self.name}": case "{case.id}" has neither a reference nor a text whose '
                'words could be counted. Use "byte_perplexity".'
            )
        return len(text.split())


class BitsPerByte(BytePerplexity):
    """Negative log-likelihood in bits per UTF-8 byte: comparable across tokenizers."""

    name = "bits_per_byte"
    unit: Unit = "bits"
    reference = "lm-evaluation-harness bits_per_byte"

    def from_totals(self, totals: Floats) -> Floats:
        """Shape (..., 2) -> (...); nan where nothing was scored."""
        bits: Floats = Loss.from_totals(self, totals) / np.log(2)
        return bits
