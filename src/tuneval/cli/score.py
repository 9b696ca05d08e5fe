"""``tuneval score``: metrics over outputs that exist already; no model."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from tuneval.cli.ending import FailOn

CODE = "code"
LOGS = "logs of other tools"
MANY_RECORDS = 200_000


def score(
    references: Annotated[
        str | None, typer.Option(help="what was expected", metavar="FILE[:COL]")
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(help="outputs of a system; repeatable", metavar="[NAME=]FILE[:COL]"),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="what was asked; with --judge", metavar="FILE[:COL]"),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="who compares the outputs; repeatable", metavar="MODEL|openai:NAME"),
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server of the judge", metavar="URL")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="instead of --references", metavar="NAME[:SUBSET]"),
    ] = None,
    benchmark_data: Annotated[
        str | None, typer.Option(help="where benchmarks lie, instead of the hub", metavar="DIR")
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="the first decides; see: tuneval list metrics", metavar="auto|A,B")
    ] = "auto",
    task: Annotated[
        str, typer.Option(help="classify, generate or code", metavar="auto|NAME")
    ] = "auto",
    baseline: Annotated[
        str | None, typer.Option(help="whom the others are held against", metavar="NAME")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="columns A or A+B for subgroups; repeatable", metavar="COLUMN"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="cases that share its value count together", metavar="COLUMN"),
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="column that joins the files", metavar="COLUMN")
    ] = None,
    thinking: Annotated[
        str, typer.Option(help="blocks such as <think>...</think>", metavar="cut|keep")
    ] = "cut",
    train_data: Annotated[
        str | None, typer.Option(help="training file: are cases of it tested?", metavar="FILE")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="model folder of BERTScore or BLEURT", metavar="DIR")
    ] = None,
    logs: Annotated[
        list[str] | None,
        typer.Option(
            help="lm-eval, Inspect, promptfoo, ...; repeatable",
            metavar="[NAME=]PLACE",
            rich_help_panel=LOGS,
        ),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(
            help="of any table: the number of each item", metavar="COLUMN", rich_help_panel=LOGS
        ),
    ] = None,
    lower_is_better: Annotated[
        bool,
        typer.Option("--lower-is-better", help="of the logs' values", rich_help_panel=LOGS),
    ] = False,
    problems: Annotated[
        str | None,
        typer.Option(help="HumanEval or MBPP file", metavar="FILE", rich_help_panel=CODE),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option(
            help="task_id and completion; repeatable", metavar="[NAME=]FILE", rich_help_panel=CODE
        ),
    ] = None,
    k: Annotated[
        str, typer.Option(help="pass@k; the first decides", metavar="A,B", rich_help_panel=CODE)
    ] = "1",
    sandbox: Annotated[
        str,
        typer.Option(
            help="bwrap, container, landlock, ...", metavar="auto|NAME", rich_help_panel=CODE
        ),
    ] = "auto",
    sandbox_image: Annotated[
        str | None, typer.Option(help="for container", metavar="IMAGE", rich_help_panel=CODE)
    ] = None,
    allow_unsandboxed_code: Annotated[
        bool,
        typer.Option(
            "--allow-unsandboxed-code",
            help="with --sandbox none: run it with your rights",
            rich_help_panel=CODE,
        ),
    ] = False,
    output_dir: Annotated[
        str, typer.Option("--output-dir", help="where run folders go", metavar="DIR")
    ] = "tuneval-runs",
    name: Annotated[str | None, typer.Option(help="name of the run", metavar="TEXT")] = None,
    report: Annotated[
        str, typer.Option(help="html, md, csv beside result.json", metavar="KIND,..")
    ] = "html",
    track: Annotated[
        str, typer.Option(help="mlflow, wandb, trackio, tensorboard", metavar="TRACKER,..")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
    fail_on: FailOn = None,
) -> int:
    """tuneval score --references refs.jsonl --predictions base=base.jsonl \\
        --predictions lora=lora.jsonl --metrics rouge,bleu

    Score and compare outputs that exist already; no model is run.
    Files: JSON Lines, CSV, TSV (a column each), plain text (a line each), or
    one JSON object id -> text. Several references per case may be a list.
    No references: --judge MODEL compares the outputs of --prompts FILE.
    Code: --task code --problems HumanEval.jsonl.gz --samples samples.jsonl
    Published: --benchmark squad:v2 --predictions bert.json
    Values that another tool found: --logs base=out/base --logs lora=out/lora
    """
    from tuneval.api import RunResult
    from tuneval.api.progress import progress_for
    from tuneval.bridges.logs import Wanted
    from tuneval.bridges.logs.join import Asked
    from tuneval.cli.compare import show, show_notes
    from tuneval.cli.ending import ending, fail_on_words
    from tuneval.cli.options import judges_of
    from tuneval.pipeline.score_code import Problems, Walls, score_code
    from tuneval.pipeline.score_logs import score_logs
    from tuneval.pipeline.score_outputs import Expected
    from tuneval.pipeline.score_outputs import score as score_outputs
    from tuneval.plan.spec import MetricsSpec, OutputSpec
    from tuneval.tasks.thinking import one_of_thinking

    # Ten thousands of records hold no cycles: to look for some after each few is a sixth of the time.
    gc.set_threshold(MANY_RECORDS)
    output = OutputSpec.model_validate(
        {
            "dir": output_dir,
            "reports": _listed(report),
            "track": _listed(track),
            "fail_on": fail_on_words(fail_on),
        }
    )
    _refuse_mixtures(logs, value, [references, predictions, benchmark, problems, samples, judge])
    if logs:
        result = score_logs(
            logs,
            Wanted(value=value, id=id),
            Asked(
                tuple(group or ()),
                cluster,
                () if metrics == "auto" else tuple(_listed(metrics)),
                False if lower_is_better else None,
            ),
            baseline=baseline,
            name=name,
            output=output,
            progress=progress_for(quiet=quiet),
            announce=None if quiet else show_notes,
        )
    elif task == "code" or (benchmark is not None and samples):
        result = score_code(
            Problems(problems, benchmark, benchmark_data),
            samples or [],
            k=_sizes(k),
            baseline=baseline,
            walls=Walls(sandbox, sandbox_image, allow_unsandboxed_code),
            name=name,
            output=output,
            progress=progress_for(quiet=quiet),
        )
    else:
        names = _listed(metrics)
        options = {} if encoder is None else _options(names, encoder)
        wanted = MetricsSpec() if metrics == "auto" else MetricsSpec.of(names, options)
        result = score_outputs(
            Expected(
                references,
                task,
                group or (),
                id,
                benchmark,
                benchmark_data,
                cluster=cluster,
                train_data=train_data,
                prompts=prompts,
            ),
            predictions or [],
            judges=judges_of(judge, judge_url) or (),
            metrics=wanted,
            baseline=baseline,
            thinking=one_of_thinking(thinking),
            name=name,
            output=output,
            progress=progress_for(quiet=quiet),
            announce=None if quiet else show_notes,
        )
    show(RunResult.of(result), as_json=json)
    return ending(result)


def _refuse_mixtures(logs: list[str] | None, value: str | None, others: list[object]) -> None:
    """A log brings its own cases and values: neither is it scored, nor is a column read from texts."""
    from tuneval.errors import ConfigError

    if logs and any(others):
        raise ConfigError("--logs stands alone: what was expected is settled in the logs already.")
    if value is not None and not logs:
        raise ConfigError(f'--value "{value}" is a column of logs: give --logs NAME=FILE.')


def _options(metrics: list[str], encoder: str) -> dict[str, dict[str, str]]:
    """The metrics that read texts with a model are told which."""
    options = {one: {"encoder": encoder} for one in metrics if one.startswith("bertscore")}
    return options | {one: {"checkpoint": encoder} for one in metrics if one == "bleurt"}


def _sizes(text: str) -> list[int]:
    from tuneval.errors import ConfigError

    sizes = [int(one) for one in _listed(text) if one.isdigit()]
    if not sizes or len(sizes) != len(_listed(text)):
        raise ConfigError(f'--k "{text}": give whole numbers such as 1,10,100.')
    return sizes


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
