"""Slices on which an arm lost what the baseline could do, for every group of --group.

Asks nothing: it looks at comparisons that are there. The arithmetic is ``comparison.losses``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tuneval.checks import Scene
from tuneval.comparison.beyond.losses import Loss, loss_sentence, slice_losses
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Comparison, Finding

KIND = "slices"


@dataclass(frozen=True, slots=True)
class Slices:
    """Every group of every case set, guards too: a guard is there to show losses."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> Slices | None:
        """None where no case has a group."""
        has_groups = any(case.groups for cases in plan.case_sets for case in cases.cases)
        return cls() if has_groups else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding per arm and case set: what it lost, or that nothing was lost beyond chance."""
        losses = slice_losses(
            [one for cases in scene.measured for one in _on_slices(cases, scene)],
            scene.alpha,
        )
        judged: dict[tuple[str, str], list[Loss]] = {}
        for loss in losses:
            key = loss.comparison.candidate, loss.comparison.case_set
            judged.setdefault(key, []).append(loss)
        for (arm, case_set), own in judged.items():
            proved = [loss for loss in own if loss.is_proved]
            yield from (_finding(arm, case_set, loss.comparison.slice, [loss]) for loss in proved)
            if not proved:
                yield _finding(arm, case_set, "all groups", own)


def _on_slices(cases: CaseSet, scene: Scene) -> Iterator[Comparison]:
    """The baseline against every other arm on the groups of a case set."""
    slices = {f"{key}={value}" for case in cases.cases for key, value in case.groups.items()}
    metric = scene.metrics[cases.name][0].name
    for one in scene.assessments[cases.name].exploratory:
        if one.slice in slices and one.metric == metric and one.baseline == scene.plan.baseline:
            yield one


def _finding(arm: str, case_set: str, subject: str, losses: list[Loss]) -> Finding:
    is_proved = losses[0].is_proved
    least = min(losses, key=lambda loss: loss.p_adjusted)
    unit = least.comparison.unit
    n = len(losses)
    return Finding(
        kind=KIND,
        variant=arm,
        case_set=case_set,
        subject=subject,
        level="warning" if is_proved else "clear",
        sentence=loss_sentence(least)
        if is_proved
        else f"{arm}: no loss against {least.comparison.baseline} beyond chance on any of {n} "
        f"group{'s' * (n > 1)}.",
        values={
            "p_value": least.p_value,
            "p_adjusted": least.p_adjusted,
            "difference": least.comparison.difference,
            "n_cases": float(least.comparison.n_cases),
        },
        columns={
            "slice": "text",
            "cases": "count",
            "baseline": unit,
            "arm": unit,
            "difference": unit,
            "p of a loss, adjusted": "number",
        },
        rows=tuple(
            (
                loss.comparison.slice,
                loss.comparison.n_cases,
                loss.comparison.details.get("baseline_value"),
                loss.comparison.details.get("candidate_value"),
                loss.comparison.difference,
                loss.p_adjusted,
            )
            for loss in losses
        ),
    )
