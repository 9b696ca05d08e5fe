"""Are stated confidences honest, beyond what chance and binning do to a perfect model?

Not for: confidences themselves (tasks), ECE as an additive metric with intervals (metrics).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tuneval.comparison.estimate import exact
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.multiplicity import holm
from tuneval.comparison.statistic import Settings
from tuneval.errors import MetricError

Floats = NDArray[np.float64]

N_BINS = 15
N_NULL = 1_000
OVERCONFIDENT_POINTS = 2.0
FEWEST_TO_JUDGE = 30
TINY = 1e-300
LEAST_GAIN = 0.001
"""A temperature that saves fewer nats than are printed is no advice."""


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
    """Area under the risk-coverage curve: mean over i of the error among the i most confident.

    Equally confident cases share the mean of their errors, so their order does not count.
    """
    _, place, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, weights=1 - correct) / count
    errors = np.cumsum(np.repeat(wrong, count))
    return float(np.mean(errors / np.arange(1, confidence.size + 1)))


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
    p_value: float = float("nan")
    p_adjusted: float = float("nan")


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
    p_value = estimate.p_value()
    return Confidence(finding, estimate.value, low, high, float(correct.mean()), p_value)


def hold(found: Sequence[Confidence], alpha: float) -> list[Confidence]:
    """Keep those findings that stand among all arms of a run: Holm, at this share of the 5%."""
    places = [i for i, one in enumerate(found) if isfinite(one.p_value)]
    adjusted = dict(zip(places, holm([found[i].p_value for i in places]), strict=True))
    return [
        replace(
            one,
            finding=one.finding if i in adjusted and adjusted[i] < alpha else "",
            p_adjusted=float(adjusted.get(i, float("nan"))),
        )
        for i, one in enumerate(found)
    ]


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


def held_out_temperature(
    logits: Floats, labels: NDArray[np.int64], is_fitted: NDArray[np.bool_]
) -> Temperature:
    """Fit on the cases of ``is_fitted``, and quote the losses on all others.

    Parameters
    ----------
    logits : ndarray, shape (n_seeds, n, n_labels)
        Of every training seed; one temperature serves them all. A label that a case does not offer
        is -inf.
    labels : ndarray of int, shape (n,)
    is_fitted : ndarray of bool, shape (n,)
    """
    n_seeds, _, n_labels = logits.shape

    def stacked(chosen: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
        return logits[:, chosen].reshape(-1, n_labels), np.tile(labels[chosen], n_seeds)

    fitted = fit_temperature(*stacked(is_fitted)).temperature
    others, expected = stacked(~is_fitted)
    return Temperature(fitted, loss_at(1.0, others, expected), loss_at(fitted, others, expected))


def loss_at(temperature: float, logits: Floats, labels: NDArray[np.int64]) -> float:
    """Mean negative log-probability (nats) of the labels under softmax(logits / temperature)."""
    found = log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels]
    return float(-found.mean())


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar confidence; ``low`` and ``high`` bound their accuracy (Wilson, 95%)."""

    confidence: float
    accuracy: float
    low: float
    high: float
    n_cases: float


def reliability(confidence: Floats, correct: Floats, n_bins: int = N_BINS) -> tuple[Bin, ...]:
    """Accuracy beside confidence in bins of equally many answers, from unsure to sure.

    Parameters
    ----------
    confidence, correct : ndarray, shape (n_seeds, n)
        Answers of all training seeds share the bins. Seeds answer the same cases, so the bars are
        those of ``n_cases`` = answers / seeds.
    """
    n_seeds = len(confidence)
    order = np.argsort(confidence.ravel(), kind="stable")
    bins = []
    for part in np.array_split(order, n_bins):
        if not part.size:
            continue
        accuracy, n_cases = float(correct.ravel()[part].mean()), part.size / n_seeds
        low, high = exact.wilson(accuracy * n_cases, n_cases)
        mean = float(confidence.ravel()[part].mean())
        bins.append(Bin(mean, accuracy, low, high, n_cases))
    return tuple(bins)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything about the probabilities of one arm; numbers are means over its training seeds.

    ``brier`` sums over labels (0 to 2), ``brier_top_label`` is of confidence and being right;
    ``risk_80`` is the error among the 80% most confident cases. ``is_judged``: there are enough
    cases; ``is_clustered``: the null of independent cases does not hold, so the calibration error
    is not judged.
    """

    n_cases: int
    error: CalibrationNull
    ece_width: float
    brier: float
    brier_top_label: float
    nll: float
    aurc: float
    risk_80: float
    confidence: Confidence
    temperature: Temperature | None
    bins: tuple[Bin, ...]
    is_clustered: bool = False

    @property
    def is_judged(self) -> bool:
        """Are there enough cases to say anything?"""
        return self.n_cases >= FEWEST_TO_JUDGE

    @property
    def is_miscalibrated(self) -> bool:
        """Is the error beyond what binning shows of a calibrated model?"""
        return not self.is_clustered and self.error.is_miscalibrated


def judge_calibration(
    probabilities: Floats,
    labels: NDArray[np.int64],
    settings: Settings,
    *,
    case_set: str,
    name: str,
    codes: NDArray[np.int64] | None = None,
) -> Calibration:
    """Hold the probabilities of an arm against what was right.

    Parameters
    ----------
    probabilities : ndarray, shape (n_seeds, n, n_labels), n >= 1
        Of every training seed; 0 for a label that a case does not offer.
    labels : ndarray of int, shape (n,)
    codes : ndarray of int, shape (n,), optional
        Clusters of the cases, numbered 0..G-1.

    Notes
    -----
    The temperature is fitted on a random half of the cases (of the clusters) and its losses are
    quoted on the other half, the same halves for every arm. Seeds err on the same cases, so the
    95th percentile of their mean calibration error is taken to be the mean of theirs: no smaller
    than it is, whatever they have in common.
    """
    n = len(labels)
    confidence = probabilities.max(axis=2)
    correct = (probabilities.argmax(axis=2) == labels).astype(np.float64)
    seeds = list(zip(confidence, correct, strict=True))
    nulls = [
        calibration_null(c, right, settings, key=f"{case_set}/{name}/{place}")
        for place, (c, right) in enumerate(seeds)
    ]
    expected = probabilities[:, np.arange(n), labels]
    is_right = np.zeros(probabilities.shape[1:])
    is_right[np.arange(n), labels] = 1
    with np.errstate(divide="ignore"):
        logits = np.where(probabilities > 0, np.log(np.maximum(probabilities, TINY)), -np.inf)
    # The label itself may have underflowed; its loss is large, not infinite.
    logits[:, np.arange(n), labels] = np.log(np.maximum(expected, TINY))
    half = _half(n, codes, again.generator(settings.resampling_seed, "calibration", case_set))
    return Calibration(
        n_cases=n,
        error=CalibrationNull(
            *(
                float(np.mean([getattr(one, part) for one in nulls]))
                for part in ("ece", "null_mean", "null_95")
            )
        ),
        ece_width=float(np.mean([ece_equal_width(*one, N_BINS) for one in seeds])),
        brier=float(np.mean(np.sum((probabilities - is_right) ** 2, axis=2))),
        brier_top_label=float(np.mean([brier(*one) for one in seeds])),
        nll=float(-np.log(np.maximum(expected, np.finfo(np.float64).eps)).mean()),
        aurc=float(np.mean([aurc(*one) for one in seeds])),
        risk_80=float(np.mean([risk_at(*one) for one in seeds])),
        confidence=judge_confidence(confidence.mean(axis=0), correct.mean(axis=0), codes),
        temperature=None if half is None else held_out_temperature(logits, labels, half),
        bins=reliability(confidence, correct),
        is_clustered=codes is not None,
    )


def _half(
    n: int, codes: NDArray[np.int64] | None, rng: np.random.Generator
) -> NDArray[np.bool_] | None:
    """A random half of the cases, whole clusters; None where a half would be too small."""
    if codes is None:
        codes = np.arange(n)
    n_units = int(codes.max()) + 1
    chosen = np.zeros(n_units, dtype=bool)
    chosen[rng.permutation(n_units)[: n_units // 2]] = True
    half: NDArray[np.bool_] = chosen[codes]
    return half if min(half.sum(), (~half).sum()) >= FEWEST_TO_JUDGE else None


def calibration_sentence(name: str, found: Calibration) -> tuple[str, str]:
    """Level ("warning", "note", "clear" or "unclear") and the sentence about an arm's probabilities."""
    if not found.is_judged:
        return "unclear", (
            f"{name}: {found.n_cases} cases are too few to say whether its probabilities can be "
            "believed."
        )
    error = found.error
    text = confidence_sentence(name, found.confidence, found.temperature)
    if text:
        return "warning", text
    beside = (
        f"a perfectly calibrated model with these confidences shows {100 * error.null_mean:.1f} on "
        f"average, and more than {100 * error.null_95:.1f} in 5% of such test sets"
    )
    shown = f"calibration error of {100 * error.ece:.1f} points"
    if found.is_miscalibrated:
        # No warning: beside the one above it would make two chances of a false alarm.
        return "note", (
            f"{name} is miscalibrated: {shown}, where {beside}.{_advice(found.temperature)}"
        )
    if found.is_clustered:
        return "clear", (
            f"{name} is neither too sure nor too unsure; {shown}, not judged because cases belong "
            "together."
        )
    return "clear", f"{name}: {shown}; {beside}."


def confidence_sentence(
    variant: str, found: Confidence, temperature: Temperature | None = None
) -> str:
    """Sentence of table 9.5, "" where the confidences are fair.

    ``temperature`` must have been fitted on cases that are not those of its losses.
    """
    if not found.finding:
        return ""
    side = "too sure" if found.finding == "overconfident" else "too unsure"
    return (
        f"{variant} is right {found.accuracy:.0%} of the time but {100 * abs(found.excess):.0f} points {side}. "
        f"Predictions stand; do not use its probabilities as they are.{_advice(temperature)}"
    )


def _advice(temperature: Temperature | None) -> str:
    if temperature is None or temperature.nll_before - temperature.nll_after < LEAST_GAIN:
        return ""
    return (
        f" Temperature {temperature.temperature:.2f} fixes validation loss from "
        f"{temperature.nll_before:.3f} to {temperature.nll_after:.3f}."
    )
