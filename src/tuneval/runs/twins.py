"""Clean cases of a finished run beside their changed copies, from its values of single cases."""

from __future__ import annotations

from math import isclose
from typing import NamedTuple

import numpy as np

from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import Codes
from tuneval.comparison.estimate.slices import cluster_codes
from tuneval.report.view import Arm
from tuneval.types import CaseSet, RunResult


class Sides(NamedTuple):
    """Values of shape (n_seeds, n_cases), copies of a case averaged, and the clusters."""

    clean: Floats
    changed: Floats
    codes: Codes | None


def both_sides(result: RunResult, cases: CaseSet, arm: Arm, kind: str) -> Sides:
    """What an arm scored on every case that has a copy of this kind, and on its copies."""
    place = {case.id: n for n, case in enumerate(cases.cases)}
    copies: dict[str, list[int]] = {}
    for n, case in enumerate(cases.cases):
        if case.perturbation == kind and case.origin in place:
            copies.setdefault(str(case.origin), []).append(n)
    values = _values(result, cases, arm)
    pairs = [
        (place[origin], own)
        for origin, own in copies.items()
        if not np.isnan(values[:, [place[origin], *own]]).any()
    ]
    clean = values[:, [n for n, _ in pairs]]
    changed = [values[:, own].mean(axis=1) for _, own in pairs]
    clusters = [cases.cases[n].cluster for n, _ in pairs]
    changed_values = np.stack(changed, axis=1) if changed else clean
    return Sides(clean, changed_values, cluster_codes(clusters, len(pairs)))


def is_mean(result: RunResult, cases: CaseSet, arm: Arm, score: float) -> bool:
    """Whether a score is the mean of its cases' values: of F1 or perplexity it is not."""
    is_clean = [case.origin is None for case in cases.cases]
    means = np.nanmean(_values(result, cases, arm)[:, is_clean], axis=1)
    return isclose(float(means.mean()), score, rel_tol=1e-9, abs_tol=1e-9)


def _values(result: RunResult, cases: CaseSet, arm: Arm) -> Floats:
    """Of each variant of the arm, nan where a case has no value."""
    start = 0
    for one in result.case_sets:
        if one.name == cases.name:
            break
        start += len(one.cases)
    rows = [
        result.case_scores[one.name][start : start + len(cases.cases)]
        for one in arm.variants
        if one.name in result.case_scores
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(cases.cases))
