"""What the person said -> what will run, with a sentence for everything that was inferred.

Reads files (data, adapter settings, weight headers), never weights, and never imports torch.
Where two readings are possible it stops and names both.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneval.config import CasesSpec, RunSpec, VariantSpec
from tuneval.data.code_problems import read_problems
from tuneval.data.read import read
from tuneval.data.select import take
from tuneval.data.training_log import find as find_training_log
from tuneval.engine.hf.describe import ModelFolder, check_adapter_fits, describe, find_base
from tuneval.errors import ConfigError, VariantError
from tuneval.types import CaseSet, TrainingLog, Variant, VariantKind


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
    revision: str | None = None,
    trust_remote_code: bool = False,
    training_log: str | None = "auto",
    cases: Mapping[str, Any] | None = None,
    **sections: Any,
) -> RunSpec:
    """Build the spec of a comparison from what stands on a command line.

    ``adapters`` and ``full`` are "DIR", "NAME=DIR" or a glob; ``cases`` holds the options that all
    data files share; ``sections`` the other sections of run.yaml as plain mappings.

    Raises
    ------
    ConfigError, VariantError
        The base cannot be told, a glob matches nothing, a name stands for two things.
    """
    arms = _adapter_arms([word for text in adapters for word in _expand(text, "adapter")])
    fulls = _named([word for text in full for word in _expand(text, "full")], default="full")
    if not arms and not fulls and base is None:
        raise ConfigError("nothing to compare: give BASE, --adapter DIR or --full DIR.")
    if not data:
        raise ConfigError("no test data: give --data FILE.")
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
            "cases": [{"file": file, **(cases or {})} for file in data],
            **{key: value for key, value in sections.items() if value is not None},
        },
        source="the command",
    )


def _expand(text: str, flag: str) -> list[tuple[str | None, str]]:
    """Split "NAME=DIR" and unfold globs. A folder whose own name has a "=" wins over NAME=DIR."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        name, path = "", text
    if any(mark in path for mark in "*?[") and not Path(path).exists():
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps the path as typed
            if Path(match).is_dir()
        ]
        if not matches:
            raise ConfigError(f'--{flag} "{path}" matches no folder.')
        return [(name or None, match) for match in matches]
    return [(name or None, path)]


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
        twice = {path for path in paths if paths.count(path) > 1}
        if twice:
            raise ConfigError(f'adapter "{min(twice)}" is given twice for "{name}".')
    return list(arms.items())


def _recipe(path: str) -> str:
    folder = describe(path)
    if not folder.has_adapter:
        raise VariantError(
            f'"{path}" holds no adapter: expected adapter_config.json and adapter_model.safetensors.'
            + (f"\nIt holds a whole model: --full {path}" if folder.has_model else "")
        )
    return str(folder.recipe)


def _named(words: Sequence[tuple[str | None, str]], *, default: str) -> list[tuple[str, str]]:
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
    bases = {find_base(describe(path), offline=offline): path for path in reversed(adapters)}
    if len(bases) > 1:
        listed = "\n".join(f'    "{path}" was trained on "{base}"' for base, path in bases.items())
        raise VariantError(f"these adapters name different base models:\n{listed}\nGive one BASE.")
    return next(iter(bases))


# --- RunSpec -> Plan ---------------------------------------------------------------------------


def resolve(spec: RunSpec) -> Plan:
    """Read every file of the run and fill every gap of its description.

    Raises
    ------
    DataError, VariantError, ConfigError
        Whatever can be known to be wrong before a model is loaded.
    """
    notes: list[str] = []
    case_sets = tuple(_read_cases(case) for case in spec.cases)
    _names_are_unique(case_sets)
    notes += [f"{cases.name}: {note}" for cases in case_sets for note in cases.notes]
    base = _baseline_spec(spec)
    folders: dict[str, ModelFolder] = {}
    variants: list[Variant] = []
    for one in spec.variants:
        variants += _variants_of(one, base, spec, folders, notes)
    logs = {variant.name: log for variant in variants if (log := _training_log(variant, notes))}
    return Plan(
        spec=_complete(spec, case_sets),
        variants=tuple(variants),
        baseline=base.name,
        case_sets=case_sets,
        logs=logs,
        folders=folders,
        notes=tuple(notes),
    )


def _complete(spec: RunSpec, case_sets: Sequence[CaseSet]) -> RunSpec:
    """Write what was inferred into the spec, with absolute paths, so that it can be run again from
    wherever its run.yaml lies."""
    cases = tuple(
        described.model_copy(
            update={
                "file": _absolute(described.file),
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
    return spec.model_copy(update={"cases": cases, "variants": variants, "output": output})


def _absolute(place: str) -> str:
    """A path that is here, from the root; a hub id stays as it is."""
    return str(Path(place).absolute()) if Path(place).exists() else place


def _columns(described: CasesSpec, found: CaseSet) -> Mapping[str, str]:
    """The columns that were found, where naming them says all that the layout says."""
    if set(found.columns) <= {"input", "reference", "id"}:
        return found.columns
    return described.columns


def _read_cases(spec: CasesSpec) -> CaseSet:
    cases = _read_any(spec)
    # Problems need their tests in a form that the grader takes; their reader checks them, too.
    return take(read_problems(spec.file), spec.limit) if cases.task == "complete_code" else cases


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
    if not one.adapter:
        kind: VariantKind = "base" if one.name == base.name else "full"
        folder = describe(str(one.model), revision=one.revision, **look)
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
        folder = describe(path, **look)
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
