"""Models that are given as objects, in ``models`` or wherever a folder may stand.

Not for: loading or proving them, which is the engine's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneval.errors import ConfigError

IN_MEMORY = "in memory"
"""Stands in a spec for the folder of a model that has none."""
BASE = "base"


@dataclass(slots=True)
class Arms:
    """What is compared: words for what lies on disk, objects by the name of their arm."""

    base: str | None
    adapters: Any
    full: Any
    objects: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> dict[str, str]:
        """Arm -> folder or hub id of an object that is not the base, as far as it knows its own."""
        return {name: place_of(one) for name, one in self.objects.items() if name != BASE}


def parted(base: Any, adapters: Any, full: Any, models: Mapping[str, Any] | None) -> Arms:
    """Tell objects from words; a PEFT model brings its own base, which is the same with adapters off.

    Raises
    ------
    ConfigError
        There are models in memory and none of them can be the base.
    """
    if isinstance(base, os.PathLike):
        base = str(base)
    arms = Arms(base, adapters, full, dict(models or {}))
    for name, given in (("lora", adapters), ("full", full)):
        kept, objects = _without_objects(given, name)
        arms.objects |= objects
        if name == "lora":
            arms.adapters = kept
        else:
            arms.full = kept
    if is_object(base):
        arms.objects[BASE] = base
    if BASE in arms.objects:
        arms.base = place_of(arms.objects[BASE])
    elif arms.objects and base is None and not (arms.adapters or arms.full):
        wrapped = next((one for one in arms.objects.values() if _is_peft(one)), None)
        if wrapped is None:
            names = ", ".join(f'"{name}"' for name in arms.objects)
            raise ConfigError(
                f"models in memory ({names}): which one is the base? Give it the name "
                f'"{BASE}", or a folder or hub id as the first argument.'
            )
        arms.objects = {BASE: wrapped, **arms.objects}
        arms.base = place_of(wrapped)
    return arms


def is_object(given: Any) -> bool:
    """Whether this is a model, or a model and its tokenizer, and no word."""
    model = _model_of(given)
    return hasattr(model, "named_parameters")


def place_of(given: Any) -> str:
    """Where a model says that it came from, if that is here; its tokenizer may lie there."""
    named = getattr(_model_of(given), "name_or_path", None)
    return str(named) if named and Path(str(named)).is_dir() else IN_MEMORY


def _without_objects(given: Any, usual: str) -> tuple[Any, dict[str, Any]]:
    if is_object(given):
        return (), {usual: given}
    if isinstance(given, Mapping):
        objects = {name: one for name, one in given.items() if is_object(one)}
        return {name: one for name, one in given.items() if name not in objects}, objects
    if isinstance(given, str | os.PathLike) or not isinstance(given, Sequence):
        return given, {}
    found = [one for one in given if is_object(one)]
    names = [usual] if len(found) == 1 else [f"{usual}-{n}" for n in range(1, len(found) + 1)]
    return [one for one in given if not is_object(one)], dict(zip(names, found, strict=True))


def _model_of(given: Any) -> Any:
    return given[0] if isinstance(given, tuple) and given else given


def _is_peft(given: Any) -> bool:
    return hasattr(_model_of(given), "peft_config")
