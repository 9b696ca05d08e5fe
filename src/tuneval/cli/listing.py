"""``tuneval list``: what there is to choose from, a line each."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated

import typer

ROOMS = ("metrics", "tasks", "perturbations", "backends", "reports")

COLUMN = 21


def list_(
    room: Annotated[str, typer.Argument(metavar="|".join(ROOMS), help="what to list")],
) -> int:
    """tuneval list metrics

    List metrics, tasks, perturbations, backends or reports.
    """
    from tuneval import registry
    from tuneval.engine import BACKENDS
    from tuneval.errors import ConfigError
    from tuneval.metrics import FAMILIES, METRICS, describe
    from tuneval.perturbations import PERTURBATIONS
    from tuneval.report import REPORTS
    from tuneval.tasks import TASKS

    if room == "metrics":
        for name in registry.names(METRICS, room="metrics"):
            one = describe(name)
            _print_row(name, one.summary)
            facts = [
                "higher is better" if one.higher_is_better else "lower is better",
                one.unit,
                f"needs {', '.join(one.needs)}",
                *([f"as {one.reference}"] if one.reference else []),
            ]
            _print_row("", "; ".join(facts))
        families = ", ".join(f"{name} = {' '.join(of)}" for name, of in FAMILIES.items())
        print("\n" + "\n".join(textwrap.wrap(f"families: {families}", 80)))
        return 0
    tables = {
        "tasks": TASKS,
        "perturbations": PERTURBATIONS,
        "backends": BACKENDS,
        "reports": REPORTS,
    }
    if room not in tables:
        raise ConfigError(f"list: {registry.unknown(room, ROOMS)}")
    for name in registry.names(tables[room], room=room):
        thing = registry.load(tables[room], name, room=room)
        _print_row(name, inspect.getdoc(thing) or inspect.getdoc(inspect.getmodule(thing)) or "")
    return 0


def _print_row(name: str, text: str) -> None:
    """A name and its first paragraph, wrapped to 80 columns."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    first, *rest = textwrap.wrap(paragraph, 80 - COLUMN) or [""]
    print(f"{name:<{COLUMN - 1}} {first}".rstrip())
    for line in rest:
        print(" " * COLUMN + line)
