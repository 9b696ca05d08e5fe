"""The reward that a model tuned on preferences has learnt, without its scale.

References
----------
Rafailov et al. (2023), Direct preference optimization: your language model is secretly a reward model,
arXiv:2305.18290, equation 5: the reward is beta times log pi(y|x) - log pi_ref(y|x). TRL's
rewards/accuracies and rewards/margins (over beta) are these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate.mean import estimate_mean


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Share of pairs whose chosen answer got the higher reward, and the mean margin of the rewards over
    beta, in nats; each with its interval."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    margin: float
    margin_interval: tuple[float, float]
    n: int


def rewarded(
    margins: NDArray[np.float64], clusters: Sequence[str], confidence: float = 0.95
) -> Rewarded:
    """Accuracy and mean of the margins of rewards.

    Parameters
    ----------
    margins : ndarray, shape (n,), n >= 2
        (log pi - log pi_ref) of the chosen answer less that of the rejected one, in nats.
    clusters : sequence of str
        Cases of one cluster count together.
    """
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    grouped = codes.astype(np.int64) if len(names) < len(margins) else None
    right = estimate_mean((margins > 0).astype(float), grouped)
    mean = estimate_mean(margins, grouped)
    low, high = right.interval(confidence)
    return Rewarded(
        right.value,
        (max(low, 0.0), min(high, 1.0)),
        mean.value,
        mean.interval(confidence),
        len(margins),
    )


def sentence(found: Rewarded, variant: str, baseline: str) -> str:
    """For the user."""
    (low, high), (least, most) = found.accuracy_interval, found.margin_interval
    return (
        f"Against {baseline}, {variant} raised the chosen answer over the rejected one in "
        f"{found.accuracy:.1%} of {found.n} pairs (95% CI {low:.1%} to {high:.1%}): its implicit reward "
        f"has a margin of {found.margin:+.2f} nats times beta (95% CI {least:+.2f} to {most:+.2f})."
    )
