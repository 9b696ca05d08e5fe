"""How the answers could be read: thinking cut off, thinking that never ended, nobody right at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tuneval.assess.assess import Assessment
from tuneval.assess.measure import Predictions
from tuneval.checks import Scene
from tuneval.data.formats import quote
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Prediction

FEWEST_CASES = 5
"""Of fewer cases it may be chance that nobody has one right."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Looks at what every variant said; asks nothing."""

    @classmethod
    def begin(cls, plan: Plan) -> Answers:
        """Every run has answers."""
        return cls()

    def look(self, scene: Scene) -> Iterator[Finding]:
        """Say of every case set how its answers could be read."""
        for cases in scene.plan.case_sets:
            predictions = scene.predictions[cases.name]
            yield from about_thinking(cases, predictions)
            if cases in scene.measured and not scene.plan.spec.judge:
                # A judge may prefer what equals no reference.
                metric = scene.metrics[cases.name][0]
                yield from about_zeros(cases, metric, predictions, scene.assessments[cases.name])


def about_thinking(cases: CaseSet, predictions: Predictions) -> Iterator[Finding]:
    """How many answers of each variant hold thoughts, and how many nothing else."""
    for variant, own in predictions.items():
        yield from _thoughts(cases, variant, own)


def _thoughts(cases: CaseSet, variant: str, own: Sequence[Prediction]) -> Iterator[Finding]:
    counts = Counter(one.thinking for one in own)
    n_open, n_blocks = counts["open"], counts["open"] + counts["closed"]
    if not n_blocks:
        return
    sentence = (
        f"{n_blocks} of {len(own)} answers of {variant} hold a thinking block, cut off before they "
        "were read."
    )
    if n_open:
        sentence += (
            f" {n_open} of {len(own)} end inside it, cut at the limit, and are unreadable: a longer "
            "--max-tokens lets them finish."
        )
    yield Finding(
        kind="answers",
        variant=variant,
        case_set=cases.name,
        subject="thinking",
        level="warning" if n_open else "note",
        sentence=sentence,
        values={"thinking": n_blocks, "unfinished": n_open, "answers": len(own)},
    )


def about_zeros(
    cases: CaseSet, metric: Metric, predictions: Predictions, assessment: Assessment
) -> Iterator[Finding]:
    """Say where nobody has anything right, with an example."""
    values = [value for own in assessment.case_scores.values() for value in own]
    has_zero = metric.higher_is_better and metric.unit in ("share", "points")
    if not has_zero or len(cases.cases) < FEWEST_CASES or any(value != 0 for value in values):
        return
    case = cases.cases[0]
    said = "; ".join(
        f"{variant} said {quote(own[0].text or own[0].problem or '')}"
        for variant, own in predictions.items()
    )
    expected = " or ".join(map(quote, case.references[:3]))
    yield Finding(
        kind="answers",
        variant="",
        case_set=cases.name,
        subject="nobody right",
        level="warning",
        sentence=f"Nobody has anything right by {metric.name}: look at the outputs before the "
        f"verdict. {case.id}: expected {expected}; {said}.",
        values={"cases": len(cases.cases)},
    )
