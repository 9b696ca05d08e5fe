"""Words of a command line -> RunSpec: bases, adapters, globs, names; where two readings are possible it
stops and names both.

Looks at adapter settings only, to tell recipes and bases apart; everything else is ``resolve``'s.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.engine.hf.weights.adapter import find_base
from tuneval.engine.hf.weights.folder import MODEL_CONFIG, ModelFolder
from tuneval.errors import AdapterError, ConfigError, VariantError
from tuneval.plan.spec import DATA_SUFFIXES, RunSpec
from tuneval.plan.variants import SERVED, is_here, look_into, not_an_adapter


def describe_run(
    *,
    base: str | None,
    adapters: Sequence[str] = (),
    full: Sequence[str] = (),
    held: Mapping[str, str] | None = None,
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

    ``adapters`` and ``full`` are "DIR", "NAME=DIR" or a glob; ``held`` maps the arms that are in
    memory to where they say that they came from; ``benchmarks`` are names, ``guards``
    files or names of benchmarks; ``cases`` holds the options that all data files share (benchmarks
    take ``limit`` and ``few_shot`` of them, and without files ``options`` and ``template``, too); ``sections`` the other sections of run.yaml as plain mappings.

    Raises
    ------
    ConfigError, VariantError
        The base cannot be told, a glob matches nothing, a name stands for two things.
    """
    backend = sections.get("backend") or {}
    is_served = backend.get("kind") in SERVED
    split = _named_word if is_served else _expand
    words = [word for text in adapters for word in split(text, "adapter")]
    arms = _adapter_arms(words, is_served=is_served)
    fulls = _named([word for text in full for word in split(text, "full")], default="full")
    if not arms and not fulls and not held and base is None:
        raise ConfigError("nothing to compare: give BASE, --adapter DIR or --full DIR.")
    if not data and not benchmarks and not guards:
        raise ConfigError("no test data: give --data FILE or --benchmark NAME.")
    if base is None and is_served:
        raise ConfigError(
            "which base? A server's names do not tell: tuneval compare BASE --adapter NAME ..."
        )
    base = base or _base_of(
        [path for _, paths in arms for path in paths], bool(backend.get("offline"))
    )
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
    variants += [
        {"name": name, "model": place, "trust_remote_code": trust_remote_code}
        for name, place in (held or {}).items()
        if name not in {one["name"] for one in variants}
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
    guard_files = [one for one in guards if is_here(one) or Path(one).suffix in DATA_SUFFIXES]
    _refuse_twice(guard_files, "guard")
    taken = ("limit", "few_shot") if data else ("limit", "few_shot", "options", "template")
    of_benchmark = {key: shared[key] for key in taken if key in shared}
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
    if not equals or is_here(text):
        name, path = "", text
    if any(mark in path for mark in "*?[") and not is_here(path):
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps the path as typed
            if Path(match).is_dir()
        ]
        if not matches:
            raise ConfigError(f'--{flag} "{path}" matches no folder.')
        return [(name or None, match) for match in matches]
    return [(name or None, path)]


def _named_word(text: str, flag: str) -> list[tuple[str | None, str]]:
    """Split "NAME=SERVED"; what a server calls its models is taken as it stands."""
    name, equals, served = text.partition("=")
    if not (served if equals else name):
        raise ConfigError(f'--{flag} "{text}" names no model of the server.')
    return [(name, served) if equals else (None, text)]


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


def _adapter_arms(
    words: Sequence[tuple[str | None, str]], *, is_served: bool = False
) -> list[tuple[str, list[str]]]:
    """Group adapters into arms: those with one name, or unnamed ones with equal settings. The
    settings of what a server serves are not known, so that each unnamed one is an arm."""
    arms: dict[str, list[str]] = {}
    for name, path in words:
        if name is not None:
            arms.setdefault(name, []).append(path)
    recipes: dict[str, list[str]] = {}
    for path in (path for name, path in words if name is None):
        recipes.setdefault(path if is_served else _recipe(path), []).append(path)
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
    folder = look_into(path, "adapter")
    if not folder.has_adapter:
        raise VariantError(not_an_adapter(path, folder))
    return str(folder.recipe)


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
    adapter = look_into(path, "adapter")
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
