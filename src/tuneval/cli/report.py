"""``tuneval report``: render a finished run again; no model, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run folder or its result.json")],
    to: Annotated[
        str, typer.Option(help="html, md, csv, json, or console", metavar="KIND")
    ] = "console",
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="file to write", metavar="FILE")
    ] = None,
) -> int:
    """tuneval report tuneval-runs/test-3f9c21 --to html -o report.html

    Render a finished run again, without a model.
    """
    from tuneval import registry
    from tuneval.api import RunResult
    from tuneval.report import REPORTS

    result = RunResult.load(run)
    if to == "console":
        print(result)
        return 0
    if output is None:
        print(registry.load(REPORTS, to, room="report")(result))
        return 0
    print(result.save_report(Path(output), kind=to))
    return 0
