"""``tuneval gate``: a finished run held to conditions; no model, no torch."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.ending import FailOn
from tuneval.cli.terminal import fitted


def gate(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="a run folder or its result.json (the last run)"),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONDITION]...", help='e.g. "accuracy >= 0.90" (gates: of run.yaml)'
        ),
    ] = None,
    fail_on: FailOn = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="report to write: .xml (JUnit), .md", metavar="FILE"),
    ] = None,
) -> int:
    """tuneval gate tuneval-runs/latest "accuracy >= 0.90" "gap_to_full <= 5"

    Hold a finished run to conditions: exit 0 holds, 1 fails, 4 cannot tell.
    A condition on a number is decided by its interval (docs/ci.md):
    METRIC, gap_to_full or slice:NAME with >= > <= < and a number or "base - 2";
    brittle, overfit, forgot, invalid or warnings with none. METRIC@NAME: of
    that arm or case set alone.
    """
    from pathlib import Path

    from tuneval.api import RunResult
    from tuneval.cli.ending import ending, fail_on_words
    from tuneval.errors import ConfigError
    from tuneval.report.escape import terminal
    from tuneval.runs.gate import gates_of, hold
    from tuneval.runs.shelf import RUNS, last_run

    result = RunResult.load(run or last_run(Path(RUNS)))
    words = fail_on_words(fail_on)
    asked = conditions or gates_of(result)
    if not asked and not words:
        raise ConfigError(
            'nothing to hold the run to: give conditions such as "accuracy >= 0.90", --fail-on '
            "worse, or gates: in its run.yaml."
        )
    result = RunResult.of(hold(result, asked, words))
    for one in result.gates:
        print(terminal(f"{one.outcome:<12} {one.name}"))
        print(fitted(f"{'':<12} {terminal(one.sentence)}", hang=13))
    if not result.is_complete:
        print(f"{'failed':<12} units are missing: the run is incomplete")
    if output:
        print(result.save_report(Path(output)))
    return ending(result)
