"""Do groups of cases fare differently, beyond what chance does to small groups?

Not for: choosing rows (slices.py), which group attributes are worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison import Settings, Statistic, exact, independent, power
from tuneval.comparison import mean as means
from tuneval.comparison import resampling as again
from tuneval.comparison.multiplicity import benjamini_hochberg
from tuneval.comparison.paired import Finding, to_comparison
from tuneval.comparison.resampling import Floats
from tuneval.comparison.scoring import checked, counted, kind_of, value_of
from tuneval.comparison.wording import scale
from tuneval.errors import MetricError
from tuneval.types import Comparison, Measurement

FEWEST_TO_JUDGE = 30
FEWEST_TO_SHOW = 10


@dataclass(frozen=True, slots=True)
class GroupGap:
    """Largest difference between groups with its permutation p-value.

    ``gap`` and ``detectable`` are in the metric's unit, over groups of at least 30 cases;
    ``p_value`` is nan with fewer than two such groups. ``against_rest`` holds one exploratory
    Comparison per judged group, Benjamini-Hochberg adjusted.
    """

    values: Mapping[str, float]
    counts: Mapping[str, int]
    gap: float
    p_value: float
    lowest: str
    detectable: float
    against_rest: tuple[Comparison, ...]


def judge_groups(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    attribute: str,
    groups: Sequence[str | None],
) -> GroupGap:
    """Test the largest gap between groups by permuting who belongs to which.

    The raw gap is never called unfair: five groups of 30 with equal accuracy .85 show 15 points on
    average.

    Parameters
    ----------
    groups : sequence of str or None
        Group of each case in the measurement's order; None takes no part.
    """
    rows = checked(measurement)
    if len(groups) != len(rows):
        raise MetricError(f"{len(groups)} groups for {len(rows)} cases: give one per case.")
    has_value = counted(kind_of(metric, rows), rows)
    names = [name for name in dict.fromkeys(groups) if name is not None]
    code = np.array([names.index(g) if g is not None else -1 for g in groups], dtype=np.int64)
    code[~has_value] = -1
    counts = {name: int(np.sum(code == i)) for i, name in enumerate(names)}
    values = {name: value_of(metric, rows[code == i]) for i, name in enumerate(names)}
    judged = [name for name in names if counts[name] >= FEWEST_TO_JUDGE]
    if len(judged) < 2:
        return GroupGap(values, counts, float("nan"), float("nan"), "", float("nan"), ())
    lowest = (min if metric.higher_is_better else max)(judged, key=lambda name: values[name])
    gap = max(values[n] for n in judged) - min(values[n] for n in judged)
    picked = [np.flatnonzero(code == names.index(name)) for name in judged]
    key = (metric.name, f"{case_set}/{attribute}/{measurement.variant}", "groups")
    rng = again.generator(settings.resampling_seed, *key)
    p_value = _permuted(metric, [rows[i] for i in picked], gap, settings.resamples, rng)
    found = {
        name: _against_rest(measurement, metric, settings, code, names, name) for name in judged
    }
    adjusted = benjamini_hochberg([one.p_value() for one in found.values()])
    comparisons = tuple(
        _comparison(
            measurement, metric, settings, (case_set, f"{attribute}={name}"), one, p, counts[name]
        )
        for (name, one), p in zip(found.items(), adjusted, strict=True)
    )
    smallest = sorted(found.values(), key=lambda one: one.standard_error)[-1]
    detectable = power.z_sum() * smallest.standard_error
    return GroupGap(values, counts, gap, p_value, lowest, detectable, comparisons)


def _permuted(
    metric: Statistic,
    parts: Sequence[Floats],
    gap: float,
    n_draws: int,
    rng: np.random.Generator,
) -> float:
    """Share of shufflings whose largest gap is at least as large; ties count."""
    rows = np.concatenate(parts)
    sizes = [len(part) for part in parts]
    kinds, counts = again.distinct(rows)
    if metric.statistic != "ranks" and len(kinds) < len(rows):
        totals = np.stack(_shuffled(counts, sizes, n_draws, rng)) @ kinds
        shuffled_values = metric.from_totals(totals)
        found = shuffled_values.max(axis=0) - shuffled_values.min(axis=0)
        return float((1 + np.sum(~(found < gap - exact.TIE))) / (n_draws + 1))
    ends = np.cumsum(sizes)[:-1]
    if metric.statistic == "ranks":
        n_draws = min(n_draws, again.RANK_RESAMPLES)
    extreme = 0
    for _ in range(n_draws):
        order = rng.permutation(len(rows))
        shuffled = [value_of(metric, part) for part in np.split(rows[order], ends)]
        extreme += not max(shuffled) - min(shuffled) < gap - exact.TIE
    return (1 + extreme) / (n_draws + 1)


def _shuffled(
    counts: NDArray[np.int64], sizes: Sequence[int], n_draws: int, rng: np.random.Generator
) -> list[Floats]:
    """How many rows of each kind fall to each group, each of shape (n_draws, n_kinds).

    Dealing out kinds by hypergeometric draws is the same as shuffling cases, and much cheaper.
    """
    left = np.tile(counts, (n_draws, 1))
    dealt = []
    for size in sizes[:-1]:
        wanted = np.full(n_draws, size)
        others = left.sum(axis=1)
        hand = np.zeros_like(left)
        for kind in range(counts.size):
            others = others - left[:, kind]
            hand[:, kind] = rng.hypergeometric(left[:, kind], others, wanted)
            wanted = wanted - hand[:, kind]
        left = left - hand
        dealt.append(hand.astype(np.float64))
    return [*dealt, left.astype(np.float64)]


def _against_rest(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    code: NDArray[np.int64],
    names: Sequence[str],
    name: str,
) -> means.Estimate:
    inside = code == names.index(name)
    outside = (code >= 0) & ~inside
    group, rest = (
        independent.estimate(_rows(measurement, chosen), metric, settings)
        for chosen in (inside, outside)
    )
    return independent.welch(rest, group)


def _rows(measurement: Measurement, chosen: NDArray[np.bool_]) -> Measurement:
    ids = tuple(measurement.case_ids[i] for i in np.flatnonzero(chosen))
    return Measurement(measurement.variant, measurement.metric, ids, measurement.rows[chosen])


def _comparison(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    place: tuple[str, str],
    found: means.Estimate,
    p_adjusted: float,
    n_cases: int,
) -> Comparison:
    finding = Finding(
        "Welch t, group against the rest",
        found.p_value(),
        found.interval,
        "t",
        power.z_sum() * found.standard_error,
        {"standard_error": found.standard_error},
    )
    comparison = to_comparison(
        finding,
        metric,
        settings,
        names=(measurement.variant, measurement.variant),
        place=place,
        difference=found.value,
        n_cases=n_cases,
    )
    details = {**comparison.details, "confirmatory": 0.0}
    return replace(comparison, p_adjusted=float(p_adjusted), details=details)


def group_sentence(gap: GroupGap, metric: Statistic, label: str) -> str:
    """Sentence of measurement section 12; "" where fewer than two groups can be judged."""
    if np.isnan(gap.p_value):
        return ""
    s = scale(metric.unit)
    if gap.p_value < 0.05:
        return (
            f"{label} differs between groups by {s.plain(gap.gap)}{s.noun} (permutation "
            f"p={gap.p_value:.3f}); lowest: {gap.lowest}, n={gap.counts[gap.lowest]}."
        )
    return (
        "No difference between groups beyond chance; gaps under "
        f"{s.factor * gap.detectable:.0f}{s.noun} would not be visible."
    )


@dataclass(frozen=True, slots=True)
class FairnessGaps:
    """Largest differences between groups for a binary decision, on [0, 1]."""

    accuracy: Mapping[str, float]
    accuracy_gap: float
    demographic_parity_difference: float
    equalized_odds_difference: float


def fairness_gaps(
    references: Sequence[object],
    predictions: Sequence[object],
    groups: Sequence[str],
    positive: object = 1,
) -> FairnessGaps:
    """Accuracy gap, demographic parity difference and equalised odds difference.

    A rate that a group does not define (no positive reference) takes no part. Agrees with
    fairlearn's ``MetricFrame.difference``, ``demographic_parity_difference`` and
    ``equalized_odds_difference``.
    """
    is_reference = np.array([one == positive for one in references])
    is_predicted = np.array([one == positive for one in predictions])
    is_right = np.array([a == b for a, b in zip(references, predictions, strict=True)])
    group = np.asarray(groups)
    rates: dict[str, list[float]] = {"selected": [], "true positive": [], "false positive": []}
    accuracy = {}
    for name in np.unique(group):
        inside = group == name
        accuracy[str(name)] = float(is_right[inside].mean())
        rates["selected"].append(float(is_predicted[inside].mean()))
        for kind, chosen in (
            ("true positive", inside & is_reference),
            ("false positive", inside & ~is_reference),
        ):
            if chosen.any():
                rates[kind].append(float(is_predicted[chosen].mean()))
    spread = {kind: max(found) - min(found) if found else 0.0 for kind, found in rates.items()}
    return FairnessGaps(
        accuracy,
        max(accuracy.values()) - min(accuracy.values()),
        spread["selected"],
        max(spread["true positive"], spread["false positive"]),
    )
