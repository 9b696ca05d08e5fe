"""Are training texts likelier to a fine-tune than they should be? The base model is the yardstick.

Not for: asking models for likelihoods, flagging a single text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tuneval.comparison.beyond.detection import auroc, min_k_prob
from tuneval.errors import MetricError

GAP_NATS = 0.1
"""A gap in log-perplexity whose lower bound is above this counts as memorised."""


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """Log-probabilities (nats) of the tokens of some texts under one variant, a sequence a text."""

    tokens: tuple[tuple[float, ...], ...]

    @property
    def min_k(self) -> list[float]:
        """Min-K% of each text."""
        return [min_k_prob(one) for one in self.tokens]


@dataclass(frozen=True, slots=True)
class Memorisation:
    """``gap`` is ln ppl(test) - ln ppl(train) of the variant minus the same of the base, in nats per
    token, with its interval; ``auroc`` tells training from test texts by Min-K%, 0.5 by chance."""

    gap: float
    low: float
    high: float
    auroc: float
    auroc_base: float

    @property
    def is_memorised(self) -> bool:
        """Is the lower bound above `GAP_NATS`?"""
        return self.low > GAP_NATS

    @property
    def is_free(self) -> bool:
        """Is the whole interval below `GAP_NATS`?"""
        return self.high <= GAP_NATS


def judge_memorisation(
    tuned: tuple[Likelihoods, Likelihoods],
    base: tuple[Likelihoods, Likelihoods],
    confidence: float = 0.95,
) -> Memorisation:
    """Compare (training texts, test texts) of a variant with the same texts of the base.

    The gap is a difference of two ratios of sums (nats over tokens); its standard error comes from
    linearising each ratio, texts independent.

    Raises
    ------
    MetricError
        The two variants cut a text into different tokens: nothing per token can be compared.
    """
    changes = [_change(mine, its) for mine, its in zip(tuned, base, strict=True)]
    (train, train_error), (test, test_error) = changes
    gap = test - train
    half = float(ndtri((1 + confidence) / 2)) * hypot(train_error, test_error)
    return Memorisation(
        gap,
        gap - half,
        gap + half,
        auroc(tuned[0].min_k, tuned[1].min_k),
        auroc(base[0].min_k, base[1].min_k),
    )


def _change(tuned: Likelihoods, base: Likelihoods) -> tuple[float, float]:
    """How much dearer the texts are to the tuned variant, in nats per token, and its error."""
    counts = _counts(tuned.tokens)
    if not np.array_equal(counts, _counts(base.tokens)):
        raise MetricError("the base cuts these texts into other tokens than the tuned variant.")
    nats = np.array([sum(b) - sum(t) for t, b in zip(tuned.tokens, base.tokens, strict=True)])
    ratio = nats.sum() / counts.sum()
    n = counts.size
    residuals = (nats - ratio * counts) / counts.mean()
    error = residuals.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return float(ratio), float(error)


def _counts(texts: Sequence[Sequence[float]]) -> NDArray[np.int64]:
    return np.array([len(one) for one in texts], dtype=np.int64)


def memorisation_sentence(variant: str, found: Memorisation) -> str:
    """What was found, with the numbers that it rests on."""
    bounds = f"({found.low:+.2f} to {found.high:+.2f})"
    if found.is_memorised:
        return (
            f"{variant} has memorised training texts: compared with the base model, they became "
            f"{found.gap:.2f} nats per token {bounds} likelier than test texts did."
        )
    if found.is_free:
        return (
            f"{variant} finds its training texts hardly likelier than test texts, compared with the "
            f"base model ({found.gap:+.2f} nats per token, {found.low:+.2f} to {found.high:+.2f})."
        )
    return (
        f"{variant}: too few texts to say whether it memorised them ({found.gap:+.2f} nats per "
        f"token, {found.low:+.2f} to {found.high:+.2f}; above {GAP_NATS:.1f} would show it)."
    )
