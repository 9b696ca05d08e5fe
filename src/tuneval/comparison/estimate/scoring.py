"""One variant, one number: rows -> Score with its interval and with what is doubtful about it.

Not for: two variants (paired.py), several training seeds (seeds.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from tuneval.comparison.estimate import bounded, exact
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.slices import cluster_codes
from tuneval.comparison.statistic import RankStatistic, Settings, Statistic
from tuneval.errors import MetricError
from tuneval.types import Interval, Measurement, Score, StatisticKind

RARE = 5
"""With fewer cases of a class, resampling loses the class too often for an honest interval."""

NO_SPREAD = "all cases are alike: no interval"

FEW_CLUSTERS = 10
FEW_CASES = 30

Codes = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def score(
    measurement: Measurement,
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    slice: str = "all",
    clusters: Sequence[str | None] | None = None,
    class_counts: Mapping[str, int] | None = None,
) -> Score:
    """Value of ``metric`` on these rows with the interval that suits its kind.

    Wilson (Clopper-Pearson when all or none are right) for proportions; bounds that know the range
    for means of bounded values and for clusters; t (CR1) for other means; BCa bootstrap for
    everything else, never narrower than the bounds where the number has a range.

    Parameters
    ----------
    measurement : Measurement
        The rows of the slice, any number of them.
    clusters : sequence of str or None, optional
        One per case, in the measurement's order; None means that the case stands alone.
    class_counts : mapping, optional
        Reference label -> number of cases, for metrics that average over classes.

    Returns
    -------
    Score
        An undefined value is nan, an interval that cannot be had is None; ``note`` says why.

    Raises
    ------
    MetricError
        The rows have the wrong shape, or the clusters another length.
    """
    rows = checked(measurement)
    codes = cluster_codes(clusters, len(rows))
    kind = kind_of(metric, rows)
    kept = counted(kind, rows)
    codes = codes if codes is None else np.unique(codes[kept], return_inverse=True)[1]
    notes: list[str] = []
    if not kept.all():
        notes.append(f"{int(np.sum(~kept))} of {len(rows)} cases have no value and are left out")
    rows = rows[kept]
    value = value_of(metric, rows)
    interval: Interval | None = None
    doubts: list[str] = []
    if len(rows) == 0:
        notes.append("no cases")
    elif not isfinite(value):
        notes.append(why_undefined(rows))
    elif why := why_no_interval(metric):
        notes.append(why)
    else:
        key = (metric.name, f"{case_set}/{slice}/{measurement.variant}", "score")
        interval, doubts = _interval(metric, kind, rows, codes, settings, key)
    if kind in {"corpus", "ranks"}:
        doubts += rare_classes(class_counts)
    return Score(
        variant=measurement.variant,
        case_set=case_set,
        metric=metric.name,
        slice=slice,
        value=value,
        interval=interval,
        n_cases=len(rows),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        signature=metric.signature(),
        note="; ".join(notes + doubts),
    )


def checked(measurement: Measurement) -> Floats:
    """The rows as float64 of shape (n_cases, n_sums)."""
    rows = np.asarray(measurement.rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(measurement.case_ids):
        raise MetricError(
            f'metric "{measurement.metric}", variant "{measurement.variant}": rows of shape '
            f"{rows.shape} for {len(measurement.case_ids)} cases; expected one row per case."
        )
    return rows


def kind_of(metric: Statistic, rows: Floats) -> StatisticKind:
    """The metric's kind; rows that are not (value, 1) or (value, 0) are resampled instead."""
    kind = metric.statistic
    if kind in {"proportion", "mean"}:
        is_plain = rows.shape[1] == 2 and bool(np.all((rows[:, 1] == 0) | (rows[:, 1] == 1)))
        if not is_plain:
            return "corpus"
        if kind == "proportion" and not np.all((rows[:, 0] == 0) | (rows[:, 0] == 1)):
            return "mean"
    return kind


def counted(kind: StatisticKind, rows: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which cases have a value: for means, those whose count is 1."""
    if kind in {"proportion", "mean"}:
        return np.asarray(rows[:, 1] == 1)
    return np.ones(len(rows), dtype=bool)


def value_of(metric: Statistic, rows: Floats) -> float:
    """The metric on these rows; nan without rows."""
    if len(rows) == 0:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric.statistic == "ranks":
            return float(by_rows(metric).from_rows(rows))
        return float(metric.from_totals(rows.sum(axis=0)))


def why_no_interval(metric: Statistic) -> str:
    """What makes an interval of this metric wrong however it is computed; "" where nothing does."""
    return str(getattr(metric, "why_no_interval", ""))


def by_rows(metric: Statistic) -> RankStatistic:
    """The same metric as one of ranks."""
    if not isinstance(metric, RankStatistic):
        raise MetricError(
            f'metric "{metric.name}" is of kind "ranks" but has no from_rows(rows): add it.'
        )
    return metric


def why_undefined(rows: Floats) -> str:
    """Say which rows make the number undefined, or that the rows as a whole do."""
    bad = int(np.sum(~np.all(np.isfinite(rows), axis=1)))
    if bad:
        return f"undefined: {bad} of {len(rows)} cases have a value that is not a finite number"
    return "undefined on these cases"


def rare_classes(class_counts: Mapping[str, int] | None) -> list[str]:
    """Name the classes that are too rare for the interval to be trusted."""
    return [
        f"interval unreliable: class {label} has {count} items"
        for label, count in (class_counts or {}).items()
        if count < RARE
    ]


def few(n_cases: int, n_clusters: int | None) -> list[str]:
    """Doubts about a t interval on little data."""
    if n_clusters is not None and n_clusters < FEW_CLUSTERS:
        return [f"few clusters ({n_clusters})"]
    if n_clusters is None and n_cases < FEW_CASES:
        return [f"fewer than {FEW_CASES} cases: the interval is approximate"]
    return []


def undefined_draws(resampled: again.Resampled) -> list[str]:
    """Doubt about an interval from draws that were often undefined."""
    if resampled.undefined_share > 0.01:
        return [f"interval unreliable: undefined in {resampled.undefined_share:.0%} of resamples"]
    return []


def _interval(
    metric: Statistic,
    kind: StatisticKind,
    rows: Floats,
    codes: Codes | None,
    settings: Settings,
    key: tuple[str, str, str],
) -> tuple[Interval | None, list[str]]:
    n, confidence = len(rows), settings.confidence
    n_units = n if codes is None else int(codes.max()) + 1
    if kind == "proportion" and (codes is None or rows[:, 0].min() == rows[:, 0].max()):
        # Clusters that all agree leave no spread to estimate: count each as one case.
        right = int(rows[:, 0].sum()) if codes is None else n_units * int(rows[0, 0])
        if right in {0, n_units}:
            bounds = exact.clopper_pearson(right, n_units, confidence)
            return Interval(*bounds, confidence, "clopper-pearson"), []
        return Interval(*exact.wilson(right, n_units, confidence), confidence, "wilson"), []
    if n_units < 2:
        return None, ["one case: no interval" if codes is None else "one cluster: no interval"]
    if kind in {"proportion", "mean"}:
        return _of_mean(metric, rows, codes, confidence)
    rng = again.generator(settings.resampling_seed, *key)
    if kind == "ranks":
        if codes is not None:
            return None, ["no interval: a metric of ranks cannot be resampled by cluster"]
        n_draws = min(settings.resamples, again.RANK_RESAMPLES)
        resampled = again.resample_ranks(rows, by_rows(metric).from_rows, n_draws, rng)
    else:
        units = again.summed(rows, codes)
        resampled = again.resample(units, metric.from_totals, settings.resamples, rng)
    low, high = resampled.interval(confidence)
    doubts = undefined_draws(resampled)
    if not isfinite(low):
        return None, doubts
    span = bounded.span_of(metric.unit, np.array([resampled.value]))
    if span is not None and np.isfinite(resampled.left_out).all():
        linear = bounded.linear_interval(resampled.pseudo_values, span, confidence)
        low, high = bounded.hull((low, high), linear)
        low, high = max(low, span[0]), min(high, span[1])
    elif low == high:
        return None, [*doubts, NO_SPREAD]
    if codes is not None:
        doubts += few(n, n_units)
    return Interval(low, high, confidence, "bca"), doubts


def _of_mean(
    metric: Statistic, rows: Floats, codes: Codes | None, confidence: float
) -> tuple[Interval | None, list[str]]:
    values = rows[:, 0]
    span = bounded.span_of(metric.unit, values)
    if span is not None:
        units = again.summed(rows, codes)
        low, high = bounded.interval(units[:, 0], units[:, 1], span, confidence)
        doubts = few(len(rows), len(units)) if codes is not None else []
        return Interval(low, high, confidence, "bounded mean"), doubts
    estimate = means.estimate_mean(values, codes)
    if estimate.standard_error == 0:
        return None, [NO_SPREAD]
    method = "t" if codes is None else "clustered t"
    n_clusters = None if codes is None else int(codes.max()) + 1
    doubts = few(len(rows), n_clusters)
    return Interval(*estimate.interval(confidence), confidence, method), doubts
