"""``tuneval list``: what there is to choose from, a line each."""

from __future__ import annotations

from typing import Annotated

import typer

ROOMS = ("metrics", "tasks", "perturbations", "backends", "reports")


def list_(
    room: Annotated[str, typer.Argument(metavar="|".join(ROOMS), help="what to list")],
) -> int:
    """tuneval list metrics

    List metrics, tasks, perturbations, backends or reports.
    """
    from tuneval import registry
    from tuneval.engine import BACKENDS
    from tuneval.errors import ConfigError
    from tuneval.metrics import METRICS, describe
    from tuneval.perturbations import PERTURBATIONS
    from tuneval.report import REPORTS
    from tuneval.tasks import TASKS

    if room == "metrics":
        for name in registry.names(METRICS, room="metrics"):
            print(f"{name:<20} {describe(name)}")
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
        print(f"{name:<20} {(thing.__doc__ or '').strip().splitlines()[0]}")
    return 0
