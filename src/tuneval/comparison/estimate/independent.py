"""Disjoint sets of cases: a group against the rest, training against test cases, fixed strata.

Not for: two variants on the same cases (paired.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite, sqrt

from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate.scoring import checked, counted, kind_of, value_of
from tuneval.comparison.estimate.seeds import linear
from tuneval.comparison.estimate.slices import choose, cluster_codes
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.errors import MetricError
from tuneval.types import Interval, Measurement, Score


def estimate(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    clusters: Sequence[str | None] | None = None,
) -> means.Estimate:
    """The metric with a t-type error: of the cases, or of their jackknife pseudo-values."""
    rows = checked(measurement)
    kept = counted(kind_of(metric, rows), rows)
    codes = cluster_codes(clusters, len(rows))
    codes = None if codes is None else codes[kept]
    rows = rows[kept]
    if len(rows) < 2:
        return means.Estimate(value_of(metric, rows), float("nan"), 0)
    values, codes = linear(metric, rows[None], codes, settings)
    return means.estimate_mean(values[0], codes)


def welch(first: means.Estimate, second: means.Estimate) -> means.Estimate:
    """``second`` minus ``first`` with Satterthwaite's degrees of freedom.

    References
    ----------
    Welch (1947), The generalization of "Student's" problem.
    """
    parts = [one.standard_error**2 for one in (first, second)]
    variance = sum(parts)
    spread = sum(
        part**2 / one.df for part, one in zip(parts, (first, second), strict=True) if one.df
    )
    df = variance**2 / spread if spread > 0 else inf
    return means.Estimate(second.value - first.value, sqrt(variance), df)


def score_over_strata(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    attribute: str,
    strata: Sequence[str],
    weights: Mapping[str, float] | None = None,
) -> Score:
    """Macro average over fixed strata (the subjects of MMLU, the tasks of a list).

    Strata are not clusters: they would be the same in another sample of cases, so that only the
    cases within them vary. value = sum w_k mean_k, error = sqrt(sum w_k^2 SE_k^2).

    Parameters
    ----------
    strata : sequence of str
        Stratum of each case, in the measurement's order.
    weights : mapping, optional
        Stratum -> weight (made to add up to 1); equal weights where not given.

    Returns
    -------
    Score
        On slice "mean over <attribute>"; without interval if a stratum has a single case.
    """
    if len(strata) != len(measurement.case_ids):
        raise MetricError(
            f"{len(strata)} strata for {len(measurement.case_ids)} cases: give one per case."
        )
    members: dict[str, list[str]] = {}
    for case_id, stratum in zip(measurement.case_ids, strata, strict=True):
        members.setdefault(stratum, []).append(case_id)
    shares = {name: 1.0 if weights is None else weights[name] for name in members}
    total = sum(shares.values())
    value, variance, spread = 0.0 if members else float("nan"), 0.0, 0.0
    for name, case_ids in members.items():
        one = estimate(choose(measurement, case_ids), metric, settings)
        share = shares[name] / total
        part = (share * one.standard_error) ** 2
        value += share * one.value
        variance += part
        spread += part**2 / one.df if one.df else float("nan")
    found = means.Estimate(value, sqrt(variance), variance**2 / spread if spread else inf)
    interval, note = None, f"{len(members)} strata"
    if members and isfinite(variance) and isfinite(found.df if spread else 0.0):
        low, high = found.interval(settings.confidence)
        interval = Interval(low, high, settings.confidence, "stratified t")
    elif members:
        note += "; a stratum has a single case: no interval"
    return Score(
        variant=measurement.variant,
        case_set=case_set,
        metric=metric.name,
        slice=f"mean over {attribute}",
        value=value,
        interval=interval,
        n_cases=len(measurement.case_ids),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        signature=metric.signature(),
        note=note,
    )
