"""Choose rows: by case id, by the value of a group, by cluster. A slice is nothing but chosen rows.

Not for: statistics of the chosen rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from tuneval.errors import MetricError, gather
from tuneval.types import Case, Measurement


def choose(measurement: Measurement, case_ids: Collection[str]) -> Measurement:
    """Keep the rows of these cases, in the measurement's order.

    Raises
    ------
    MetricError
        An id was never measured.
    """
    wanted = set(case_ids)
    kept = [i for i, case_id in enumerate(measurement.case_ids) if case_id in wanted]
    missing = wanted.difference(measurement.case_ids)
    if missing:
        raise MetricError(
            gather(
                f'variant "{measurement.variant}", metric "{measurement.metric}": '
                f"{len(missing)} cases of the slice were not measured:",
                [f'"{case_id}"' for case_id in sorted(missing)],
            )
        )
    return Measurement(
        measurement.variant,
        measurement.metric,
        tuple(measurement.case_ids[i] for i in kept),
        measurement.rows[kept],
        None if measurement.draws is None else measurement.draws[:, kept],
    )


def by_group(cases: Sequence[Case], attribute: str) -> dict[str, tuple[str, ...]]:
    """Case ids by the value of ``attribute``; cases without it are left out."""
    chosen: dict[str, list[str]] = {}
    for case in cases:
        if attribute in case.groups:
            chosen.setdefault(case.groups[attribute], []).append(case.id)
    return {value: tuple(ids) for value, ids in chosen.items()}


def clusters_of(cases: Sequence[Case]) -> tuple[str | None, ...] | None:
    """Cluster of each case, or None where no case has one."""
    clusters = tuple(case.cluster for case in cases)
    return clusters if any(cluster is not None for cluster in clusters) else None


def cluster_codes(clusters: Sequence[str | None] | None, n: int) -> NDArray[np.int64] | None:
    """Number clusters 0..G-1; a case without one is its own.

    Returns
    -------
    ndarray of int64, shape (n,), or None
        None where every case stands alone, so that the simpler formulas apply.
    """
    if clusters is None:
        return None
    if len(clusters) != n:
        raise MetricError(f"{len(clusters)} clusters for {n} cases: give one per case.")
    numbers: dict[object, int] = {}
    codes = np.array(
        [
            numbers.setdefault((i,) if cluster is None else cluster, len(numbers))
            for i, cluster in enumerate(clusters)
        ],
        dtype=np.int64,
    )
    return codes if len(numbers) < n else None


def same_cases(baseline: Measurement, candidate: Measurement) -> Measurement:
    """Put the candidate's rows into the baseline's order of cases.

    Raises
    ------
    MetricError
        The two do not hold the same cases of the same metric, each once.
    """
    if baseline.metric != candidate.metric:
        raise MetricError(
            f'"{baseline.variant}" was measured by "{baseline.metric}" and '
            f'"{candidate.variant}" by "{candidate.metric}": compare the same metric.'
        )
    widths = [np.shape(one.rows)[-1] for one in (baseline, candidate)]
    if widths[0] != widths[1]:
        raise MetricError(
            f'metric "{baseline.metric}": rows of "{baseline.variant}" have {widths[0]} columns and '
            f'those of "{candidate.variant}" {widths[1]}. Columns must depend on the cases alone '
            "(declare the labels)."
        )
    for measurement in (baseline, candidate):
        if len(set(measurement.case_ids)) < len(measurement.case_ids):
            twice = sorted({i for i in measurement.case_ids if measurement.case_ids.count(i) > 1})
            raise MetricError(
                gather(
                    f'variant "{measurement.variant}": {len(twice)} case ids occur more than once:',
                    [f'"{case_id}"' for case_id in twice],
                    "Give every case its own id.",
                )
            )
    if baseline.case_ids == candidate.case_ids:
        return candidate
    faults = [
        f'"{case_id}" is missing for "{lacking.variant}"'
        for having, lacking in ((baseline, candidate), (candidate, baseline))
        for case_id in sorted(set(having.case_ids).difference(lacking.case_ids))
    ]
    if faults:
        raise MetricError(
            gather(
                f'"{baseline.variant}" and "{candidate.variant}" do not have the same cases '
                f"({len(baseline.case_ids)} and {len(candidate.case_ids)}):",
                faults,
                "A paired comparison needs every case answered by both: run the missing ones.",
            )
        )
    place = {case_id: i for i, case_id in enumerate(candidate.case_ids)}
    order = [place[case_id] for case_id in baseline.case_ids]
    return Measurement(
        candidate.variant,
        candidate.metric,
        baseline.case_ids,
        candidate.rows[order],
        None if candidate.draws is None else candidate.draws[:, order],
    )
