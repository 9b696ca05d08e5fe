"""All guards of an arm together: was general ability lost, even where no guard shows it alone?

Each guard by itself is judged by the verdicts (``comparison.decision.forgetting``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tuneval.checks import Scene
from tuneval.comparison.beyond.together import Together, together
from tuneval.comparison.decision.forgetting import FORGETTING_POINTS
from tuneval.comparison.estimate.multiplicity import holm
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Variant, arms

KIND = "guards"
FEWEST_GUARDS = 2


@dataclass(frozen=True, slots=True)
class Guards:
    """Guards whose primary metric is a share, so that their points can be averaged."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> Guards | None:
        """None where there are fewer than two guards."""
        return cls() if sum(one.is_guard for one in plan.case_sets) >= FEWEST_GUARDS else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding an arm; Holm over the arms."""
        sets = [one for one in scene.plan.case_sets if one.is_guard and _is_share(one, scene)]
        rows = arms([one for one in scene.plan.variants if one.kind != "judge"])
        found: list[tuple[str, Together, list[tuple[str, int, float]]]] = []
        for arm, members in rows.items():
            if arm == scene.plan.baseline or len(sets) < FEWEST_GUARDS:
                continue
            changes = {one.name: _changes(one, members, scene) for one in sets}
            kept = {name: own for name, own in changes.items() if len(own) > 1}
            joint = together(list(kept.values())) if len(kept) >= FEWEST_GUARDS else None
            if joint:
                table = [(name, len(own), float(own.mean())) for name, own in kept.items()]
                found.append((arm, joint, table))
        adjusted = holm([joint.p_loss for _, joint, _ in found])
        for (arm, joint, table), p in zip(found, adjusted, strict=True):
            yield _finding(arm, joint, float(p), table, scene)


def _is_share(cases: CaseSet, scene: Scene) -> bool:
    metric = scene.metrics[cases.name][0]
    return metric.unit == "share" and metric.statistic in {"proportion", "mean"}


def _changes(cases: CaseSet, members: Sequence[Variant], scene: Scene) -> NDArray[np.float64]:
    """Per case: mean over the arm's training seeds minus the baseline, better is positive; clusters are
    one case. None at all where the baseline scores too little to lose what would count: such a guard
    would thin out what the others lost."""
    scores = scene.assessments[cases.name].case_scores
    if scene.plan.baseline not in scores or any(one.name not in scores for one in members):
        return np.zeros(0)
    columns = [scores[scene.plan.baseline], *(scores[one.name] for one in members)]
    values = np.array([[np.nan if v is None else v for v in one] for one in columns], dtype=float)
    higher_is_better = scene.metrics[cases.name][0].higher_is_better
    if higher_is_better and not 100 * np.nanmean(values[0]) >= FORGETTING_POINTS:
        return np.zeros(0)
    sign = 1.0 if higher_is_better else -1.0
    changes = sign * (values[1:].mean(axis=0) - values[0])
    clusters: dict[str, list[float]] = {}
    for case, change in zip(cases.cases, changes, strict=True):
        if case.origin is None and not np.isnan(change):
            clusters.setdefault(case.cluster or case.id, []).append(float(change))
    return np.array([np.mean(own) for own in clusters.values()])


def _finding(
    arm: str, joint: Together, p: float, table: Sequence[tuple[str, int, float]], scene: Scene
) -> Finding:
    is_lost = p < scene.alpha and 100 * joint.change <= -FORGETTING_POINTS
    is_kept = 100 * joint.worst > -FORGETTING_POINTS
    n = sum(size for _, size, _ in table)
    span = f"{100 * joint.change:+.1f} points ({100 * joint.low:+.1f} to {100 * joint.high:+.1f}, n={n:,})"
    over = f"{arm}: over {len(table)} guards together {span}"
    if is_lost:
        text = f"{over}: general ability was lost."
    elif is_kept:
        text = f"{over}: kept; a mean loss of more than {FORGETTING_POINTS:.0f} point is excluded."
    else:
        text = (
            f"{over}: no loss is shown; a mean loss of {max(0.0, -100 * joint.worst):.1f} points cannot be "
            "excluded."
        )
    return Finding(
        kind=KIND,
        variant=arm,
        case_set="",
        subject=f"{len(table)} guards",
        level="warning" if is_lost else "clear" if is_kept else "unclear",
        sentence=text,
        values={
            "change": joint.change,
            "low": joint.low,
            "high": joint.high,
            "bound": joint.worst,
            "p_value": joint.p_loss,
            "p_adjusted": p,
        },
        columns={"guard": "text", "cases": "count", "change": "share"},
        rows=tuple(table),
        flag="FORGOT" if is_lost else "",
    )
