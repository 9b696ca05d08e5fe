"""``tuneval run``: a run.yaml, as written by hand or by an earlier compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuneval.cli.compare import show_inferred, show_notes, walk
from tuneval.cli.ending import FailOn, fail_on_words

if TYPE_CHECKING:
    from tuneval.plan.spec import RunSpec


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
    shard: Annotated[
        str | None, typer.Option(help="answer that share of the questions only", metavar="K/N")
    ] = None,
) -> int:
    """tuneval run run.yaml statistics.resamples=2000

    Run a run.yaml; the same command continues after a stop. With --shard K/N,
    machines that share TUNEVAL_HOME each answer a part; without it, all are joined.
    """
    from pathlib import Path

    from tuneval.plan.spec import RunSpec

    path = Path(spec) / "run.yaml" if Path(spec).is_dir() else Path(spec)
    described = RunSpec.from_yaml(path, overrides or ())
    if words := fail_on_words(fail_on):
        output = described.output.model_copy(update={"fail_on": words})
        described = described.model_copy(update={"output": output})
    if shard is not None:
        return _answer_shard(described, shard, quiet=quiet)
    return walk(described, as_json=json, quiet=quiet)


def _answer_shard(described: RunSpec, words: str, *, quiet: bool) -> int:
    from tuneval.api.progress import progress_for
    from tuneval.pipeline.sharding import Shard, answer_shard

    shard = Shard.of(words)
    found = answer_shard(
        described,
        shard,
        progress=progress_for(quiet=quiet),
        announce=None if quiet else show_inferred,
    )
    show_notes(found.warnings)
    print(
        f"shard {shard}: {found.n_own:,} of {found.n_questions:,} questions, "
        f"{found.n_own - found.n_known:,} asked now, {found.n_known:,} known before\n"
        f"answers: {found.answers}\n"
        "When all shards are through, the same words without --shard join them."
    )
    if found.n_failed:
        print(f"{found.n_failed:,} questions got no usable answer: the plain run asks them again.")
    return 1 if found.n_failed else 0
