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

from tuneval.comparison.estimate.exact import clopper_pearson, wilson
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
    confidence: float


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
    mean = estimate_mean(margins, grouped)
    right = margins > 0
    return Rewarded(
        float(right.mean()),
        _interval_of_share(right, grouped, len(names), confidence),
        mean.value,
        mean.interval(confidence),
        len(margins),
        confidence,
    )


def _interval_of_share(
    right: NDArray[np.bool_], grouped: NDArray[np.int64] | None, n_clusters: int, confidence: float
) -> tuple[float, float]:
    """Exact where all or none are right, with one count for each cluster; else Wilson's, or by clusters."""
    n_right = int(right.sum())
    if n_right in (0, right.size):
        return clopper_pearson(n_clusters if n_right else 0, n_clusters, confidence)
    if grouped is None:
        return wilson(n_right, right.size, confidence)
    low, high = estimate_mean(right.astype(float), grouped).interval(confidence)
    return max(low, 0.0), min(high, 1.0)


def sentence(found: Rewarded, variant: str, baseline: str) -> str:
    """For the user."""
    (low, high), (least, most) = found.accuracy_interval, found.margin_interval
    sure = f"{found.confidence:.0%} CI"
    return (
        f"Against {baseline}, {variant} raised the chosen answer over the rejected one in "
        f"{found.accuracy:.1%} of {found.n} pairs ({sure} {low:.1%} to {high:.1%}): its implicit reward "
        f"has a margin of {found.margin:+.2f} nats times beta ({sure} {least:+.2f} to {most:+.2f})."
    )
