"""What a plan needs to be walked: its cases' twins, tasks, metrics, statistics and backend.

Not for: asking anything, which is ``run``'s.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneval import metrics, perturbations, registry, tasks
from tuneval.assess.measure import choose_metrics, try_metrics
from tuneval.benchmarks import Loaded
from tuneval.comparison import Settings
from tuneval.data.read import read_beside
from tuneval.data.select import few_shot
from tuneval.engine import BACKENDS, LAUNCHED, Backend, need_installed
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.pipeline.folder import answers_home
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import BackendSpec, CasesSpec, MetricsSpec, RunSpec
from tuneval.tasks import Task
from tuneval.types import Case, CaseSet, Completion, Request, Response

_OF_CLUSTER = ("address", "cpus_per_worker", "gpus_per_worker", "start_seconds")


def settings_of(spec: RunSpec) -> Settings:
    """What the statistics room needs of the spec."""
    one = spec.statistics
    return Settings(
        confidence=one.confidence,
        resamples=one.resamples,
        resampling_seed=one.resampling_seed,
        margin_points=one.margin_points,
        n_case_sets=max(1, sum(not described.exploratory for described in spec.cases)),
    )


def with_perturbed_twins(plan: Plan) -> Plan:
    """Add the changed twins of every case, as the spec asks."""
    notes = list(plan.notes)
    twins: dict[str, list[Case]] = {cases.name: [] for cases in plan.case_sets}
    for one in plan.spec.perturbations:
        kind = perturbations.make(one.name, one.options)
        for cases in plan.case_sets:
            # A guard is asked whether it got worse, not whether it was ever robust; a judge sees no twins.
            if not cases.is_decisive or cases.are_prompts_alone:
                continue
            changed, n_unchanged = perturbations.apply(
                kind,
                [case for case in cases.cases if case.origin is None],
                str(one.level),
                plan.spec.statistics.perturbation_seed,
                protected=perturbations.label_words(cases.labels or ()),
            )
            if cases.task == "tag":  # its tags belong to its words, one to one
                n_made = len(changed)
                changed = tuple(twin for twin in changed if _has_its_words(twin))
                n_unchanged += n_made - len(changed)
            twins[cases.name] += changed
            if n_unchanged:
                notes.append(
                    f"{cases.name}: {one.name} left {n_unchanged} cases unchanged: dropped"
                    + (" (or with other words than tags)" if cases.task == "tag" else "")
                )
        if hasattr(kind, "remarks"):
            notes += kind.remarks()
    case_sets = tuple(
        replace(cases, cases=(*cases.cases, *twins[cases.name])) for cases in plan.case_sets
    )
    return replace(plan, case_sets=case_sets, notes=tuple(notes))


def _has_its_words(twin: Case) -> bool:
    """Has a changed text as many words as it has tags?"""
    return len(str(twin.inputs.get("text")).split()) == len(twin.references[0].split())


THINKING_TASKS = (
    "classify", "extract", "generate", "multilabel", "multiple_choice", "regression", "tool_call"
)  # fmt: skip
"""Tasks whose answers may hold thoughts that someone wants to keep."""


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
    if spec.prompting.thinking != "cut" and cases.task in THINKING_TASKS:
        options["thinking"] = spec.prompting.thinking
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
    BackendUnavailable
        Its extra is not installed.
    """
    need_installed(spec.backend.kind)
    kind = registry.load(
        BACKENDS, LAUNCHED.get(spec.backend.kind, spec.backend.kind), room="backends"
    )
    record = getattr(kind, "Options", None)
    accepted = inspect.signature(record or kind).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in accepted.values())
    options = {
        **spec.backend.model_dump(exclude={"kind", *_of_pool(spec)}),
        "chat_template": spec.prompting.chat_template,
        "thinks": spec.prompting.thinking != "off",
    }
    unset = {**BackendSpec().model_dump(), "chat_template": "auto", "thinks": True}
    for name, value in options.items():
        if name not in accepted and not takes_any and value != unset[name]:
            raise ConfigError(f'backend "{spec.backend.kind}" has no option "{name}".')
    chosen = {name: value for name, value in options.items() if name in accepted or takes_any}
    if spec.backend.workers is not None or spec.backend.kind in LAUNCHED:
        return _pool(spec, models, chosen)
    takes_models = takes_any or "models" in accepted
    if models and not takes_models:
        raise ConfigError(
            f'backend "{spec.backend.kind}" takes no models in memory: give folders, or leave it away.'
        )
    if models is not None and takes_models:
        chosen["models"] = models
    if "canaries" in accepted:
        chosen["canaries"] = answers_home().with_name("canaries")
    backend: Backend = kind(record(**chosen)) if record else kind(**chosen)
    return backend


def _pool(spec: RunSpec, models: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Backend:
    """The chosen backend, made of workers."""
    from tuneval.engine.pool import cluster, local

    if models:
        raise ConfigError(
            "models in memory cannot be handed to other processes: give folders, or leave workers "
            "away."
        )
    places = {place for one in spec.variants for place in (one.model,) if place}
    sizes = [sum(file.stat().st_size for file in Path(one).glob("*.safetensors")) for one in places]
    settings = {name: getattr(spec.backend, name) for name in _of_pool(spec)}
    settings = {**settings, "workers": spec.backend.workers or "auto"}
    settings["variants_bytes"] = max(sizes, default=0)
    if spec.backend.kind in LAUNCHED:
        return cluster.pool(options, **settings)
    return local.pool(spec.backend.kind, options, **settings)


def _of_pool(spec: RunSpec) -> tuple[str, ...]:
    """Settings that are the pool's and no worker's."""
    own = ("workers", "allow_unlike_cards")
    return (*own, *_OF_CLUSTER) if spec.backend.kind in LAUNCHED else own
