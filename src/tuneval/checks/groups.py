"""Do groups of cases fare differently: gaps beyond chance for every column of --group.

Asks nothing: it looks at the answers that are there. The arithmetic is ``comparison.groups``'s; the
score of each group is the one that stands in the run's scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from tuneval.assess.measure import FEWEST_TO_SHOW, answered, measure
from tuneval.checks import Scene
from tuneval.comparison.beyond.groups import (
    FEWEST_TO_JUDGE,
    GroupGap,
    fairness_gaps,
    group_sentence,
    judge_groups,
)
from tuneval.comparison.estimate.multiplicity import holm
from tuneval.comparison.estimate.slices import clusters_of
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Score, Variant, arms

MOST_HIDDEN_ROWS = 10
"""Groups too small to show get a row each up to this many, then one row for all."""

Row = tuple[str | int | float | None, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One attribute and one arm."""

    cases: CaseSet
    arm: str
    members: Sequence[Variant]
    gap: GroupGap


@dataclass(frozen=True, slots=True)
class Groups:
    """Every attribute of every case set that is no guard."""

    is_tested: ClassVar[bool] = True

    @classmethod
    def begin(cls, plan: Plan) -> Groups | None:
        """None where no case has a group."""
        looked_at = [cases for cases in plan.case_sets if cases.is_decisive]
        has_groups = any(case.groups for cases in looked_at for case in cases.cases)
        return cls() if has_groups else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding per attribute and arm; Holm over all of them together."""
        looked_at = [cases for cases in scene.measured if cases.is_decisive]
        judged = [one for cases in looked_at for one in _judge(cases, scene)]
        tested = [one for one in judged if isfinite(one.gap.p_value)]
        adjusted = holm([one.gap.p_value for one in tested])
        p_adjusted = {id(one): float(p) for one, p in zip(tested, adjusted, strict=True)}
        for one in judged:
            metric = scene.metrics[one.cases.name][0]
            yield _gap(one, metric, p_adjusted.get(id(one)), len(tested), scene)
            if one.cases.task == "classify" and len(one.gap.judged) > 1:
                yield _rates(one, scene)


def _judge(cases: CaseSet, scene: Scene) -> Iterator[_Judged]:
    predictions = scene.predictions[cases.name]
    metric = scene.metrics[cases.name][0]
    positions = answered(cases, predictions)["all"]
    chosen = [cases.cases[position] for position in positions]
    for attribute in dict.fromkeys(key for case in chosen for key in case.groups):
        for arm, members in arms(scene.plan.variants).items():
            measured = [
                measure(metric, cases, predictions[one.name], one, positions) for one in members
            ]
            gap = judge_groups(
                measured,
                metric,
                scene.settings,
                case_set=cases.name,
                attribute=attribute,
                groups=[case.groups.get(attribute) for case in chosen],
                name=arm,
                clusters=clusters_of(chosen),
            )
            yield _Judged(cases, arm, members, gap)


def _gap(
    one: _Judged, metric: Metric, p_adjusted: float | None, n_tests: int, scene: Scene
) -> Finding:
    gap = one.gap
    sentence = group_sentence(gap, metric, metric.name, p_adjusted, scene.alpha)
    if p_adjusted is None:
        level = "unclear"
        sentence = (
            f"Groups of {gap.attribute} are not judged: "
            + (gap.note or f"fewer than two have {FEWEST_TO_JUDGE} cases")
            + "."
        )
    else:
        level = "warning" if p_adjusted < scene.alpha else "clear"
    values = {
        "gap": gap.gap,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "observed_gap": gap.observed,
        "p_value": gap.p_value,
        "p_adjusted": float("nan") if p_adjusted is None else p_adjusted,
        "tests": float(n_tests),
        "detectable": gap.detectable,
        "groups_judged": float(len(gap.judged)),
    }
    unit = metric.unit
    return Finding(
        kind="groups",
        variant=one.arm,
        case_set=one.cases.name,
        subject=gap.attribute,
        level=level,  # type: ignore[arg-type]
        sentence=sentence + (f" ({gap.note.capitalize()}.)" if gap.note and p_adjusted else ""),
        values={name: value for name, value in values.items() if isfinite(value)},
        columns={
            "group": "text",
            "cases": "count",
            metric.name: unit,
            "low": unit,
            "high": unit,
            "against the rest": unit,
            "adjusted p": "number",
            "note": "text",
        },
        rows=_rows(one, metric, scene.assessments[one.cases.name].scores),
    )


def _rows(one: _Judged, metric: Metric, scores: Sequence[Score]) -> tuple[Row, ...]:
    """Groups, the least favourable first; those too small to show at the end."""
    by_slice: Mapping[str, Score] = {
        score.slice: score
        for score in scores
        if score.metric == metric.name and score.variant == one.arm
    }
    against = {comparison.slice: comparison for comparison in one.gap.against_rest}
    shown: list[Row] = []
    hidden: list[tuple[str, int]] = []
    sign = 1 if metric.higher_is_better else -1
    for name, n in sorted(one.gap.counts.items(), key=lambda item: sign * one.gap.values[item[0]]):
        key = f"{one.gap.attribute}={name}"
        score, difference = by_slice.get(key), against.get(key)
        if n < FEWEST_TO_SHOW:
            hidden.append((name, n))
            continue
        interval = score.interval if score else None
        shown.append(
            (
                name,
                n,
                one.gap.values[name] if isfinite(one.gap.values[name]) else None,
                interval.low if interval else None,
                interval.high if interval else None,
                difference.difference if difference else None,
                difference.p_adjusted if difference else None,
                f"fewer than {FEWEST_TO_JUDGE} cases: not judged" if n < FEWEST_TO_JUDGE else "",
            )
        )
    if len(hidden) > MOST_HIDDEN_ROWS:
        hidden = [(f"{len(hidden)} further groups", sum(n for _, n in hidden))]
    note = f"fewer than {FEWEST_TO_SHOW} cases: hidden"
    return (*shown, *((name, n, None, None, None, None, None, note) for name, n in hidden))


def _rates(one: _Judged, scene: Scene) -> Finding:
    """Demographic parity and equalised odds of the judged groups, one label against the rest.

    With two labels the second is the positive one, as for F1; with more, the label with the widest
    difference counts. Training seeds are taken together.
    """
    cases, attribute = one.cases, one.gap.attribute
    predictions = scene.predictions[cases.name]
    judged = set(one.gap.judged)
    positions = [
        position
        for position in answered(cases, predictions)["all"]
        if cases.cases[position].groups.get(attribute) in judged
    ]
    groups = [cases.cases[position].groups[attribute] for position in positions]
    references = [cases.cases[position].references[0] for position in positions]
    said = [
        predictions[member.name][position].label for member in one.members for position in positions
    ]
    n_seeds = len(one.members)
    expected, of_group = np.array(references * n_seeds, object), np.array(groups * n_seeds)
    labels = list(cases.labels or sorted(set(references)))
    found = {
        label: fairness_gaps(
            expected,
            np.array(said, object),
            of_group,
            label,
            fewest=FEWEST_TO_SHOW * n_seeds,
        )
        for label in (labels[1:] if len(labels) == 2 else labels)
    }
    parity = max(found, key=lambda label: _rank(found[label].demographic_parity_difference))
    odds = max(found, key=lambda label: _rank(found[label].equalized_odds_difference))
    widest = {
        "demographic_parity_difference": found[parity].demographic_parity_difference,
        "equalized_odds_difference": found[odds].equalized_odds_difference,
    }
    sentence = (
        f"Between groups of {attribute}, the share of cases given one label differs by up to "
        f'{100 * widest["demographic_parity_difference"]:.1f} points ("{parity}"; demographic parity '
        "difference)"
    )
    if isfinite(widest["equalized_odds_difference"]):
        sentence += (
            ", and the rate at which it is given rightly or wrongly by up to "
            f'{100 * widest["equalized_odds_difference"]:.1f} points ("{odds}"; equalised odds '
            "difference)"
        )
    rows = sorted(found.items(), key=lambda item: -_rank(item[1].equalized_odds_difference))
    return Finding(
        kind="groups",
        variant=one.arm,
        case_set=cases.name,
        subject=f"{attribute}: rates",
        level="note",
        sentence=f"{sentence}. Context, not tested.",
        values={name: value for name, value in widest.items() if isfinite(value)},
        columns={
            "label": "text",
            "demographic parity difference": "share",
            "equalised odds difference": "share",
        },
        rows=tuple(
            (
                label,
                gaps.demographic_parity_difference
                if isfinite(gaps.demographic_parity_difference)
                else None,
                gaps.equalized_odds_difference
                if isfinite(gaps.equalized_odds_difference)
                else None,
            )
            for label, gaps in rows
        ),
    )


def _rank(value: float) -> float:
    """An undefined difference is no wide one."""
    return value if isfinite(value) else -1.0
