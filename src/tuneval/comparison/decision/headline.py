"""The one word for several outcomes and the warnings beside them (table 9.8)."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.comparison.decision.doubt import Outcome
from tuneval.comparison.decision.forgetting import Forgot


def headline(outcomes: Sequence[Outcome], flags: Sequence[str], *, is_invalid: bool = False) -> str:
    """Label of table 9.8 for the outcomes of one or several tasks and the proved warnings."""
    if is_invalid:
        return "INVALID"
    if "worse" in outcomes:
        return "MIXED" if "better" in outcomes else "WORSE"
    if flags and "better" in outcomes:
        return "BETTER, WITH WARNINGS"
    alone = [flag for flag in ("OVERFIT", "BRITTLE", "FORGOT") if flag in flags]
    if alone:
        return ", ".join(alone)
    if "better" in outcomes:
        return "BETTER"
    if outcomes and all(outcome == "no change" for outcome in outcomes):
        return "NO CHANGE"
    return "INCONCLUSIVE"


def of_guards(guards: Sequence[Forgot]) -> list[Outcome]:
    """What a run of nothing but guards can say beside FORGOT: that nothing changed for the worse."""
    return ["no change" if kept == "kept" else "unclear" for kept in guards]
