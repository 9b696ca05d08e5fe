"""``tuneval run``: a run.yaml, as written by hand or by an earlier compare."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.compare import walk
from tuneval.cli.ending import FailOn, fail_on_words


def run(
    spec: Annotated[
        str, typer.Argument(metavar="run.yaml", help="description of the run, or a run's folder")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="e.g. statistics.resamples=2000"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
    fail_on: FailOn = None,
) -> int:
    """tuneval run run.yaml statistics.resamples=2000

    Run a run.yaml; the same command continues after a stop.
    """
    from pathlib import Path

    from tuneval.plan.spec import RunSpec

    path = Path(spec) / "run.yaml" if Path(spec).is_dir() else Path(spec)
    described = RunSpec.from_yaml(path, overrides or ())
    if words := fail_on_words(fail_on):
        output = described.output.model_copy(update={"fail_on": words})
        described = described.model_copy(update={"output": output})
    return walk(described, as_json=json, quiet=quiet)
