"""RunSpec -> Plan: every file read, every gap filled, a sentence for everything that was inferred.

Reads files (data, adapter settings, weight headers), never weights, and never imports torch.
Where two readings are possible it stops and names both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuneval import perturbations, registry
from tuneval.benchmarks import Loaded, Place
from tuneval.benchmarks.load import load as load_benchmark
from tuneval.benchmarks.load import unfold
from tuneval.benchmarks.source import place_of
from tuneval.bridges import BRIDGES
from tuneval.data.code_problems import read_problems
from tuneval.data.read import read
from tuneval.data.select import take
from tuneval.data.turns import every_turn
from tuneval.engine import BACKENDS, need_installed
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import ConfigError, TunevalError
from tuneval.plan import adversarial, arms, tags, without_head, wordless
from tuneval.plan.spec import CasesSpec, PerturbationSpec, RunSpec
from tuneval.plan.variants import SERVED, baseline_spec, is_here, training_log_of, variants_of
from tuneval.publish import PUBLISHED
from tuneval.report import REPORTS
from tuneval.tasks import TASKS
from tuneval.tasks.thinking import answers_alone
from tuneval.trackers.send import check as check_trackers
from tuneval.types import CaseSet, TrainingLog, Variant

DEVICES = ("auto", "cpu", "mps", "cuda")


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with nothing left open. ``logs`` is keyed by variant name, ``benchmarks`` by the name of a
    case set; ``notes`` are for the user; ``first_prompts`` are lines that show the first case of every
    case set as it is asked, once that was seen."""

    spec: RunSpec
    variants: tuple[Variant, ...]
    baseline: str
    case_sets: tuple[CaseSet, ...]
    logs: Mapping[str, TrainingLog]
    folders: Mapping[str, ModelFolder]
    notes: tuple[str, ...]
    benchmarks: Mapping[str, Loaded] = field(default_factory=dict)
    first_prompts: tuple[str, ...] = ()


def resolve(
    spec: RunSpec,
    *,
    faults: list[str] | None = None,
    in_memory: Mapping[str, Any] | None = None,
) -> Plan:
    """Read every file of the run and fill every gap of its description.

    Parameters
    ----------
    faults : list, optional
        Where it is given, what stands against the run is added to it instead of raised, and the
        plan holds what could be found out all the same.
    in_memory : mapping, optional
        Variant name -> model (or model and tokenizer) that needs no folder.

    Raises
    ------
    DataError, VariantError, ConfigError
        Whatever can be known to be wrong before a model is loaded.
    """
    in_memory = in_memory or {}
    notes: list[str] = []
    with _gathering(faults):
        _names_are_known(spec, in_memory)
        need_installed(spec.backend.kind)
    read_sets: list[CaseSet] = []
    benchmarks: dict[str, Loaded] = {}
    with _gathering(faults):
        spec = _unfolded(spec)
    for described in spec.cases:
        with _gathering(faults):
            if described.benchmark is None:
                cases = read_cases(described, is_judged=bool(spec.judge) and not described.guard)
                read_sets.append(answers_alone(cases, spec.prompting.thinking))
                continue
            loaded = read_benchmark(
                described, place_of(spec.benchmark_data, offline=spec.backend.offline)
            )
            benchmarks[loaded.cases.name] = loaded
            read_sets.append(loaded.cases)
    case_sets = tuple(read_sets)
    if len(case_sets) == len(spec.cases):
        with _gathering(faults):
            spec, case_sets, more = adversarial.join(spec, case_sets, read_cases)
            notes += more
    with _gathering(faults):
        _names_are_unique(case_sets)
    notes += [f"{cases.name}: {note}" for cases in case_sets for note in cases.notes]
    base = baseline_spec(spec)
    folders: dict[str, ModelFolder] = {}
    variants: list[Variant] = []
    for one in spec.variants:
        with _gathering(faults):
            variants += variants_of(one, base, spec, folders, notes, in_memory)
    baseline = base.name
    with _gathering(faults):
        variants, baseline, told = without_head.join(
            variants, base.name, folders, spec, in_memory, {one.task for one in case_sets}
        )
        notes += told
    with _gathering(faults):
        case_sets, told = tags.join(case_sets, variants, folders, spec)
        notes += told
    with _gathering(faults):
        wordless.check(case_sets, variants, folders, spec)
    notes += arms.remarks(variants, folders)
    with _gathering(faults):
        spec = _with_perturbations(spec, case_sets, folders)
    logs = {}
    for variant in variants:
        with _gathering(faults):
            if log := training_log_of(variant, notes):
                logs[variant.name] = log
    return Plan(
        spec=_complete(spec, case_sets) if len(case_sets) == len(spec.cases) else spec,
        variants=tuple(variants),
        baseline=baseline,
        case_sets=case_sets,
        logs=logs,
        folders=folders,
        notes=tuple(notes),
        benchmarks=benchmarks,
    )


@contextmanager
def _gathering(faults: list[str] | None) -> Iterator[None]:
    """Let errors through, or write them down where somebody wants to know all of them."""
    try:
        yield
    except TunevalError as error:
        if faults is None:
            raise
        if str(error) not in faults:
            faults.append(str(error))


def _names_are_known(spec: RunSpec, in_memory: Mapping[str, Any]) -> None:
    """Refuse now what would only be looked up after the models have answered."""
    chosen: list[tuple[str, Mapping[str, str], str]] = [
        ("backends", BACKENDS, spec.backend.kind),
        *(("report", {**REPORTS, **PUBLISHED}, name) for name in spec.output.reports),
        *(("tasks", TASKS, one.task) for one in spec.cases if one.task != "auto"),
    ]
    for room, table, name in chosen:
        known = registry.names(table, room=room)
        if name not in known:
            raise ConfigError(f"{room}: {registry.unknown(name, known)}")
    check_trackers(spec.output.track)
    device, _, number = spec.backend.device.partition(":")
    if device not in DEVICES or (number and not number.isdigit()):
        raise ConfigError(
            f'there is no device "{spec.backend.device}" (known: {", ".join(DEVICES)}, cuda:1, ...).'
        )
    for described in spec.cases:
        if described.template is not None and not re.search(r"\{[^{}\n]+\}", described.template):
            raise ConfigError(
                f'the prompt "{described.template}" names no column, so that every case would be asked '
                'the same.\nPut a column in braces, e.g. --prompt "{text}\\nLabel:", or give a file.'
            )
    if spec.backend.kind in SERVED and not (
        spec.backend.base_url or os.environ.get("OPENAI_BASE_URL")
    ):
        raise ConfigError(
            f"backend {spec.backend.kind}: the server has no address. Give --base-url "
            "http://HOST:PORT/v1, or set OPENAI_BASE_URL."
        )
    strange = sorted(set(spec.backend.tokenizers) - {"*"} - {one.name for one in spec.variants})
    if strange:
        names = [one.name for one in spec.variants]
        raise ConfigError(f"--tokenizer {strange[0]}=...: {registry.unknown(strange[0], names)}")
    strangers = sorted(set(in_memory) - {one.name for one in spec.variants})
    if strangers:
        names = [one.name for one in spec.variants]
        raise ConfigError(f"models in memory: {registry.unknown(strangers[0], names)}")


def _with_perturbations(
    spec: RunSpec, case_sets: Sequence[CaseSet], folders: Mapping[str, ModelFolder]
) -> RunSpec:
    """Spell out the suite, levels and settings of the changed inputs, and try to make each one."""
    found: dict[str, PerturbationSpec] = {}
    for one in _spelled_out(spec.perturbations, case_sets):
        level, options = perturbations.understand(one.name, one.level, one.options)
        made = perturbations.make(one.name, options)
        lengths = [folder.context_length for folder in folders.values() if folder.context_length]
        if getattr(made, "fills_context", None) == level and lengths:
            options.setdefault("context_tokens", min(lengths))
        if "file" in options:
            options["file"] = _absolute(options["file"])
        key = f"{one.name}:{made.label(level) if hasattr(made, 'label') else level}"
        spelled = PerturbationSpec(name=one.name, level=level, options=options)
        if found.setdefault(key, spelled) != spelled:
            raise ConfigError(f"perturbation {key} is given twice with different settings.")
    return spec.model_copy(update={"perturbations": tuple(found.values())})


def _spelled_out(
    given: Sequence[PerturbationSpec], case_sets: Sequence[CaseSet]
) -> Iterator[PerturbationSpec]:
    for one in given:
        if one.name != perturbations.STANDARD:
            yield one
            continue
        for word in perturbations.standard_suite(case for own in case_sets for case in own.cases):
            name, _, level = word.partition(":")
            yield PerturbationSpec(name=name, level=level)


def _complete(spec: RunSpec, case_sets: Sequence[CaseSet]) -> RunSpec:
    """Write what was inferred into the spec, with absolute paths, so that it can be run again from
    wherever its run.yaml lies."""
    cases = tuple(
        described.model_copy(
            update={
                "file": described.file and _absolute(described.file),
                "few_shot_file": described.few_shot_file and _absolute(described.few_shot_file),
                "task": found.task,
                "columns": _columns(described, found),
                "labels": described.labels or found.labels,
            }
        )
        if described.benchmark is None  # the others bring all that
        else _anchored(described)
        for described, found in zip(spec.cases, case_sets, strict=True)
    )
    variants = spec.variants
    if spec.backend.kind not in SERVED:
        variants = tuple(
            one.model_copy(
                update={
                    "model": one.model and _absolute(one.model),
                    "adapter": tuple(_absolute(path) for path in one.adapter),
                }
            )
            for one in spec.variants
        )
    output = spec.output.model_copy(update={"dir": str(Path(spec.output.dir).absolute())})
    tokenizers = {name: _absolute(folder) for name, folder in spec.backend.tokenizers.items()}
    backend = spec.backend.model_copy(update={"tokenizers": tokenizers})
    files = {
        "adversarial": tuple(_absolute(file) for file in spec.adversarial),
        "ood": tuple(_absolute(file) for file in spec.ood),
        "train_data": spec.train_data and _absolute(spec.train_data),
        "validation": spec.validation and _absolute(spec.validation),
        "benchmark_data": spec.benchmark_data and _absolute(spec.benchmark_data),
    }
    return spec.model_copy(
        update={
            "cases": cases,
            "variants": variants,
            "output": output,
            "backend": backend,
            **files,
        }
    )


def _absolute(place: str) -> str:
    """A path that is here, from the root; a hub id stays as it is."""
    return str(Path(place).absolute()) if is_here(place) else place


def _anchored(described: CasesSpec) -> CasesSpec:
    """A benchmark that is a file of another tool ("lm_eval:my_task.yaml"), from the root."""
    bridge, _, place = str(described.benchmark).partition(":")
    if bridge not in BRIDGES or not is_here(place):
        return described
    return described.model_copy(update={"benchmark": f"{bridge}:{_absolute(place)}"})


def _columns(described: CasesSpec, found: CaseSet) -> Mapping[str, str]:
    """The columns that were found, where naming them says all that the layout says."""
    if set(found.columns) <= {"input", "reference", "id"}:
        return found.columns
    return described.columns


def read_cases(spec: CasesSpec, *, is_judged: bool = False) -> CaseSet:
    """Read one test file as its section of the spec says; where it ``is_judged``, prompts without
    references will do. Raises DataError."""
    assert spec.file is not None
    cases = _read_any(spec, is_judged)
    if cases.task == "complete_code":
        # Problems need their tests in a form that the grader takes; their reader checks them, too.
        cases = take(read_problems(spec.file), spec.limit)
    if spec.turns == "all":
        cases = every_turn(cases)
    return replace(cases, is_guard=spec.guard, is_exploratory=spec.exploratory)


OF_FILES = (
    "task",
    "columns",
    "labels",
    "groups",
    "few_shot_file",
    "skip_bad_rows",
    "split",
    "turns",
)
"""Keys of a section of cases that a benchmark answers by itself."""


def _unfolded(spec: RunSpec) -> RunSpec:
    """The parts of every benchmark whose whole is several tasks, each in a section of its own."""
    cases: list[CasesSpec] = []
    for described in spec.cases:
        name = described.benchmark
        is_own = name is not None and name.partition(":")[0] not in BRIDGES
        parts = unfold(str(name)) if is_own else (name,)
        cases += [described.model_copy(update={"benchmark": part}) for part in parts]
    return spec.model_copy(update={"cases": tuple(cases)})


def read_benchmark(spec: CasesSpec, place: Place) -> Loaded:
    """Read one benchmark as its section of the spec says.

    Raises
    ------
    ConfigError, DataError
        No such benchmark, no rows of it here, or a key that belongs to files.
    """
    unset = CasesSpec(benchmark=spec.benchmark)
    for key in OF_FILES:
        if getattr(spec, key) != getattr(unset, key):
            raise ConfigError(
                f'benchmark "{spec.benchmark}": "{key}" is for files; the benchmark brings its own.'
            )
    bridge, _, name = str(spec.benchmark).partition(":")
    if bridge in BRIDGES:
        load = registry.load(BRIDGES, bridge, room="bridges")
        loaded: Loaded = load(name, few_shot=spec.few_shot, limit=spec.limit, options=spec.options)
    else:
        loaded = load_benchmark(
            str(spec.benchmark), place, few_shot=spec.few_shot or 0, limit=spec.limit
        )
    cases = replace(loaded.cases, is_guard=spec.guard, name=spec.name or loaded.cases.name)
    return replace(loaded, cases=cases)


def _read_any(spec: CasesSpec, is_judged: bool) -> CaseSet:
    return read(
        spec.file,
        name=spec.name,
        columns=spec.columns,
        task=spec.task,
        labels=spec.labels,
        groups=spec.groups,
        limit=spec.limit,
        split=spec.split,
        skip_bad_rows=spec.skip_bad_rows,
        template=spec.template or spec.options.get("template"),
        is_judged=is_judged,
    )


def _names_are_unique(case_sets: Sequence[CaseSet]) -> None:
    names = [cases.name for cases in case_sets]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f'two test sets are called "{min(twice)}". Give each a name: cases[].name in run.yaml.'
        )
