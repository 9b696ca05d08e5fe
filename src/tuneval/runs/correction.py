"""The judge's win rate as a person would see it: corrected by marks on cases drawn at random.

The random order is ``judged_pairs``'s, the estimate ``comparison.beyond.prediction_powered``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

import numpy as np

from tuneval.comparison.beyond.prediction_powered import (
    FEWEST_MARKS,
    Corrected,
    leaning,
    prediction_powered,
)
from tuneval.comparison.estimate.mean import Estimate
from tuneval.runs.judged_pairs import JudgedPair
from tuneval.types import Finding, RunResult

KIND = "corrected"
FEWEST_ON_A_SIDE = 10
"""With fewer marks for (or against) the candidate an interval by t holds too little (docs/judge.md)."""


class _Sizes(NamedTuple):
    """``n_rarer``: marks for the side that has fewer of them."""

    n_marked: int
    n_cases: int
    n_left_out: int
    n_rarer: int


def corrected(pair: JudgedPair, marks: Mapping[str, float | None], result: RunResult) -> Finding:
    """The judge's win rate corrected by the marks that begin the random order, or why there is none.

    Parameters
    ----------
    marks : mapping
        Case -> 1 where the person prefers the candidate, 0.5, 0; None for a case left out.
    """
    drawn = drawn_marks(pair, marks)
    marked = {case: share for case, share in drawn.items() if share is not None}
    subject = f"{pair.candidate} beside {pair.opponent}"
    why = ""
    if pair.has_clusters:
        why = "Cases that belong together (clusters) are not corrected yet."
    elif len(marked) < FEWEST_MARKS:
        why = (
            f"{len(marked)} of the marks on {pair.candidate} beside {pair.opponent} begin the random "
            f"order of the cases; {FEWEST_MARKS} correct the judge's win rate. tuneval report RUN "
            "--to-mark N writes the cases to mark."
        )
    if why:
        return Finding(KIND, pair.candidate, pair.case_set, subject, "note", why)
    given = np.array(list(marked.values()))
    judged = np.array([pair.shares[case] for case in marked])
    others = np.array([one for case, one in pair.shares.items() if case not in drawn])
    return _of_estimates(
        pair,
        subject,
        prediction_powered(given, judged, others),
        prediction_powered(given, judged, others, power=0.0),
        leaning(given, judged),
        _Sizes(
            n_marked=len(marked),
            n_cases=len(marked) + len(others),
            n_left_out=len(drawn) - len(marked),
            n_rarer=min(int((given > 0).sum()), int((given < 1).sum())),
        ),
        _own_interval(pair, result),
    )


def drawn_marks(pair: JudgedPair, marks: Mapping[str, float | None]) -> dict[str, float | None]:
    """The marks of the cases that begin the random order, up to the first that has none: to mark these
    was nobody's choice."""
    found: dict[str, float | None] = {}
    for case in pair.shares:
        if case not in marks:
            break
        found[case] = marks[case]
    return found


def _own_interval(pair: JudgedPair, result: RunResult) -> tuple[float, float, float]:
    """The judge's own win rate with its interval, as the run has it."""
    for one in result.scores:
        key = (one.case_set, one.variant, one.metric, one.slice)
        if key == (pair.case_set, pair.candidate, "win_rate", "all") and one.interval is not None:
            return one.value, one.interval.low, one.interval.high
    every = np.array(list(pair.shares.values()))
    own = Estimate(float(every.mean()), float(every.std(ddof=1)) / sqrt(every.size), every.size - 1)
    return (own.value, *own.interval())


def _of_estimates(
    pair: JudgedPair,
    subject: str,
    corrected: Corrected,
    alone: Corrected,
    lean: Estimate,
    sizes: _Sizes,
    judge: tuple[float, float, float],
) -> Finding:
    n_marked, n_cases = sizes.n_marked, sizes.n_cases
    rows = [
        ("the judge alone", n_cases, *judge),
        ("the marks alone", n_marked, *_within(alone)),
        ("corrected", n_cases, *_within(corrected)),
    ]
    low, high = lean.interval()
    is_led = low > 0 or high < 0
    told = {name: _points(value, low, high) for name, _, value, low, high in rows}
    text = (
        f"Win rate of {pair.candidate} beside {pair.opponent} as the person sees it: "
        f"{told['corrected']}; the judge says {told['the judge alone']}, the marks alone "
        f"{told['the marks alone']}. Corrected are the verdicts on {n_cases} cases, by marks on {n_marked} "
        f"drawn at random (prediction-powered, weight of the judge {corrected.power:.2f})."
    )
    if sizes.n_left_out:
        text += f" Left out: {sizes.n_left_out} with a wrong reference."
    if sizes.n_rarer < FEWEST_ON_A_SIDE:
        text += (
            f" Only {sizes.n_rarer} marks are not like all the others: so near to 0 or 100 the interval may "
            "be too narrow."
        )
    side = pair.opponent if lean.value > 0 else pair.candidate
    text += (
        f" The judge is kinder to {side} than the person, by {100 * abs(lean.value):.1f} points (95% CI "
        f"{100 * min(abs(low), abs(high)):.1f} to {100 * max(abs(low), abs(high)):.1f}): rely on the "
        "corrected figure."
        if is_led
        else " No lean of the judge to either side beyond chance."
    )
    return Finding(
        kind=KIND,
        variant=pair.candidate,
        case_set=pair.case_set,
        subject=subject,
        level="warning" if is_led else "note",
        sentence=text,
        values={
            "win_rate": corrected.value,
            "low": rows[2][3],
            "high": rows[2][4],
            "judge_weight": corrected.power,
            "marks": float(n_marked),
            "cases": float(n_cases),
            "person_minus_judge": lean.value,
            "person_minus_judge_low": low,
            "person_minus_judge_high": high,
        },
        columns={
            "win rate by": "text",
            "cases": "count",
            "rate": "share",
            "low": "share",
            "high": "share",
        },
        rows=tuple(rows),
    )


def _within(estimate: Estimate) -> tuple[float, float, float]:
    """Value and interval, inside what a share can be."""
    low, high = (min(max(one, 0.0), 1.0) for one in estimate.interval())
    return min(max(estimate.value, 0.0), 1.0), low, high


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} (95% CI {100 * low:.1f} to {100 * high:.1f})"


def corrections(result: RunResult) -> list[str]:
    """What was said of every pair, for a reader who gave the marks."""
    return [one.sentence for one in result.findings if one.kind == KIND]
