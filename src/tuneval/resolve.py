"""What the person said -> what will run, with a sentence for everything that was inferred.

Reads files (data, adapter settings, weight headers), never weights, and never imports torch.
Where two readings are possible it stops and names both.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuneval import registry
from tuneval.config import CasesSpec, RunSpec, VariantSpec
from tuneval.data.code_problems import read_problems
from tuneval.data.read import read
from tuneval.data.select import take
from tuneval.data.training_log import find as find_training_log
from tuneval.engine import BACKENDS
from tuneval.engine.hf.describe import (
    ADAPTER_CONFIG,
    MODEL_CONFIG,
    ModelFolder,
    check_adapter_fits,
    describe,
    find_base,
)
from tuneval.errors import AdapterError, ConfigError, TunevalError, VariantError
from tuneval.perturbations import PERTURBATIONS
from tuneval.report import REPORTS
from tuneval.tasks import TASKS
from tuneval.types import CaseSet, TrainingLog, Variant, VariantKind

DEVICES = ("auto", "cpu", "mps", "cuda")


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with nothing left open. ``logs`` is keyed by variant name; ``notes`` are for the user."""

    spec: RunSpec
    variants: tuple[Variant, ...]
    baseline: str
    case_sets: tuple[CaseSet, ...]
    logs: Mapping[str, TrainingLog]
    folders: Mapping[str, ModelFolder]
    notes: tuple[str, ...]


# --- words -> RunSpec --------------------------------------------------------------------------


def describe_run(
    *,
    base: str | None,
    adapters: Sequence[str] = (),
    full: Sequence[str] = (),
    data: Sequence[str] = (),
    benchmarks: Sequence[str] = (),
    guards: Sequence[str] = (),
    revision: str | None = None,
    trust_remote_code: bool = False,
    training_log: str | None = "auto",
    cases: Mapping[str, Any] | None = None,
    **sections: Any,
) -> RunSpec:
    """Build the spec of a comparison from what stands on a command line.

    ``adapters`` and ``full`` are "DIR", "NAME=DIR" or a glob; ``benchmarks`` are names, ``guards``
    files or names of benchmarks; ``cases`` holds the options that all data files share (benchmarks
    take ``limit`` and ``few_shot`` of them); ``sections`` the other sections of run.yaml as plain mappings.

    Raises
    ------
    ConfigError, VariantError
        The base cannot be told, a glob matches nothing, a name stands for two things.
    """
    arms = _adapter_arms([word for text in adapters for word in _expand(text, "adapter")])
    fulls = _named([word for text in full for word in _expand(text, "full")], default="full")
    if not arms and not fulls and base is None:
        raise ConfigError("nothing to compare: give BASE, --adapter DIR or --full DIR.")
    if not data and not benchmarks and not guards:
        raise ConfigError("no test data: give --data FILE or --benchmark NAME.")
    is_offline = bool((sections.get("backend") or {}).get("offline"))
    base = base or _base_of([path for _, paths in arms for path in paths], is_offline)
    variants: list[dict[str, Any]] = [
        {
            "name": "base",
            "model": base,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        }
    ]
    variants += [
        {"name": name, "adapter": paths, "trust_remote_code": trust_remote_code}
        for name, paths in arms
    ]
    variants += [
        {"name": name, "model": path, "trust_remote_code": trust_remote_code}
        for name, path in fulls
    ]
    for variant in variants[1:]:
        variant["training_log"] = training_log
    return RunSpec.from_dict(
        {
            "variants": variants,
            "baseline": "base",
            "cases": _cases(data, benchmarks, guards, cases or {}),
            **{key: value for key, value in sections.items() if value is not None},
        },
        source="the command",
    )


def _cases(
    data: Sequence[str],
    benchmarks: Sequence[str],
    guards: Sequence[str],
    shared: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Sections for files and benchmarks; a guard is a file where there is one of that name."""
    guard_files = [one for one in guards if _is_here(one)]
    _refuse_twice(guard_files, "guard")
    of_benchmark = {key: shared[key] for key in ("limit", "few_shot") if key in shared}
    files = {key: value for key, value in shared.items() if key != "few_shot"}
    if shared.get("few_shot") and (shared.get("few_shot_file") or not benchmarks):
        files["few_shot"] = shared["few_shot"]
    return [
        *(
            {**files, "file": file, "name": name}
            for file, name in zip(data, _file_names(data), strict=True)
        ),
        *({**of_benchmark, "benchmark": name} for name in benchmarks),
        *({"limit": shared.get("limit"), "file": file, "guard": True} for file in guard_files),
        *(
            {**of_benchmark, "benchmark": name, "guard": True}
            for name in guards
            if name not in guard_files
        ),
    ]


def _expand(text: str, flag: str) -> list[tuple[str | None, str]]:
    """Split "NAME=DIR" and unfold globs. A folder whose own name has a "=" wins over NAME=DIR."""
    name, equals, path = text.partition("=")
    if not equals or _is_here(text):
        name, path = "", text
    if any(mark in path for mark in "*?[") and not _is_here(path):
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps the path as typed
            if Path(match).is_dir()
        ]
        if not matches:
            raise ConfigError(f'--{flag} "{path}" matches no folder.')
        return [(name or None, match) for match in matches]
    return [(name or None, path)]


def _file_names(files: Sequence[str]) -> list[str | None]:
    """Names that tell test files apart, where their own names do not."""
    _refuse_twice(files, "data")
    stems = [Path(file).name.partition(".")[0] for file in files]
    if len(set(stems)) == len(stems):
        return [None] * len(files)
    return [
        f"{Path(file).resolve().parent.name}/{stem}" if stems.count(stem) > 1 else None
        for file, stem in zip(files, stems, strict=True)
    ]


def _is_here(place: str) -> bool:
    return os.path.exists(place)  # noqa: PTH110 - pathlib raises where a name is too long


def _adapter_arms(words: Sequence[tuple[str | None, str]]) -> list[tuple[str, list[str]]]:
    """Group adapters into arms: those with one name, or unnamed ones with equal settings."""
    arms: dict[str, list[str]] = {}
    for name, path in words:
        if name is not None:
            arms.setdefault(name, []).append(path)
    recipes: dict[str, list[str]] = {}
    for path in (path for name, path in words if name is None):
        recipes.setdefault(_recipe(path), []).append(path)
    unnamed = _distinct_names(
        [paths[0] for paths in recipes.values()], default="lora", taken=set(arms)
    )
    arms |= dict(zip(unnamed, recipes.values(), strict=True))
    for name, paths in arms.items():
        _refuse_twice(paths, "adapter", f' for "{name}"')
    return list(arms.items())


def _refuse_twice(paths: Sequence[str], flag: str, where: str = "") -> None:
    places = [Path(path).resolve() for path in paths]
    twice = [path for n, path in enumerate(paths) if places[n] in places[:n]]
    if twice:
        raise ConfigError(f'--{flag} "{twice[0]}" is given twice{where}.')


def _recipe(path: str) -> str:
    folder = _look_into(path, "adapter")
    if not folder.has_adapter:
        raise VariantError(_not_an_adapter(path, folder))
    return str(folder.recipe)


def _not_an_adapter(path: str, folder: ModelFolder) -> str:
    return (
        f'"{path}" holds no adapter: expected adapter_config.json and adapter_model.safetensors.'
        + (f"\nIt holds a whole model: --full {path}" if folder.has_model else "")
    )


def _look_into(path: str, flag: str, **look: Any) -> ModelFolder:
    """Describe a folder; one that holds adapters or checkpoints below says which to give."""
    folder, config = Path(path), ADAPTER_CONFIG if flag == "adapter" else MODEL_CONFIG
    if folder.is_dir() and not any(
        (folder / one).is_file() for one in (ADAPTER_CONFIG, MODEL_CONFIG)
    ):
        below = sorted((place.parent for place in folder.glob(f"*/{config}")), key=_in_number_order)
        if below:
            listed = ", ".join(f'"{place.name}"' for place in below[:8])
            newest = below[-1]
            glob_ = f' or --{flag} "{path.rstrip("/")}/*" for all' if flag == "adapter" else ""
            raise VariantError(
                f'"{path}" is no model folder itself; {listed} in it '
                f"{'are' if len(below) > 1 else 'is'}.\nGive one: --{flag} {newest}{glob_}."
            )
    return describe(path, **look)


def _in_number_order(place: Path) -> tuple[str, int]:
    """checkpoint-90 before checkpoint-450."""
    name, _, number = place.name.rpartition("-")
    return (name, int(number)) if number.isdigit() else (place.name, 0)


def _named(words: Sequence[tuple[str | None, str]], *, default: str) -> list[tuple[str, str]]:
    _refuse_twice([path for _, path in words], default)
    given = {name for name, _ in words if name}
    free = [path for name, path in words if name is None]
    names = iter(_distinct_names(free, default=default, taken=given))
    return [(name or next(names), path) for name, path in words]


def _distinct_names(paths: Sequence[str], *, default: str, taken: set[str]) -> list[str]:
    """One name a path: the default if there is only one, else the shortest tail that tells apart."""
    if len(paths) == 1 and default not in taken:
        return [default]
    for depth in (1, 2, 3):
        names = ["/".join(Path(path).resolve().parts[-depth:]) for path in paths]
        if len(set(names)) == len(names) and not set(names) & taken:
            return names
    return [f"{default}-{number}" for number, _ in enumerate(paths, start=1)]


def _base_of(adapters: Sequence[str], offline: bool) -> str:
    """The base that all adapters record in their own settings."""
    if not adapters:
        raise ConfigError("which base? Give it first: tuneval compare BASE --full DIR --data FILE.")
    bases = {_recorded_base(path, offline): path for path in reversed(adapters)}
    if len(bases) > 1:
        listed = "\n".join(f'    "{path}" was trained on "{base}"' for base, path in bases.items())
        raise VariantError(f"these adapters name different base models:\n{listed}\nGive one BASE.")
    return next(iter(bases))


def _recorded_base(path: str, offline: bool) -> str:
    """The base that an adapter records, or an error that names the adapter and the way out."""
    adapter = _look_into(path, "adapter")
    recorded = adapter.base_model_name
    beside = _beside(adapter)
    try:
        return find_base(adapter, offline=offline)
    except AdapterError:
        if beside is None:
            raise
        why = ""
    except VariantError as error:
        why = f"{error}\n"
    text = f'adapter "{path}" was trained on "{recorded}", which is not here.\n{why}'
    if beside is None:
        raise AdapterError(
            f"{text}If you have it in a folder:\n"
            f"    tuneval compare FOLDER --adapter {path} --data test.jsonl"
        )
    raise AdapterError(
        f'adapter "{path}" was trained on "{recorded}", which is not here.\n'
        f'There is "{beside}". If that is the same model:\n'
        f"    tuneval compare {beside} --adapter {path} --data test.jsonl"
    )


def _beside(adapter: ModelFolder) -> Path | None:
    """A base recorded as a relative path may lie relative to a folder above the adapter: training
    was started there. It is offered, never used unasked."""
    recorded = adapter.base_model_name
    if not recorded or Path(recorded).is_absolute() or Path(recorded).is_dir():
        return None
    for above in adapter.path.resolve().parents:
        if (above / recorded / MODEL_CONFIG).is_file():
            return (above / recorded).resolve()
    return None


# --- RunSpec -> Plan ---------------------------------------------------------------------------


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
    read_sets: list[CaseSet] = []
    for described in spec.cases:
        with _gathering(faults):
            read_sets.append(read_cases(described))
    case_sets = tuple(read_sets)
    with _gathering(faults):
        _names_are_unique(case_sets)
    notes += [f"{cases.name}: {note}" for cases in case_sets for note in cases.notes]
    base = _baseline_spec(spec)
    folders: dict[str, ModelFolder] = {}
    variants: list[Variant] = []
    for one in spec.variants:
        with _gathering(faults):
            variants += _variants_of(one, base, spec, folders, notes, in_memory)
    logs = {}
    for variant in variants:
        with _gathering(faults):
            if log := _training_log(variant, notes):
                logs[variant.name] = log
    return Plan(
        spec=_complete(spec, case_sets) if len(case_sets) == len(spec.cases) else spec,
        variants=tuple(variants),
        baseline=base.name,
        case_sets=case_sets,
        logs=logs,
        folders=folders,
        notes=tuple(notes),
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
        *(("perturbations", PERTURBATIONS, one.name) for one in spec.perturbations),
        *(("report", REPORTS, name) for name in spec.output.reports),
        *(("tasks", TASKS, one.task) for one in spec.cases if one.task != "auto"),
    ]
    for room, table, name in chosen:
        known = registry.names(table, room=room)
        if name not in known:
            raise ConfigError(f"{room}: {registry.unknown(name, known)}")
    for one in spec.perturbations:
        levels = registry.load(PERTURBATIONS, one.name, room="perturbations").levels
        if one.level not in levels:
            raise ConfigError(f"perturbation {one.name}: {registry.unknown(one.level, levels)}")
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
    strangers = sorted(set(in_memory) - {one.name for one in spec.variants})
    if strangers:
        names = [one.name for one in spec.variants]
        raise ConfigError(f"models in memory: {registry.unknown(strangers[0], names)}")


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
        for described, found in zip(spec.cases, case_sets, strict=True)
    )
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
    files = {
        "adversarial": tuple(_absolute(file) for file in spec.adversarial),
        "ood": tuple(_absolute(file) for file in spec.ood),
        "train_data": spec.train_data and _absolute(spec.train_data),
    }
    return spec.model_copy(update={"cases": cases, "variants": variants, "output": output, **files})


def _absolute(place: str) -> str:
    """A path that is here, from the root; a hub id stays as it is."""
    return str(Path(place).absolute()) if _is_here(place) else place


def _columns(described: CasesSpec, found: CaseSet) -> Mapping[str, str]:
    """The columns that were found, where naming them says all that the layout says."""
    if set(found.columns) <= {"input", "reference", "id"}:
        return found.columns
    return described.columns


def read_cases(spec: CasesSpec) -> CaseSet:
    """Read one test file as its section of the spec says. Raises DataError."""
    assert spec.file is not None
    cases = _read_any(spec)
    if cases.task == "complete_code":
        # Problems need their tests in a form that the grader takes; their reader checks them, too.
        cases = take(read_problems(spec.file), spec.limit)
    return replace(cases, is_guard=spec.guard)


def _read_any(spec: CasesSpec) -> CaseSet:
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
    )


def _names_are_unique(case_sets: Sequence[CaseSet]) -> None:
    names = [cases.name for cases in case_sets]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f'two test files are called "{min(twice)}". Give each a name: cases[].name in run.yaml.'
        )


def _baseline_spec(spec: RunSpec) -> VariantSpec:
    for variant in spec.variants:
        if variant.name == spec.baseline or (spec.baseline is None and not variant.adapter):
            if variant.adapter:
                raise ConfigError(f'baseline "{variant.name}" is an adapter; name a whole model.')
            return variant
    raise ConfigError(
        "no variant is a whole model: add the base, for example {name: base, model: ...}."
    )


def _variants_of(
    one: VariantSpec,
    base: VariantSpec,
    spec: RunSpec,
    folders: dict[str, ModelFolder],
    notes: list[str],
    in_memory: Mapping[str, Any],
) -> list[Variant]:
    """The variants of one arm: one for a model, one for each adapter of a recipe."""
    shared = {
        "revision": one.revision,
        "dtype": spec.backend.dtype,
        "trust_remote_code": one.trust_remote_code,
    }
    look: dict[str, Any] = {
        "offline": spec.backend.offline,
        "trust_remote_code": one.trust_remote_code,
        "allow_pickle_weights": spec.backend.allow_pickle_weights,
    }
    if one.name in in_memory:
        _refuse_without_tokenizer(one, in_memory[one.name])
        return [
            Variant(
                name=one.name,
                kind=_kind_of_object(one, base, in_memory[one.name]),
                model=one.model or str(base.model),
                training_log=one.training_log if one.training_log != "auto" else None,
                **shared,  # type: ignore[arg-type]
            )
        ]
    if not one.adapter:
        kind: VariantKind = "base" if one.name == base.name else "full"
        folder = _look_into(str(one.model), "full", revision=one.revision, **look)
        if folder.has_model and folder.has_adapter and kind == "base":
            raise VariantError(
                f"{one.model} holds both {MODEL_CONFIG} and {ADAPTER_CONFIG}.\n"
                f"Use --adapter {one.model} for the adapter or --full {one.model} for the merged "
                "model."
            )
        if not folder.has_model:
            raise VariantError(_not_a_model(one, folder))
        folders[one.name] = folder
        return [
            Variant(
                name=one.name,
                kind=kind,
                model=str(one.model),
                training_log=None if kind == "base" else one.training_log,
                **shared,  # type: ignore[arg-type]
            )
        ]
    base_model = one.model or str(base.model)
    base_folder = describe(base_model, revision=base.revision, **look)
    seeds, how = _training_seeds(one)
    variants = []
    for number, (path, seed) in enumerate(zip(one.adapter, seeds, strict=True), start=1):
        folder = _look_into(path, "adapter", **look)
        if not folder.has_adapter:
            raise VariantError(_not_an_adapter(path, folder))
        if folder.has_model:
            notes.append(f'{one.name}: "{path}" holds a whole model, too; read as the adapter')
        notes += check_adapter_fits(
            folder, base_folder, allow_base_mismatch=spec.backend.allow_base_mismatch
        )
        name = one.name if len(one.adapter) == 1 else f"{one.name}-{number}"
        folders[name] = folder
        variants.append(
            Variant(
                name=name,
                kind="adapter",
                model=base_model,
                adapter=path,
                recipe=one.name if len(one.adapter) > 1 else None,
                training_seed=seed,
                training_log=one.training_log,
                **{**shared, "revision": base.revision},  # type: ignore[arg-type]
            )
        )
    if len(variants) > 1:
        notes.append(
            f"{one.name}: {len(variants)} adapters of one recipe = {len(variants)} training seeds "
            f"({how})"
        )
    return variants


def _refuse_without_tokenizer(one: VariantSpec, held: Any) -> None:
    is_pair = isinstance(held, tuple) and len(held) == 2
    if held is not None and not is_pair and not Path(str(one.model)).is_dir():
        raise ConfigError(
            f'models in memory: "{one.name}" comes without a tokenizer. '
            f'Give models={{"{one.name}": (model, tokenizer)}}.'
        )


def _kind_of_object(one: VariantSpec, base: VariantSpec, held: Any) -> VariantKind:
    if one.name == base.name:
        return "base"
    model = held[0] if isinstance(held, tuple) else held
    return "adapter" if hasattr(model, "peft_config") else "full"


def _not_a_model(one: VariantSpec, folder: ModelFolder) -> str:
    if folder.has_adapter:
        return (
            f'"{one.model}" holds an adapter (adapter_config.json), not a whole model.\n'
            f"Use --adapter {one.model}."
        )
    return f'"{one.model}" holds no model: expected config.json and *.safetensors.'


def _training_seeds(one: VariantSpec) -> tuple[tuple[int | None, ...], str]:
    """Seeds as given, else from folder names that differ in one number only, else unknown."""
    if one.training_seeds is not None:
        return one.training_seeds, "seeds as given"
    found = [re.findall(r"\d+", Path(path).name) for path in one.adapter]
    numbers = [int(digits[-1]) for digits in found if digits]
    if 1 < len(numbers) == len(one.adapter) and len(set(numbers)) == len(numbers):
        return tuple(numbers), "seeds from the folder names"
    return (None,) * len(one.adapter), "seeds unknown"


def _training_log(variant: Variant, notes: list[str]) -> TrainingLog | None:
    if variant.training_log is None:
        return None
    place = variant.adapter or variant.model
    if variant.training_log != "auto":
        place = variant.training_log
    log, searched = find_training_log(place)
    if log is None and variant.training_log != "auto":
        raise ConfigError(
            f'no training log in "{place}" (searched: {", ".join(map(str, searched))}).'
        )
    if log is None:
        notes.append(
            f"{variant.name}: no training log found (searched {', '.join(map(str, searched))})"
        )
    return log
