"""Do groups of cases fare differently, beyond what chance does to small groups?

Not for: choosing rows (slices.py), which group attributes are worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from tuneval.comparison.estimate import exact, independent, power
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.multiplicity import benjamini_hochberg
from tuneval.comparison.estimate.paired import Finding, to_comparison
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import Codes, by_rows, checked, counted, kind_of, value_of
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.comparison.wording import scale
from tuneval.errors import MetricError
from tuneval.types import Comparison, Measurement, StatisticKind

ALPHA = 0.05
FEWEST_TO_JUDGE = 30
FEWEST_TO_SHOW = 10
SHUFFLES_FEWER = 2_000
"""Shuffling within clusters sorts every case anew each time, and a group against the rest is one of
many: fewer draws must do."""

SHARES = 200
"""Shares of chance in the spread between groups over which shrunken values are averaged."""

Bools = NDArray[np.bool_]
Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class GroupGap:
    """Largest difference between groups with its permutation p-value.

    ``gap``, ``low``, ``high``, ``observed`` and ``detectable`` are in the metric's unit, over groups
    of at least 30 cases. ``observed`` is the largest difference seen, which is too large because it
    was sought out; ``gap`` is that of the shrunken values, ``low`` to ``high`` the interval of
    ``largest_gap``. ``p_value`` is nan with fewer than two such groups. ``against_rest`` holds one exploratory
    Comparison per judged group, Benjamini-Hochberg adjusted. ``note`` says what was shuffled where
    cases are clustered, or why nothing was.
    """

    attribute: str
    values: Mapping[str, float]
    counts: Mapping[str, int]
    gap: float
    p_value: float
    lowest: str
    detectable: float
    against_rest: tuple[Comparison, ...]
    note: str = ""
    observed: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")

    @property
    def judged(self) -> list[str]:
        """Groups with enough cases."""
        return [name for name, n in self.counts.items() if n >= FEWEST_TO_JUDGE]


class _OverSeeds:
    """A metric of rows that hold those of every training seed side by side: the seeds' mean."""

    def __init__(self, metric: Statistic, n_seeds: int) -> None:
        self.metric, self.n_seeds = metric, n_seeds
        self.name, self.unit = metric.name, metric.unit
        self.higher_is_better = metric.higher_is_better
        self.statistic: StatisticKind = "ranks" if metric.statistic == "ranks" else "corpus"

    def from_totals(self, totals: Floats) -> Floats:
        seeds = totals.reshape(*totals.shape[:-1], self.n_seeds, -1)
        found: Floats = self.metric.from_totals(seeds).mean(axis=-1)
        return found

    def from_rows(self, rows: Floats) -> float:
        parts = np.split(rows, self.n_seeds, axis=1)
        return float(np.mean([by_rows(self.metric).from_rows(part) for part in parts]))

    def signature(self) -> str:
        return self.metric.signature()


def judge_groups(
    measurements: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    attribute: str,
    groups: Sequence[str | None],
    name: str = "",
    clusters: Sequence[str | None] | None = None,
) -> GroupGap:
    """Test the largest gap between groups by permuting who belongs to which.

    The raw gap is never called unfair: five groups of 30 with equal accuracy .85 show 15 points on
    average. Clusters that lie within one group are shuffled whole; where they hold several groups,
    cases are shuffled within their cluster.

    Parameters
    ----------
    measurements : sequence of Measurement
        One per training seed of the arm; its score is their mean.
    groups : sequence of str or None
        Group of each case in the first measurement's order; None takes no part.
    name : str
        Name of the arm; by default that of the first measurement's variant.
    clusters : sequence of str or None, optional
        One per case.
    """
    first = measurements[0]
    seeds = [checked(same_cases(first, one)) for one in measurements]
    n = len(seeds[0])
    if len(groups) != n:
        raise MetricError(f"{len(groups)} groups for {n} cases: give one per case.")
    kind = kind_of(metric, np.concatenate(seeds))
    has_value = np.all([counted(kind, rows) for rows in seeds], axis=0)
    names = [name for name in dict.fromkeys(groups) if name is not None]
    places = {name: i for i, name in enumerate(names)}
    code = np.array([-1 if g is None else places[g] for g in groups], dtype=np.int64)
    code[~has_value] = -1
    over = _OverSeeds(metric, len(seeds))
    rows = np.concatenate(seeds, axis=1)
    counts = {one: int(np.sum(code == i)) for i, one in enumerate(names)}
    values = {one: value_of(over, rows[code == i]) for i, one in enumerate(names)}
    judged = [one for one in names if counts[one] >= FEWEST_TO_JUDGE]
    cluster = cluster_codes(clusters, n)
    nan = float("nan")
    nothing = GroupGap(attribute, values, counts, nan, nan, "", nan, ())
    if len(judged) < 2 or not np.all(np.isfinite([values[one] for one in judged])):
        return nothing
    if over.statistic == "ranks" and cluster is not None:
        return replace(nothing, note="a metric of ranks cannot be judged by cluster")
    lowest = (min if metric.higher_is_better else max)(judged, key=lambda one: values[one])
    gap = max(values[one] for one in judged) - min(values[one] for one in judged)
    taking_part = np.isin(code, [places[one] for one in judged])
    arm = name or first.variant
    rng = again.generator(
        settings.resampling_seed, metric.name, f"{case_set}/{attribute}/{arm}", "groups"
    )
    p_value, note = _shuffle(
        over,
        rows[taking_part],
        code[taking_part],
        None if cluster is None else cluster[taking_part],
        gap,
        settings.resamples,
        rng,
    )
    wide = Measurement(arm, metric.name, first.case_ids, rows)
    found = {
        one: _against_rest(wide, over, settings, code == places[one], code >= 0, clusters)
        for one in judged
    }
    p_values = [
        _shuffle(
            over,
            rows[code >= 0],
            (code[code >= 0] == places[one]).astype(np.int64),
            None if cluster is None else cluster[code >= 0],
            abs(estimate.value),
            min(settings.resamples, SHUFFLES_FEWER),
            rng,
        )[0]
        for one, estimate in found.items()
    ]
    comparisons = tuple(
        _comparison(
            wide, metric, settings, (case_set, f"{attribute}={one}"), estimate, p, counts[one]
        )
        for (one, estimate), p in zip(
            found.items(),
            zip(p_values, benjamini_hochberg(p_values), strict=True),
            strict=True,
        )
    )
    errors = [one.standard_error for one in found.values()]
    detectable = power.z_sum() * max(errors) if np.all(np.isfinite(errors)) else nan
    own = [_own(wide, over, settings, code == places[one], clusters) for one in judged]
    true_gap = largest_gap(
        np.array([one.value for one in own]),
        np.array([one.standard_error for one in own]),
        settings.confidence,
    )
    return GroupGap(
        attribute,
        values,
        counts,
        true_gap[0],
        p_value,
        lowest,
        detectable,
        comparisons,
        note,
        gap,
        *true_gap[1:],
    )


def largest_gap(
    values: Floats, errors: Floats, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Largest difference between the true values of groups, with an interval that knows the search.

    Parameters
    ----------
    values, errors : ndarray, shape (n_groups,)
        Each group's score and its standard error.

    Returns
    -------
    gap, low, high : float
        ``gap`` is the range of the values shrunken towards their mean, each by the share
        of its spread that is chance (``_shrunken``). The interval holds for all pairs of
        groups at once (Tukey's studentized range, for unequal errors by simulation), so it holds
        for the pair that was sought out. A group without any spread
        of its own is given the others' mean error; without any error at all the range as it was
        seen, and no interval.

    References
    ----------
    Tukey (1953), The problem of multiple comparisons.
    """
    nan = float("nan")
    if not np.all(np.isfinite(errors)) or not np.any(errors > 0):
        return float(values.max() - values.min()), nan, nan
    errors = np.where(errors > 0, errors, errors[errors > 0].mean())
    shrunken = _shrunken(values, errors**2)
    first, second = np.triu_indices(values.size, 1)
    spread = np.hypot(errors[first], errors[second])
    rng = again.generator(0, "groups", "largest gap")
    drawn = rng.standard_normal((4_000, values.size)) * errors
    reach = np.abs(drawn[:, first] - drawn[:, second]) / spread
    half = float(np.quantile(reach.max(axis=1), confidence)) * spread
    seen = np.abs(values[first] - values[second])
    low, high = max(0.0, float((seen - half).max())), float((seen + half).max())
    return float(np.clip(shrunken.max() - shrunken.min(), low, high)), low, high


def _shrunken(values: Floats, variances: Floats) -> Floats:
    """Expected true values of groups, given what was seen and that it was found by a test.

    A gap is printed only where it was found to be large, so the likelihood of the spread between
    groups is that of groups which such a test (chi-square of 5%) singles out. Before the
    data were seen the share of chance in the spread may be anything from 0 to 1, small shares being
    likelier (density 1/sqrt(share): large gaps of many cases are left nearly alone); the shrunken
    values are averaged over what is likely after.

    References
    ----------
    Zoellner & Pritchard (2007), Overcoming the winner's curse (likelihood given selection);
    Strawderman (1971), Proper Bayes minimax estimators of the multivariate normal mean.
    """
    freedom, weights = values.size - 1, 1 / variances
    usual = freedom * weights.sum() / (weights.sum() ** 2 - (weights**2).sum())
    chance = (np.arange(SHARES) + 0.5) / SHARES
    within_each = usual * (1 / chance[:, None] - 1) + variances
    inverse = 1 / within_each
    mean = (inverse @ values / inverse.sum(axis=1))[:, None]
    spread = (inverse * (values - mean) ** 2).sum(axis=1)
    likely = -(np.log(within_each).sum(axis=1) + np.log(inverse.sum(axis=1)) + spread) / 2
    seen = weights @ (values - weights @ values / weights.sum()) ** 2
    if seen > (found := float(chdtri(freedom, ALPHA))):
        likely -= np.log(chdtrc(freedom, found * chance))
    share = np.exp(likely - likely.max()) / np.sqrt(chance)
    each = mean + (values - mean) * (1 - variances * inverse)
    return np.asarray(share @ each / share.sum())


def _own(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    inside: Bools,
    clusters: Sequence[str | None] | None,
) -> means.Estimate:
    return independent.estimate(
        *_rows(measurement, metric, settings, inside),
        None if clusters is None else [clusters[int(i)] for i in np.flatnonzero(inside)],
    )


def _shuffle(
    metric: Statistic,
    rows: Floats,
    code: Codes,
    cluster: Codes | None,
    gap: float,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[float, str]:
    """Permutation p of the largest gap, and what was shuffled where there are clusters."""
    if cluster is None:
        return _permuted(
            metric, [rows[code == one] for one in np.unique(code)], gap, n_draws, rng
        ), ""
    _, cluster = np.unique(cluster, return_inverse=True)
    smallest, largest = (
        np.full(cluster.max() + 1, start, dtype=np.int64) for start in (code.max(), -1)
    )
    np.minimum.at(smallest, cluster, code)
    np.maximum.at(largest, cluster, code)
    if np.array_equal(smallest, largest):
        units = again.summed(rows, cluster)
        parts = [units[smallest == one] for one in np.unique(code)]
        return _permuted(metric, parts, gap, n_draws, rng), "whole clusters were shuffled"
    p_value = _permuted_within(metric, rows, code, cluster, gap, min(n_draws, SHUFFLES_FEWER), rng)
    return p_value, "clusters hold several groups: cases were shuffled within clusters"


def _permuted_within(
    metric: Statistic,
    rows: Floats,
    code: Codes,
    cluster: Codes,
    gap: float,
    n_draws: int,
    rng: np.random.Generator,
) -> float:
    order = np.argsort(cluster, kind="stable")
    rows, code, cluster = rows[order], code[order], cluster[order]
    extreme = 0
    for size in again.blocks(n_draws, len(rows)):
        within = np.argsort(cluster + rng.random((size, len(rows))), axis=1)
        shuffled = code[within]
        totals = np.stack([(shuffled == one) @ rows for one in np.unique(code)])
        values = metric.from_totals(totals)
        extreme += int(np.sum(~(values.max(axis=0) - values.min(axis=0) < gap - exact.TIE)))
    return (1 + extreme) / (n_draws + 1)


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
    inside: Bools,
    taking_part: Bools,
    clusters: Sequence[str | None] | None,
) -> means.Estimate:
    rest, group = (
        _own(measurement, metric, settings, chosen, clusters)
        for chosen in (taking_part & ~inside, inside)
    )
    return independent.welch(rest, group)


def _rows(
    measurement: Measurement, metric: Statistic, settings: Settings, chosen: Bools
) -> tuple[Measurement, Statistic, Settings]:
    ids = tuple(measurement.case_ids[int(i)] for i in np.flatnonzero(chosen))
    own = Measurement(measurement.variant, measurement.metric, ids, measurement.rows[chosen])
    return own, metric, settings


def _comparison(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    place: tuple[str, str],
    found: means.Estimate,
    p_values: tuple[float, float],
    n_cases: int,
) -> Comparison:
    finding = Finding(
        "permutation, group against the rest",
        p_values[0],
        found.interval if np.isfinite(found.standard_error) else None,
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
    return replace(comparison, p_adjusted=float(p_values[1]), details=details)


def group_sentence(
    gap: GroupGap,
    metric: Statistic,
    label: str,
    p_adjusted: float | None = None,
    alpha: float = ALPHA,
) -> str:
    """Sentence of measurement section 12; "" where fewer than two groups can be judged.

    ``p_adjusted``: the p-value after correction for all that was tested in the run; ``alpha``: the
    share of the error rate that it is held against.
    """
    if np.isnan(gap.p_value):
        return ""
    s = scale(metric.unit)
    p_value = gap.p_value if p_adjusted is None else p_adjusted
    if p_value < alpha:
        shown = f"p={p_value:.3f}" if p_value >= 0.0005 else "p<0.001"
        size = f"about {s.amount(gap.gap)}"
        if np.isfinite(gap.low):
            size += f" (95% CI {s.plain(gap.low)} to {s.plain(gap.high)})"
        return (
            f"{label} differs between groups by {size}, permutation {shown}; "
            f"lowest: {gap.attribute}={gap.lowest}, n={gap.counts[gap.lowest]}."
        )
    text = "No difference between groups beyond chance"
    if not np.isfinite(gap.detectable):
        return f"{text}."
    size = (
        f"{s.factor * gap.detectable:.0f}"
        if s.factor * gap.detectable >= 1
        else s.plain(gap.detectable)
    )
    return f"{text}; gaps under {size}{s.noun} would not be visible."


@dataclass(frozen=True, slots=True)
class FairnessGaps:
    """Largest differences between groups for a binary decision, on [0, 1]."""

    accuracy: Mapping[str, float]
    accuracy_gap: float
    demographic_parity_difference: float
    equalized_odds_difference: float


def fairness_gaps(
    references: Values,
    predictions: Values,
    groups: Values,
    positive: Any = 1,
    fewest: int = 1,
) -> FairnessGaps:
    """Accuracy gap, demographic parity difference and equalised odds difference.

    A rate over fewer than ``fewest`` cases of a group (positive references, for instance) takes no
    part, and a difference of fewer than two rates is nan. With 1 it agrees with fairlearn's ``MetricFrame.difference``,
    ``demographic_parity_difference`` and ``equalized_odds_difference``.
    """
    expected, said = np.asarray(references, dtype=object), np.asarray(predictions, dtype=object)
    is_reference: Bools = np.asarray(expected == positive, dtype=bool)
    is_predicted: Bools = np.asarray(said == positive, dtype=bool)
    is_right: Bools = np.asarray(expected == said, dtype=bool)
    group = np.asarray(groups)
    rates: dict[str, list[float]] = {"selected": [], "true positive": [], "false positive": []}
    accuracy = {}
    for name in np.unique(group):
        inside = group == name
        accuracy[str(name)] = float(is_right[inside].mean())
        for kind, chosen in (
            ("selected", inside),
            ("true positive", inside & is_reference),
            ("false positive", inside & ~is_reference),
        ):
            if chosen.sum() >= fewest:
                rates[kind].append(float(is_predicted[chosen].mean()))
    spread = {
        kind: max(found) - min(found) if len(found) > 1 else float("nan")
        for kind, found in rates.items()
    }
    return FairnessGaps(
        accuracy,
        max(accuracy.values()) - min(accuracy.values()) if accuracy else 0.0,
        spread["selected"],
        float(np.fmax(spread["true positive"], spread["false positive"])),
    )
