"""Several training seeds of one recipe: what holds for the recipe, not just for one checkpoint.

Not for: single checkpoints (scoring.py, paired.py; with one seed a side these are called).

A value x[s, i] of seed s on case i is taken as mean + seed + case + rest. The variance of a mean
over S seeds and n cases then has a part from seeds and one from cases, and each of the two
estimates holds the part of the rest once, so that it is taken off once. Numbers that are no mean of
cases (macro-F1, BLEU, perplexity) go through the same formula by their jackknife pseudo-values
p[s, i] = U f - (U - 1) f(without unit i), shifted so that their mean is f: they are the linear part
of the number, and equal x[s, i] where it is a mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, sqrt

import numpy as np

from tuneval.comparison.estimate import bounded, exact, power
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.paired import Finding, compare, margin_of, planning, to_comparison
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import (
    NO_SPREAD,
    Codes,
    by_rows,
    checked,
    counted,
    kind_of,
    rare_classes,
    score,
    value_of,
    why_no_interval,
    why_undefined,
)
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.errors import MetricError
from tuneval.types import Comparison, Interval, Measurement, Score

FEWEST_SEEDS = 3
"""With two seeds the spread between seeds has one degree of freedom: no interval."""


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Estimate over seeds and cases, with the parts of its variance.

    ``rest`` is what ``seed_variance`` and ``case_variance`` both hold. ``cases`` is the estimate
    over cases alone: right for these checkpoints, too narrow for the recipe.
    """

    estimate: means.Estimate
    seed_variance: float
    case_variance: float
    rest: float
    cases: means.Estimate


def two_way(
    candidate: Floats,
    baseline: Floats | None = None,
    codes: Codes | None = None,
    *,
    is_spread_shared: bool = False,
) -> TwoWay:
    """Mean over seeds and cases, or the difference of two such means on the same cases.

    Parameters
    ----------
    candidate, baseline : ndarray, shape (n_seeds, n_cases)
        The numbers of seeds may differ. A side with one seed counts as given: its recipe's spread
        between seeds is unknown.
    codes : ndarray of int, shape (n_cases,), optional
        Clusters of the cases.
    is_spread_shared : bool
        A side with one seed is a training run too: it is taken to vary as the other side does.

    Notes
    -----
    V_seed = sum over sides of var(seed means)/S, V_case = CR1 variance of the mean of the cases'
    seed means, V_rest = sum over sides of the interaction's share in either;
    v = max(V_seed + V_case - V_rest, V_seed, V_case). Its degrees of freedom are the harmonic mean of
    those of the seeds (Welch's, with seeds on both sides) and of the cases, weighed by their shares
    of v. Satterthwaite weighs by the squares of the shares, which is right where they are known:
    estimated from three to five seeds, it covers 92 to 94% instead of 95 (docs/statistics.md).
    """
    sides = [candidate] if baseline is None else [candidate, baseline]
    per_case = _over_seeds(candidate) - (0 if baseline is None else _over_seeds(baseline))
    cases = means.estimate_mean(per_case, codes)
    v_case = cases.standard_error**2
    parts = [_seed_parts(side, codes) for side in sides if len(side) > 1]
    if is_spread_shared and len(parts) == 1 and len(sides) == 2:
        v, shared, freedom = parts[0]
        factor = 2.0 + freedom  # one seed varies S times as much as the mean of S = freedom + 1
        parts = [(v * factor, shared * factor, freedom)]
    v_seed, rest = (sum((part[place] for part in parts), 0.0) for place in (0, 1))
    variance = max(v_seed + v_case - rest, v_seed, v_case)
    # Two sides of seeds are Welch's problem; they and the cases share the variance as they do.
    by_seeds = sum(v**2 / df for v, _, df in parts)
    spread = by_seeds / v_seed if v_seed > 0 else 0.0
    if cases.df:
        spread += max(variance - v_seed, 0.0) / cases.df
    df = variance / spread if spread > 0 else inf
    estimate = means.Estimate(cases.value, sqrt(variance), df)
    return TwoWay(estimate, v_seed, v_case, rest, cases)


def _over_seeds(x: Floats) -> Floats:
    """Mean over seeds; exact where they agree, so that identical variants differ by exactly 0."""
    return np.asarray(np.where(x.min(axis=0) == x.max(axis=0), x[0], x.mean(axis=0)))


def _seed_parts(x: Floats, codes: Codes | None) -> tuple[float, float, int]:
    """Variance of the mean from seeds, the interaction's share in it, and seeds minus one."""
    n_seeds, n = x.shape
    x = x - _over_seeds(x)
    seed_means = x.mean(axis=1)
    v_seed = float(np.var(seed_means, ddof=1)) / n_seeds
    residual = x - seed_means[:, None]
    sums = np.stack([again.summed(row[:, None], codes)[:, 0] for row in residual])
    groups = sums.shape[1]
    if groups < 2:
        return v_seed, 0.0, n_seeds - 1
    rest = float(np.sum(sums**2)) * groups / (groups - 1) / ((n_seeds - 1) * n_seeds * n**2)
    return v_seed, rest, n_seeds - 1


def score_recipe(
    measurements: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    name: str,
    slice: str = "all",
    clusters: Sequence[str | None] | None = None,
    class_counts: Mapping[str, int] | None = None,
) -> Score:
    """Mean of ``metric`` over the training seeds of a recipe.

    Parameters
    ----------
    measurements : sequence of Measurement
        One per training seed, on the same cases.
    name : str
        Name of the recipe, the Score's ``variant``.

    Returns
    -------
    Score
        ``training_seeds`` holds the value of each seed, ``standard_deviation`` their sd (ddof 1).
        The interval speaks for the recipe and needs three seeds; with two it is None, with one the
        Score is that of ``score`` and its note says "for this checkpoint".
    """
    first = measurements[0]
    if len(measurements) == 1:
        single = score(
            replace(first, variant=name),
            metric,
            settings,
            case_set=case_set,
            slice=slice,
            clusters=clusters,
            class_counts=class_counts,
        )
        note = "; ".join(filter(None, ["for this checkpoint: one training seed", single.note]))
        return replace(single, training_seeds=(single.value,), note=note)
    sides, codes, dropped = _aligned([measurements], metric, clusters)
    rows = sides[0]
    values = tuple(value_of(metric, one) for one in rows)
    value = float(np.mean(values))
    notes = [f"mean of {len(values)} training seeds", *dropped]
    interval = None
    if not isfinite(value):
        notes.append("no cases" if rows.shape[1] == 0 else why_undefined(rows[0]))
    elif len(values) < FEWEST_SEEDS:
        notes.append("2 training seeds: no interval")
    elif why := why_no_interval(metric):
        notes.append(why)
    else:
        interval, doubts = _recipe_interval(metric, rows, codes, settings)
        notes += doubts
    if metric.statistic in {"corpus", "ranks"}:
        notes += rare_classes(class_counts)
    return Score(
        variant=name,
        case_set=case_set,
        metric=metric.name,
        slice=slice,
        value=value,
        interval=interval,
        n_cases=rows.shape[1],
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        signature=metric.signature(),
        training_seeds=values,
        standard_deviation=float(np.std(values, ddof=1)),
        note="; ".join(notes),
    )


def _recipe_interval(
    metric: Statistic, rows: Floats, codes: Codes | None, settings: Settings
) -> tuple[Interval | None, list[str]]:
    values, codes = linear(metric, rows, codes, settings)
    found = two_way(values, codes=codes)
    is_proportion = kind_of(metric, rows[0]) == "proportion"
    if is_proportion and values.min() == values.max():
        n_units = values.shape[1] if codes is None else int(codes.max()) + 1
        bounds = exact.clopper_pearson(n_units * int(values[0, 0]), n_units, settings.confidence)
        return Interval(*bounds, settings.confidence, "clopper-pearson"), []
    if not isfinite(found.estimate.standard_error):
        return None, ["one case or cluster: no interval"]
    low, high = found.estimate.interval(settings.confidence)
    span = bounded.span_of(metric.unit, np.array([values.mean()]))
    if span is not None:
        per_case = _over_seeds(values)
        sums = again.summed(np.stack([per_case, np.ones_like(per_case)], axis=1), codes)
        reach = min(span[0], float(per_case.min())), max(span[1], float(per_case.max()))
        by_cases = bounded.interval(sums[:, 0], sums[:, 1], reach, settings.confidence)
        low, high = bounded.hull((low, high), by_cases)
        low, high = max(low, span[0]), min(high, span[1])
    elif low == high:
        return None, [NO_SPREAD]
    return Interval(low, high, settings.confidence, "two-way t"), []


def compare_recipe(
    baseline: Sequence[Measurement],
    candidate: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    baseline_name: str,
    candidate_name: str,
    slice: str = "all",
    clusters: Sequence[str | None] | None = None,
    are_paired_seeds: bool = False,
    is_spread_shared: bool = False,
    unparsed: tuple[float, float] | None = None,
) -> Comparison:
    """Difference of two recipes, each with one or more training seeds, on the same cases.

    Parameters
    ----------
    baseline, candidate : sequence of Measurement
        One per training seed; the base model is one "seed".
    are_paired_seeds : bool
        Seed k of both sides shares its training seed and data order, so that differences are taken
        within seeds. Otherwise the sides vary independently (Welch).
    is_spread_shared : bool
        Both sides are training runs: where one has a single seed, the spread of the other is
        borrowed for it, and the note says so.

    Returns
    -------
    Comparison
        With one seed a side, that of ``compare``. With two seeds on a side and fewer than three on
        the other, the interval speaks for these checkpoints only and the note says so. Otherwise
        the interval and p-value are those of ``two_way``. ``details`` as in ``compare``, counts
        being means over seeds, and ``training_seeds_baseline``, ``training_seeds_candidate``,
        ``seed_variance``, ``case_variance``.
    """
    n_seeds = {
        "training_seeds_baseline": float(len(baseline)),
        "training_seeds_candidate": float(len(candidate)),
    }
    if len(baseline) == 1 and len(candidate) == 1:
        single = compare(
            replace(baseline[0], variant=baseline_name),
            replace(candidate[0], variant=candidate_name),
            metric,
            settings,
            case_set=case_set,
            slice=slice,
            clusters=clusters,
            unparsed=unparsed,
        )
        return replace(single, details={**single.details, **n_seeds})
    sides, codes, notes = _aligned([baseline, candidate], metric, clusters)
    a, b = sides
    ends = [float(np.mean([value_of(metric, rows) for rows in side])) for side in (a, b)]
    difference = ends[1] - ends[0]
    if a.shape[1] == 0:
        found = Finding("none", notes=["no cases"])
    elif not isfinite(difference):
        found = Finding("none", notes=[why_undefined(np.concatenate([*a, *b]))])
    else:
        found = _find(metric, a, b, codes, settings, are_paired_seeds, is_spread_shared)
    found.notes = notes + found.notes
    found.details = {
        "baseline_value": ends[0],
        "candidate_value": ends[1],
        **n_seeds,
        **found.details,
    }
    if unparsed is not None:
        found.details["unparsed_baseline"], found.details["unparsed_candidate"] = unparsed
    return to_comparison(
        found,
        metric,
        settings,
        names=(baseline_name, candidate_name),
        place=(case_set, slice),
        difference=difference,
        n_cases=a.shape[1],
    )


def _find(
    metric: Statistic,
    a: Floats,
    b: Floats,
    codes: Codes | None,
    settings: Settings,
    are_paired: bool,
    is_spread_shared: bool,
) -> Finding:
    details = _disagreement(metric, a, b)
    x, unit_codes = linear(metric, a, codes, settings)
    y, _ = linear(metric, b, codes, settings)
    if are_paired and len(x) == len(y):
        found = two_way(y - x, codes=unit_codes)
    else:
        found = two_way(y, x, unit_codes, is_spread_shared=is_spread_shared)
    is_recipe = max(len(a), len(b)) >= FEWEST_SEEDS and 2 not in {len(a), len(b)}
    estimate = found.estimate if is_recipe else found.cases
    if is_recipe:
        test, method = "two-way t over seeds and cases", "two-way t"
        notes = [f"{len(a)} and {len(b)} training seeds"]
        if is_spread_shared and 1 in {len(a), len(b)}:
            details["spread_borrowed"] = 1.0
            notes.append("one seed is taken to spread like those of the other side")
    else:
        test, method = "t over cases", "t, these checkpoints"
        notes = ["2 training seeds: the interval holds for these checkpoints, not for the recipe"]
    if not isfinite(estimate.standard_error):
        return Finding(test, details=details, notes=["one case or cluster: no interval"])
    margin = margin_of(metric.unit, settings)
    details |= planning(estimate, a.shape[1], margin)
    details["seed_variance"], details["case_variance"] = found.seed_variance, found.case_variance
    if is_recipe:
        details["cases_needed"] = _cases_needed(found, a.shape[1])
    spread = means.t_quantile(0.975, estimate.df) + means.t_quantile(0.8, estimate.df)
    return Finding(
        test,
        estimate.p_value(),
        _with_range(metric, x, y, unit_codes, estimate),
        method=method,
        detectable=spread * estimate.standard_error,
        details=details,
        notes=notes,
    )


def _with_range(
    metric: Statistic, x: Floats, y: Floats, codes: Codes | None, estimate: means.Estimate
) -> bounded.Bounds:
    """The t interval, but never narrower than what so many cases could hide."""
    span = bounded.span_of(metric.unit, np.array([x.mean(), y.mean()]))
    if span is None:
        return estimate.interval
    values = np.concatenate([x.ravel(), y.ravel()])
    span = min(span[0], float(values.min())), max(span[1], float(values.max()))
    by_cases = bounded.of_differences(_over_seeds(y) - _over_seeds(x), codes, span)
    return lambda confidence: bounded.hull(estimate.interval(confidence), by_cases(confidence))


def _cases_needed(found: TwoWay, n: int) -> float:
    """Cases that would settle a difference of the observed size with as many seeds; may be inf."""
    pure_seed = max(0.0, found.seed_variance - found.rest)
    left = (found.estimate.value / power.z_sum()) ** 2 - pure_seed
    return float(np.ceil(n * found.case_variance / left)) if left > 0 else inf


def _disagreement(metric: Statistic, a: Floats, b: Floats) -> dict[str, float]:
    """Discordant share, and for proportions the 2 x 2 table, as means over pairs of seeds."""
    n = a.shape[1]
    if kind_of(metric, np.concatenate([*a, *b])) != "proportion":
        pairs = [np.any(x != y, axis=1) for x in a for y in b]
        return {"discordant_share": float(np.mean(pairs))}
    x, y = a[:, :, 0].mean(axis=0), b[:, :, 0].mean(axis=0)
    only_a, only_b = float(np.sum(x * (1 - y))), float(np.sum(y * (1 - x)))
    return {
        "only_baseline_right": only_a,
        "only_candidate_right": only_b,
        "both_right": float(np.sum(x * y)),
        "both_wrong": float(np.sum((1 - x) * (1 - y))),
        "discordant_share": (only_a + only_b) / n,
    }


def linear(
    metric: Statistic, rows: Floats, codes: Codes | None, settings: Settings
) -> tuple[Floats, Codes | None]:
    """Per-case values whose mean is the metric of each seed: the values, or pseudo-values.

    Parameters
    ----------
    rows : ndarray, shape (n_seeds, n_cases, n_sums)

    Returns
    -------
    ndarray, shape (n_seeds, n_units), and the clusters that its columns still have.
    """
    if kind_of(metric, rows.reshape(-1, rows.shape[2])) in {"proportion", "mean"}:
        return rows[:, :, 0], codes
    if metric.statistic == "ranks":
        if codes is not None:
            raise MetricError(
                f'metric "{metric.name}" depends on ranks and cannot be resampled by cluster: '
                "compare single training seeds, or leave the clusters out."
            )
        from_rows = by_rows(metric).from_rows
        left_out = [
            again.jackknife_ranks(
                one, from_rows, again.generator(settings.resampling_seed, metric.name, "jackknife")
            )
            for one in rows
        ]
    else:
        left_out = [again.jackknife(again.summed(one, codes), metric.from_totals) for one in rows]
    without = np.stack(left_out)
    values = np.array([value_of(metric, one) for one in rows])
    n_units = without.shape[1]
    change = (n_units - 1) * (without.mean(axis=1, keepdims=True) - without)
    return values[:, None] + change, None


def _aligned(
    sides: Sequence[Sequence[Measurement]],
    metric: Statistic,
    clusters: Sequence[str | None] | None,
) -> tuple[list[Floats], Codes | None, list[str]]:
    """Rows of each side, shape (n_seeds, n_cases, n_sums), without cases that lack a value."""
    first = sides[0][0]
    rows = [np.stack([checked(same_cases(first, one)) for one in side]) for side in sides]
    flat = np.concatenate([one for side in rows for one in side])
    kind = kind_of(metric, flat)
    n = len(first.case_ids)
    kept = counted(kind, flat).reshape(sum(map(len, rows)), n).all(axis=0)
    codes = cluster_codes(clusters, n)
    if kept.all():
        return rows, codes, []
    codes = codes if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    note = f"{int(np.sum(~kept))} cases lack a value for some seed and are left out"
    return [side[:, kept] for side in rows], codes, [note]
