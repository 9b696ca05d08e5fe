"""``tuneval paraphrase``: test cases in other words, to be looked through before a run reads them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tuneval.cli.options import to_number

if TYPE_CHECKING:
    from tuneval.pipeline.paraphrasing import Written


def paraphrase(
    data: Annotated[str, typer.Argument(metavar="DATA", help="test cases")],
    with_: Annotated[
        str,
        typer.Option(
            "--with", metavar="MODEL|openai:NAME", help="who writes: folder, hub id, server"
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="where the paraphrases go (.jsonl)"),
    ],
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenAI-compatible server of openai:NAME")
    ] = None,
    per_case: Annotated[int, typer.Option(metavar="N", help="paraphrases to try per case")] = 1,
    task: Annotated[
        str, typer.Option(metavar="auto|NAME", help="see: tuneval list tasks")
    ] = "auto",
    input: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column with the input")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column with what is expected")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="N", help="that many cases (0.1: that share)")
    ] = None,
    sampling_seed: Annotated[int, typer.Option(metavar="N", help="of --per-case above 1")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace FILE if it is there")
    ] = False,
    device: Annotated[str, typer.Option(metavar="auto|NAME", help="cpu, mps, cuda, ...")] = "auto",
    dtype: Annotated[
        str, typer.Option(metavar="auto|NAME", help="float32, bfloat16, ...")
    ] = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="never ask the hub")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> int:
    """tuneval paraphrase test.jsonl --with Qwen/Qwen3-0.6B -o paraphrases.jsonl

    Write the test cases in other words, for --perturb paraphrase:FILE.
    What loses a number, a negation or the sense is left out and counted;
    look the rest through. A served model: --with openai:NAME --url URL.
    The same command continues after a stop.
    """
    from tuneval.api.progress import progress_for
    from tuneval.pipeline import paraphrasing

    given = {"device": device, "dtype": dtype, "offline": offline}
    options = {key: one for key, one in given.items() if one not in ("auto", False)}
    written = paraphrasing.paraphrase(
        data,
        output,
        paraphrasing.Writer(with_, url, options),
        n_per_case=per_case,
        sampling_seed=sampling_seed,
        overwrite=overwrite,
        progress=progress_for(quiet=quiet),
        task=task,
        columns={k: v for k, v in (("input", input), ("reference", reference)) if v is not None},
        limit=to_number(limit),
    )
    for line in summary(written):
        print(line, file=sys.stderr)
    print(output)
    return 0


def summary(written: Written) -> list[str]:
    """What came of it, for stderr."""
    lines = [
        f"{len(written.accepted)} paraphrases of {written.n_covered} of {written.n_cases} cases; "
        f"{len(written.rejected)} rejected"
    ]
    lines += [f"    {n:6,d}  {why}" for why, n in written.counts.items()]
    if written.n_without_text:
        lines.append(f"{written.n_without_text} cases have no text to paraphrase")
    return [*lines, "Look them through before a run reads them."]
