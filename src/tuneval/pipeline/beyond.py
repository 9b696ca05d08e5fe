"""Questions beyond the score that answers which are there can settle; no variant is asked anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval import checks
from tuneval.assess.assess import Assessment
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import RunSpec
from tuneval.tasks import Task
from tuneval.types import CaseSet, Finding, Variant


@dataclass(frozen=True, slots=True)
class Scored:
    """One case set with its answers and what was found on it."""

    cases: CaseSet
    chosen: Sequence[Metric]
    predictions: Predictions
    found: Assessment


def look(
    scored: Sequence[Scored],
    variants: Sequence[Variant],
    settings: Settings,
    *,
    names: Sequence[str],
    train_data: str | None = None,
    judges: Sequence[Mapping[str, Any]] = (),
) -> tuple[float, list[Finding]]:
    """Ask what a run with models asks, as far as it can be answered.

    Returns the share of alpha that the warnings of each check may use, and the findings.
    """
    plan = plan_of([one.cases for one in scored], variants, train_data=train_data, judges=judges)
    begun = [check for name in names if (check := checks.begin_one(name, plan)) is not None]
    alpha = checks.share_of_alpha(begun)
    scene = checks.Scene(
        plan,
        {},
        {one.cases.name: one.chosen for one in scored},
        settings,
        {one.cases.name: one.predictions for one in scored},
        {one.cases.name: one.found for one in scored},
        _ask_nothing,
        alpha,
    )
    return alpha, [one for check in begun for one in check.look(scene)]


def plan_of(
    case_sets: Sequence[CaseSet],
    variants: Sequence[Variant],
    *,
    train_data: str | None = None,
    judges: Sequence[Mapping[str, Any]] = (),
    benchmark: str | None = None,
) -> Plan:
    """The plan of a run without models under test: the baseline stands first. ``judges``: sections
    ``judge`` of run.yaml; ``benchmark``: what the only case set is of."""
    where = [
        {"name": one.name, **({"benchmark": benchmark} if benchmark else {"file": one.source})}
        for one in case_sets
    ]
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": one.name, "model": one.model} for one in variants],
            "cases": where,
            "train_data": train_data,
            "judge": list(judges),
        },
        source="tuneval score",
    )
    return Plan(spec, tuple(variants), variants[0].name, tuple(case_sets), {}, {}, ())


def _ask_nothing(
    case_sets: Sequence[CaseSet], variants: Sequence[Variant], task: Task
) -> dict[str, Predictions]:
    raise AssertionError("score asks no variant anything")
