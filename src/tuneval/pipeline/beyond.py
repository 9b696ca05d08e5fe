"""Questions beyond the score that answers which are there can settle; no variant is asked anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
) -> tuple[float, list[Finding]]:
    """Ask what a run with models asks, as far as it can be answered.

    Returns the share of alpha that the warnings of each check may use, and the findings.
    """
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": one.name, "model": one.model} for one in variants],
            "cases": [{"file": one.cases.source, "name": one.cases.name} for one in scored],
            "train_data": train_data,
        },
        source="tuneval score",
    )
    case_sets = tuple(one.cases for one in scored)
    plan = Plan(spec, tuple(variants), variants[0].name, case_sets, {}, {}, ())
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


def _ask_nothing(
    case_sets: Sequence[CaseSet], variants: Sequence[Variant], task: Task
) -> dict[str, Predictions]:
    raise AssertionError("score asks no variant anything")
