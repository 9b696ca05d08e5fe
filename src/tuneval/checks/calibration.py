"""Can the probabilities of labels be believed: too sure, too unsure, miscalibrated?

Looks at likelihoods that are there; a confidence is never read from text. The arithmetic is
``comparison.calibration``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import ClassVar

import numpy as np

from tuneval.assess.measure import LABELLED, Predictions, answered
from tuneval.checks import Scene
from tuneval.comparison.beyond.calibration import (
    Calibration,
    calibration_sentence,
    hold,
    judge_calibration,
)
from tuneval.comparison.estimate.slices import cluster_codes, clusters_of
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Prediction, Variant, arms


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """Every case set of labels that is no guard, where its answers come with probabilities."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> CalibrationCheck | None:
        """None where no case set has labels."""
        return cls() if _labelled(plan) else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding per arm with its reliability table, and one with the numbers of all arms.

        Too sure and too unsure are held against all arms and case sets together.
        """
        judged = [
            (cases, arm, one)
            for cases in _labelled(scene.plan)
            for arm, members in arms(scene.plan.variants).items()
            if (one := _judge(cases, scene.predictions[cases.name], arm, members, scene))
        ]
        held = hold([one.confidence for _, _, one in judged], scene.alpha)
        found: dict[str, dict[str, Calibration]] = {}
        for (cases, arm, one), confidence in zip(judged, held, strict=True):
            found.setdefault(cases.name, {})[arm] = replace(one, confidence=confidence)
        for cases in _labelled(scene.plan):
            of_set = found.get(cases.name, {})
            yield from (_of_arm(cases, arm, one) for arm, one in of_set.items())
            if of_set:
                yield _of_all(cases, of_set)


def _labelled(plan: Plan) -> list[CaseSet]:
    return [cases for cases in plan.case_sets if cases.task in LABELLED and cases.is_decisive]


def _judge(
    cases: CaseSet, predictions: Predictions, arm: str, members: Sequence[Variant], scene: Scene
) -> Calibration | None:
    """None where no case has the probability of its own label."""
    positions = [
        position
        for position in answered(cases, predictions)["all"]
        if all(
            cases.cases[position].references[0]
            in (predictions[member.name][position].label_probabilities or ())
            for member in members
        )
    ]
    if not positions:
        return None
    chosen = [cases.cases[position] for position in positions]
    labels = _columns(predictions[members[0].name], positions)
    probabilities = np.zeros((len(members), len(chosen), len(labels)))
    for seed, member in enumerate(members):
        for row, position in enumerate(positions):
            found = predictions[member.name][position].label_probabilities or {}
            for label, share in found.items():
                probabilities[seed, row, labels[label]] = share
    return judge_calibration(
        probabilities,
        np.array([labels[case.references[0]] for case in chosen]),
        scene.settings,
        case_set=cases.name,
        name=arm,
        codes=cluster_codes(clusters_of(chosen), len(chosen)),
    )


def _columns(own: Sequence[Prediction], positions: Sequence[int]) -> dict[str, int]:
    """Every label that some case offers, in the task's order."""
    offered = dict.fromkeys(
        label for position in positions for label in own[position].label_probabilities or ()
    )
    return {label: place for place, label in enumerate(offered)}


def _of_arm(cases: CaseSet, arm: str, found: Calibration) -> Finding:
    level, sentence = calibration_sentence(arm, found)
    return Finding(
        kind="calibration",
        variant=arm,
        case_set=cases.name,
        subject="confidence",
        level=level,  # type: ignore[arg-type]
        sentence=sentence,
        values={name: value for name, value in _numbers(found).items() if isfinite(value)},
        columns={
            "confidence": "share",
            "accuracy": "share",
            "low": "share",
            "high": "share",
            "cases": "count",
        },
        rows=tuple(
            (one.confidence, one.accuracy, one.low, one.high, round(one.n_cases))
            for one in found.bins
        ),
    )


def _numbers(found: Calibration) -> dict[str, float]:
    own, temperature = found.confidence, found.temperature
    numbers = {
        "n_cases": float(found.n_cases),
        "accuracy": own.accuracy,
        "excess": own.excess,
        "excess_low": own.low,
        "excess_high": own.high,
        "p_value": own.p_value,
        "p_adjusted": own.p_adjusted,
        "ece": found.error.ece,
        "ece_null_mean": found.error.null_mean,
        "ece_null_95": found.error.null_95,
        "ece_equal_width": found.ece_width,
        "brier": found.brier,
        "brier_top_label": found.brier_top_label,
        "nll": found.nll,
        "aurc": found.aurc,
        "risk_at_80": found.risk_80,
    }
    if temperature is not None:
        numbers |= {
            "temperature": temperature.temperature,
            "nll_before": temperature.nll_before,
            "nll_after": temperature.nll_after,
        }
    return numbers


def _of_all(cases: CaseSet, found: dict[str, Calibration]) -> Finding:
    n_cases = max(one.n_cases for one in found.values())
    return Finding(
        kind="calibration",
        variant="",
        case_set=cases.name,
        subject="all arms",
        level="note",
        sentence=(
            f"Probabilities of labels on {n_cases} cases. Beside each calibration error stands what "
            "a perfectly calibrated model with the same confidences would show; temperatures were "
            "fitted on one half of the cases and their losses are those of the other half."
        ),
        columns={
            "arm": "text",
            "calibration error": "share",
            "expected by chance": "share",
            "95% of chance": "share",
            "in bins of equal width": "share",
            "Brier": "number",
            "log loss": "nats",
            "area under risk-coverage": "share",
            "error at 80% coverage": "share",
            "temperature": "number",
            "loss before": "nats",
            "loss after": "nats",
        },
        rows=tuple(
            (
                arm,
                one.error.ece,
                one.error.null_mean,
                one.error.null_95,
                one.ece_width,
                one.brier,
                one.nll,
                one.aurc,
                one.risk_80,
                one.temperature.temperature if one.temperature else None,
                one.temperature.nll_before if one.temperature else None,
                one.temperature.nll_after if one.temperature else None,
            )
            for arm, one in found.items()
        ),
    )
