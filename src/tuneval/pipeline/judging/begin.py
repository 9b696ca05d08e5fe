"""Before the second lap: are the judges there, and who is compared with whom."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tuneval import registry
from tuneval.engine import BACKENDS, LAUNCHED, Backend
from tuneval.engine.hf.weights.folder import describe
from tuneval.engine.hf.weights.kind import no_head
from tuneval.errors import BackendUnavailable, ConfigError, DataError, VariantError
from tuneval.pipeline.judging.judged import NAME
from tuneval.pipeline.judging.lap import Judging, Panel
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


def begin(plan: Plan, make_backend: MakeBackend) -> tuple[Plan, Panel | None]:
    """Prove, before the compared models are loaded, that the judges are there; None without any.

    Returns the plan with a note on who judges what.

    Raises
    ------
    ConfigError, DataError
        No case set has texts to compare, or a file of a judge cannot be used.
    VariantError, BackendError
        There is no such model, the server cannot be reached or refuses.
    """
    if not plan.spec.judge:
        return plan, None
    opponents = check(plan)
    file = next((one.difficulty for one in plan.spec.judge if one.difficulty is not None), None)
    difficulty = _difficulties(file, plan, opponents)
    judges = tuple(
        _begin_one(name, spec, plan, make_backend)
        for name, spec in zip(names_of(plan.spec.judge), plan.spec.judge, strict=True)
    )
    panel = Panel(judges, opponents, difficulty)
    return replace(plan, notes=(*plan.notes, *panel.notes())), panel


def names_of(judges: Sequence[JudgeSpec]) -> list[str]:
    """What each judge is called in the report: the end of its model's name, told apart where equal."""
    ends = [one.model.rstrip("/").rpartition("/")[2] or one.model for one in judges]
    seen: Counter[str] = Counter()
    names = []
    for end in ends:
        seen[end] += 1
        names.append(end if seen[end] == 1 else f"{end} ({seen[end]})")
    return names


def _begin_one(name: str, spec: JudgeSpec, plan: Plan, make_backend: MakeBackend) -> Judging:
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
    called = NAME if len(plan.spec.judge) == 1 else f"{NAME} {name}"
    judge = Variant(name=called, kind="judge", model=spec.model, dtype=chosen.dtype)
    if spec.backend != "hf":
        backend.prepare([judge])
    scoring = spec.scoring
    if scoring != "generate":
        tells = _tells_likelihoods(backend, judge, spec)
        scoring = "likelihood" if tells else "generate"
    return Judging(name, spec, judge, backend, _task(spec, scoring))


def check(plan: Plan) -> dict[str, str]:
    """Check what can be checked without a model: case set -> opponent of its variants.

    Raises
    ------
    ConfigError, VariantError
        A judge cannot judge this run, one is named twice, or two would compare with other answers.
    """
    judges = plan.spec.judge
    every = [_check_one(spec, plan) for spec in judges]
    keys = [spec.model_dump_json(exclude={"price", "difficulty"}) for spec in judges]
    for n, (spec, key) in enumerate(zip(judges, keys, strict=True)):
        if key in keys[:n]:
            raise ConfigError(f'the judge "{spec.model}" is named twice: name each judge once.')
        if every[n] != every[0]:
            raise ConfigError(
                "the judges must compare with the same answers: judge.against is the baseline for one "
                "and the reference for another. Give all of them the same."
            )
    return every[0]


def _check_one(spec: JudgeSpec, plan: Plan) -> dict[str, str]:
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
            "Give cases with --task generate, or leave --judge away. A column of prompts that is no "
            "answer but a property of them: --group COLUMN."
        )
    if spec.backend == "hf":
        _check_folder(spec, plan)
    return opponents


def _check_folder(spec: JudgeSpec, plan: Plan) -> None:
    folder = describe(spec.model, offline=plan.spec.backend.offline)
    if not folder.has_model:
        raise VariantError(f'the judge "{spec.model}" is no folder of a whole model.')
    if folder.head is None:
        raise no_head(folder.path, folder.config, folder.given)
    if folder.head in READS_TEXTS:
        raise VariantError(
            f'the judge "{spec.model}" has a head over labels: a judge answers in words.'
        )


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
    file: str | None, plan: Plan, opponents: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Case set -> case id -> difficulty, for the case sets that are compared with references."""
    if file is None:
        return {}
    compared = [one for one in plan.case_sets if opponents.get(one.name) == REFERENCE]
    if not compared:
        raise ConfigError(
            "judge.difficulty is for answers compared with AlpacaEval's references; this run has "
            "none (judge.against: reference)."
        )
    rows = _read_difficulty(file)
    found = {}
    for cases in compared:
        clean = [case for case in cases.cases if case.origin is None]
        without = [case.id for case in clean if _index(case) not in rows]
        if without:
            raise DataError(
                f'judge.difficulty: "{file}" has no row for {len(without)} cases of '
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
