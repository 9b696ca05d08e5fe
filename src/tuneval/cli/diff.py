"""``tuneval diff``: two finished runs on the cases that both have; no model, no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.ending import FailOn
from tuneval.cli.terminal import fitted, width

MOST_CHANGES = 12


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="the earlier run's folder")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="the later run's folder")],
    arm: Annotated[
        list[str] | None,
        typer.Option(help="that arm alone; twice: A's and B's", metavar="NAME"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="report to write: .html, .md, ...", metavar="FILE"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
    fail_on: FailOn = None,
) -> int:
    """tuneval diff tuneval-runs/monday tuneval-runs/friday -o diff.html

    What changed between two runs, and did it become better? Each arm is held
    against itself on the cases that both have, by content and not by line.
    """
    from pathlib import Path

    from tuneval.api import RunResult
    from tuneval.cli.compare import show
    from tuneval.cli.ending import ending, fail_on_words
    from tuneval.report.escape import fit, terminal
    from tuneval.runs.diff import diff as lay_side_by_side
    from tuneval.runs.gate import hold

    words = fail_on_words(fail_on)
    found = lay_side_by_side(RunResult.load(first), RunResult.load(second), arm or ())
    result = RunResult.of(hold(found, (), words))
    if not json:
        changed = result.findings[0]
        print(fitted(terminal(changed.sentence)))
        for area, what, before, after in changed.rows[:MOST_CHANGES]:
            print(fit(terminal(f"  {area}  {what}: {before} -> {after}"), width()))
        if len(changed.rows) > MOST_CHANGES:
            print(f"  and {len(changed.rows) - MOST_CHANGES} more in the report")
        print()
    show(result, as_json=json)
    if output:
        print(result.save_report(Path(output)))
    return ending(result)
