"""``tuneval history``: one metric over the runs of a folder; no model, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuneval.cli.terminal import width

if TYPE_CHECKING:
    from tuneval.runs.history import Point


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
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="chart to write (.svg)", metavar="FILE")
    ] = None,
) -> int:
    """tuneval history --metric f1_macro --arm lora

    A metric over the runs of a folder, with its intervals, as a table and a chart.
    """
    from tuneval.report.escape import terminal
    from tuneval.runs.history import history as collect
    from tuneval.runs.history import lines

    points = collect(Path(place), metric=metric, arms=arm or (), case_set=case_set)
    for line in lines(points, columns=width()):
        print(terminal(line))
    if output:
        write_chart(Path(output), points)
        print(output)
    return 0


def write_chart(path: Path, points: Sequence[Point]) -> None:
    """Write the chart as SVG. Raises ConfigError where the file is to be another kind."""
    from tuneval.errors import ConfigError
    from tuneval.report.files import replace_file
    from tuneval.runs.history_chart import render

    if path.suffix != ".svg":
        raise ConfigError(f'"{path}": the chart of a history is an SVG file. Give a name in .svg.')
    replace_file(path, render(points))
