"""Many p-values at once: Holm for what is claimed, Benjamini-Hochberg for what is only suggested.

Not for: deciding which comparison belongs to which family (the caller knows the primary metrics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from tuneval.types import Comparison

_Method = Callable[[Sequence[float]], NDArray[np.float64]]


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
    confirmatory: Sequence[Comparison], exploratory: Sequence[Comparison] = ()
) -> tuple[Comparison, ...]:
    """Fill ``p_adjusted``: Holm within ``confirmatory``, Benjamini-Hochberg within ``exploratory``.

    Confirmatory are the primary metric of each case set for base -> adapter, base -> full and
    adapter -> full; everything else (secondary metrics, classes, groups, perturbations) is
    exploratory. A comparison without p-value takes no part.

    Returns
    -------
    tuple of Comparison
        ``confirmatory`` then ``exploratory``, each in the given order, with
        ``details["confirmatory"]`` 1 or 0.
    """
    return (
        *_adjusted(confirmatory, holm, 1.0),
        *_adjusted(exploratory, benjamini_hochberg, 0.0),
    )


def _adjusted(
    comparisons: Sequence[Comparison], method: _Method, flag: float
) -> Iterator[Comparison]:
    raw = {
        i: c.p_value
        for i, c in enumerate(comparisons)
        if c.p_value is not None and not isnan(c.p_value)
    }
    adjusted = dict(zip(raw, method(list(raw.values())), strict=True))
    for i, comparison in enumerate(comparisons):
        p_adjusted = float(adjusted[i]) if i in adjusted else None
        details = {**comparison.details, "confirmatory": flag}
        yield replace(comparison, p_adjusted=p_adjusted, details=details)
