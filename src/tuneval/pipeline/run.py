"""The corridor: one run, from cases to verdict, readable in one go.

No prompts, no formulas, no printing: each step is a call into a room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneval import checks
from tuneval.assess.assess import Assessment, assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.engine import Backend
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.errors import ConfigError, VariantError
from tuneval.metrics import Metric
from tuneval.pipeline.build import (
    build_task,
    make_backend,
    metrics_of,
    settings_of,
    with_perturbed_twins,
)
from tuneval.pipeline.drawing import Drawing, draw_until_decided
from tuneval.pipeline.effort import Tally
from tuneval.pipeline.folder import (
    answers_home,
    environment,
    identify,
    only_owner_of,
    open_folder,
    write_inputs,
    write_result,
)
from tuneval.pipeline.judging.begin import begin as begin_judging
from tuneval.pipeline.judging.begin import check as check_judge
from tuneval.pipeline.judging.lap import METRICS as WIN_RATES
from tuneval.pipeline.judging.lap import Panel
from tuneval.pipeline.majority import begin as begin_majority
from tuneval.pipeline.prompts import Prompts, Show, look_at_prompts, show_of
from tuneval.pipeline.refusals import without
from tuneval.pipeline.serving import fit
from tuneval.pipeline.wording_trial import AskVariants, Trial, Trialled, begin_trial
from tuneval.plan.gates import parse_conditions, refuse_unknown
from tuneval.plan.resolve import Plan, resolve
from tuneval.plan.spec import RunSpec
from tuneval.plan.variants import SERVED
from tuneval.runs.gate import gates_of, hold
from tuneval.tasks import Task
from tuneval.tasks.judge import judged_id
from tuneval.types import (
    CaseSet,
    NoProgress,
    Prediction,
    Progress,
    Request,
    RunResult,
    Variant,
    VariantFacts,
    arms,
)

Announce = Callable[[Plan, Mapping[str, VariantFacts] | None, Path], None]
"""Told what was inferred: the plan before any model is loaded (facts are None then), and the facts
before the first case is scored."""


def run(
    spec: RunSpec,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
    models: Mapping[str, Any] | None = None,
) -> RunResult:
    """Run a spec to its verdict.

    Parameters
    ----------
    spec : RunSpec
        What to run; files are read and checked before any model is loaded.
    announce : callable, optional
        Told what was inferred, before the models are loaded and before the first case is scored.
    models : mapping, optional
        Variant name -> (model, tokenizer) already in memory.

    Raises
    ------
    TunevalError
        Something the user can mend. What was answered until then is in the journal, and the same
        call continues from there.
    """
    plan = with_perturbed_twins(resolve(spec, in_memory=models))
    refused: tuple[str, ...] = ()
    while True:
        try:
            return _run(plan, refused, progress or NoProgress(), announce, models)
        except VariantError as error:  # raised again where the others cannot go on
            plan, told = without(plan, error)
            refused += told


def _run(
    plan: Plan,
    refused: Sequence[str],
    progress: Progress,
    announce: Announce | None,
    models: Mapping[str, Any] | None,
) -> RunResult:
    """Run a plan; ``refused`` says which variants of its description are not in it, and why."""
    started = time.monotonic()
    plan, server = met_at_server(plan)
    spec = plan.spec
    asked, chosen = tasks_and_metrics(plan)
    refuse_gates(plan, chosen)
    trial, plan = begin_trial(plan, asked)
    begun = checks.begin(plan)
    alpha = checks.share_of_alpha(begun, has_curves=bool(plan.logs))
    plan, with_majority = begin_majority(plan)
    plan, judge = begin_judging(plan, lambda own: make_backend(own, models))
    settings = settings_of(spec)
    drawings = begin_drawings(plan, chosen, settings)
    run_id = identify(plan, signatures_of(asked, judge))
    folder = open_folder(plan, run_id)
    with only_owner_of(folder):
        if announce:
            announce(plan, None, folder)
        backend = with_majority(server or make_backend(spec, models))
        journal, tally = Journal(answers_home()), Tally()
        try:
            plan, seen = look_at_prompts(plan, asked, show_of(backend))
            facts = backend.prepare(plan.variants)
            if announce:
                announce(plan, facts, folder)

            def walk(case_sets: Sequence[CaseSet]) -> dict[str, Predictions]:
                return lap(case_sets, plan.variants, asked, backend, journal, progress, tally)

            def ask_more(
                case_sets: Sequence[CaseSet], variants: Sequence[Variant], task: Task
            ) -> dict[str, Predictions]:
                # The variant that was asked last is the one whose weights are still there.
                tasks_ = {cases.name: task for cases in case_sets}
                return lap(case_sets, variants[::-1], tasks_, backend, journal, progress, tally)

            (plan, asked, tried), seen = settle_wording(
                trial,
                Trialled(plan, asked, ()),
                seen,
                lambda: {one.name: template_of(backend, one) for one in plan.variants},
                ask_more,
                show_of(backend),
            )
            write_inputs(folder, plan, facts, chosen)
            plan, predictions = first_lap(plan, drawings, walk)
            assessments = assess_all(plan, chosen, predictions, settings, progress)
            for one in drawings:
                one.into(assessments[one.cases.name])
            scene = checks.Scene(
                plan, asked, chosen, settings, predictions, assessments, ask_more, alpha
            )
            findings = [*tried, *(one for check in begun for one in check.look(scene))]
            primary_metrics = {name: own[0].name for name, own in chosen.items() if own}
            if judge:
                backend.close()  # the memory is the judge's now
                judged = judge.look(plan, predictions, journal, progress, settings)
                plan = judged.join(plan, predictions, assessments, primary_metrics, findings)
        finally:
            journal.close()
            backend.close()
            if judge:
                judge.close()
        result = conclude(
            About(
                name=spec.name or plan.case_sets[0].name,
                run_id=run_id,
                spec=spec.model_dump(mode="json"),
                environment=environment(),
                seconds=time.monotonic() - started,
                output_dir=str(folder),
            ),
            Compared(
                plan.variants,
                plan.case_sets,
                [facts[variant.name] for variant in plan.variants],
                plan.logs,
            ),
            Found(
                predictions,
                assessments,
                primary_metrics,
                findings,
                problems=refused,
                notes=notes_of(plan, asked, journal, backend),
                alpha=alpha,
                effort=tuple(tally.rows(plan.variants)),
            ),
        )
        result = hold(seen.join(result), gates_of(result), spec.output.fail_on)
        write_result(folder, result, spec.output)
    return result


def met_at_server(plan: Plan) -> tuple[Plan, Backend | None]:
    """Fit the plan to a server, which is met before anything is asked of it; None without one."""
    if plan.spec.backend.kind not in SERVED:
        return plan, None
    server = make_backend(plan.spec, None)
    return fitted(plan, server), server


def fitted(plan: Plan, server: Backend) -> Plan:
    """The plan with what it leaves open to a server."""
    if plan.spec.judge:
        check_judge(plan)  # what is wrong without any server is said first
    return fit(plan, server)


def signatures_of(asked: Mapping[str, Task], judge: Panel | None) -> list[str]:
    """All that can change a number of the run, and stands in its name."""
    own = [one.signature() for one in asked.values()]
    return own if judge is None else [*own, judge.signature()]


def assess_all(
    plan: Plan,
    chosen: Mapping[str, Sequence[Metric]],
    predictions: Mapping[str, Predictions],
    settings: Settings,
    progress: Progress,
) -> dict[str, Assessment]:
    """Measure and compare every arm on every case set, by its name."""
    return {
        cases.name: assess(
            cases,
            chosen[cases.name],
            predictions[cases.name],
            plan.variants,
            plan.baseline,
            settings,
            progress,
        )
        for cases in plan.case_sets
    }


def notes_of(
    plan: Plan, asked: Mapping[str, Task], journal: Journal, backend: Backend
) -> tuple[str, ...]:
    """What was inferred, what the tasks warn of, what befell remembered answers and workers."""
    warnings = dict.fromkeys(one for task in asked.values() for one in task.warnings())
    return (*plan.notes, *warnings, *journal.warnings, *getattr(backend, "notes", ()))


def tasks_and_metrics(plan: Plan) -> tuple[dict[str, Task], dict[str, tuple[Metric, ...]]]:
    """The task and the metrics of every case set, by its name; the metrics were tried."""
    spec = plan.spec
    asked = {
        cases.name: build_task(spec, described, cases, plan.benchmarks.get(cases.name))
        for described, cases in zip(spec.cases, plan.case_sets, strict=True)
    }
    chosen = {
        cases.name: metrics_of(spec, cases, asked[cases.name], plan.benchmarks.get(cases.name))
        for cases in plan.case_sets
    }
    return asked, chosen


def template_of(backend: Backend, variant: Variant) -> str | None:
    """The hash of a variant's chat template; None where it has none, or the backend does not say."""
    told = getattr(backend, "ingredients", None)
    found = told(variant).get("chat template (hash)", "none") if told is not None else "none"
    return None if found == "none" else str(found)


def settle_wording(
    trial: Trial | None,
    run_: Trialled,
    seen: Prompts,
    templates: Callable[[], Mapping[str, str | None]],
    ask: AskVariants,
    show: Show | None,
) -> tuple[Trialled, Prompts]:
    """Try other wordings; the prompts are seen again, for the trial may have chosen another one."""
    if trial is None:
        return run_, seen
    plan, asked, findings = trial.look(run_.plan, templates(), run_.asked, ask)
    plan, seen = look_at_prompts(plan, asked, show, is_tried=True)
    return Trialled(plan, asked, findings), seen


def refuse_gates(plan: Plan, chosen: Mapping[str, Sequence[Metric]]) -> None:
    """Raise ConfigError for a gate on what this run will not have."""
    texts = [cases for cases in plan.case_sets if plan.spec.judge and cases.task == "generate"]
    judged = [replace(cases, name=judged_id(cases.name)) for cases in texts]
    win_rates = set(WIN_RATES) if judged else set()
    refuse_unknown(
        parse_conditions(f"{key} {value}" for key, value in plan.spec.gates.items()),
        {arm: members[0].kind for arm, members in arms(plan.variants).items()},
        [*plan.case_sets, *judged],
        {metric.name for metrics in chosen.values() for metric in metrics} | win_rates,
    )


def first_lap(
    plan: Plan,
    drawings: Sequence[Drawing],
    walk: Callable[[Sequence[CaseSet]], dict[str, Predictions]],
) -> tuple[Plan, dict[str, Predictions]]:
    """Ask everything, or draw until it is decided; the plan that is returned holds what was asked."""
    if not drawings:
        return plan, walk(plan.case_sets)
    draw_until_decided(drawings, walk)
    drawn = {one.cases.name: one for one in drawings}
    others = [cases for cases in plan.case_sets if cases.name not in drawn]
    predictions = {name: one.predictions() for name, one in drawn.items()} | walk(others)
    asked = tuple(
        drawn[cases.name].drawn() if cases.name in drawn else cases for cases in plan.case_sets
    )
    return replace(plan, case_sets=asked), predictions


def ask_all(
    case_sets: Sequence[CaseSet], asked: Mapping[str, Task]
) -> dict[tuple[str, str], tuple[Request, ...]]:
    """Make the requests, once: every variant gets the same ones.

    Returns case set name and case id -> the requests of that case.
    """
    return {
        (cases.name, case.id): tuple(
            replace(request, id=f"{cases.name}/{request.id}")  # one file may be asked twice
            for request in asked[cases.name].ask(case)
        )
        for cases in case_sets
        for case in cases.cases
    }


def begin_drawings(
    plan: Plan, chosen: Mapping[str, Sequence[Metric]], settings: Settings
) -> tuple[Drawing, ...]:
    """One drawing per case set if the spec asks to stop early, else none; guards are asked whole."""
    if not plan.spec.statistics.until_decided:
        return ()
    if not all(chosen.values()):
        raise ConfigError(
            "--until-decided stops by a metric of the answers, and prompts alone have none: the judge is "
            "asked when all are answered. Give --limit N instead."
        )
    return tuple(
        Drawing(
            cases,
            chosen[cases.name][0],
            plan.variants,
            plan.baseline,
            settings,
            plan.spec.statistics.decided_margin_points,
        )
        for cases in plan.case_sets
        if not cases.is_guard
    )


def lap(
    case_sets: Sequence[CaseSet],
    variants: Sequence[Variant],
    asked: Mapping[str, Task],
    backend: Backend,
    journal: Journal,
    progress: Progress,
    tally: Tally | None = None,
) -> dict[str, Predictions]:
    """Walk all cases to predictions, once per variant; each variant is asked everything in one go.
    ``tally`` counts what that took.

    Returns case set name -> variant name -> predictions in the order of the cases.
    """
    requests = ask_all(case_sets, asked)
    every = [request for of_case in requests.values() for request in of_case]
    predictions: dict[str, dict[str, list[Prediction]]] = {cases.name: {} for cases in case_sets}
    progress.expect(len(every) * len(variants))
    for variant in variants:
        answers = answer(backend, variant, every, journal, progress)
        if tally is not None:
            tally.add(variant, every, answers)
        for cases in case_sets:
            task = asked[cases.name]
            predictions[cases.name][variant.name] = [
                task.read(case, [answers[request.id] for request in requests[cases.name, case.id]])
                for case in cases.cases
            ]
    return {name: dict(by_variant) for name, by_variant in predictions.items()}
