"""What the data support, in words: comparisons and findings -> verdicts and one headline.

Plain records in, plain records out: everything it reads stands in ``result.json``, so a verdict can
be recomputed without a model. Not for: computing differences, intervals or p-values.

A grade follows the point estimate; what is said about it follows the 90% interval, whose ends are
one-sided 95% bounds. "is" and "shows" need proof; "looks" is for what the data suggest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tuneval.comparison.decision.circumstances import Circumstances
from tuneval.comparison.decision.doubt import faults_of
from tuneval.comparison.decision.gap import adapter_against_full
from tuneval.comparison.decision.headline import headline, of_guards
from tuneval.comparison.decision.tuned import outcome_of, tuned_against_base
from tuneval.types import (
    Comparison,
    Finding,
    LearningCurve,
    Score,
    Variant,
    VariantFacts,
    Verdict,
    arms,
)


def decide(
    *,
    comparisons: Sequence[Comparison],
    variants: Sequence[Variant],
    primary_metrics: Mapping[str, str],
    scores: Sequence[Score] = (),
    facts: Sequence[VariantFacts] = (),
    learning_curves: Sequence[LearningCurve] = (),
    general: Collection[str] = (),
    findings: Sequence[Finding] = (),
) -> tuple[tuple[Verdict, ...], str]:
    """Turn adjusted comparisons into one verdict per pair and one headline for the run.

    Parameters
    ----------
    comparisons : sequence of Comparison
        As ``adjust`` returns them. Those of a case set's primary metric on slice "all" decide.
        Those of exploratory case sets (``details["confirmatory"]`` 0) decide nothing.
    variants : sequence of Variant
        Names in comparisons are variant names or recipe names.
    primary_metrics : mapping
        Case set -> metric.
    scores : sequence of Score
        Only to warn of undefined or unreliable scores of primary metrics.
    facts : sequence of VariantFacts
        ``settings["r"]`` of an adapter goes into the advice to raise the rank.
    general : collection of str
        Case sets that measure general ability: they count for forgetting, not for better or worse.
    findings : sequence of Finding
        Of the checks beyond the test score. A warning about an arm, or about the data, is a warning
        of the arm's verdict; its flag counts as one of the labels.

    Returns
    -------
    verdicts : tuple of Verdict
        In order of the pairs in ``comparisons``. The headline of a pair is a label of the overall
        table; for adapter against full fine-tune it is the grade ("EXCELLENT", "LOOKS EXCELLENT",
        ..., "INCONCLUSIVE").
    headline : str
        "INVALID", "WORSE", "MIXED", "BETTER, WITH WARNINGS", "OVERFIT", "BRITTLE", "FORGOT" (or
        several of these three joined by ", "), "BETTER", "NO CHANGE" or "INCONCLUSIVE".
    """
    known = Circumstances(
        arms(variants),
        {one.variant: one for one in facts},
        {one.variant: one for one in learning_curves},
        scores,
        general,
        [one for one in findings if one.level == "warning"],
    )
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for c in comparisons:
        if c.slice == "all" and c.baseline != c.candidate:
            is_primary = primary_metrics.get(c.case_set) == c.metric
            if is_primary and c.details.get("confirmatory", 1.0):
                pairs.setdefault((c.baseline, c.candidate), []).append(c)
    faults = [
        *(one.sentence for one in known.warned if one.flag == "INVALID"),
        *faults_of(c for group in pairs.values() for c in group if c.case_set not in general),
    ]
    unproved = {
        candidate
        for (baseline, candidate), group in pairs.items()
        if known.kind(baseline) in {"base", "majority"}
        and not any(outcome_of(c) == "better" for c in group if c.case_set not in general)
    }
    verdicts, readings, guards, flags = [], [], [], []
    for (baseline, candidate), group in pairs.items():
        if {known.kind(baseline), known.kind(candidate)} == {"adapter", "full"}:
            if all(c.case_set in general for c in group):
                continue  # forgetting is a question to the base alone
            is_kept = not ({baseline, candidate} & unproved)
            verdicts.append(adapter_against_full(known, group, faults, is_kept=is_kept))
            continue
        verdict, read, kept, flagged = tuned_against_base(known, group, faults)
        verdicts.append(verdict)
        readings += read
        guards += kept
        flags += flagged
    if not readings and guards:  # nothing was to become better
        return tuple(verdicts), headline(of_guards(guards), flags, is_invalid=bool(faults))
    if not readings:  # nothing but adapter against full, or nothing at all
        overall = verdicts[0].headline if len(verdicts) == 1 else "INCONCLUSIVE"
        return tuple(verdicts), "INVALID" if faults else overall
    return tuple(verdicts), headline([r.outcome for r in readings], flags, is_invalid=bool(faults))
