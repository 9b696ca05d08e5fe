"""Several tuned arms: which is best, and which cannot be told from it.

Chooses and words; the tests are ``comparison``'s. Not for: base against tuned (the verdicts).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np

from tuneval.comparison.estimate.multiplicity import ALPHA, holm
from tuneval.comparison.wording import gain, scale
from tuneval.types import Comparison, Finding, Score

KIND = "ranking"


def rank(
    case_set: str,
    selected: Comparison,
    comparisons: Sequence[Comparison],
    scores: Sequence[Score],
    order: Sequence[str],
) -> Finding:
    """Rank the tuned arms of a case set, with ties.

    All pairs of tuned arms are one family (Holm): no arm that is truly best is left out of "best,
    and those not distinguishable from it" in more than 5% of runs.

    Parameters
    ----------
    selected : Comparison
        Baseline against the best arm, its interval one of as many as there are tuned arms.
    comparisons : sequence of Comparison
        Of the whole run; pairs of tuned arms are taken from them.
    """
    metric, baseline, best = selected.metric, selected.baseline, selected.candidate
    values = {
        one.variant: one.value
        for one in scores
        if (one.metric, one.slice) == (metric, "all") and not isnan(one.value)
    }
    tuned = [arm for arm in order if arm in values and arm != baseline]
    pairs = [
        one
        for one in comparisons
        if (one.case_set, one.metric, one.slice) == (case_set, metric, "all")
        and one.baseline in tuned
        and one.candidate in tuned
    ]
    tested = [one for one in pairs if one.p_value is not None and not isnan(one.p_value)]
    adjusted = {
        (one.baseline, one.candidate): float(p)
        for one, p in zip(tested, holm([one.p_value or 0.0 for one in tested]), strict=True)
    }
    sign = 1 if selected.higher_is_better else -1
    ranked = sorted(tuned, key=lambda arm: -sign * values[arm])
    ties = [
        arm
        for arm in ranked
        if arm != best
        and min(adjusted.get((arm, best), 1.0), adjusted.get((best, arm), 1.0)) >= ALPHA
    ]
    return Finding(
        kind=KIND,
        variant="",
        case_set=case_set,
        subject=metric,
        level="note",
        sentence=_sentence(selected, values, ranked, ties),
        values={
            "n_arms": float(len(tuned)),
            "n_ties": float(len(ties)),
            "difference": selected.difference,
            **_ends(selected),
        },
        columns={
            "candidate": "text",
            "against": "text",
            "difference": selected.unit,
            "from": selected.unit,
            "to": selected.unit,
            "p adjusted": "number",
        },
        rows=tuple(
            (
                one.candidate,
                one.baseline,
                one.difference if np.isfinite(one.difference) else None,
                one.interval.low if one.interval else None,
                one.interval.high if one.interval else None,
                adjusted.get((one.baseline, one.candidate)),
            )
            for one in pairs
        ),
    )


def _ends(selected: Comparison) -> dict[str, float]:
    if selected.interval is None:
        return {}
    return {"low": selected.interval.low, "high": selected.interval.high}


def _sentence(
    selected: Comparison, values: dict[str, float], ranked: Sequence[str], ties: Sequence[str]
) -> str:
    s, g, best = scale(selected.unit), gain(selected), selected.candidate
    shown = {arm: f"{arm} ({s.plain(values[arm])})" for arm in ranked}
    behind = [shown[arm] for arm in ranked if arm not in (best, *ties)]
    text = f"Best {selected.metric} of {len(ranked)} tuned arms: {shown[best]}"
    text += f"; not distinguishable from it: {', '.join(shown[arm] for arm in ties)}" * bool(ties)
    text += f"; behind it: {', '.join(behind)}" * bool(behind)
    if not g.has_interval or selected.interval is None:
        return f"{text}."
    return (
        f"{text}. {best} against {selected.baseline}: {s.signed(selected.difference)}{s.noun} "
        f"({s.signed(selected.interval.low)} to {s.signed(selected.interval.high)}; a 95% interval "
        f"made wider because the best of {len(ranked)} was chosen, n={selected.n_cases})."
    )
