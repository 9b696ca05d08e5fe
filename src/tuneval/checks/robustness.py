"""Changed inputs: is a variant brittle, and does it lose more by them than another?

The arithmetic is ``comparison``'s (``robustness``, ``drops``, ``spread``). Not for: swapped words
about people, which are ``checks/counterfactual.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from tuneval.assess.assess import pairs
from tuneval.assess.measure import is_swap
from tuneval.checks import Scene
from tuneval.checks.twins import Twins
from tuneval.plan.resolve import Plan
from tuneval.types import PROMPT_FORMAT, Comparison, Finding, FindingLevel, Measurement

KIND = "robustness"
_LEVELS: Mapping[str, FindingLevel] = {
    "brittle": "warning",
    "robust": "clear",
    "unclear": "unclear",
}


@dataclass(frozen=True, slots=True)
class Robustness:
    """Called for by any twin that is no swap."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> Robustness | None:
        """Nothing to read: the twins were made with the plan."""
        kinds = {case.perturbation for cases in plan.case_sets for case in cases.cases}
        return cls() if any(kind is not None and not is_swap(kind) for kind in kinds) else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """A line per arm and kind of change, then sums over kinds, then arms against each other."""
        _hold(scene)
        for cases in scene.measured:
            twins = Twins(scene, cases)
            kinds = [kind for kind in twins.kinds if not is_swap(kind)]
            if not kinds:
                continue
            changes = {
                (one.candidate, one.slice): one
                for one in scene.assessments[cases.name].exploratory
                if one.baseline == one.candidate and one.slice in kinds
            }
            baseline = scene.plan.baseline
            for arm in twins.arms:
                for kind in kinds:
                    yield _judged(twins, arm, changes[arm, kind], changes[baseline, kind])
            for arm in twins.arms:
                yield _summed(twins, arm, [changes[arm, kind] for kind in kinds])
            yield from _drops(twins, kinds)
            for arm in twins.arms:
                yield from _orders(twins, arm, kinds)
                yield from _formats(twins, arm, kinds)


def _hold(scene: Scene) -> None:
    """Correct "brittle" for all arms, kinds and case sets together."""
    from tuneval.comparison.beyond.robustness import hold

    lists = [scene.assessments[cases.name].exploratory for cases in scene.plan.case_sets]
    held = iter(hold([one for own in lists for one in own], scene.alpha))
    for own in lists:
        own[:] = [next(held) for _ in own]


def _judged(twins: Twins, arm: str, change: Comparison, of_baseline: Comparison) -> Finding:
    """The 90% test of one arm under one kind of change, and how its answers moved."""
    from tuneval.comparison.beyond.robustness import (
        flip_rates,
        robustness_sentence,
        still_above,
        support,
    )

    kind = change.slice
    supported = support(change)
    flips = flip_rates(
        twins.measured(arm, "all"), twins.measured(arm, kind), twins.metric, twins.origins
    )
    changed = twins.changed(arm, kind)
    n_cut = sum(
        any(own[n].is_truncated for own in twins.predictions(arm)) for n in twins.positions[kind]
    )
    values: dict[str, float | None] = {
        "n_changed": change.n_cases,
        **{name: change.details.get(name) for name in ("clean", "perturbed", "ratio")},
        "kept_low": change.details.get("kept_low"),
        "kept_high": change.details.get("kept_high"),
        "p_value": change.details.get("p_brittle"),
        "p_adjusted": change.details.get("p_brittle_adjusted"),
        "right_to_wrong": flips.right_to_wrong if flips else None,
        "wrong_to_right": flips.wrong_to_right if flips else None,
        "consistency": 1 - float(np.mean(changed)) if changed[0] else None,
        "n_truncated": n_cut,
    }
    known = _finite(values)
    cut = f" {n_cut} of its inputs were cut to fit the context." if n_cut else ""
    return Finding(
        kind=KIND,
        variant=arm,
        case_set=twins.cases.name,
        subject=kind,
        level=_LEVELS[supported],
        sentence=robustness_sentence(change, change.metric)
        + still_above(change, of_baseline)
        + cut,
        values=known,
        columns={
            "changed cases": "count",
            "clean": change.unit,
            "changed": change.unit,
            "kept": "share",
            "right to wrong": "share",
            "wrong to right": "share",
            "same answer": "share",
            "cut": "count",
        },
        rows=(
            (
                change.n_cases,
                *(
                    known.get(name)
                    for name in (
                        *("clean", "perturbed", "ratio"),
                        *("right_to_wrong", "wrong_to_right", "consistency", "n_truncated"),
                    )
                ),
            ),
        ),
        flag="BRITTLE" if supported == "brittle" else "",
    )


def _summed(twins: Twins, arm: str, changes: list[Comparison]) -> Finding:
    """Average over the kinds of change, and the worst case."""
    from tuneval.comparison.beyond.drops import summary_sentence, worst_case

    worst = worst_case(
        twins.measured(arm, "all"),
        [twins.measured(arm, one.slice) for one in changes],
        twins.metric,
        twins.scene.settings,
        twins.origins,
        twins.clusters,
    )
    kept = [one.details["ratio"] for one in changes if "ratio" in one.details]
    perturbed = [one.details["perturbed"] for one in changes if "perturbed" in one.details]
    values = _finite(
        {
            "n_kinds": len(kept),
            "average": float(np.mean(perturbed)) if perturbed else None,
            "average_ratio": float(np.mean(kept)) if kept else None,
            "clean": worst.clean if worst else None,
            "worst_case": worst.worst if worst else None,
            "worst_case_low": worst.low if worst else None,
            "worst_case_high": worst.high if worst else None,
            "n_copies": worst.n_copies if worst else None,
        }
    )
    unit = twins.metric.unit
    return Finding(
        kind=KIND,
        variant=arm,
        case_set=twins.cases.name,
        subject="all changed inputs",
        level="note",
        sentence=summary_sentence(arm, twins.metric, kept, worst) if kept else "",
        values=values,
        columns={
            "kinds": "count",
            "copies": "count",
            "average": unit,
            "kept on average": "share",
            "worst case": unit,
            "from": unit,
            "to": unit,
        },
        rows=(
            (
                len(kept),
                *(
                    values.get(name)
                    for name in (
                        *("n_copies", "average", "average_ratio"),
                        *("worst_case", "worst_case_low", "worst_case_high"),
                    )
                ),
            ),
        ),
    )


def _drops(twins: Twins, kinds: list[str]) -> Iterator[Finding]:
    """Does one arm lose more than another? Suggested at most; joins the explored comparisons."""
    from tuneval.comparison.beyond.drops import (
        adjusted_among,
        difference_of_drops,
        drop_sentence,
        is_suggested,
    )

    if twins.metric.statistic == "ranks":
        return
    found = [
        difference_of_drops(
            (twins.measured(left, "all"), twins.measured(left, kind)),
            (twins.measured(right, "all"), twins.measured(right, kind)),
            twins.metric,
            twins.scene.settings,
            case_set=twins.cases.name,
            kind=kind,
            origins=twins.origins,
            names=(left, right),
            clusters=twins.clusters,
        )
        for left, right in pairs(twins.arms, twins.scene.plan.baseline)
        for kind in kinds
    ]
    twins.scene.assessments[twins.cases.name].exploratory.extend(found)
    adjusted = list(zip(found, adjusted_among(found), strict=True))
    for left, right in pairs(twins.arms, twins.scene.plan.baseline):
        own = [(one, p) for one, p in adjusted if (one.baseline, one.candidate) == (left, right)]
        said = [drop_sentence(one, p) for one, p in own if p is not None and is_suggested(one, p)]
        nothing = (
            f"{right} and {left}: no difference between their drops beyond chance "
            f"({len(own)} kind{'s' * (len(own) > 1)} of changed input)."
        )
        yield Finding(
            kind=KIND,
            variant=right,
            case_set=twins.cases.name,
            subject=f"drops against {left}",
            level="note",
            sentence=" ".join(said) or nothing,
            values=_finite({one.slice: one.difference for one, _ in own}),
            columns={
                "changed inputs": "text",
                "its change": twins.metric.unit,
                "the other's change": twins.metric.unit,
                "difference": twins.metric.unit,
                "from": twins.metric.unit,
                "to": twins.metric.unit,
                "p adjusted": "number",
            },
            rows=tuple(
                (
                    one.slice.removesuffix(" - clean"),
                    *map(
                        _number,
                        (
                            one.details.get("candidate_value"),
                            one.details.get("baseline_value"),
                            one.difference,
                            one.interval.low if one.interval else None,
                            one.interval.high if one.interval else None,
                            p,
                        ),
                    ),
                )
                for one, p in own
            ),
        )


def _orders(twins: Twins, arm: str, kinds: list[str]) -> Iterator[Finding]:
    """Every order of the choices: by place of the right one, and right under all."""
    from tuneval.comparison.estimate.spread import order_sentence, spread

    kind = next((one for one in kinds if one.startswith("choice_order:")), None)
    if kind is None or twins.metric.statistic != "proportion":
        return
    forms = {
        case.id: chr(ord("A") + int(case.references[0]))
        for case in twins.cases.cases
        if case.perturbation in (None, kind) and "choices" in case.inputs
    }
    found = spread(_together(twins, arm, kind), twins.metric, forms, _owners(twins))
    if found is None:
        return
    yield Finding(
        kind=KIND,
        variant=arm,
        case_set=twins.cases.name,
        subject="order of the choices",
        level="note",
        sentence=order_sentence(arm, twins.metric, found),
        values={
            "mean": found.mean,
            "lowest": found.values[found.lowest],
            "right_under_all": found.right_under_all,
        },
        columns={"right choice at": "text", "cases": "count", "score": twins.metric.unit},
        rows=tuple((form, found.counts[form], found.values[form]) for form in sorted(found.values)),
    )


def _formats(twins: Twins, arm: str, kinds: list[str]) -> Iterator[Finding]:
    """Highest minus lowest score over the prompt formats, the run's own among them."""
    from tuneval.comparison.estimate.spread import format_sentence, spread

    kind = next((one for one in kinds if one.startswith("format:")), None)
    if kind is None:
        return
    changed = {twins.origins[twins.cases.cases[n].id] for n in twins.positions[kind]}
    forms = {
        case.id: str(case.inputs.get(PROMPT_FORMAT, "own"))
        for case in twins.cases.cases
        if case.perturbation == kind or case.id in changed
    }
    found = spread(_together(twins, arm, kind), twins.metric, forms, _owners(twins))
    if found is None:
        return
    yield Finding(
        kind=KIND,
        variant=arm,
        case_set=twins.cases.name,
        subject="prompt format",
        level="note",
        sentence=format_sentence(arm, twins.metric, found),
        values={"spread": found.width, **found.values},
        columns={"format": "text", "cases": "count", "score": twins.metric.unit},
        rows=tuple((form, found.counts[form], value) for form, value in found.values.items()),
    )


def _together(twins: Twins, arm: str, kind: str) -> list[Measurement]:
    """Rows of originals and twins of one kind, one Measurement per training seed."""
    return [
        Measurement(
            clean.variant,
            clean.metric,
            (*clean.case_ids, *changed.case_ids),
            np.concatenate([clean.rows, changed.rows]),
        )
        for clean, changed in zip(
            twins.measured(arm, "all"), twins.measured(arm, kind), strict=True
        )
    ]


def _owners(twins: Twins) -> Mapping[str, str]:
    return {case.id: case.origin or case.id for case in twins.cases.cases}


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and isfinite(value)
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
