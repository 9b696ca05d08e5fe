"""How well one number tells two kinds of text apart: in scope from out of scope, seen from unseen.

Not for: making the number (the engine and the tasks do), deciding about a single text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.statistic import Settings
from tuneval.errors import MetricError

Floats = NDArray[np.float64]

KEPT = (0.99, 0.95, 0.9, 0.8)
"""Shares of texts in scope that a threshold may keep, for the table of what it then lets through."""

FEWEST_TO_JUDGE = 30

LOWEST_SHARE = 0.2
"""Share of the least likely tokens that Min-K% looks at."""


def auroc(positive: Sequence[float] | Floats, negative: Sequence[float] | Floats) -> float:
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
    positive: Sequence[float] | Floats, negative: Sequence[float] | Floats, *, recall: float = 0.95
) -> float:
    """Smallest share of negatives let through by a threshold that keeps ``recall`` of the positives.

    At 0.95 the FPR95 of Hendrycks & Gimpel (2017), A baseline for detecting misclassified and
    out-of-distribution examples; matches the first such point of ``sklearn.metrics.roc_curve``.
    """
    a, b = _finite(positive), _finite(negative)
    if not a.size or not b.size:
        return float("nan")
    return float(np.mean(b >= threshold_at(a, recall)))


def threshold_at(positive: Sequence[float] | Floats, recall: float) -> float:
    """Highest score that ``recall`` of the positives reach."""
    a = np.sort(_finite(positive))[::-1]
    return float(a[int(np.ceil(recall * a.size - 1e-9)) - 1])


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


def _finite(values: Sequence[float] | Floats) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise MetricError("a score that is not finite cannot be ranked.")
    return array


@dataclass(frozen=True, slots=True)
class Passing:
    """What a threshold that keeps a share of the texts in scope lets through of the others."""

    kept: float
    threshold: float
    passed: float


@dataclass(frozen=True, slots=True)
class Detection:
    """How well an arm's highest label probability tells texts in scope from others.

    Means over training seeds. ``interval`` and ``difference_interval`` (against the baseline's
    AUROC, on the same draws) are percentiles of the bootstrap; None for the baseline itself.
    """

    auroc: float
    interval: tuple[float, float]
    fpr95: float
    n_inside: int
    n_outside: int
    passing: tuple[Passing, ...]
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None


def judge_detection(
    scores: Mapping[str, tuple[Floats, Floats]],
    settings: Settings,
    *,
    key: str,
    baseline: str,
    codes: NDArray[np.int64] | None = None,
) -> dict[str, Detection]:
    """AUROC and FPR95 of every arm, with intervals, and what it gains over the baseline.

    Parameters
    ----------
    scores : mapping
        Arm -> (scores in scope, scores out of scope), of shape (n_seeds, n_inside) and
        (n_seeds, n_outside); neither is empty, and all arms answered the same texts.
    codes : ndarray of int, shape (n_inside,), optional
        Clusters of the texts in scope, drawn whole.

    Notes
    -----
    Texts of both kinds are drawn apart, so that their numbers stay as they are; the same draws
    serve every arm.
    """
    n_draws = min(settings.resamples, again.RANK_RESAMPLES)
    first_inside, first_outside = next(iter(scores.values()))
    n_inside, n_outside = first_inside.shape[1], first_outside.shape[1]
    rng = again.generator(settings.resampling_seed, "detection", key)
    drawn: dict[str, list[Floats]] = {arm: [] for arm in scores}
    for size in again.blocks(n_draws, n_inside + n_outside):
        weights = _drawn(rng, size, n_inside, codes), _drawn(rng, size, n_outside, None)
        for arm, (inside, outside) in scores.items():
            per_seed = [_weighted(*one, *weights) for one in zip(inside, outside, strict=True)]
            drawn[arm].append(np.mean(per_seed, axis=0))
    draws = {arm: np.concatenate(parts) for arm, parts in drawn.items()}
    own = {
        arm: float(np.mean([auroc(*one) for one in zip(*both, strict=True)]))
        for arm, both in scores.items()
    }
    found = {}
    for arm, (inside, outside) in scores.items():
        seeds = list(zip(inside, outside, strict=True))
        is_baseline = arm == baseline or baseline not in scores
        found[arm] = Detection(
            auroc=own[arm],
            interval=_percentiles(draws[arm], settings.confidence),
            fpr95=float(np.mean([false_positive_rate(*one) for one in seeds])),
            n_inside=n_inside,
            n_outside=n_outside,
            passing=tuple(
                Passing(
                    kept,
                    float(np.mean([threshold_at(a, kept) for a, _ in seeds])),
                    float(np.mean([false_positive_rate(a, b, recall=kept) for a, b in seeds])),
                )
                for kept in KEPT
            ),
            difference=None if is_baseline else own[arm] - own[baseline],
            difference_interval=None
            if is_baseline
            else _percentiles(draws[arm] - draws[baseline], settings.confidence),
        )
    return found


def _drawn(
    rng: np.random.Generator, n_draws: int, n: int, codes: NDArray[np.int64] | None
) -> Floats:
    """How often each text occurs in a draw with replacement, shape (n_draws, n)."""
    n_units = n if codes is None else int(codes.max()) + 1
    weights = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_draws)
    return np.asarray(weights if codes is None else weights[:, codes], dtype=np.float64)


def _weighted(inside: Floats, outside: Floats, w_inside: Floats, w_outside: Floats) -> Floats:
    """AUROC of weighted texts, shape (n_draws,)."""
    order = np.argsort(outside, kind="stable")
    ordered = outside[order]
    below = np.zeros((len(w_outside), outside.size + 1))
    np.cumsum(w_outside[:, order], axis=1, out=below[:, 1:])
    wins = (
        below[:, np.searchsorted(ordered, inside, side="left")]
        + below[:, np.searchsorted(ordered, inside, side="right")]
    ) / 2
    found: Floats = (w_inside * wins).sum(axis=1) / (w_inside.sum(axis=1) * below[:, -1])
    return found


def _percentiles(draws: Floats, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def detection_sentence(arm: str, found: Detection, *, texts: str, baseline: str) -> str:
    """What an arm notices of texts out of scope; ``texts`` names where they come from."""
    low, high = found.interval
    text = (
        f"{arm} tells the {found.n_outside} texts of {texts} from {found.n_inside} test cases with "
        f"AUROC {found.auroc:.3f} ({low:.3f} to {high:.3f}); a threshold on its highest label "
        f"probability that keeps 95% of the test cases lets {found.fpr95:.0%} of them through."
    )
    if found.difference is not None and found.difference_interval is not None:
        low, high = found.difference_interval
        text += f" AUROC against {baseline}: {found.difference:+.3f} ({low:+.3f} to {high:+.3f})."
    if found.n_outside < FEWEST_TO_JUDGE:
        text += f" Fewer than {FEWEST_TO_JUDGE} texts: take this as a hint."
    return text
