"""Two variants on the same cases: rows -> Comparison with interval, test and what n can detect.

Not for: several training seeds on a side (seeds.py), what to say about it (verdict.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from tuneval.comparison.estimate import bounded, exact, power
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import (
    FEW_CASES,
    FEW_CLUSTERS,
    NO_SPREAD,
    Codes,
    by_rows,
    checked,
    counted,
    few,
    kind_of,
    undefined_draws,
    value_of,
    why_undefined,
)
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.types import Comparison, Interval, Measurement, StatisticKind, Unit

Bounds = bounded.Bounds


@dataclass(slots=True)
class Finding:
    """What a method found about candidate minus baseline, before it becomes a Comparison.

    The ends of ``one_sided`` (``bounds`` where it is None) prove closeness: they hold with few
    changes too.
    """

    test: str
    p_value: float | None = None
    bounds: Bounds | None = None
    method: str = ""
    detectable: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_sided: Bounds | None = None


def compare(
    baseline: Measurement,
    candidate: Measurement,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    slice: str = "all",
    clusters: Sequence[str | None] | None = None,
    unparsed: tuple[float, float] | None = None,
) -> Comparison:
    """Difference candidate minus baseline with interval, p-value and detectable difference.

    Proportions: McNemar mid-p (exact below 30 cases) and the Agresti-Min interval. Means, and
    proportions in clusters: sign flips and bounds that know the range (t and CR1 where there is
    none). Everything else: approximate randomisation and the paired BCa bootstrap, drawing whole
    clusters where there are any. The test decides on which side of 0 an interval ends.

    Parameters
    ----------
    clusters : sequence of str or None, optional
        One per case, in the baseline's order.
    unparsed : pair of float, optional
        Share of unreadable predictions of baseline and candidate, kept for the verdict.

    Returns
    -------
    Comparison
        ``details`` (absent where undefined): ``baseline_value``, ``candidate_value``,
        ``only_baseline_right``, ``only_candidate_right``, ``both_right``, ``both_wrong`` (counts,
        proportions only), ``discordant_share``, ``standard_deviation`` (of the per-case
        difference), ``standard_error``, ``interval90_low``, ``interval90_high`` (of
        confidence ``bound_confidence``: the ends are one-sided 95% bounds, or stricter ones where
        several claims of closeness share the 5%), ``cases_needed`` (for a difference of the observed size),
        ``cases_needed_equivalence``, ``margin``, ``p_equivalence`` (TOST), ``n_clusters``,
        ``unparsed_baseline``, ``unparsed_candidate``.

    Raises
    ------
    MetricError
        The two do not hold the same cases; the missing ids are named.
    """
    candidate = same_cases(baseline, candidate)
    a, b = checked(baseline), checked(candidate)
    codes = cluster_codes(clusters, len(a))
    kind = kind_of(metric, np.concatenate([a, b])) if a.shape == b.shape else metric.statistic
    kept = counted(kind, a) & counted(kind, b)
    notes = []
    if not kept.all():
        notes.append(f"{int(np.sum(~kept))} cases lack a value on one side and are left out")
        a, b = a[kept], b[kept]
        codes = codes if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    ends = value_of(metric, a), value_of(metric, b)
    difference = ends[1] - ends[0]
    pair = ">".join(sorted([baseline.variant, candidate.variant]))
    key = (metric.name, f"{case_set}/{slice}/{pair}")
    if len(a) == 0:
        found = Finding("none", notes=["no cases"])
    elif not isfinite(difference):
        found = Finding("none", notes=[why_undefined(np.concatenate([a, b]))])
    else:
        found = _find(metric, kind, a, b, codes, settings, key)
    found.notes = notes + found.notes
    details = {"baseline_value": ends[0], "candidate_value": ends[1], **found.details}
    if unparsed is not None:
        details["unparsed_baseline"], details["unparsed_candidate"] = unparsed
    found.details = details
    return to_comparison(
        found,
        metric,
        settings,
        names=(baseline.variant, candidate.variant),
        place=(case_set, slice),
        difference=difference,
        n_cases=len(a),
    )


def to_comparison(
    found: Finding,
    metric: Statistic,
    settings: Settings,
    *,
    names: tuple[str, str],
    place: tuple[str, str],
    difference: float,
    n_cases: int,
) -> Comparison:
    """Make the record, with the 90% interval and the inputs of the verdict in its details."""
    details = dict(found.details)
    interval = None
    if found.bounds is not None:
        confidence = settings.confidence
        one_sided = found.one_sided or found.bounds
        narrow = one_sided(settings.bound_confidence)
        low, high = as_tested(narrow, found.p_value, 1 - settings.bound_confidence, difference)
        details["interval90_low"], details["interval90_high"] = low, high
        details["bound_confidence"] = settings.bound_confidence
        ends = as_tested(_two_sided(found, confidence), found.p_value, 1 - confidence, difference)
        interval = Interval(*ends, confidence, found.method)
        if settings.difference_claims > 1:
            shared = settings.shared_confidence
            details["shared_low"], details["shared_high"] = _two_sided(found, shared)
            details["shared_confidence"] = shared
    margin = margin_of(metric.unit, settings)
    if margin is not None:
        details["margin"] = margin
    return Comparison(
        baseline=names[0],
        candidate=names[1],
        case_set=place[0],
        metric=metric.name,
        slice=place[1],
        difference=difference,
        interval=interval,
        p_value=found.p_value,
        p_adjusted=None,
        test=found.test,
        n_cases=n_cases,
        detectable_difference=found.detectable,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        details={name: float(value) for name, value in details.items() if isfinite(value)},
        note="; ".join(found.notes),
    )


def _two_sided(found: Finding, confidence: float) -> tuple[float, float]:
    """The interval, never narrower than the one-sided bounds of closeness at its ends' level."""
    assert found.bounds is not None
    if found.one_sided is None:
        return found.bounds(confidence)
    return bounded.hull(found.bounds(confidence), found.one_sided(2 * confidence - 1))


def as_tested(
    bounds: tuple[float, float], p_value: float | None, alpha: float, difference: float
) -> tuple[float, float]:
    """The interval with 0 inside where the test does not reject it, and outside where it does.

    Test and interval come from different formulas and may disagree about 0 by a hair. The test
    decides: it keeps its level, so that the points cut off are missed no more often than it errs.
    """
    if p_value is None:
        return bounds
    low, high = bounds
    if p_value >= alpha:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 0.0), high) if difference > 0 else (low, min(high, 0.0))


def margin_of(unit: Unit, settings: Settings) -> float | None:
    """The margin of equivalence in the metric's unit; None where points have no meaning."""
    return {"share": settings.margin_points / 100, "points": settings.margin_points}.get(unit)


def _find(
    metric: Statistic,
    kind: StatisticKind,
    a: Floats,
    b: Floats,
    codes: Codes | None,
    settings: Settings,
    key: tuple[str, str],
) -> Finding:
    margin = margin_of(metric.unit, settings)
    if kind == "proportion" and codes is None:
        return _proportions(a[:, 0], b[:, 0], margin)
    values = np.concatenate([a[:, 0], b[:, 0]])
    span = bounded.span_of(metric.unit, values) if kind in {"proportion", "mean"} else None
    rng = again.generator(settings.resampling_seed, *key, "test")
    if kind in {"proportion", "mean"}:
        is_binary = kind == "proportion"
        d = b[:, 0] - a[:, 0]
        found = _means(d, codes, margin, settings.resamples, rng, span, has_ties=is_binary)
        if is_binary:
            found.details |= cells(a[:, 0], b[:, 0])
        return found
    if kind == "ranks":
        return _ranks(metric, a, b, codes, margin, settings, key)
    return _sums(metric, a, b, codes, margin, settings, key)


def cells(x: Floats, y: Floats) -> dict[str, float]:
    """The paired 2 x 2 table of two sets of right (1) and wrong (0)."""
    return {
        "only_baseline_right": float(np.sum(x * (1 - y))),
        "only_candidate_right": float(np.sum(y * (1 - x))),
        "both_right": float(np.sum(x * y)),
        "both_wrong": float(np.sum((1 - x) * (1 - y))),
    }


def _proportions(x: Floats, y: Floats, margin: float | None) -> Finding:
    table = cells(x, y)
    c, b = int(table["only_baseline_right"]), int(table["only_candidate_right"])
    n = x.size
    estimate = exact.agresti_min(b, c, n)
    discordant = (b + c) / n
    difference = (b - c) / n
    # With no disagreement at all the next one could still come: count one.
    at_least = max(b + c, 1) / n
    details = {
        **table,
        "discordant_share": discordant,
        "standard_deviation": float(np.std(y - x, ddof=1)) if n > 1 else float("nan"),
        "standard_error": estimate.standard_error,
        "cases_needed": power.cases_for(abs(difference), discordant),
    }
    if margin:
        normal = means.Estimate(estimate.centre, estimate.standard_error, np.inf)
        details["p_equivalence"] = max(normal.equivalence(margin))
        details["cases_needed_equivalence"] = power.cases_for_equivalence(
            margin, at_least, true_gap=difference
        )
    is_small = n < FEW_CASES
    tested = exact.mcnemar(b, c)
    return Finding(
        "McNemar exact" if is_small else "McNemar mid-p",
        tested.p_exact if is_small else tested.p_mid,
        estimate.interval,
        "agresti-min",
        power.detectable(n, at_least),
        details,
        one_sided=bounded.of_differences(y - x, None, (0.0, 1.0)),
    )


def _means(
    d: Floats,
    codes: Codes | None,
    margin: float | None,
    n_draws: int,
    rng: np.random.Generator,
    span: tuple[float, float] | None,
    *,
    has_ties: bool,
) -> Finding:
    n = d.size
    sums = again.summed(d[:, None], codes)[:, 0]
    is_small = np.count_nonzero(sums) <= exact.MOST_EXACT
    # Sums of right and wrong tie often, and a tie counted whole makes the test too cautious.
    tie = 0.5 if has_ties and sums.size >= FEW_CLUSTERS else 1.0
    p_value = exact.sign_flip(sums, tie) if is_small else again.sign_flip(sums, n_draws, rng, tie)
    test = (
        "sign-flip" + (" mid-p" if tie < 1 else " permutation") + (" (exact)" if is_small else "")
    )
    estimate = means.estimate_mean(d, codes)
    details = {"discordant_share": float(np.mean(d != 0))}
    n_clusters = None if codes is None else sums.size
    if codes is not None:
        details["n_clusters"] = sums.size
    if sums.size < 2:
        what = "one case" if codes is None else "one cluster"
        return Finding(test, p_value, details=details, notes=[f"{what}: no interval"])
    details["standard_deviation"] = float(np.std(d, ddof=1)) if n > 1 else float("nan")
    details |= planning(estimate, n, margin)
    found = Finding(test, p_value, details=details)
    found.detectable = power.z_sum() * estimate.standard_error
    if span is not None:
        found.bounds = bounded.of_differences(d, codes, span)
        found.method = "bounded mean"
        found.notes = few(n, n_clusters) if codes is not None else []
    elif estimate.standard_error > 0:
        found.bounds, found.method = estimate.interval, "t" if codes is None else "clustered t"
        found.notes = few(n, n_clusters)
    else:
        found.notes = [NO_SPREAD]
    return found


def planning(estimate: means.Estimate, n: int, margin: float | None) -> dict[str, float]:
    """Standard error, cases needed and equivalence of an estimate whose variance falls as 1/n."""
    variance = n * estimate.standard_error**2
    details = {
        "standard_error": estimate.standard_error,
        "cases_needed": power.cases_for_mean(abs(estimate.value), variance),
    }
    if margin:
        details["p_equivalence"] = max(estimate.equivalence(margin))
        details["cases_needed_equivalence"] = power.cases_for_equivalence(
            margin, variance, true_gap=estimate.value
        )
    return details


@dataclass(frozen=True, slots=True)
class _Way:
    """How a metric without closed form is resampled: by sums of units, or by rows for ranks."""

    number: Callable[[Floats], Any]
    randomise: Callable[..., float]
    resample: Callable[..., again.Resampled]
    n_draws: int
    jackknife: Callable[[Floats], Floats]


def _sums(
    metric: Statistic,
    a: Floats,
    b: Floats,
    codes: Codes | None,
    margin: float | None,
    settings: Settings,
    key: tuple[str, str],
) -> Finding:
    units = again.summed(a, codes), again.summed(b, codes)
    found = _randomised(a, b)
    if codes is not None:
        found.details["n_clusters"] = len(units[0])
        found.notes += few(len(a), len(units[0]))
    way = _Way(
        metric.from_totals,
        again.randomisation,
        again.resample,
        settings.resamples,
        lambda rows: again.jackknife(rows, metric.from_totals),
    )
    resampled = _resample(found, *units, way, settings.resampling_seed, key)
    if resampled is None:
        found.notes = ["one case: no interval" if codes is None else "one cluster: no interval"]
        return found
    return _with_bootstrap(found, resampled, len(a), margin, _reach(metric, units, way))


def _ranks(
    metric: Statistic,
    a: Floats,
    b: Floats,
    codes: Codes | None,
    margin: float | None,
    settings: Settings,
    key: tuple[str, str],
) -> Finding:
    from_rows = by_rows(metric).from_rows
    found = _randomised(a, b)
    if codes is not None:
        found.test = "none"
        found.notes = ["no interval: a metric of ranks cannot be resampled by cluster"]
        return found
    n_draws = min(settings.resamples, again.RANK_RESAMPLES)
    way = _Way(
        from_rows,
        again.randomisation_ranks,
        again.resample_ranks,
        n_draws,
        lambda rows: again.jackknife_ranks(
            rows, from_rows, again.generator(settings.resampling_seed, *key, "reach")
        ),
    )
    resampled = _resample(found, a, b, way, settings.resampling_seed, key)
    if resampled is None:
        found.notes = ["one case: no interval"]
        return found
    return _with_bootstrap(found, resampled, len(a), margin, _reach(metric, (a, b), way))


def _reach(metric: Statistic, sides: tuple[Floats, Floats], way: _Way) -> float | None:
    """How much one unit could change the difference: as much as units count within one variant."""
    span = bounded.span_of(metric.unit, np.array([value_of(metric, one) for one in sides]))
    if span is None:
        return None
    widths = [span[1] - span[0]]
    for one in sides:
        left_out = way.jackknife(one)
        widths.append((left_out.size - 1) * float(np.ptp(left_out)))
    return max(widths)


def _randomised(a: Floats, b: Floats) -> Finding:
    found = Finding("approximate randomisation", None)
    found.details["discordant_share"] = float(np.mean(np.any(a != b, axis=1)))
    return found


def _resample(
    found: Finding, a: Floats, b: Floats, way: _Way, seed: int, key: tuple[str, str]
) -> again.Resampled | None:
    """Note the p-value of swapping two variants; their difference on draws, None from one unit."""
    width = a.shape[1]

    def difference(both: Floats) -> Any:
        return way.number(both[..., width:]) - way.number(both[..., :width])

    rng = again.generator(seed, *key, "test")
    p_value = way.randomise(a, b, way.number, way.n_draws, rng)
    found.p_value = p_value if isfinite(p_value) else None
    if len(a) < 2:
        return None
    rng = again.generator(seed, *key, "interval")
    return way.resample(np.concatenate([a, b], axis=1), difference, way.n_draws, rng)


def _with_bootstrap(
    found: Finding,
    resampled: again.Resampled,
    n: int,
    margin: float | None,
    reach: float | None,
) -> Finding:
    found.notes += undefined_draws(resampled)
    if not isfinite(resampled.standard_error):
        return found
    estimate = means.Estimate(resampled.value, resampled.standard_error, np.inf)
    if reach is not None and isfinite(reach):
        span, pseudo = (-reach, reach), resampled.pseudo_values
        found.one_sided = lambda confidence: bounded.hull(
            resampled.interval(confidence), bounded.linear_interval(pseudo, span, confidence)
        )
    if reach is None and resampled.standard_error == 0:
        found.notes.append(NO_SPREAD)
        return found
    found.bounds, found.method = resampled.interval, "bca"
    found.detectable = power.z_sum() * resampled.standard_error
    found.details |= planning(estimate, n, margin)
    return found
