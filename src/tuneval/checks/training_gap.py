"""Scores on the training file beside those on the test file: did the fine-tune learn by heart?

Asks the tuned variants a fixed random sample of the training cases; the arithmetic is
``comparison.overfitting``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tuneval.assess.measure import is_missing
from tuneval.checks import Scene
from tuneval.checks.training_file import read_training
from tuneval.comparison.beyond.overfitting import (
    FEWEST_TRAINING_CASES,
    gap_sentence,
    generalisation_gap,
)
from tuneval.data.select import take
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Measurement, Prediction, Variant

MOST_TRAINING_CASES = 400
"""Enough for a gap of 5 points to show, and cheap beside a test set."""


@dataclass(frozen=True, slots=True)
class TrainingGap:
    """A sample of the training file, read the way the first test file was read.

    ``n_cases`` is what the file holds; too few of them are not asked.
    """

    training: CaseSet
    n_cases: int

    @classmethod
    def begin(cls, plan: Plan) -> TrainingGap | None:
        """Read the sample. Raises DataError if the file cannot be read so."""
        found = read_training(plan)
        first = plan.case_sets[0]
        if found is None or found.task != first.task or first.are_prompts_alone:
            return None
        found = replace(found, name=f"{first.name} (training)")
        n_cases = len(found.cases)
        return cls(take(found, min(MOST_TRAINING_CASES, n_cases)), n_cases)

    def look(self, scene: Scene) -> Iterator[Finding]:
        """Ask the tuned variants; every gap joins the explored comparisons, a wide one warns."""
        cases = scene.plan.case_sets[0]
        if self.n_cases < FEWEST_TRAINING_CASES:
            yield Finding(
                kind="training gap",
                variant="",
                case_set=cases.name,
                subject=self.training.source,
                level="note",
                sentence=f"The training file holds {self.n_cases} cases; the gap between training and "
                f"test scores needs {FEWEST_TRAINING_CASES} and was not looked at.",
            )
            return
        metric = scene.metrics[cases.name][0]
        tuned = [
            variant for variant in scene.plan.variants if variant.kind not in ("base", "majority")
        ]
        asked = scene.ask([self.training], tuned, scene.tasks[cases.name])[self.training.name]
        clean = [position for position, case in enumerate(cases.cases) if case.origin is None]
        for variant in tuned:
            own = scene.predictions[cases.name][variant.name]
            test = _measure(variant, metric, cases, [own[position] for position in clean], clean)
            train = _measure(
                variant,
                metric,
                self.training,
                asked[variant.name],
                range(len(self.training.cases)),
            )
            gap = generalisation_gap(train, test, metric, scene.settings, case_set=cases.name)
            scene.assessments[cases.name].exploratory.append(gap)
            if sentence := gap_sentence(gap, gap.metric):
                yield Finding(
                    kind="training gap",
                    variant=variant.name,
                    case_set=cases.name,
                    subject=self.training.source,
                    level="warning",
                    sentence=sentence,
                    values={"difference": gap.difference},
                )


def _measure(
    variant: Variant,
    metric: Metric,
    cases: CaseSet,
    predictions: Sequence[Prediction],
    positions: Sequence[int],
) -> Measurement:
    kept = [
        (cases.cases[position], one)
        for position, one in zip(positions, predictions, strict=True)
        if not is_missing(one)
    ]
    chosen = [case for case, _ in kept]
    return Measurement(
        variant.name,
        metric.name,
        tuple(case.id for case in chosen),
        metric.per_case(chosen, [one for _, one in kept]),
    )
