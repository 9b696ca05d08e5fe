"""Before the second lap: is the judge there, and who is compared with whom."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tuneval import registry
from tuneval.engine import BACKENDS, LAUNCHED, Backend
from tuneval.engine.hf.weights.folder import describe
from tuneval.engine.hf.weights.kind import no_head
from tuneval.errors import BackendUnavailable, ConfigError, DataError, VariantError
from tuneval.pipeline.judging.judged import NAME
from tuneval.pipeline.judging.lap import Judging
from tuneval.pipeline.judging.questions import REFERENCE
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec, JudgeSpec, RunSpec
from tuneval.tasks.judge import Judge
from tuneval.types import READS_TEXTS, Case, CaseSet, Variant

PROBE = Case(
    id="probe",
    inputs={"question": "What is 2 + 2?", "candidate": "4", "baseline": "5"},
)

MakeBackend = Callable[[RunSpec], Backend]


def begin(plan: Plan, make_backend: MakeBackend) -> tuple[Plan, Judging | None]:
    """Prove, before the compared models are loaded, that the judge is there; None without one.

    Returns the plan with a note on who judges what.

    Raises
    ------
    ConfigError, DataError
        No case set has texts to compare, or a file of the judge cannot be used.
    VariantError, BackendError
        There is no such model, the server cannot be reached or refuses.
    """
    spec = plan.spec.judge
    if spec is None:
        return plan, None
    opponents = check(plan)
    difficulty = _difficulties(spec, plan, opponents)
    if spec.backend == "openai" and not (spec.base_url or os.environ.get("OPENAI_BASE_URL")):
        raise ConfigError(
            "the judge's server has no address. Give --judge-url http://HOST:PORT/v1, or set "
            "OPENAI_BASE_URL."
        )
    is_like = LAUNCHED.get(plan.spec.backend.kind, plan.spec.backend.kind) == spec.backend
    kind = plan.spec.backend.kind if is_like else spec.backend
    chosen = plan.spec.backend.model_copy(update={"kind": kind, "base_url": spec.base_url})
    if not is_like:  # rows in a batch are no calls at a time
        chosen = chosen.model_copy(update={"batch_size": "auto", "workers": None})
    backend = make_backend(plan.spec.model_copy(update={"backend": chosen}))
    judge = Variant(name=NAME, kind="judge", model=spec.model, dtype=chosen.dtype)
    if spec.backend != "hf":
        backend.prepare([judge])
    scoring = spec.scoring
    if scoring != "generate":
        tells = _tells_likelihoods(backend, judge, spec)
        scoring = "likelihood" if tells else "generate"
    judging = Judging(spec, judge, backend, _task(spec, scoring), opponents, difficulty)
    return replace(plan, notes=(*plan.notes, *judging.notes())), judging


def check(plan: Plan) -> dict[str, str]:
    """Check what can be checked without a model: case set -> opponent of its variants.

    Raises
    ------
    ConfigError, VariantError
        The judge cannot judge this run.
    """
    spec = plan.spec.judge
    assert spec is not None
    known = registry.names(BACKENDS, room="backends")
    if spec.backend not in known:
        raise ConfigError(f"judge.backend: {registry.unknown(spec.backend, known)}")
    _task(spec, "generate")
    opponents = {
        cases.name: _opponent(spec, described, cases, plan)
        for described, cases in zip(plan.spec.cases, plan.case_sets, strict=True)
        if cases.task == "generate"
    }
    if not opponents:
        tasks = ", ".join(f"{cases.name}: {cases.task}" for cases in plan.case_sets)
        raise ConfigError(
            f"a judge compares texts, and no case set of this run has any ({tasks}).\n"
            "Give cases with --task generate, or leave --judge away."
        )
    if spec.backend == "hf":
        folder = describe(spec.model, offline=plan.spec.backend.offline)
        if not folder.has_model:
            raise VariantError(f'the judge "{spec.model}" is no folder of a whole model.')
        if folder.head is None:
            raise no_head(folder.path, folder.config, folder.given)
        if folder.head in READS_TEXTS:
            raise VariantError(
                f'the judge "{spec.model}" has a head over labels: a judge answers in words.'
            )
    return opponents


def _opponent(spec: JudgeSpec, described: CasesSpec, cases: CaseSet, plan: Plan) -> str:
    """Whose answers the variants' are compared with."""
    is_alpaca = (described.benchmark or "").partition(":")[0] == "alpaca_eval"
    if spec.against == "reference" or (spec.against == "auto" and is_alpaca):
        without = [case.id for case in cases.cases if not case.references]
        if without:
            raise ConfigError(
                f'{cases.name}: {len(without)} cases have no reference to be compared with (first: "'
                f'{without[0]}").\nGive the references, or set judge.against: baseline in run.yaml.'
            )
        return REFERENCE
    if len(plan.variants) < 2:
        raise ConfigError(
            f"{cases.name}: the judge needs two variants to compare, or references "
            "(judge.against: reference in run.yaml)."
        )
    return plan.baseline


def _task(spec: JudgeSpec, scoring: str) -> Judge:
    return Judge(
        template=spec.template, system=spec.system, scoring=scoring, max_tokens=spec.max_tokens
    )


def _tells_likelihoods(backend: Backend, judge: Variant, spec: JudgeSpec) -> bool:
    """Does the judge tell how likely a letter is? Local models do; a server is asked once."""
    if spec.backend == "hf":
        return True
    request = _task(spec, "likelihood").ask(PROBE)[0]
    try:
        (response,) = backend.answer(judge, [request])
    except BackendUnavailable:  # it answers (prepare proved it), but without log-probabilities
        if spec.scoring == "likelihood":
            raise
        return False
    return response.problem is None or spec.scoring == "likelihood"


def _difficulties(
    spec: JudgeSpec, plan: Plan, opponents: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Case set -> case id -> difficulty, for the case sets that are compared with references."""
    if spec.difficulty is None:
        return {}
    compared = [one for one in plan.case_sets if opponents.get(one.name) == REFERENCE]
    if not compared:
        raise ConfigError(
            "judge.difficulty is for answers compared with AlpacaEval's references; this run has "
            "none (judge.against: reference)."
        )
    rows = _read_difficulty(spec.difficulty)
    found = {}
    for cases in compared:
        clean = [case for case in cases.cases if case.origin is None]
        without = [case.id for case in clean if _index(case) not in rows]
        if without:
            raise DataError(
                f'judge.difficulty: "{spec.difficulty}" has no row for {len(without)} cases of '
                f'{cases.name} (first: "{without[0]}").\n'
                'A case is found by its column "index" (from 0), else by its number in its file.'
            )
        found[cases.name] = {case.id: rows[_index(case)] for case in clean}
    return found


def _index(case: Case) -> str:
    """AlpacaEval counts its instructions from 0, our ids count from 1."""
    if "index" in case.inputs:
        return str(case.inputs["index"])
    number = case.id.rpartition(":")[2]
    return str(int(number) - 1) if number.isdigit() else number


def _read_difficulty(path: str) -> dict[str, float]:
    """Read "index,difficulty" rows below a header."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            _, *rows = [row for row in csv.reader(lines) if row]
        return {str(int(float(row[0]))): float(row[-1]) for row in rows}
    except OSError as error:
        raise DataError(f'judge.difficulty: "{path}" cannot be read: {error.strerror}.') from None
    except (ValueError, csv.Error):  # also bytes that are no text
        raise DataError(
            f'judge.difficulty: "{path}" is no table of "index,instruction_difficulty".'
        ) from None
