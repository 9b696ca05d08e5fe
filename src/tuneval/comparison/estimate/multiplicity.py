"""The error budget of a report: which claims share which 5%, and how p-values are corrected for it.

Not for: deciding which comparison belongs to which family (the caller knows the primary metrics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isnan

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate import power
from tuneval.comparison.estimate.paired import as_tested
from tuneval.types import Comparison

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Family:
    """Claims that share one error rate: ``claims`` in the words of the report, ``correction``."""

    name: str
    claims: str
    correction: str


FAMILIES = (
    Family(
        "differences",
        '"improved", "made worse", "is ahead of", "is behind": the primary metric of every case '
        "set, baseline with every arm and adapter with full",
        "Holm, 5%",
    ),
    Family(
        "closeness to full",
        '"is within 2 points of", and the grades: every adapter with every full, every case set',
        "Bonferroni, one-sided 5%",
    ),
    Family(
        "no change",
        '"did not change by more than 1 point", "was kept": baseline with every arm, every case set',
        "Bonferroni, one-sided 5%",
    ),
    Family("ranking", '"is better than" among tuned arms: all pairs, every case set', "Holm, 5%"),
    Family(
        "warnings",
        "brittle, depends on swapped words, groups differ, worse on a slice, too sure, overfitted: "
        "all arms and kinds",
        "5% over all: an equal share for each check that runs, Holm within it",
    ),
    Family(
        "suggestions",
        '"suggests": secondary metrics, classes, groups, perturbations',
        "Benjamini-Hochberg, 5%",
    ),
)
"""The error budget of a report. docs/statistics.md shows the same table, and a test compares."""

Method = Callable[[Sequence[float]], NDArray[np.float64]]


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjusted p-values in the given order; the family-wise error rate is kept.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return _back(np.minimum(steps, 1), order)


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Adjusted p-values in the given order; the false discovery rate is kept.

    References
    ----------
    Benjamini & Hochberg (1995), Controlling the false discovery rate.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    return _back(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1), order)


def _back(sorted_values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    values = np.empty_like(sorted_values)
    values[order] = sorted_values
    return values


def adjust(
    confirmatory: Sequence[Comparison],
    exploratory: Sequence[Comparison] = (),
    ranking: Sequence[Comparison] = (),
) -> tuple[Comparison, ...]:
    """Fill ``p_adjusted`` by the families of ``FAMILIES``, and what n detects at that level.

    Confirmatory are the primary metric of each case set for base -> adapter, base -> full and
    adapter -> full; ``ranking`` are the other pairs of tuned arms; everything else (secondary
    metrics, classes, groups, perturbations) is exploratory. A comparison without p-value takes no
    part.

    Returns
    -------
    tuple of Comparison
        ``confirmatory``, ``exploratory``, ``ranking``, each in the given order, with
        ``details["confirmatory"]`` 1 or 0, ``details["holm"]`` 1 where Holm corrected, and for the
        first and last ``details["level"]``, at which ``detectable_difference`` and
        ``cases_needed`` are meant: the hardest that Holm asks of one of the family. The interval that
        holds for all claims at once ends at 0 or holds it as Holm decides.
    """
    return (
        *_adjusted(confirmatory, holm, {"confirmatory": 1.0, "holm": 1.0}),
        *_adjusted(exploratory, benjamini_hochberg, {"confirmatory": 0.0, "holm": 0.0}),
        *_adjusted(ranking, holm, {"confirmatory": 0.0, "holm": 1.0}),
    )


def _adjusted(
    comparisons: Sequence[Comparison], method: Method, flags: Mapping[str, float]
) -> Iterator[Comparison]:
    raw = {
        i: c.p_value
        for i, c in enumerate(comparisons)
        if c.p_value is not None and not isnan(c.p_value)
    }
    adjusted = dict(zip(raw, method(list(raw.values())), strict=True))
    level = ALPHA / max(len(raw), 1)
    for i, comparison in enumerate(comparisons):
        p_adjusted = float(adjusted[i]) if i in adjusted else None
        one = replace(comparison, p_adjusted=p_adjusted, details={**comparison.details, **flags})
        yield at_level(as_decided(one), level) if flags["holm"] else one


def as_decided(comparison: Comparison) -> Comparison:
    """The interval that holds for all claims at once, agreeing with Holm's decision about 0.

    Bonferroni's intervals hold together; Holm rejects some hypotheses that they do not. Such an
    interval ends at 0 instead of crossing it, which costs no coverage: the end stays inside, and
    where 0 is the truth it is still held.

    References
    ----------
    Strassburger & Bretz (2008), Compatible simultaneous lower confidence bounds for the Holm
    procedure; Guilbaud (2008), Simultaneous confidence regions corresponding to Holm's step-down
    procedure.
    """
    details, p = comparison.details, comparison.p_adjusted
    if "shared_low" not in details:
        return comparison
    ends = details["shared_low"], details["shared_high"]
    low, high = as_tested(ends, p, ALPHA, comparison.difference)
    return replace(comparison, details={**details, "shared_low": low, "shared_high": high})


def at_level(comparison: Comparison, level: float) -> Comparison:
    """What n detects, and how many cases would do, for a test at ``level`` instead of 5%."""
    details = {**comparison.details, "level": level}
    ratio = power.z_sum(level) / power.z_sum(ALPHA)
    if "cases_needed" in details:
        details["cases_needed"] = float(ceil(details["cases_needed"] * ratio**2))
    if "cases_needed_equivalence" in details:
        one_sided = (1 - details.get("bound_confidence", 1 - 2 * ALPHA)) / 2
        details["cases_needed_equivalence"] = float(
            ceil(
                details["cases_needed_equivalence"]
                * (power.z_sum(2 * one_sided) / power.z_sum(2 * ALPHA)) ** 2
            )
        )
    detectable = comparison.detectable_difference
    if detectable is not None and comparison.test == "McNemar mid-p":
        squared = power.z_sum(ALPHA) ** 2
        share = detectable**2 * (comparison.n_cases + squared) / squared
        detectable = power.detectable(comparison.n_cases, share, alpha=level)
    elif detectable is not None:
        detectable *= ratio
    return replace(comparison, detectable_difference=detectable, details=details)
