"""The judge's win rate as a person would see it: corrected by marks on cases drawn at random.

The random order is ``judged_pairs``'s, the estimate ``comparison.beyond.prediction_powered``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from tuneval.comparison.beyond.prediction_powered import (
    FEWEST_MARKS,
    Corrected,
    Rate,
    Sizes,
    correction_sentence,
    leaning,
    prediction_powered,
)
from tuneval.comparison.estimate.mean import Estimate
from tuneval.runs.judged_pairs import JudgedPair
from tuneval.types import Finding, RunResult

KIND = "corrected"


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
        Sizes(
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


def _own_interval(pair: JudgedPair, result: RunResult) -> Rate:
    """The judge's own win rate with its interval, as the run has it."""
    for one in result.scores:
        key = (one.case_set, one.variant, one.metric, one.slice)
        if key == (pair.case_set, pair.candidate, "win_rate", "all") and one.interval is not None:
            return Rate(one.value, one.interval.low, one.interval.high)
    every = np.array(list(pair.shares.values()))
    own = Estimate(float(every.mean()), float(every.std(ddof=1)) / sqrt(every.size), every.size - 1)
    return Rate(own.value, *own.interval())


def _of_estimates(
    pair: JudgedPair,
    subject: str,
    corrected: Corrected,
    alone: Corrected,
    lean: Estimate,
    sizes: Sizes,
    judge: Rate,
) -> Finding:
    rates = (_within(corrected), judge, _within(alone))
    low, high = lean.interval()
    return Finding(
        kind=KIND,
        variant=pair.candidate,
        case_set=pair.case_set,
        subject=subject,
        level="warning" if low > 0 or high < 0 else "note",
        sentence=correction_sentence(
            pair.candidate, pair.opponent, rates, sizes, corrected.power, lean
        ),
        values={
            "win_rate": rates[0].value,
            "low": rates[0].low,
            "high": rates[0].high,
            "judge_weight": corrected.power,
            "marks": float(sizes.n_marked),
            "cases": float(sizes.n_cases),
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
        rows=(
            ("the judge alone", sizes.n_cases, *judge),
            ("the marks alone", sizes.n_marked, *rates[2]),
            ("corrected", sizes.n_cases, *rates[0]),
        ),
    )


def _within(estimate: Estimate) -> Rate:
    """Value and interval, inside what a share can be."""
    return Rate(*(min(max(one, 0.0), 1.0) for one in (estimate.value, *estimate.interval())))


def corrections(result: RunResult) -> list[str]:
    """What was said of every pair, for a reader who gave the marks."""
    return [one.sentence for one in result.findings if one.kind == KIND]
