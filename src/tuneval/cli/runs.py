"""``tuneval runs``: what lies in a folder of runs; no model, no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.terminal import fitted


def runs(
    place: Annotated[str, typer.Argument(metavar="[DIR]", help="folder of runs")] = "tuneval-runs",
) -> int:
    """tuneval runs

    List runs, the last one at the end: date, arms, primary metric, verdict.
    """
    from pathlib import Path

    from tuneval.report.escape import terminal
    from tuneval.runs.shelf import entries

    for one in entries(Path(place)):
        print(terminal("  ".join(part for part in (one.name, one.created) if part)))
        details = [", ".join(one.arms), one.score, one.headline]
        if any(details):
            line = f"    {'; '.join(part for part in details if part)}"
            print(fitted(terminal(line), hang=6))
        if one.state != "complete":
            print(fitted(terminal(f"    {one.state}"), hang=6))
    return 0
