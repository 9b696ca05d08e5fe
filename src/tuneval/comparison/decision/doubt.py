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

EXACT_TESTS = ("McNemar", "sign-flip", "sequential McNemar", "betting")
"""Tests that hold for any number of cases; what rests on a normal distribution wants 30."""

Outcome = Literal["better", "worse", "no change", "unclear"]


def faults_of(primary: Iterable[Comparison]) -> list[str]:
    faults = []
    for c in primary:
        if stands_whatever_was_unread(c):
            continue
        for side, name in (("baseline", c.baseline), ("candidate", c.candidate)):
            unread = c.details.get(f"unparsed_{side}", 0.0)
            if unread > INVALID_UNPARSED:
                faults.append(f"{unread:.0%} of {_what_is_read(c)} {name} could not be read.")
    return list(dict.fromkeys(faults))


def doubts(comparison: Comparison, *, of_size: bool = False) -> list[str]:
    """Why nothing can be proved by this comparison, whatever its interval: [] if nothing.

    Parameters
    ----------
    of_size : bool
        The claim is about the size of the difference and not only its direction, so that unread
        answers matter even where no reading of them could turn the direction.
    """
    found = []
    if comparison.n_cases < FEWEST_CASES and not comparison.test.startswith(EXACT_TESTS):
        found.append(
            f"Only {comparison.n_cases} examples: fewer than {FEWEST_CASES} prove nothing."
        )
    if of_size or not stands_whatever_was_unread(comparison):
        found += unread_sentences(comparison)
    bias = comparison.details.get("position_bias", 0.0)
    if bias > UNRELIABLE_BIAS:
        found.append(
            f"{bias:.0%} more of the judge's verdicts went to one place than to the other: the judge "
            "is not reliable on this data."
        )
    return found


def unread_sentences(comparison: Comparison) -> list[str]:
    """Whose answers could not be read, where it is more than a few."""
    found = []
    for side, name in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        unread = comparison.details.get(f"unparsed_{side}", 0.0)
        if unread > UNSURE_UNPARSED:
            found.append(f"{unread:.0%} of {_what_is_read(comparison)} {name} could not be read.")
    return found


def stands_whatever_was_unread(comparison: Comparison) -> bool:
    """Would the difference be proved even if every unread answer had spoken against it?"""
    worst = comparison.details.get("worst_case_difference")
    if worst is None or not worst * comparison.difference > 0:  # nan stands for nothing
        return False
    p_value = comparison.p_value or 0.0
    stricter = (
        p_of(comparison) / p_value if p_value else 1.0
    )  # what the other tests of the run cost
    return comparison.details.get("worst_case_p", 1.0) * max(stricter, 1.0) < ALPHA


def _what_is_read(comparison: Comparison) -> str:
    is_judged = "position_bias" in comparison.details
    return "the judge's verdicts on" if is_judged else "the answers of"


def p_of(comparison: Comparison) -> float:
    for p in (comparison.p_adjusted, comparison.p_value):
        if p is not None and not isnan(p):
            return p
    return 1.0


def stopped_early(comparison: Comparison) -> str:
    """What a stop as soon as something is proved does to the estimate; "" after all cases."""
    n_total = comparison.details.get("n_total", 0)
    if comparison.n_cases >= n_total:
        return ""
    return (
        f"Drawing stopped at {comparison.n_cases} of {n_total:.0f} cases because this was decided: "
        "the interval allows for that, the estimate leans away from no difference."
    )
