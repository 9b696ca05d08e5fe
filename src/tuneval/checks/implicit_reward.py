"""What a tuned model rewards: its preferences beside those of the model that it was tuned from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuneval.checks import Scene
from tuneval.comparison.beyond.implicit_reward import Rewarded, rewarded, sentence
from tuneval.metrics.preference import CHOSEN, REJECTED
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Prediction, Variant


@dataclass(frozen=True, slots=True)
class ImplicitReward:
    """Says of every tuned variant how often it moved towards the chosen answer; a note, no warning."""

    @classmethod
    def begin(cls, plan: Plan) -> ImplicitReward | None:
        """Where pairs of answers are asked about."""
        return cls() if any(one.task == "preference" for one in plan.case_sets) else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One note for each variant and case set of pairs."""
        for cases in scene.plan.case_sets:
            if cases.task == "preference":
                for variant in scene.plan.variants:
                    if variant.name != scene.plan.baseline:
                        yield from _about(scene, cases, variant)


def _about(scene: Scene, cases: CaseSet, variant: Variant) -> Iterator[Finding]:
    own = scene.predictions[cases.name]
    pairs = [
        (case, _margin(tuned), _margin(base))
        for case, tuned, base in zip(
            cases.cases, own[variant.name], own[scene.plan.baseline], strict=True
        )
        if case.origin is None and tuned.problem is None and base.problem is None
    ]
    if len(pairs) < 2:
        return
    clusters = [case.cluster or case.id for case, _, _ in pairs]
    margins = np.array([tuned - base for _, tuned, base in pairs])
    found: Rewarded = rewarded(margins, clusters, scene.settings.confidence)
    yield Finding(
        kind="implicit reward",
        variant=variant.name,
        case_set=cases.name,
        subject=f"against {scene.plan.baseline}",
        level="note",
        sentence=sentence(found, variant.name, scene.plan.baseline),
        values={
            "accuracy": found.accuracy,
            "accuracy_low": found.accuracy_interval[0],
            "accuracy_high": found.accuracy_interval[1],
            "margin_nats": found.margin,
            "margin_low": found.margin_interval[0],
            "margin_high": found.margin_interval[1],
            "cases": len(pairs),
        },
    )


def _margin(prediction: Prediction) -> float:
    return prediction.values[CHOSEN][0] - prediction.values[REJECTED][0]
