"""Two variants that no case tells apart: that is said, and is no proof of closeness."""

from __future__ import annotations

from math import isnan

from tuneval.comparison.wording import gain
from tuneval.types import Comparison


def alike(comparison: Comparison) -> str:
    """What is known where every case has the same result on both sides; "" where one differs."""
    details = comparison.details
    if comparison.difference != 0 or details.get("discordant_share") != 0:
        return ""
    g, n, name = gain(comparison), comparison.n_cases, comparison.metric
    value = details.get("baseline_value")
    ends = {"share": (0.0, 1.0), "points": (0.0, 100.0)}.get(comparison.unit)
    if ends is not None and value in ends:
        why = "too easy" if (value == ends[1]) == comparison.higher_is_better else "too hard"
        shown = g.scale.plain(value * 100 / ends[1])
        text = f"Both score {shown} in {name} on all {n} cases, which are {why} to tell them apart"
    else:
        text = f"Both have the same {name} on each of the {n} cases"
    if isnan(g.low90):
        return f"{text}."
    most = g.scale.plain(max(abs(g.low90), abs(g.high90)))
    if most == g.scale.plain(0.0):
        most = f"less than {10.0**-g.scale.digits:g}"
    return f"{text}; so many equal cases still allow a difference of {most}{g.scale.noun}."
