"""Drops under changed inputs: whose is larger, and what is left when every copy must be right.

Not for: one variant's 90% test (robustness.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuneval.comparison.beyond.robustness import FEWEST_CASES, aligned
from tuneval.comparison.estimate.multiplicity import Method, benjamini_hochberg
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import checked
from tuneval.comparison.estimate.seeds import FEWEST_SEEDS, compare_recipe, linear, two_way
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.comparison.wording import gain, p_text, scale
from tuneval.types import Comparison, Measurement, StatisticKind, Unit

Sides = tuple[Sequence[Measurement], Sequence[Measurement]]
"""One variant's clean and perturbed measurements, one of each per training seed."""

ALPHA = 0.05


@dataclass(slots=True)
class _Change:
    """A metric's change from clean to perturbed, as a mean over cases."""

    name: str
    unit: Unit
    higher_is_better: bool
    statistic: StatisticKind = "mean"

    def from_totals(self, totals: Floats) -> Floats:
        change: Floats = totals[..., 0] / totals[..., 1]
        return change

    def signature(self) -> str:
        return f"{self.name}|change"


def difference_of_drops(
    baseline: Sides,
    candidate: Sides,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    kind: str,
    origins: Mapping[str, str],
    names: tuple[str, str],
    clusters: Sequence[str | None] | None = None,
) -> Comparison:
    """Compare how much two variants lose by the same changes, paired by case.

    Parameters
    ----------
    kind : str
        Name of the perturbation and its level.
    origins, clusters
        As in ``judge_robustness``; copies of a case are averaged.

    Returns
    -------
    Comparison
        ``slice`` is "KIND - clean". ``difference`` is the candidate's change (perturbed minus clean)
        minus the baseline's; ``details`` has both as ``baseline_value`` and ``candidate_value``.
        Exploratory: it may suggest, never show.
    """
    sides = [aligned(*side, metric, origins, clusters) for side in (baseline, candidate)]
    others = set(sides[1].case_ids)
    shared = [one for one in sides[0].case_ids if one in others]
    measured, codes = [], None
    for name, side in zip(names, sides, strict=True):
        place = {case_id: n for n, case_id in enumerate(side.case_ids)}
        kept = [place[one] for one in shared]
        case_codes = None
        if side.codes is not None and kept:
            case_codes = np.unique(side.codes[kept], return_inverse=True)[1]
        before, codes = linear(metric, side.clean[:, kept], case_codes, settings)
        after, _ = linear(metric, side.perturbed[:, kept], case_codes, settings)
        change = after - before
        ids = tuple(str(n) for n in range(change.shape[1]))
        measured.append(
            [
                Measurement(name, metric.name, ids, np.stack([one, np.ones_like(one)], axis=1))
                for one in change
            ]
        )
    return compare_recipe(
        measured[0],
        measured[1],
        _Change(metric.name, metric.unit, metric.higher_is_better),
        settings,
        case_set=case_set,
        slice=f"{kind} - clean",
        baseline_name=names[0],
        candidate_name=names[1],
        clusters=None if codes is None else [str(code) for code in codes],
    )


def adjusted_among(
    comparisons: Sequence[Comparison], method: Method = benjamini_hochberg
) -> list[float | None]:
    """Corrected p-values among these, None for those without a test."""
    tested = [one.p_value for one in comparisons if one.p_value is not None]
    adjusted = iter(method(tested).tolist())
    return [None if one.p_value is None else next(adjusted) for one in comparisons]


def is_suggested(comparison: Comparison, p_adjusted: float | None, alpha: float = ALPHA) -> bool:
    """Do enough cases suggest a difference, by p and by interval?"""
    return (
        p_adjusted is not None
        and p_adjusted < alpha
        and comparison.n_cases >= FEWEST_CASES
        and _excludes_zero(comparison)
    )


def _excludes_zero(one: Comparison) -> bool:
    return one.interval is not None and not one.interval.low <= 0 <= one.interval.high


def drop_sentence(found: Comparison, p_adjusted: float) -> str:
    """What a suggested difference of drops says."""
    g = gain(found)
    more = "less" if g.value > 0 else "more"
    low, high = sorted((abs(g.low), abs(g.high)))
    kind = found.slice.removesuffix(" - clean")
    return (
        f"The data suggest that {found.candidate} loses {more} than {found.baseline} under {kind}: "
        f"{g.scale.plain(abs(g.value))}{g.scale.noun} {more} (95% CI {g.scale.plain(low)} to "
        f"{g.scale.plain(high)}, adjusted {p_text(p_adjusted)}, n={found.n_cases})."
    )


@dataclass(frozen=True, slots=True)
class WorstCase:
    """Mean over cases of the lowest value among the original and all its copies (the highest where
    less is better), with that of the originals alone. ``low``, ``high``: nan without an interval.

    Falls with the number of copies: only equal suites can be compared.

    References
    ----------
    Liang et al. (2022), Holistic evaluation of language models, arXiv:2211.09110, section 4.4.
    """

    clean: float
    worst: float
    low: float
    high: float
    n_cases: int
    n_copies: int


def worst_case(
    clean: Sequence[Measurement],
    copies: Sequence[Sequence[Measurement]],
    metric: Statistic,
    settings: Settings,
    origins: Mapping[str, str],
    clusters: Sequence[str | None] | None = None,
) -> WorstCase | None:
    """Take the worst of each case over all kinds of change; None for metrics that are no mean.

    Parameters
    ----------
    clean : sequence of Measurement
        One per training seed.
    copies : sequence of sequence of Measurement
        For each kind of change, one per training seed. Cases without any copy do not count.
    """
    if metric.statistic not in {"proportion", "mean"}:
        return None
    place = {case_id: n for n, case_id in enumerate(clean[0].case_ids)}
    worse = np.minimum if metric.higher_is_better else np.maximum
    before = np.stack([_values(same_cases(clean[0], one)) for one in clean])
    worst, has_copy, n_copies = before.copy(), np.zeros(len(place), dtype=bool), 0
    for kind in copies:
        owner = np.array([place[origins[one]] for one in kind[0].case_ids], dtype=np.int64)
        has_copy[owner] = True
        n_copies += owner.size
        for seed, measured in enumerate(kind):
            worse.at(worst[seed], owner, _values(same_cases(kind[0], measured)))
    kept = has_copy & np.isfinite(worst).all(axis=0)
    if not kept.any():
        return None
    codes = cluster_codes(clusters, len(place))
    codes = None if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    found = two_way(worst[:, kept], codes=codes)
    estimate = found.estimate if len(clean) >= FEWEST_SEEDS else found.cases
    low, high = estimate.interval(settings.confidence)
    return WorstCase(
        float(before[:, kept].mean()),
        float(worst[:, kept].mean()),
        low,
        high,
        int(kept.sum()),
        n_copies,
    )


def _values(measurement: Measurement) -> Floats:
    rows = checked(measurement)
    return np.where(rows[:, 1] > 0, rows[:, 0], np.nan)


def summary_sentence(
    arm: str, metric: Statistic, kept: Sequence[float], worst: WorstCase | None
) -> str:
    """Average over the kinds of change, and the worst case."""
    n = len(kept)
    text = (
        f"{arm} keeps {np.mean(kept):.0%} of its clean {metric.name} on average over {n} "
        f"kind{'s' * (n > 1)} of changed input"
    )
    if worst is None:
        return f"{text}."
    s = scale(metric.unit)
    return (
        f"{text}; counting the worst of each case and its copies, {metric.name} is "
        f"{s.plain(worst.worst)} ({s.plain(worst.clean)} clean, {worst.n_copies} copies of "
        f"{worst.n_cases} cases)."
    )
