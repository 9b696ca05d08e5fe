"""Several completions of a case: how much of the uncertainty comes from which ones were drawn.

Not for: the intervals themselves. Cases are their units, and a case's mean over its completions holds
both kinds of chance already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, sqrt
from typing import TypeVar

import numpy as np

from tuneval.comparison.estimate.scoring import Codes, checked
from tuneval.comparison.estimate.seeds import linear, two_way
from tuneval.comparison.estimate.slices import cluster_codes
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.types import Comparison, Measurement, Score

Sides = Sequence[Sequence[Measurement]]
"""One side of a score, two of a difference; the training seeds of each, on the same cases in the same
order."""

Found = TypeVar("Found", Score, Comparison)


def with_draws(
    found: Found,
    sides: Sides,
    metric: Statistic,
    settings: Settings,
    clusters: Sequence[str | None] | None = None,
) -> Found:
    """Say in the note what the draw of completions adds; as it was where each case has one.

    A comparison keeps the share of its variance as ``details["draw_share"]``.
    """
    drawn = [len(one.draws) for side in sides for one in side if one.draws is not None]
    if not drawn or not isfinite(found.value if isinstance(found, Score) else found.difference):
        return found
    codes = cluster_codes(clusters, len(sides[0][0].case_ids))
    share = draw_share(sides, metric, codes, settings)
    note = "; ".join(filter(None, [found.note, sentence(max(drawn), share)]))
    if isinstance(found, Comparison) and share is not None:
        return replace(found, note=note, details={**found.details, "draw_share": share})
    return replace(found, note=note)


def draw_share(
    sides: Sides, metric: Statistic, codes: Codes | None, settings: Settings
) -> float | None:
    """The part of the variance of a score, or of a difference, that more completions would remove.

    V_draw = sum over sides and seeds of sum_i var_k(x[k, i])/K / n^2, x[k, i] being the value of completion k
    of case i (its jackknife pseudo-value where the metric is no mean), divided by the square of the
    number of seeds. It falls as 1/K; what is left with ever more completions is the cases' part.

    Returns
    -------
    float or None
        V_draw / V, at most 1; None where there is no variance to divide.
    """
    rows = [np.stack([checked(one) for one in side]) for side in sides]
    values = [linear(metric, one, codes, settings) for one in rows]
    baseline = values[0][0] if len(values) > 1 else None
    error = two_way(values[-1][0], baseline, values[-1][1]).estimate.standard_error
    within = 0.0
    for side in sides:
        for one in side:
            if one.draws is not None:
                each, _ = linear(metric, np.asarray(one.draws), codes, settings)
                n_draws, n_units = each.shape
                spread = float(np.var(each, axis=0, ddof=1).sum())
                within += spread / n_draws / n_units**2 / len(side) ** 2
    share = within / error**2 if error else 0.0
    return min(share, 1.0) if isfinite(share) and share > 0 else None


def sentence(n_draws: int, share: float | None) -> str:
    """How many completions a number rests on, and what more of them would bring."""
    text = f"mean of {n_draws} completions for each case"
    if share is None:
        return text
    return (
        f"{text}: which were drawn makes {share:.0%} of the variance, so that ever more of them "
        f"would narrow the interval by {1 - sqrt(1 - share):.0%}"
    )
