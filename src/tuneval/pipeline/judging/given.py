"""Judges of outputs that exist already: the second lap alone, on cases that nobody is asked.

Not for: runs with models, whose corridor calls the second lap itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.assess.assess import Assessment
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.engine.journal import Journal
from tuneval.errors import ConfigError
from tuneval.pipeline.beyond import plan_of
from tuneval.pipeline.build import make_backend
from tuneval.pipeline.folder import answers_home
from tuneval.pipeline.judging.begin import begin as begin_judging
from tuneval.pipeline.judging.lap import Panel
from tuneval.plan.resolve import Plan
from tuneval.tasks.judge import conversation
from tuneval.types import CaseSet, Finding, Progress, Variant


@dataclass(frozen=True, slots=True)
class Bench:
    """The judges that are ready, or nobody."""

    plan: Plan
    panel: Panel | None

    @property
    def notes(self) -> tuple[str, ...]:
        """Who judges what."""
        return self.plan.notes

    @property
    def signature(self) -> tuple[str, ...]:
        """All that can change a verdict; () without a judge."""
        return () if self.panel is None else (self.panel.signature(),)

    @property
    def described(self) -> Any:
        """The judges as they stand in the record of the run."""
        return self.plan.spec.model_dump(mode="json")["judge"]

    def join(
        self,
        predictions: dict[str, Predictions],
        assessments: dict[str, Assessment],
        primary_metrics: dict[str, str],
        findings: list[Finding],
        settings: Settings,
        progress: Progress,
    ) -> tuple[CaseSet, ...]:
        """Ask the judges and add what they said; return all case sets. What was answered when this ends
        early is in the journal."""
        if self.panel is None:
            return self.plan.case_sets
        journal = Journal(answers_home())
        try:
            judged = self.panel.look(self.plan, predictions, journal, progress, settings)
        finally:
            journal.close()
            self.panel.close()
        plan = judged.join(self.plan, predictions, assessments, primary_metrics, findings)
        return plan.case_sets


def begin(
    cases: CaseSet,
    predictions: Predictions,
    variants: Sequence[Variant],
    judges: Sequence[Mapping[str, Any]],
    benchmark: str | None,
) -> Bench:
    """Prove that the judges are there and that they can be shown what was asked.

    Raises
    ------
    ConfigError, VariantError, BackendError
        There are prompts alone and no judge, or the judges cannot judge these outputs.
    """
    plan = plan_of([cases], variants, judges=judges, benchmark=benchmark)
    if not judges:
        if cases.are_prompts_alone:
            raise ConfigError(
                f"{cases.name} says what was asked and nothing that was expected: --judge MODEL compares "
                "the outputs. Or give --references FILE[:COLUMN]."
            )
        return Bench(plan, None)
    if cases.task == "generate":
        _refuse_unasked(cases)
    plan, panel = begin_judging(plan, lambda spec: make_backend(spec, None))
    return Bench(plan, panel)


def _refuse_unasked(cases: CaseSet) -> None:
    try:
        conversation(cases.cases[0])
    except ConfigError:
        known = ", ".join(sorted(cases.cases[0].inputs)) or "none"
        raise ConfigError(
            f"a judge is shown what was asked, and {cases.name} has no column such as prompt, instruction "
            f"or question beside the references (found {known}). Add one, or give --prompts FILE[:COLUMN]."
        ) from None
