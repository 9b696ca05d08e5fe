"""Words of a command line -> RunSpec: bases, adapters, globs, names; where two readings are possible it
stops and names both.

Looks at folders' names and settings only; which of them belong together is ``arms``'s to say.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tuneval.benchmarks import Place
from tuneval.benchmarks.source import place_of
from tuneval.data.training_record import checkpoints_below
from tuneval.engine.hf.weights.adapter import find_base
from tuneval.engine.hf.weights.folder import ADAPTER_CONFIG, MODEL_CONFIG, ModelFolder
from tuneval.errors import AdapterError, ConfigError, VariantError
from tuneval.plan.arms import Arm, Flag, Word, arms_of, refuse_twice, served_arms
from tuneval.plan.guards import unfold
from tuneval.plan.spec import DATA_SUFFIXES, RunSpec
from tuneval.plan.variants import SERVED, is_here, look_into


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
    said: Sequence[str] = (),
    **sections: Any,
) -> RunSpec:
    """Build the spec of a comparison from what stands on a command line.

    ``adapters`` and ``full`` are "DIR", "NAME=DIR" or a glob; ``held`` maps the arms that are in
    memory to where they say that they came from; ``benchmarks`` are names, ``guards``
    files, names of benchmarks or of suites (``plan/guards.py``); ``cases`` holds the options that all data files share (benchmarks
    take ``limit`` and ``few_shot`` of them, and without files ``options`` and ``template``, too);
    ``said`` all words but BASE as they were typed, for the commands that errors propose (left out: what
    can be told from the rest); ``sections`` the other sections of run.yaml as plain mappings.

    Raises
    ------
    ConfigError, VariantError
        The base cannot be told, a glob matches nothing, a name stands for two things.
    """
    backend = sections.get("backend") or {}
    is_served = backend.get("kind") in SERVED
    split = _named_word if is_served else _expand
    group = served_arms if is_served else arms_of
    arms = group([word for text in adapters for word in split(text, "adapter")], "adapter")
    fulls = group(
        [word for text in full for word in split(text, "full")],
        "full",
        taken=[name for arm in arms for name in (arm.name, arm.training_run) if name],
    )
    if not arms and not fulls and not held and base is None:
        raise ConfigError("nothing to compare: give BASE, --adapter DIR or --full DIR.")
    if not data and not benchmarks and not guards:
        raise ConfigError("no test data: give --data FILE or --benchmark NAME.")
    if base is None and is_served:
        raise ConfigError(
            "which base? A server's names do not tell: tuneval compare BASE --adapter NAME ..."
        )
    if base is None:
        said = said or _words(adapter=adapters, full=full, data=data, benchmark=benchmarks)
        paths = [path for arm in arms for path in arm.paths]
        base = _base_of(paths, bool(backend.get("offline")), partial(_command, said=said))
    variants: list[dict[str, Any]] = [
        {
            "name": "base",
            "model": base,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        }
    ]
    variants += [_section(arm, trust_remote_code, adapter=arm.paths) for arm in arms]
    variants += [_section(arm, trust_remote_code, model=arm.paths[0]) for arm in fulls]
    variants += [
        {"name": name, "model": place, "trust_remote_code": trust_remote_code}
        for name, place in (held or {}).items()
        if name not in {one["name"] for one in variants}
    ]
    for variant in variants[1:]:
        variant["training_log"] = training_log
    place = place_of(sections.get("benchmark_data"), offline=bool(backend.get("offline")))
    return RunSpec.from_dict(
        {
            "variants": variants,
            "baseline": "base",
            "cases": _cases(data, benchmarks, guards, place, cases or {}),
            **{key: value for key, value in sections.items() if value is not None},
        },
        source="the command",
    )


def _section(arm: Arm, trust_remote_code: bool, **weights: Any) -> dict[str, Any]:
    return {
        "name": arm.name,
        "training_run": arm.training_run,
        "step": arm.step,
        "trust_remote_code": trust_remote_code,
        **weights,
    }


def _cases(
    data: Sequence[str],
    benchmarks: Sequence[str],
    guards: Sequence[str],
    place: Place,
    shared: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Sections for files and benchmarks; a guard is a file where there is one of that name."""
    guard_files = [one for one in guards if is_here(one) or Path(one).suffix in DATA_SUFFIXES]
    refuse_twice(guard_files, "guard")
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
            {**of_benchmark, **section, **_lower(of_benchmark, section)}
            for section in unfold([one for one in guards if one not in guard_files], place)
        ),
    ]


def _lower(shared: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """The smaller of the limit of all benchmarks and that of a guard's own suite; a share is the
    user's word."""
    limits = [one for one in (shared.get("limit"), section.get("limit")) if one is not None]
    if not limits or any(isinstance(one, float) for one in limits):
        return {"limit": shared.get("limit")} if limits else {}
    return {"limit": min(limits)}


def _expand(text: str, flag: Flag) -> list[Word]:
    """Split "NAME=DIR", unfold globs and folders of checkpoints. A folder whose own name has a "=" wins
    over NAME=DIR."""
    name, equals, path = text.partition("=")
    if not equals or is_here(text):
        name, path = "", text
    matches = [path]
    if any(mark in path for mark in "*?[") and not is_here(path):
        matches = [
            match
            for match in sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps the path as typed
            if Path(match).is_dir()
        ]
        if not matches:
            raise ConfigError(f'--{flag} "{path}" matches no folder.')
    return [(name or None, one) for match in matches for one in _checkpoints_of(match, flag)]


def _checkpoints_of(path: str, flag: Flag) -> list[str]:
    """The checkpoints of a training's folder that holds no weights itself; any other folder as it is."""
    folder = Path(path)
    config = ADAPTER_CONFIG if flag == "adapter" else MODEL_CONFIG
    if not is_here(path) or any((folder / one).is_file() for one in (ADAPTER_CONFIG, MODEL_CONFIG)):
        return [path]
    below = [one.name for one in checkpoints_below(folder) if (one / config).is_file()]
    return [f"{path.rstrip('/')}/{name}" for name in below] if len(below) > 1 else [path]


def _named_word(text: str, flag: Flag) -> list[Word]:
    """Split "NAME=SERVED"; what a server calls its models is taken as it stands."""
    name, equals, served = text.partition("=")
    if not (served if equals else name):
        raise ConfigError(f'--{flag} "{text}" names no model of the server.')
    return [(name, served) if equals else (None, text)]


def _file_names(files: Sequence[str]) -> list[str | None]:
    """Names that tell test files apart, where their own names do not."""
    refuse_twice(files, "data")
    stems = [Path(file).name.partition(".")[0] for file in files]
    if len(set(stems)) == len(stems):
        return [None] * len(files)
    return [
        f"{Path(file).resolve().parent.name}/{stem}" if stems.count(stem) > 1 else None
        for file, stem in zip(files, stems, strict=True)
    ]


Again = Callable[[str], str]
"""Base -> the user's command with that base in front."""


def _words(**flags: Sequence[str]) -> list[str]:
    return [word for flag, values in flags.items() for one in values for word in (f"--{flag}", one)]


def _command(base: str, *, said: Sequence[str]) -> str:
    return f"tuneval compare {shlex.join([base, *said])}"


def _base_of(adapters: Sequence[str], offline: bool, again: Again) -> str:
    """The base that all adapters record in their own settings."""
    if not adapters:
        raise ConfigError(f"which base? Give it first: {again('BASE')}")
    bases = {_recorded_base(path, offline, again): path for path in reversed(adapters)}
    if len(bases) > 1:
        listed = "\n".join(f'    "{path}" was trained on "{base}"' for base, path in bases.items())
        raise VariantError(f"these adapters name different base models:\n{listed}\nGive one BASE.")
    return next(iter(bases))


def _recorded_base(path: str, offline: bool, again: Again) -> str:
    """The base that an adapter records, or an error that names the adapter and the way out."""
    adapter = look_into(path, "adapter")
    recorded = adapter.base_model_name
    beside = _beside(adapter)
    try:
        return find_base(adapter, offline=offline, again=again)
    except AdapterError:
        if beside is None:
            raise
        why = ""
    except VariantError as error:
        why = f"{error}\n"
    text = f'adapter "{path}" was trained on "{recorded}", which is not here.\n'
    if beside is None:
        raise AdapterError(f"{text}{why}If you have it in a folder:\n    {again('FOLDER')}")
    raise AdapterError(
        f'{text}There is "{beside}". If that is the same model:\n    {again(str(beside))}'
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
