"""What lets a comparison prove nothing, or a run compare nothing: few cases, unread answers."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Literal

from tuneval.comparison.beyond.preference import UNRELIABLE_BIAS
from tuneval.types import Comparison

ALPHA = 0.05
FEWEST_CASES = 30
UNSURE_UNPARSED = 0.05
INVALID_UNPARSED = 0.20

Outcome = Literal["better", "worse", "no change", "unclear"]


def faults_of(primary: Iterable[Comparison]) -> list[str]:
    faults = []
    for c in primary:
        for side, name in (("baseline", c.baseline), ("candidate", c.candidate)):
            unread = c.details.get(f"unparsed_{side}", 0.0)
            if unread > INVALID_UNPARSED:
                faults.append(f"{unread:.0%} of {_what_is_read(c)} {name} could not be read.")
    return list(dict.fromkeys(faults))


def doubts(comparison: Comparison) -> list[str]:
    """Why nothing can be proved by this comparison, whatever its interval: [] if nothing."""
    found = []
    if comparison.n_cases < FEWEST_CASES:
        found.append(
            f"Only {comparison.n_cases} examples: fewer than {FEWEST_CASES} prove nothing."
        )
    for side, name in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        unread = comparison.details.get(f"unparsed_{side}", 0.0)
        if unread > UNSURE_UNPARSED:
            found.append(f"{unread:.0%} of {_what_is_read(comparison)} {name} could not be read.")
    bias = comparison.details.get("position_bias", 0.0)
    if bias > UNRELIABLE_BIAS:
        found.append(
            f"{bias:.0%} more of the judge's verdicts went to one place than to the other: the judge "
            "is not reliable on this data."
        )
    return found


def _what_is_read(comparison: Comparison) -> str:
    is_judged = "position_bias" in comparison.details
    return "the judge's verdicts on" if is_judged else "the answers of"


def p_of(comparison: Comparison) -> float:
    for p in (comparison.p_adjusted, comparison.p_value):
        if p is not None and not isnan(p):
            return p
    return 1.0
