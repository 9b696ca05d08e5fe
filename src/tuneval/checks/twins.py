"""The changed twins of one case set beside their originals, as both checks on twins need them.

Not a check itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tuneval.assess.measure import answered
from tuneval.checks import Scene
from tuneval.metrics import Metric
from tuneval.types import Case, CaseSet, Measurement, Prediction, Variant, arms


@dataclass(frozen=True)
class Twins:
    """One case set of a finished run. ``places`` maps the ids of cases that count to positions."""

    scene: Scene
    cases: CaseSet

    @cached_property
    def arms(self) -> Mapping[str, Sequence[Variant]]:
        """Rows of the report."""
        return arms(self.scene.plan.variants)

    @property
    def metric(self) -> Metric:
        """The primary metric."""
        return self.scene.metrics[self.cases.name][0]

    @cached_property
    def positions(self) -> Mapping[str, Sequence[int]]:
        """Slice -> positions of the cases that every variant could answer."""
        return answered(self.cases, self.scene.predictions[self.cases.name])

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of changed twins, in the order in which they were asked for."""
        named = dict.fromkeys(case.perturbation for case in self.cases.cases)
        return tuple(kind for kind in named if kind is not None and kind in self.positions)

    @cached_property
    def origins(self) -> Mapping[str, str]:
        """Twin id -> id of its original."""
        return {case.id: case.origin for case in self.cases.cases if case.origin is not None}

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """Case id -> position."""
        return {case.id: n for n, case in enumerate(self.cases.cases)}

    @cached_property
    def clusters(self) -> list[str] | None:
        """Cluster of each original that counts, None where every case stands alone."""
        ids = [
            case.cluster if case.cluster is not None else case.id
            for case in (self.cases.cases[n] for n in self.positions["all"])
        ]
        return ids if len(set(ids)) < len(ids) else None

    def measured(self, arm: str, slice_: str) -> list[Measurement]:
        """Rows of the primary metric, one Measurement per training seed."""
        by_variant = self.scene.assessments[self.cases.name].measured[slice_]
        return [by_variant[one.name] for one in self.arms[arm]]

    def predictions(self, arm: str) -> list[Sequence[Prediction]]:
        """Predictions of each training seed, in the order of the cases."""
        found = self.scene.predictions[self.cases.name]
        return [found[one.name] for one in self.arms[arm]]

    def pairs_of(self, kind: str) -> list[tuple[int, int]]:
        """Positions of each original and twin of a kind."""
        return [
            (self.place_of[self.origins[self.cases.cases[n].id]], n) for n in self.positions[kind]
        ]

    def changed(self, arm: str, kind: str) -> list[list[bool]]:
        """For each training seed and twin: is the answer another one than to the original?"""
        return [
            [
                answer(self.cases.cases[before], own[before])
                != answer(self.cases.cases[after], own[after])
                for before, after in self.pairs_of(kind)
            ]
            for own in self.predictions(arm)
        ]


def answer(case: Case, prediction: Prediction) -> str | None:
    """What was answered, whatever its place among the choices; None where it could not be read."""
    choices = case.inputs.get("choices")
    label = prediction.label
    if label is None:
        return None if prediction.problem is not None else prediction.text
    if isinstance(choices, tuple) and label.isdigit() and int(label) < len(choices):
        return str(choices[int(label)])
    return label
