"""The corridor: one run, from cases to verdict, readable in one go.

No prompts, no formulas, no printing: each step is a call into a room.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneval import checks, metrics, perturbations, registry, tasks
from tuneval.assess.assess import assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.assess.measure import Predictions, choose_metrics, try_metrics
from tuneval.benchmarks import Loaded
from tuneval.comparison import Settings
from tuneval.data.read import read_beside
from tuneval.data.select import few_shot
from tuneval.engine import BACKENDS, Backend
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.pipeline.drawing import Drawing, draw_until_decided
from tuneval.pipeline.folder import (
    answers_home,
    environment,
    identify,
    only_owner_of,
    open_folder,
    write_inputs,
    write_result,
)
from tuneval.pipeline.judging import lap as judging
from tuneval.plan.resolve import Plan, resolve
from tuneval.plan.spec import BackendSpec, CasesSpec, MetricsSpec, RunSpec
from tuneval.tasks import Task
from tuneval.types import (
    Case,
    CaseSet,
    Completion,
    NoProgress,
    Prediction,
    Progress,
    Request,
    Response,
    RunResult,
    Variant,
    VariantFacts,
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
    started = time.monotonic()
    progress = progress or NoProgress()
    plan = with_perturbed_twins(resolve(spec, in_memory=models))
    spec = plan.spec
    asked = {
        cases.name: build_task(spec, described, cases, plan.benchmarks.get(cases.name))
        for described, cases in zip(spec.cases, plan.case_sets, strict=True)
    }
    chosen = {
        cases.name: metrics_of(spec, cases, asked[cases.name], plan.benchmarks.get(cases.name))
        for cases in plan.case_sets
    }
    begun = checks.begin(plan)
    plan, judge = judging.begin(plan, lambda own: make_backend(own, models))
    settings = settings_of(spec)
    drawings = begin_drawings(plan, chosen, settings)
    signing = [*asked.values(), *([judge] if judge else ())]
    run_id = identify(plan, [one.signature() for one in signing])
    folder = open_folder(plan, run_id)
    with only_owner_of(folder):
        if announce:
            announce(plan, None, folder)
        backend = make_backend(spec, models)
        journal = Journal(answers_home())
        try:
            facts = backend.prepare(plan.variants)
            if announce:
                announce(plan, facts, folder)
            write_inputs(folder, plan, facts, chosen)

            def walk(case_sets: Sequence[CaseSet]) -> dict[str, Predictions]:
                return lap(case_sets, plan.variants, asked, backend, journal, progress)

            def ask_more(
                case_sets: Sequence[CaseSet], variants: Sequence[Variant], task: Task
            ) -> dict[str, Predictions]:
                # The variant that was asked last is the one whose weights are still there.
                tasks_ = {cases.name: task for cases in case_sets}
                return lap(case_sets, variants[::-1], tasks_, backend, journal, progress)

            plan, predictions = first_lap(plan, drawings, walk)
            assessments = {
                cases.name: assess(
                    cases,
                    chosen[cases.name],
                    predictions[cases.name],
                    plan.variants,
                    plan.baseline,
                    settings,
                )
                for cases in plan.case_sets
            }
            for one in drawings:
                one.into(assessments[one.cases.name])
            scene = checks.Scene(plan, asked, chosen, settings, predictions, assessments, ask_more)
            findings = [one for check in begun for one in check.look(scene)]
            primary_metrics = {name: metrics[0].name for name, metrics in chosen.items()}
            if judge:
                backend.close()  # the memory is the judge's now
                judged = judge.look(plan, predictions, journal, progress, settings)
                plan = judged.join(plan, predictions, assessments, primary_metrics, findings)
        finally:
            journal.close()
            backend.close()
            if judge:
                judge.close()
        notes = (
            *plan.notes,
            *dict.fromkeys(one for task in asked.values() for one in task.warnings()),
            *journal.warnings,
        )
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
            Found(predictions, assessments, primary_metrics, findings, notes=notes),
        )
        write_result(folder, result, spec.output.reports)
    return result


def settings_of(spec: RunSpec) -> Settings:
    """What the statistics room needs of the spec."""
    one = spec.statistics
    return Settings(
        confidence=one.confidence,
        resamples=one.resamples,
        resampling_seed=one.resampling_seed,
        margin_points=one.margin_points,
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
) -> dict[str, Predictions]:
    """Walk all cases to predictions, once per variant; each variant is asked everything in one go.

    Returns case set name -> variant name -> predictions in the order of the cases.
    """
    requests = ask_all(case_sets, asked)
    every = [request for of_case in requests.values() for request in of_case]
    predictions: dict[str, dict[str, list[Prediction]]] = {cases.name: {} for cases in case_sets}
    for variant in variants:
        answers = answer(backend, variant, every, journal, progress)
        for cases in case_sets:
            task = asked[cases.name]
            predictions[cases.name][variant.name] = [
                task.read(case, [answers[request.id] for request in requests[cases.name, case.id]])
                for case in cases.cases
            ]
    return {name: dict(by_variant) for name, by_variant in predictions.items()}


def with_perturbed_twins(plan: Plan) -> Plan:
    """Add the changed twins of every case, as the spec asks."""
    notes = list(plan.notes)
    twins: dict[str, list[Case]] = {cases.name: [] for cases in plan.case_sets}
    for one in plan.spec.perturbations:
        kind = perturbations.make(one.name, one.options)
        for cases in plan.case_sets:
            # A guard is asked whether it got worse, not whether it was ever robust.
            if not cases.is_decisive:
                continue
            changed, n_unchanged = perturbations.apply(
                kind,
                [case for case in cases.cases if case.origin is None],
                str(one.level),
                plan.spec.statistics.perturbation_seed,
                protected=perturbations.label_words(cases.labels or ()),
            )
            twins[cases.name] += changed
            if n_unchanged:
                notes.append(
                    f"{cases.name}: {one.name} left {n_unchanged} cases unchanged: dropped"
                )
        if hasattr(kind, "remarks"):
            notes += kind.remarks()
    case_sets = tuple(
        replace(cases, cases=(*cases.cases, *twins[cases.name])) for cases in plan.case_sets
    )
    return replace(plan, case_sets=case_sets, notes=tuple(notes))


def build_task(
    spec: RunSpec, described: CasesSpec, cases: CaseSet, benchmark: Loaded | None = None
) -> Task:
    """Make the task of a case set: its options, its labels and its few-shot cases.

    A benchmark brings its own; they yield only to what its own section of the spec says.
    """
    if benchmark is not None and benchmark.task is not None:
        task: Task = benchmark.task
        return task
    usual = spec.task_options.get(cases.task, {}) if benchmark is None else benchmark.options
    options = {**usual, **described.options}
    if benchmark is not None and spec.prompting.chat_template == "on" and "prompt_style" in usual:
        options["prompt_style"] = "messages"
    if "labels" in options:
        raise ConfigError(f'{cases.name}: "labels" is no task option: set cases[].labels.')
    if described.template is not None:
        options["template"] = described.template
    if spec.prompting.system is not None:
        options["system"] = spec.prompting.system
    return tasks.build(
        cases.task,
        labels=cases.labels,
        few_shot=few_shot_cases(spec, described, cases)
        if benchmark is None
        else benchmark.examples,
        **options,
    )


def metrics_of(
    spec: RunSpec, cases: CaseSet, task: Task, benchmark: Loaded | None = None
) -> tuple[Metric, ...]:
    """Choose the metrics of a case set and try them on a dry row, before any inference.

    A guard has those of its task: the metrics of the run are for what was to become better.
    """
    wanted = MetricsSpec() if cases.is_guard else spec.metrics
    if benchmark is not None and benchmark.own_metrics:
        # Of the metrics that the spec names, those that it does not have are for files.
        return tuple(sorted(benchmark.own_metrics, key=lambda one: one.name != wanted.primary))
    if benchmark is not None:
        is_alone = all(one.benchmark is not None for one in spec.cases)
        wanted = _benchmark_metrics(wanted, benchmark, task, is_alone=is_alone)
    chosen = choose_metrics(wanted, cases, has_probabilities=task.has_probabilities)
    case = cases.cases[0]
    answers = [made_up_answer(request, case) for request in task.ask(case)]
    try_metrics(chosen, cases, [task.read(case, answers)])
    return chosen


def _benchmark_metrics(
    wanted: MetricsSpec, benchmark: Loaded, task: Task, *, is_alone: bool
) -> MetricsSpec:
    """A benchmark's own metrics; those that the spec names are for its files, if it has any."""
    own = [
        name
        for name in benchmark.metrics
        if task.has_probabilities or "label_probabilities" not in metrics.describe(name).needs
    ]
    if is_alone and (wanted.primary != "auto" or wanted.also != "auto"):
        also = own if wanted.also == "auto" else wanted.also
        primary = also[0] if wanted.primary == "auto" else wanted.primary
        own = list(metrics.expand([primary, *also]))
    options = {**benchmark.metric_options, **wanted.options}
    return MetricsSpec(
        primary=own[0],
        also=tuple(own),
        options={name: one for name, one in options.items() if name in own},
    )


def made_up_answer(request: Request, case: Case) -> Response:
    """An answer as a model could have given it, so that a task and its metrics can be tried."""
    if request.decoding is None:
        return Response(
            request.id,
            "nobody",
            loglikelihood=-1.0,
            n_tokens=1,
            is_greedy=False,
            token_logprobs=(-1.0,) if request.with_token_logprobs else None,
        )
    text = case.references[0] if case.references else ""
    return Response(
        request.id,
        "nobody",
        completions=(Completion(text, 1, "stop"),) * request.decoding.n_completions,
    )


def few_shot_cases(spec: RunSpec, described: CasesSpec, cases: CaseSet) -> Sequence[Case]:
    """Choose the examples that stand before every question, never from the test cases."""
    n_examples = spec.prompting.few_shot if described.few_shot is None else described.few_shot
    if not n_examples:
        return ()
    if described.few_shot_file is None:
        raise ConfigError(
            f"{cases.name}: few-shot cases must come from another file than the test cases. "
            "Give --few-shot-file FILE, or cases[].few_shot_file in run.yaml."
        )
    pool = read_beside(
        described.few_shot_file,
        cases,
        columns=described.columns,
        labels=described.labels,
        template=described.template,
    )
    return few_shot(
        pool.cases,
        n_examples,
        spec.prompting.selection_seed,
        labels=cases.labels,
        test=cases.cases,
    )


def make_backend(spec: RunSpec, models: Mapping[str, Any] | None) -> Backend:
    """Import and build the chosen backend; its options are those of the spec that it takes.

    Raises
    ------
    ConfigError
        An option was set that this backend does not have.
    """
    kind = registry.load(BACKENDS, spec.backend.kind, room="backends")
    accepted = inspect.signature(kind).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in accepted.values())
    options = {
        **spec.backend.model_dump(exclude={"kind"}),
        "chat_template": spec.prompting.chat_template,
    }
    unset = {**BackendSpec().model_dump(), "chat_template": "auto"}
    for name, value in options.items():
        if name not in accepted and not takes_any and value != unset[name]:
            raise ConfigError(f'backend "{spec.backend.kind}" has no option "{name}".')
    chosen = {name: value for name, value in options.items() if name in accepted or takes_any}
    if models is not None:
        chosen["models"] = models
    backend: Backend = kind(**chosen)
    return backend
