"""``tuneval compare``: everything inferred and shown, then one run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuneval.cli import terminal
from tuneval.cli.ending import ending
from tuneval.cli.options import OUTPUT, takes_comparison, to_options

if TYPE_CHECKING:
    from tuneval.api import RunResult
    from tuneval.plan.resolve import Plan
    from tuneval.plan.spec import RunSpec
    from tuneval.types import VariantFacts


@takes_comparison
def compare(
    words: dict[str, Any],
    json: Annotated[
        bool, typer.Option("--json", help="print the result as JSON", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="no progress", rich_help_panel=OUTPUT)
    ] = False,
) -> int:
    """tuneval compare --adapter out/lora --full out/full --data test.jsonl

    Compare a base model, adapters and full fine-tunes on the same cases. What is
    left out is inferred, shown, kept in run.yaml; the same words resume a stop.
    """
    from tuneval.plan.words import describe_run

    return walk(describe_run(**to_options(words)), as_json=json, quiet=quiet)


def walk(spec: RunSpec, *, as_json: bool, quiet: bool) -> int:
    """Run a spec, show its result, and say how it ended as an exit code."""
    from tuneval.api import run
    from tuneval.api.progress import progress_for

    result = run(
        spec, progress=progress_for(quiet=quiet), announce=None if quiet else show_inferred
    )
    # What stands on the same screen already is not said twice.
    was_announced = not quiet and sys.stderr.isatty() and sys.stdout.isatty()
    show(result, as_json=as_json, preface=not was_announced)
    return ending(result)


def show(result: RunResult, *, as_json: bool, preface: bool = True) -> None:
    """Print the summary (or one JSON object) to stdout."""
    if as_json:
        from tuneval.report.results_json import render

        print(render(result))
    else:
        from tuneval.report.console import render as render_summary

        summary = render_summary(
            result, width=terminal.width(), color=terminal.has_colours(), preface=preface
        )
        print(summary, end="")


def show_inferred(plan: Plan, facts: Mapping[str, VariantFacts] | None, folder: Path) -> None:
    """Say on stderr what was inferred before any model is loaded, and then what was found."""
    from tuneval.cli.inferred import lines_about, lines_about_facts
    from tuneval.report.escape import terminal as escaped

    if facts is None:
        n = len(plan.variants)
        lines = [*lines_about(plan), f"loading and proving {n} variant{'s' * (n > 1)} ..."]
    else:
        lines = lines_about_facts(plan, facts, folder)
    for line in lines:
        print(terminal.fitted(escaped(line), hang=10), file=sys.stderr, flush=True)


def show_notes(notes: Sequence[str]) -> None:
    """Say on stderr how files of outputs were read."""
    from tuneval.report.escape import terminal as escaped

    for note in notes:
        print(terminal.fitted(escaped(f"  note    {note}"), hang=10), file=sys.stderr, flush=True)
