"""Words for adapters and full fine-tunes -> arms: which folders are training seeds of one recipe, which
are checkpoints of one training, which stand for themselves.

Equal PEFT settings are no proof: SFT and DPO, other data, other learning rates share them.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tuneval.data.training_record import Checkpoint, checkpoint_of, read_record
from tuneval.engine.hf.weights import fingerprint
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import ConfigError, VariantError
from tuneval.plan.variants import look_into, not_an_adapter
from tuneval.types import Variant

Word = tuple[str | None, str]
"""The name before "=", if there is one, and the folder."""
Flag = Literal["adapter", "full"]
_SEED = re.compile(r"[-_. ]?(seed)?[-_. =]?\d*$")
"""The end of a folder's name that tells training seeds apart."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the report: a folder, the seeds of a recipe, or one checkpoint of a training."""

    name: str
    paths: tuple[str, ...]
    training_run: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Folders that belong together: seeds of a recipe or, with ``places``, checkpoints of a run."""

    name: str | None
    paths: tuple[str, ...]
    places: tuple[Checkpoint, ...] = ()

    @property
    def title(self) -> Path:
        """A path whose last parts name the group."""
        if self.places:
            return self.places[0].run
        paths = [Path(path).resolve() for path in self.paths]
        if len(paths) == 1:
            return paths[0]
        stems = {_SEED.sub("", path.name) for path in paths}
        return paths[0].parent / stems.pop() if len(stems) == 1 else paths[0].parent


def arms_of(words: Sequence[Word], flag: Flag, *, taken: Sequence[str] = ()) -> list[Arm]:
    """Group folders into arms and name them; names in ``taken`` are those of arms and trainings already.

    Raises
    ------
    ConfigError, VariantError
        A folder or a name is given twice, a folder holds no adapter, or checkpoints of one training are
        called seeds.
    """
    named = _by_name(words, taken)
    groups = [group for name, paths in named.items() for group in _declared(name, paths, flag)]
    groups += _found([path for name, path in words if name is None], flag)
    names = {**_arm_names(groups, flag, {*named, *taken}), **_run_names(groups, {*taken})}
    for is_short in (True, False):
        arms = [arm for group in groups for arm in _arms(group, names, is_short=is_short)]
        once = {arm.name for arm in arms}
        if len(once) == len(arms) and not once & {*taken}:
            break
    return arms


def served_arms(words: Sequence[Word], flag: Flag, *, taken: Sequence[str] = ()) -> list[Arm]:
    """The same for what a server serves: names, of which nothing is known but what is declared."""
    named = _by_name(words, taken)
    free = [served for name, served in words if name is None]
    refuse_twice(free, flag)
    names = distinct_names(free, default=_default(flag), taken={*named, *taken})
    groups = [*named.items(), *((name, [one]) for name, one in zip(names, free, strict=True))]
    return [
        Arm(name, together)
        for name, served in groups
        for together in ([tuple(served)] if flag == "adapter" else [(one,) for one in served])
    ]


def _by_name(words: Sequence[Word], taken: Sequence[str]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for name, path in words:
        if name in taken:
            raise ConfigError(f'two variants are called "{name}"; give each a name of its own')
        if name is not None:
            named.setdefault(name, []).append(path)
    return named


def _declared(name: str, paths: Sequence[str], flag: Flag) -> list[_Group]:
    """Folders of one name: seeds, unless they are checkpoints of one training."""
    refuse_twice(paths, flag, f' for "{name}"')
    runs = _runs(paths)
    if len(paths) > 1 and len(runs) == 1 and None not in runs:
        return [_run(name, paths)]
    together = next((own for run, own in runs.items() if run and len(own) > 1), None)
    if together:
        raise ConfigError(
            f'"{name}": "{together[0]}" and "{together[1]}" are checkpoints of one training, not '
            f"training seeds.\nGive each training a name of its own: --{flag} NAME='DIR/checkpoint-*'"
        )
    if flag == "full":
        return [_Group(name, (path,)) for path in paths]
    return [_Group(name, tuple(paths))]


def _found(paths: Sequence[str], flag: Flag) -> list[_Group]:
    """Unnamed folders: checkpoints by their places, seeds where the training records show them."""
    refuse_twice(paths, flag)
    groups: dict[object, list[str]] = {}
    for path in paths:
        settings = _settings(path) if flag == "adapter" else None
        place = checkpoint_of(path)
        shares_run = place and sum(_run_of(other) == place.run for other in paths) > 1
        if shares_run and place:
            key: object = ("run", place.run, settings)
        else:
            recipe = read_record(path).recipe if flag == "adapter" else None
            key = ("recipe", recipe, settings) if recipe else path
        groups.setdefault(key, []).append(path)
    found = []
    for key, own in groups.items():
        if len(own) > 1 and isinstance(key, tuple) and key[0] == "run":
            found.append(_run(None, own))
        elif len({read_record(path).seed for path in own}) == len(own):
            found.append(_Group(None, tuple(own)))
        else:
            found += [_Group(None, (path,)) for path in own]
    return found


def _settings(path: str) -> str | None:
    folder = look_into(path, "adapter")
    if not folder.has_adapter:
        raise VariantError(not_an_adapter(path, folder))
    return folder.recipe


def _run_of(path: str) -> Path | None:
    place = checkpoint_of(path)
    return place.run if place else None


def _runs(paths: Sequence[str]) -> Mapping[Path | None, list[str]]:
    runs: dict[Path | None, list[str]] = {}
    for path in paths:
        runs.setdefault(_run_of(path), []).append(path)
    return runs


def _run(name: str | None, paths: Sequence[str]) -> _Group:
    """Checkpoints in order of their steps."""
    pairs = [(place, path) for path in paths if (place := checkpoint_of(path))]
    pairs.sort(key=lambda pair: pair[0].number)
    return _Group(name, tuple(path for _, path in pairs), tuple(place for place, _ in pairs))


def _arms(group: _Group, names: Mapping[_Group, str], *, is_short: bool) -> list[Arm]:
    """A checkpoint is called by its folder, and by its training's name where that could be another."""
    name = group.name or names[group]
    if not group.places:
        return [Arm(name, group.paths)]
    before = "" if is_short and group.name is None else f"{name}/"
    return [
        Arm(f"{before}{place.name}", (path,), training_run=name, step=place.number)
        for path, place in zip(group.paths, group.places, strict=True)
    ]


def _default(flag: Flag) -> str:
    return "lora" if flag == "adapter" else "full"


def _arm_names(groups: Sequence[_Group], flag: Flag, taken: set[str]) -> dict[_Group, str]:
    """The flag's usual name for a single arm, else those of the folders."""
    free = [group for group in groups if group.name is None and not group.places]
    titles = [str(group.title) for group in free]
    return dict(zip(free, distinct_names(titles, default=_default(flag), taken=taken), strict=True))


def _run_names(groups: Sequence[_Group], taken: set[str]) -> dict[_Group, str]:
    """A training is called by its folder, and may share that name with the arm of its final weights."""
    free = [group for group in groups if group.name is None and group.places]
    default = free[0].title.name if free else ""
    titles = [str(group.title) for group in free]
    return dict(zip(free, distinct_names(titles, default=default, taken=taken), strict=True))


def remarks(variants: Sequence[Variant], folders: Mapping[str, ModelFolder]) -> list[str]:
    """What to say of adapters that could be taken for seeds, of checkpoints, and of copies."""
    adapters = {
        one.name: folders[one.name] for one in variants if one.adapter if one.name in folders
    }
    alone = [
        one
        for one in variants
        if one.name in adapters and not one.recipe and one.step is None and _has_folders_name(one)
    ]
    alike: dict[str | None, list[Variant]] = {}
    for one in alone:
        alike.setdefault(adapters[one.name].recipe, []).append(one)
    return [
        *(_about_run(run, own) for run, own in training_runs(variants).items()),
        *(_about_alike(own) for own in alike.values() if len(own) > 1),
        *_about_copies(adapters),
    ]


def _has_folders_name(one: Variant) -> bool:
    """Whoever gave it another name has said what it is."""
    return str(Path(str(one.adapter)).resolve()).endswith(f"/{one.name}")


def training_runs(variants: Sequence[Variant]) -> dict[str, list[Variant]]:
    """The checkpoints of each training, in order of their steps."""
    runs: dict[str, list[Variant]] = {}
    for one in variants:
        if one.training_run is not None:
            runs.setdefault(one.training_run, []).append(one)
    return {run: sorted(own, key=lambda one: one.step or 0) for run, own in runs.items()}


def _about_run(run: str, own: Sequence[Variant]) -> str:
    steps = ", ".join(str(one.step) for one in own)
    return f"{run}: {len(own)} checkpoints of one training ({steps}), no training seeds"


def _about_alike(own: Sequence[Variant]) -> str:
    """Equal settings of the adapters are no proof, but they are a hint worth an answer."""
    names = ", ".join(one.name for one in own)
    words = " ".join(f"--adapter NAME={shlex.quote(str(one.adapter))}" for one in own)
    return (
        f"{names} have equal PEFT settings and are {len(own)} arms: nothing in their folders shows that "
        f"they differ in the training seed alone. If they do, give them one name: {words}"
    )


def _about_copies(adapters: Mapping[str, ModelFolder]) -> list[str]:
    """Adapters with the same tensors: whatever they are called, they are one."""
    sizes = {
        name: tuple(file.stat().st_size for file in folder.adapter_weight_files)
        for name, folder in adapters.items()
    }
    counts = Counter(sizes.values())
    same: dict[str, list[str]] = {}
    for name in (name for name, size in sizes.items() if counts[size] > 1):
        files = adapters[name].adapter_weight_files
        same.setdefault(fingerprint.of_files(files), []).append(name)
    return [
        f"{' and '.join(names)} hold the same tensors: copies of one adapter, identical in every answer"
        for names in same.values()
        if len(names) > 1
    ]


def refuse_twice(paths: Sequence[str], flag: str, where: str = "") -> None:
    """Raise ConfigError if two of the paths are one place."""
    places = [Path(path).resolve() for path in paths]
    twice = [path for n, path in enumerate(paths) if places[n] in places[:n]]
    if twice:
        raise ConfigError(f'--{flag} "{twice[0]}" is given twice{where}.')


def distinct_names(paths: Sequence[str], *, default: str, taken: set[str]) -> list[str]:
    """One name a path: the default if there is only one, else the shortest tail that tells apart."""
    if len(paths) == 1 and default not in taken:
        return [default]
    for depth in (1, 2, 3):
        names = ["/".join(Path(path).resolve().parts[-depth:]) for path in paths]
        if len(set(names)) == len(names) and not set(names) & taken:
            return names
    return [f"{default}-{number}" for number, _ in enumerate(paths, start=1)]
