"""Swapped words about people: does the answer stay, is one version answered better?

The arithmetic is ``comparison.counterfactual``'s. A warning rests on the paired difference alone:
answers that change both ways equally often are noise, not a preference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from tuneval.assess.measure import LABELLED, is_swap
from tuneval.checks import Scene
from tuneval.checks.twins import Twins
from tuneval.perturbations.swaps import DIRECTION
from tuneval.plan.resolve import Plan
from tuneval.types import Comparison, Finding, FindingLevel, Measurement

if TYPE_CHECKING:
    from tuneval.comparison.beyond.counterfactual import ChangedShare

KIND = "counterfactual"


@dataclass(frozen=True, slots=True)
class _Swap:
    """One arm under one kind of swap."""

    twins: Twins
    kind: str
    comparison: Comparison
    changed: ChangedShare | None


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Called for by twins in which words about people were swapped."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> Counterfactual | None:
        """Nothing to read: the twins were made with the plan."""
        kinds = {case.perturbation for cases in plan.case_sets for case in cases.cases}
        return cls() if any(kind is not None and is_swap(kind) for kind in kinds) else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding per arm and kind of swap; differences join the explored comparisons."""
        from tuneval.comparison.beyond.counterfactual import judge_swaps

        swaps = [
            _compared(Twins(scene, cases), arm, kind)
            for cases in scene.measured
            for kind in Twins(scene, cases).kinds
            if is_swap(kind)
            for arm in Twins(scene, cases).arms
        ]
        for one in swaps:
            scene.assessments[one.twins.cases.name].exploratory.append(one.comparison)
        levels = judge_swaps([one.comparison for one in swaps], scene.alpha)
        for one, (level, p_adjusted) in zip(swaps, levels, strict=True):
            yield _found(one, level, p_adjusted)


def _compared(twins: Twins, arm: str, kind: str) -> _Swap:
    from tuneval.comparison.beyond.counterfactual import changed_share, compare_versions

    cases = twins.cases.cases
    positions = twins.positions[kind]
    ids = [twins.origins[cases[n].id] for n in positions]
    directions = [cases[n].inputs.get(DIRECTION) for n in positions]
    clusters = [cases[twins.place_of[one]].cluster or one for one in ids]
    comparison = compare_versions(
        [_only(one, ids) for one in twins.measured(arm, "all")],
        [
            Measurement(one.variant, one.metric, tuple(ids), one.rows)
            for one in twins.measured(arm, kind)
        ],
        twins.metric,
        twins.scene.settings,
        case_set=twins.cases.name,
        kind=kind,
        name=arm,
        leads_right={
            one: direction == "right"
            for one, direction in zip(ids, directions, strict=True)
            if direction in ("left", "right")
        },
        clusters=clusters if len(set(clusters)) < len(clusters) else None,
    )
    flags = twins.changed(arm, kind)
    if twins.cases.task not in LABELLED:
        flags = _rightness_changed(twins, arm, kind, ids)
    confidence = twins.scene.settings.confidence
    changed = changed_share(flags, confidence) if flags else None
    return _Swap(twins, kind, comparison, changed)


def _only(measurement: Measurement, ids: list[str]) -> Measurement:
    place = {case_id: n for n, case_id in enumerate(measurement.case_ids)}
    rows = measurement.rows[[place[one] for one in ids]]
    return Measurement(measurement.variant, measurement.metric, tuple(ids), rows)


def _rightness_changed(twins: Twins, arm: str, kind: str, ids: list[str]) -> list[list[bool]]:
    """Free text differs by the swapped word itself: what counts there is being right."""
    if twins.metric.statistic != "proportion":
        return []
    return [
        [bool(flip) for flip in _only(clean, ids).rows[:, 0] != swapped.rows[:, 0]]
        for clean, swapped in zip(
            twins.measured(arm, "all"), twins.measured(arm, kind), strict=True
        )
    ]


def _found(one: _Swap, level: FindingLevel, p_adjusted: float | None) -> Finding:
    from tuneval.comparison.beyond.counterfactual import swap_sentence

    found, changed = one.comparison, one.changed
    n_swapped = len(one.twins.positions[one.kind])
    values = {
        "n_swapped": n_swapped,
        "n_without_swap": len(one.twins.positions["all"]) - n_swapped,
        "n_compared": found.n_cases,
        "changed": changed.value if changed else None,
        "changed_low": changed.low if changed else None,
        "changed_high": changed.high if changed else None,
        "left": found.details.get("baseline_value"),
        "right": found.details.get("candidate_value"),
        "difference": found.difference,
        "low": found.interval.low if found.interval else None,
        "high": found.interval.high if found.interval else None,
        "p_value": found.p_value,
        "p_adjusted": p_adjusted,
    }
    known = {
        name: float(value)
        for name, value in values.items()
        if value is not None and isfinite(value)
    }
    unit = one.twins.metric.unit
    return Finding(
        kind=KIND,
        variant=found.candidate,
        case_set=one.twins.cases.name,
        subject=one.kind,
        level=level,
        sentence=swap_sentence(found, level, changed, p_adjusted, one.kind),
        values=known,
        columns={
            "swapped cases": "count",
            "without a swap": "count",
            "answer changed": "share",
            "at least": "share",
            "at most": "share",
            "left column": unit,
            "right column": unit,
            "difference": unit,
            "from": unit,
            "to": unit,
        },
        rows=(
            (
                n_swapped,
                len(one.twins.positions["all"]) - n_swapped,
                *(
                    known.get(name)
                    for name in (
                        *("changed", "changed_low", "changed_high"),
                        *("left", "right", "difference", "low", "high"),
                    )
                ),
            ),
        ),
    )
