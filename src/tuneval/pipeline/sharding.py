"""One share of a run's questions, answered into the folder of answers that all shares have in common.

The plain run then finds them there and joins them. Not for: results; a share has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuneval.engine import Backend
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.pool import units
from tuneval.errors import ConfigError
from tuneval.pipeline.build import make_backend, with_perturbed_twins
from tuneval.pipeline.folder import answers_home
from tuneval.pipeline.majority import begin as begin_majority
from tuneval.pipeline.prompts import look_at_prompts, show_of
from tuneval.pipeline.run import (
    Announce,
    ask_all,
    fitted,
    lap,
    settle_wording,
    tasks_and_metrics,
    template_of,
)
from tuneval.pipeline.wording_trial import Trialled, begin_trial
from tuneval.plan.resolve import Plan, resolve
from tuneval.plan.spec import RunSpec
from tuneval.plan.variants import SERVED
from tuneval.tasks import Task
from tuneval.types import NoProgress, Progress, Request

MOST_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """Share ``number`` (from 1) of ``n``."""

    number: int
    n: int

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read "K/N". Raises ConfigError."""
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
        number, n = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= n <= MOST_SHARDS:
            raise ConfigError(
                f'--shard "{text}" is no share: give K/N with K from 1 to N (N at most '
                f"{MOST_SHARDS}), e.g. --shard 2/8."
            )
        return cls(number, n)

    def __str__(self) -> str:
        return f"{self.number}/{self.n}"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a share came to, all variants together.

    ``n_questions``: of the whole run; ``n_own`` of this share; ``n_known`` of these were answered
    before; ``n_failed`` got no usable answer and are asked again by the plain run. ``warnings`` are
    the journal's.
    """

    n_questions: int
    n_own: int
    n_known: int
    n_failed: int
    answers: Path
    warnings: tuple[str, ...] = ()


def answer_shard(
    spec: RunSpec,
    shard: Shard,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
    connect: Callable[[RunSpec], Backend] | None = None,
) -> Answered:
    """Answer one share of the questions of a run's first lap.

    Which ones is told by the questions alone, so that shares need not know of one another. Questions
    of checks and of a judge hang on answers to these, and are asked by the plain run.

    Parameters
    ----------
    announce : callable, optional
        As for ``run``; told the folder of answers, since a share has no folder of its own.
    connect : callable, optional
        Makes the backend; by default that of the spec.

    Raises
    ------
    ConfigError
        The run stops when it is decided, so that nobody knows its questions beforehand.
    TunevalError
        As for ``run``.
    """
    plan = with_perturbed_twins(resolve(spec))
    if plan.spec.statistics.until_decided:
        raise ConfigError(
            "--shard with statistics.until_decided: which questions are asked hangs on the answers "
            "before them. Leave one of them away."
        )
    backend = (connect or (lambda own: make_backend(own, None)))(plan.spec)
    journal = Journal(answers_home())
    progress = progress or NoProgress()
    try:
        plan = fitted(plan, backend) if plan.spec.backend.kind in SERVED else plan
        plan, with_majority = begin_majority(plan)
        backend = with_majority(backend)
        plan, asked = _settled(plan, backend, journal, progress, announce)
        requests = [one for of_case in ask_all(plan.case_sets, asked).values() for one in of_case]
        own = _own(requests, shard)
        n_before, n_failed = journal.n_reused, 0
        for variant in plan.variants:
            answers = answer(backend, variant, own, journal, progress)
            n_failed += sum(one.problem is not None for one in answers.values())
        n_variants = len(plan.variants)
        return Answered(
            n_questions=len(requests) * n_variants,
            n_own=len(own) * n_variants,
            n_known=journal.n_reused - n_before,
            n_failed=n_failed,
            answers=answers_home(),
            warnings=(*journal.warnings, *getattr(backend, "notes", ())),
        )
    finally:
        journal.close()
        backend.close()


def _settled(
    plan: Plan,
    backend: Backend,
    journal: Journal,
    progress: Progress,
    announce: Announce | None,
) -> tuple[Plan, dict[str, Task]]:
    """The plan and its tasks as the plain run would ask them: seen, proved, worded."""
    asked, _ = tasks_and_metrics(plan)
    trial, plan = begin_trial(plan, asked)
    if announce:
        announce(plan, None, answers_home())
    plan, seen = look_at_prompts(plan, asked, show_of(backend))
    facts = backend.prepare(plan.variants)
    if announce:
        announce(plan, facts, answers_home())
    (plan, asked, _), _ = settle_wording(
        trial,
        Trialled(plan, asked, ()),
        seen,
        lambda: {one.name: template_of(backend, one) for one in plan.variants},
        lambda case_sets, variants, task: lap(
            case_sets,
            variants[::-1],
            {cases.name: task for cases in case_sets},
            backend,
            journal,
            progress,
        ),
        show_of(backend),
    )
    return plan, asked


def _own(requests: list[Request], shard: Shard) -> list[Request]:
    """The questions of a share, in the order of asking."""
    dealt = units.shares(units.cut(requests, max(units.MOST_UNITS, 4 * shard.n)), shard.n)
    mine = {one.id for unit in dealt[shard.number - 1] for one in unit.requests}
    return [one for one in requests if one.id in mine]
