"""``tuneval history``: one metric over the runs of a folder; no model, no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.terminal import width


def history(
    place: Annotated[str, typer.Argument(metavar="[DIR]", help="folder of runs")] = "tuneval-runs",
    metric: Annotated[
        str | None, typer.Option(help="(the primary one of the last run)", metavar="NAME")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="those arms alone; repeatable", metavar="NAME")
    ] = None,
    case_set: Annotated[
        str | None, typer.Option(help="(the first of the last run)", metavar="NAME")
    ] = None,
) -> int:
    """tuneval history --metric f1_macro --arm lora

    A metric over the runs of a folder, with its intervals, as a table and a chart.
    """
    from pathlib import Path

    from tuneval.report.escape import terminal
    from tuneval.runs.history import history as collect
    from tuneval.runs.history import lines

    points = collect(Path(place), metric=metric, arms=arm or (), case_set=case_set)
    for line in lines(points, columns=width()):
        print(terminal(line))
    return 0
