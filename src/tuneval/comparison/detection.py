"""How well one number tells two kinds of text apart: in scope from out of scope, seen from unseen.

Not for: making the number (the engine and the tasks do), deciding about a single text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuneval.errors import MetricError

LOWEST_SHARE = 0.2
"""Share of the least likely tokens that Min-K% looks at."""


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores above a negative; ties count one half.

    Parameters
    ----------
    positive, negative : sequence of float
        Scores of both kinds, for instance the highest label probability of texts in scope and out
        of scope. Matches ``sklearn.metrics.roc_auc_score``.

    Returns
    -------
    float
        On [0, 1], 0.5 where the score tells nothing; nan where one kind is empty.
    """
    a, b = _finite(positive), _finite(negative)
    if not a.size or not b.size:
        return float("nan")
    ordered = np.sort(b)
    below = np.searchsorted(ordered, a, side="left")
    not_above = np.searchsorted(ordered, a, side="right")
    return float(np.mean((below + not_above) / 2) / b.size)


def false_positive_rate(
    positive: Sequence[float], negative: Sequence[float], *, recall: float = 0.95
) -> float:
    """Smallest share of negatives let through by a threshold that keeps ``recall`` of the positives.

    At 0.95 the FPR95 of Hendrycks & Gimpel (2017), A baseline for detecting misclassified and
    out-of-distribution examples; matches the first such point of ``sklearn.metrics.roc_curve``.
    """
    a, b = _finite(positive), _finite(negative)
    if not a.size or not b.size:
        return float("nan")
    threshold = np.sort(a)[::-1][int(np.ceil(recall * a.size - 1e-9)) - 1]
    return float(np.mean(b >= threshold))


def min_k_prob(token_logprobs: Sequence[float], share: float = LOWEST_SHARE) -> float:
    """Mean log-probability (nats) of the least likely tokens of a text: higher if it was seen.

    Of n tokens the lowest max(1, int(share * n)) count.

    Raises
    ------
    MetricError
        There is no token.

    References
    ----------
    Shi et al. (2024), Detecting Pretraining Data from Large Language Models.
    """
    values = np.sort(_finite(token_logprobs))
    if not values.size:
        raise MetricError("Min-K% needs the log-probability of at least one token.")
    return float(values[: max(1, int(share * values.size))].mean())


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise MetricError("a score that is not finite cannot be ranked.")
    return array
