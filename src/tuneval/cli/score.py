"""``tuneval score``: metrics over outputs that exist already; no model."""

from __future__ import annotations

from typing import Annotated

import typer


def score(
    references: Annotated[str, typer.Option(help="what was expected", metavar="FILE[:COLUMN]")],
    predictions: Annotated[
        list[str] | None,
        typer.Option(help="outputs of a system; repeatable", metavar="[NAME=]FILE[:COLUMN]"),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="the first decides; see: tuneval list metrics", metavar="auto|A,B")
    ] = "auto",
    task: Annotated[str, typer.Option(help="classify or generate", metavar="auto|NAME")] = "auto",
    baseline: Annotated[
        str | None, typer.Option(help="whom the others are held against", metavar="NAME")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="column for subgroups; repeatable", metavar="COLUMN")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="column that joins the files", metavar="COLUMN")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="model folder of BERTScore or BLEURT", metavar="DIR")
    ] = None,
    output_dir: Annotated[
        str, typer.Option("--output-dir", "-o", help="where run folders go", metavar="DIR")
    ] = "tuneval-runs",
    name: Annotated[str | None, typer.Option(help="name of the run", metavar="TEXT")] = None,
    report: Annotated[
        str, typer.Option(help="html, md, csv beside result.json", metavar="KIND,..")
    ] = "html",
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> int:
    """tuneval score --references refs.jsonl --predictions base=base.jsonl \\
        --predictions lora=lora.jsonl --metrics rougeL,bleu

    Score and compare outputs that exist already; no model is run.
    Files: JSON Lines, CSV, TSV (a column each), plain text (a line each), or
    one JSON object id -> text. Several references per case may be a list.
    """
    from tuneval.api import RunResult
    from tuneval.cli.compare import show
    from tuneval.score_outputs import score as score_outputs

    names = "auto" if metrics == "auto" else [one.strip() for one in metrics.split(",")]
    options = {}
    if encoder is not None:
        options = {one: {"encoder": encoder} for one in names if one.startswith("bert")}
        options |= {one: {"checkpoint": encoder} for one in names if one == "bleurt"}
    result = score_outputs(
        references,
        predictions or [],
        task=task,
        metrics=names,
        metric_options=options,
        baseline=baseline,
        groups=group or (),
        id_column=id,
        output_dir=output_dir,
        name=name,
        reports=[one for one in report.split(",") if one],
    )
    show(RunResult.of(result), as_json=json)
    return 0 if result.is_complete else 1
