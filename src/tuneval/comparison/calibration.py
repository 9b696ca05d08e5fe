"""Are stated confidences honest, beyond what chance and binning do to a perfect model?

Not for: confidences themselves (tasks), ECE as an additive metric with intervals (metrics).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tuneval.comparison import Settings
from tuneval.comparison import mean as means
from tuneval.comparison import resampling as again
from tuneval.errors import MetricError

Floats = NDArray[np.float64]

N_BINS = 15
N_NULL = 1_000
OVERCONFIDENT_POINTS = 2.0


def ece_equal_mass(confidence: Floats, correct: Floats, n_bins: int = N_BINS) -> float:
    """Expected calibration error over bins of equally many cases, on [0, 1]."""
    order = np.argsort(confidence, kind="stable")
    return float(_ece_sorted(confidence[order], correct[order][None, :], n_bins)[0])


def _ece_sorted(confidence: Floats, correct: Floats, n_bins: int) -> Floats:
    """ECE of several draws of ``correct``, shape (n_draws, n), by ascending confidence."""
    n = confidence.size
    if n == 0:
        return np.full(len(correct), np.nan)
    sizes = np.array([part.size for part in np.array_split(np.arange(n), n_bins)])
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])[:-1]])
    gaps: Floats = np.add.reduceat(correct - confidence, starts, axis=1)
    return np.asarray(np.abs(gaps).sum(axis=1) / n)


def ece_equal_width(confidence: Floats, correct: Floats, n_bins: int = 10) -> float:
    """Expected calibration error over bins (lo, hi] of equal width."""
    which = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / confidence.size)


def brier(confidence: Floats, correct: Floats) -> float:
    """Mean squared difference of confidence and being right (0 is best)."""
    return float(np.mean((confidence - correct) ** 2))


def aurc(confidence: Floats, correct: Floats) -> float:
    """Area under the risk-coverage curve: mean over i of the error among the i most confident."""
    order = np.argsort(-confidence, kind="stable")
    wrong = 1 - correct[order]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, wrong.size + 1)))


def risk_at(confidence: Floats, correct: Floats, coverage: float = 0.8) -> float:
    """Error among the most confident ``coverage`` of the cases."""
    kept = max(1, round(coverage * confidence.size))
    order = np.argsort(-confidence, kind="stable")[:kept]
    return float(1 - correct[order].mean())


@dataclass(frozen=True, slots=True)
class CalibrationNull:
    """ECE beside what a perfectly calibrated model with these confidences would show."""

    ece: float
    null_mean: float
    null_95: float

    @property
    def is_miscalibrated(self) -> bool:
        """Is the error above the 95th percentile of a calibrated model's?"""
        return self.ece > self.null_95


def calibration_null(
    confidence: Floats, correct: Floats, settings: Settings, *, key: str, n_bins: int = N_BINS
) -> CalibrationNull:
    """Draw being right as Bernoulli(confidence): binning alone shows .088 at 200 cases."""
    order = np.argsort(confidence, kind="stable")
    ascending = confidence[order]
    rng = again.generator(settings.resampling_seed, "calibration", key, "null")
    drawn = (rng.random((N_NULL, ascending.size)) < ascending).astype(np.float64)
    null = _ece_sorted(ascending, drawn, n_bins)
    ece = float(_ece_sorted(ascending, correct[order][None, :], n_bins)[0])
    return CalibrationNull(ece, float(null.mean()), float(np.quantile(null, 0.95)))


@dataclass(frozen=True, slots=True)
class Confidence:
    """How much too sure a variant is: mean of confidence - correct, with its interval."""

    finding: str  # "overconfident", "underconfident" or ""
    excess: float
    low: float
    high: float
    accuracy: float


def judge_confidence(
    confidence: Floats, correct: Floats, codes: NDArray[np.int64] | None = None
) -> Confidence:
    """Overconfident if the interval is above 0 and the excess at least 2 points; mirrored below."""
    if confidence.size < 2:
        accuracy = float(correct.mean()) if correct.size else float("nan")
        return Confidence("", float("nan"), float("nan"), float("nan"), accuracy)
    estimate = means.estimate_mean(confidence - correct, codes)
    low, high = estimate.interval()
    least = OVERCONFIDENT_POINTS / 100
    finding = ""
    if low > 0 and estimate.value >= least:
        finding = "overconfident"
    elif high < 0 and estimate.value <= -least:
        finding = "underconfident"
    return Confidence(finding, estimate.value, low, high, float(correct.mean()))


@dataclass(frozen=True, slots=True)
class Temperature:
    """Temperature that minimises the loss, and the loss (nats) before and after."""

    temperature: float
    nll_before: float
    nll_after: float


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> Temperature:
    """Minimise the mean loss of softmax(logits / T), ln T within [-3, 3].

    Parameters
    ----------
    logits : ndarray, shape (n, n_labels)
        Log-likelihoods will do.
    labels : ndarray of int, shape (n,)

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks.
    """
    if len(logits) == 0:
        raise MetricError("a temperature needs at least one case: give a calibration split.")
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / exp(log_temperature), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    return Temperature(exp(float(found.x)), loss(0.0), float(found.fun))


def confidence_sentence(
    variant: str, found: Confidence, temperature: Temperature | None = None
) -> str:
    """Sentence of table 9.5, "" where the confidences are fair.

    ``temperature`` must have been fitted on cases that are not in the test set.
    """
    if not found.finding:
        return ""
    side = "too sure" if found.finding == "overconfident" else "too unsure"
    text = (
        f"{variant} is right {found.accuracy:.0%} of the time but {abs(found.excess):.0%} {side}. "
        "Predictions stand; do not use its probabilities as they are."
    )
    if temperature is None:
        return text
    return text + (
        f" Temperature {temperature.temperature:.2f} fixes validation loss from "
        f"{temperature.nll_before:.3f} to {temperature.nll_after:.3f}."
    )
