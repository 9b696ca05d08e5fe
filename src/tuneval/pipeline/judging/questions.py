"""One case set as a judge sees it: the cases that everybody answered, with two texts each.

Not for: wording the question, which is ``tasks.judge``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tuneval.assess.measure import Predictions, is_missing
from tuneval.metrics.additive import Floats
from tuneval.plan.resolve import Plan
from tuneval.tasks.judge import judge_cases, judged_id
from tuneval.types import Case, CaseSet, Prediction

REFERENCE = "reference"
"""Opponent that is no variant: the answers that come with the cases."""


@dataclass(frozen=True, slots=True)
class Questions:
    """One judged case set. ``of_variant``: variant -> its cases, the same ids in the same order;
    ``lengths``: variant -> characters of its answers, the opponent's among them."""

    name: str
    judged: CaseSet
    opponent: str
    of_variant: Mapping[str, tuple[Case, ...]]
    lengths: Mapping[str, Floats]

    @classmethod
    def of(cls, cases: CaseSet, predictions: Predictions, plan: Plan, opponent: str) -> Questions:
        """Take the clean cases that everybody answered: what is missing is missing for all."""
        at = [
            position
            for position, case in enumerate(cases.cases)
            if case.origin is None
            and not any(is_missing(own[position]) for own in predictions.values())
        ]
        clean = [cases.cases[position] for position in at]
        texts = {
            variant.name: [_shown(predictions[variant.name][position]) for position in at]
            for variant in plan.variants
        }
        texts[REFERENCE] = [Prediction(c.id, text=next(iter(c.references), None)) for c in clean]
        of_variant = {
            variant.name: tuple(
                replace(case, id=judged_id(case.id))
                for case in judge_cases(clean, texts[opponent], texts[variant.name])[0]
            )
            for variant in plan.variants
            if variant.name != opponent
        }
        shown = [
            replace(case, inputs={k: v for k, v in case.inputs.items() if k != "candidate"})
            for case in next(iter(of_variant.values()))
        ]
        judged = replace(
            cases,
            name=f"{cases.name} (judged)",
            task="judge",
            cases=tuple(shown),
            labels=None,
            notes=(),
            skipped=(),
        )
        lengths = {
            name: np.array([len(one.text or "") for one in own], dtype=np.float64)
            for name, own in texts.items()
        }
        return cls(cases.name, judged, opponent, of_variant, lengths)

    def by(self, judge: str) -> CaseSet:
        """The cases as one of several judges saw them: shown beside the others', no verdict rests on it."""
        return replace(
            self.judged,
            name=f"{self.name} (judged by {judge})",
            cases=tuple(
                replace(case, id=f"{case.id.removesuffix(judged_id(''))} (judged by {judge})")
                for case in self.judged.cases
            ),
            is_exploratory=True,
        )


def _shown(answer: Prediction) -> Prediction:
    """What a judge sees of an answer; one that never left its thoughts is an empty one."""
    return answer if answer.text is not None else replace(answer, text="")
