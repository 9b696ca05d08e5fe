"""Turn a name from a room's table into the thing it names, importing it only then.

Holds no list of names: each room owns its table, and other packages join through the entry-point
group ``tuneval.<room>``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tuneval.errors import ConfigError


def load(table: Mapping[str, str], name: str, *, room: str) -> Any:
    """Import what ``name`` stands for.

    Parameters
    ----------
    table : mapping
        Name -> ``"module:attribute"``.
    room : str
        Name of the room for messages and for the entry-point group, e.g. "metrics".

    Raises
    ------
    ConfigError
        No such name here or in an installed package; the nearest names are offered.
    """
    target = table.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=f"tuneval.{room}"):
        if point.name == name:
            return point.load()
    raise ConfigError(f"{room}: {unknown(name, names(table, room=room))}")


def names(table: Mapping[str, str], *, room: str) -> list[str]:
    """All names of a room, those of other installed packages included, sorted."""
    return sorted({*table, *(point.name for point in entry_points(group=f"tuneval.{room}"))})


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is not known, and offer the nearest known names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'there is no "{name}" (did you mean "{near[0]}"?)'
    return f'there is no "{name}" (known: {", ".join(known) or "none"})'
