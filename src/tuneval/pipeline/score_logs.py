"""Logs that other tools wrote -> our comparison and verdict on the values that stand in them; no model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tuneval.assess.assess import assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.bridges.logs import Wanted
from tuneval.bridges.logs.find import read_logs
from tuneval.bridges.logs.join import Asked, join
from tuneval.bridges.logs.texts import (
    ANSWERED,
    EXPECTED,
    ID,
    Rows,
    read_texts,
    refuse_other_texts,
)
from tuneval.comparison import Settings
from tuneval.pipeline.beyond import Scored, look
from tuneval.pipeline.folder import environment, open_named_folder, write_score
from tuneval.pipeline.score_outputs import Expected, named_files, variants_of
from tuneval.pipeline.score_outputs import score as score_outputs
from tuneval.plan.spec import MetricsSpec, OutputSpec
from tuneval.report.files import replace_file
from tuneval.runs.gate import hold
from tuneval.trackers.send import check as check_trackers
from tuneval.types import NoProgress, Progress, RunResult

CHECKS = ("answers", "groups", "slices")
"""Questions beyond the score that values alone can settle."""


def score_logs(
    logs: Sequence[str] | Mapping[str, str],
    wanted: Wanted | None = None,
    asked: Asked | None = None,
    *,
    baseline: str | None = None,
    name: str | None = None,
    output: OutputSpec | None = None,
    progress: Progress | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> RunResult:
    """Compare systems by what another tool found for each item.

    Parameters
    ----------
    logs : sequence of str or mapping
        "NAME=FILE" or "NAME=FOLDER" each, or name -> place; "FILE:SYSTEM" where a file holds several.
        The first is the baseline unless it is named.
    announce : callable, optional
        Told how the logs were read, before anything is computed.

    Raises
    ------
    DataError, ConfigError
        Before anything is computed.
    """
    started = time.monotonic()
    output, wanted, asked = output or OutputSpec(), wanted or Wanted(), asked or Asked()
    check_trackers(output.track)
    files = named_files(logs, flag="--logs")
    texts = {
        name: rows
        for name, file in files.items()
        if wanted.value is None and (rows := read_texts(Path(file)))
    }
    if len(texts) == len(files):
        return _score_texts(texts, asked, baseline, name, output, progress, announce)
    variants = variants_of(files, baseline)
    read = {one.name: read_logs(files[one.name], wanted) for one in variants}
    joined = join(read, asked)
    notes = tuple(note for one in joined for note in one.cases.notes)
    if announce:
        announce(notes)
    settings = Settings(n_case_sets=len(joined))
    first = joined[0].cases.name
    content = repr([(one.cases.sha256, one.predictions, asked) for one in joined])
    run_id = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
    title = name or (first if len(joined) == 1 else "logs")
    folder = open_named_folder(output.dir, title, run_id)
    teller = progress or NoProgress()
    scored = [
        Scored(
            one.cases,
            one.metrics,
            one.predictions,
            assess(
                one.cases,
                one.metrics,
                one.predictions,
                variants,
                variants[0].name,
                settings,
                teller,
            ),
        )
        for one in joined
    ]
    alpha, findings = look(scored, variants, settings, names=CHECKS)
    result = conclude(
        About(
            name=title,
            run_id=folder.name.rpartition("-")[2],
            spec={"logs": files, "value": wanted.value, "cluster": asked.cluster},
            environment=environment(),
            seconds=time.monotonic() - started,
            output_dir=str(folder),
        ),
        Compared(variants, tuple(one.cases for one in scored)),
        Found(
            predictions={one.cases.name: one.predictions for one in scored},
            assessments={one.cases.name: one.found for one in scored},
            primary_metrics={one.cases.name: one.chosen[0].name for one in scored},
            findings=findings,
            notes=(*notes, "values of each item are those of the logs; no model was run"),
            alpha=alpha,
        ),
    )
    result = hold(result, (), output.fail_on)
    write_score(folder, result, output)
    return result


def _score_texts(
    texts: Mapping[str, Rows],
    asked: Asked,
    baseline: str | None,
    name: str | None,
    output: OutputSpec,
    progress: Progress | None,
    announce: Callable[[Sequence[str]], None] | None,
) -> RunResult:
    """A log that holds texts alone is scored like any other outputs, from files beside the runs."""
    refuse_other_texts(texts)
    files = {}
    for system, rows in texts.items():
        content = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
        files[system] = replace_file(Path(output.dir) / f"texts-{digest}.jsonl", content)
    first = next(iter(files.values()))
    return score_outputs(
        Expected(f"{first}:{EXPECTED}", "auto", asked.groups, ID, cluster=asked.cluster),
        {system: f"{path}:{ANSWERED}" for system, path in files.items()},
        metrics=MetricsSpec.of(list(asked.metrics), {}) if asked.metrics else None,
        baseline=baseline,
        name=name or "texts",
        output=output,
        progress=progress,
        announce=announce,
    )
