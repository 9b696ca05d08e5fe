"""``tuneval report``: render a finished run again; no model, no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tuneval.cli.compare import show
from tuneval.cli.ending import FailOn


def report(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="a run folder or its result.json (the last run)"),
    ] = None,
    to: Annotated[
        str, typer.Option(help="html, md, csv, json, junit, model-card, console", metavar="KIND")
    ] = "console",
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="file to write", metavar="FILE")
    ] = None,
    track: Annotated[
        str,
        typer.Option(help="send it to mlflow, wandb, trackio, tensorboard", metavar="TRACKER,.."),
    ] = "",
    marks: Annotated[
        str | None,
        typer.Option(help="judgements saved by the HTML report's page", metavar="FILE"),
    ] = None,
    to_mark: Annotated[
        int | None,
        typer.Option(
            "--to-mark",
            help="write the first N cases of the random order, for a person to mark",
            metavar="N",
            min=1,
        ),
    ] = None,
    fail_on: FailOn = None,
) -> int:
    """tuneval report tuneval-runs/test-3f9c21 --to html -o report.html

    Render a finished run again, without a model; without RUN the last one of
    ./tuneval-runs. A judge's win rate as people would see it: --to-mark 100
    writes the cases to mark, --marks FILE reads them back.
    """
    from tuneval import registry
    from tuneval.api import RunResult
    from tuneval.cli.ending import ending, fail_on_words
    from tuneval.cli.terminal import fitted
    from tuneval.publish import PUBLISHED
    from tuneval.publish.write import write
    from tuneval.report import REPORTS
    from tuneval.report.escape import terminal
    from tuneval.runs.correction import corrections
    from tuneval.runs.gate import gates_of, hold
    from tuneval.runs.marks import read_marks, with_cases_to_mark, with_marks, write_to_mark
    from tuneval.runs.shelf import RUNS, last_run
    from tuneval.trackers.send import check, send

    place = Path(run or last_run(Path(RUNS)))
    folder = place if place.is_dir() else place.parent
    result = RunResult.load(place)
    result = RunResult.of(replace(result, output_dir=str(folder)))
    given = [] if marks is None else read_marks(Path(marks), result)
    if to_mark is not None and to == "html":
        result = RunResult.of(with_cases_to_mark(result, to_mark))
    elif to_mark is not None:
        print(write_to_mark(result, to_mark, given, Path(output or folder / "to_mark.jsonl")))
        return 0
    if marks is not None:
        result = RunResult.of(with_marks(result, given))
    words = fail_on_words(fail_on)
    if words:
        result = RunResult.of(hold(result, gates_of(result), words))
    trackers = [one.strip() for one in track.split(",") if one.strip()]
    check(trackers)
    for line in send(result, trackers):
        print(line)
    if trackers and to == "console":
        return ending(result) if words else 0
    if to in PUBLISHED:
        for path in write(to, result, Path(output or folder / to)):
            print(path)
    elif to == "console":
        show(result, as_json=False)
        for line in corrections(result) if given else ():
            print(fitted(terminal(line), hang=2))
    elif output is None:
        print(registry.load(REPORTS, to, room="report")(result))
    else:
        print(result.save_report(Path(output), kind=to))
    return ending(result) if words else 0
