"""Outputs that exist already -> the same scores, comparisons and verdict as a run; no model.

A second, shorter corridor: data reads references and outputs, ``assess`` does the rest.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuneval import metrics as metrics_room
from tuneval.assess.assess import assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.assess.measure import Predictions, choose_metrics, try_metrics
from tuneval.benchmarks import Loaded
from tuneval.benchmarks.load import load as load_benchmark
from tuneval.benchmarks.source import place_of
from tuneval.comparison import Settings
from tuneval.data.formats import quote
from tuneval.data.outputs import Outputs, read_predictions, read_prompts, read_references
from tuneval.errors import ConfigError
from tuneval.pipeline.beyond import Scored, look
from tuneval.pipeline.folder import environment, open_named_folder, write_score
from tuneval.pipeline.given_answers import read_given
from tuneval.pipeline.judging.given import begin as begin_judging
from tuneval.plan.spec import MetricsSpec, OutputSpec
from tuneval.runs.gate import hold
from tuneval.tasks.thinking import Thinking, answers_alone
from tuneval.trackers.send import check as check_trackers
from tuneval.types import CaseSet, NoProgress, Progress, RunResult, Variant, VariantKind


@dataclass(frozen=True, slots=True)
class Expected:
    """What outputs are held against: a file of references, or a published benchmark.

    Parameters
    ----------
    references : str
        "FILE" or "FILE:COLUMN"; see `tuneval.data.outputs`. ``task``, ``groups`` and ``id_column``
        say how it is read.
    prompts : str, optional
        Instead of references, where a judge compares the outputs: "FILE" or "FILE:COLUMN" of what was
        asked.
    benchmark, benchmark_data
        Instead of references: a name of `tuneval list benchmarks`, and the folder of its rows. It
        brings its own metrics.
    cluster : str, optional
        Column of the references: cases that share its value count together.
    train_data : str, optional
        Training file, to look for cases of it.
    """

    references: str | None = None
    task: str = "auto"
    groups: Sequence[str] = ()
    id_column: str | None = None
    benchmark: str | None = None
    benchmark_data: str | None = None
    cluster: str | None = None
    train_data: str | None = None
    prompts: str | None = None

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = [self.references, self.benchmark, self.prompts]
        if sum(one is not None for one in given) != 1:
            raise ConfigError(
                "what was expected? Give --references FILE[:COLUMN], or --benchmark NAME; or --prompts "
                "FILE[:COLUMN] with --judge MODEL where nothing was expected."
            )


def score(
    expected: Expected,
    predictions: Sequence[str] | Mapping[str, str],
    *,
    metrics: MetricsSpec | None = None,
    baseline: str | None = None,
    settings: Settings | None = None,
    thinking: Thinking = "cut",
    judges: Sequence[Mapping[str, Any]] = (),
    name: str | None = None,
    output: OutputSpec | None = None,
    progress: Progress | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> RunResult:
    """Compare systems by outputs that they have given.

    Parameters
    ----------
    predictions : sequence of str or mapping
        "NAME=FILE[:COLUMN]" each, or name -> file. The first is the baseline unless it is named.
    thinking : {"cut", "keep", "off"}
        What a model thought before its answer is cut off ("off" is as "cut"), or kept.
    judges : sequence of mapping
        Who compares the outputs: sections ``judge`` of run.yaml.
    announce : callable, optional
        Told how the files were read, before anything is computed.

    Raises
    ------
    DataError, ConfigError, MetricError, VariantError, BackendError
        Before anything is computed; a judge's server may fail later, and the same call goes on from there.
    """
    started = time.monotonic()
    output = output or OutputSpec()
    progress = progress or NoProgress()
    check_trackers(output.track)
    files = named_files(predictions, flag="--predictions")
    cases, spec, may_be_missing = _read(expected, metrics or MetricsSpec())
    cases = answers_alone(cases, thinking)
    variants = variants_of(files, baseline)
    outputs = {
        one.name: read_predictions(
            files[one.name], cases, system=one.name, may_be_missing=may_be_missing
        )
        for one in variants
    }
    cases = _with_gold(cases, outputs.values())
    given = read_given(cases, {name: one.texts for name, one in outputs.items()}, thinking=thinking)
    cases, read = given.cases, given.predictions
    notes = (*_columns(cases, outputs), *cases.notes, *given.notes)
    chosen = choose_metrics(spec, cases, has_probabilities=False)
    try_metrics(chosen, cases)
    settings = settings or Settings()
    bench = begin_judging(cases, read, variants, judges, expected.benchmark)
    if announce:
        announce((*notes, *bench.notes))
    run_id = _identify(
        cases, outputs, spec, settings, thinking, expected.train_data, *bench.signature
    )
    folder = open_named_folder(output.dir, name or cases.name.partition(".")[0], run_id)
    found = assess(cases, chosen, read, variants, variants[0].name, settings, progress)
    has_probabilities = any(one.label_probabilities for own in read.values() for one in own)
    alpha, findings = look(
        [Scored(cases, chosen, read, found)],
        variants,
        settings,
        names=[name for name in CHECKS if name != "calibration" or has_probabilities],
        train_data=expected.train_data,
        judges=judges,
    )
    predictions_of: dict[str, Predictions] = {cases.name: read}
    assessments = {cases.name: found}
    primary_metrics = {cases.name: chosen[0].name} if chosen else {}
    case_sets = bench.join(
        predictions_of, assessments, primary_metrics, findings, settings, progress
    )
    result = conclude(
        About(
            name=name or cases.name,
            run_id=folder.name.rpartition("-")[2],
            spec={
                "references": expected.references,
                **({"prompts": expected.prompts} if expected.prompts else {}),
                **({"judge": bench.described} if judges else {}),
                "benchmark": expected.benchmark,
                "predictions": files,
                "columns": {
                    **cases.columns,
                    **{one: of.column for one, of in outputs.items() if of.column},
                },
                "task": cases.task,
                "thinking": thinking,
                "cluster": expected.cluster,
                "train_data": expected.train_data,
                "metrics": spec.model_dump(mode="json"),
            },
            environment=environment(),
            seconds=time.monotonic() - started,
            output_dir=str(folder),
        ),
        Compared(variants, case_sets),
        Found(
            predictions=predictions_of,
            assessments=assessments,
            primary_metrics=primary_metrics,
            findings=findings,
            notes=(*notes, *bench.notes, _how(judges)),
            alpha=alpha,
        ),
    )
    result = hold(result, (), output.fail_on)
    write_score(folder, result, output)
    return result


CHECKS = ("answers", "contamination", "groups", "slices", "calibration")
"""Questions beyond the score that answers which are there can settle."""


def _how(judges: Sequence[object]) -> str:
    asked = "but the judge" if len(judges) == 1 else "but the judges"
    return f"scored from outputs that were given; no model {f'{asked} ' if judges else ''}was run"


def _read(expected: Expected, wanted: MetricsSpec) -> tuple[CaseSet, MetricsSpec, bool]:
    """Cases, their metrics, and whether a case without an output counts as answered wrongly."""
    if expected.prompts is not None:
        cases = read_prompts(
            expected.prompts,
            groups=expected.groups,
            id_column=expected.id_column,
            cluster=expected.cluster,
        )
        return cases, wanted, False
    if expected.benchmark is None:
        cases = read_references(
            str(expected.references),
            task=expected.task,
            groups=expected.groups,
            id_column=expected.id_column,
            cluster=expected.cluster,
        )
        return cases, wanted, False
    place = place_of(expected.benchmark_data)
    loaded = load_benchmark(expected.benchmark, place, is_asked=False)
    if loaded.cases.task == "complete_code":
        raise ConfigError(
            f'benchmark "{expected.benchmark}" runs programs: give --samples instead of '
            "--predictions."
        )
    return loaded.cases, _benchmark_metrics(wanted, loaded), loaded.counts_unanswered


def named_files(predictions: Sequence[str] | Mapping[str, str], *, flag: str) -> dict[str, str]:
    """System -> file, from "NAME=FILE" words or a mapping."""
    if isinstance(predictions, Mapping):
        return dict(predictions)
    files: dict[str, str] = {}
    for word in predictions:
        name, equals, file = word.partition("=")
        if not equals or os.path.exists(word):  # noqa: PTH110 - pathlib raises on long names
            name, file = Path(word).name.split(".")[0], word
        if name in files:
            raise ConfigError(f'two systems are called "{name}": {flag} NAME=FILE.')
        files[name] = file
    if not files:
        raise ConfigError(f"nothing to score: give {flag} [NAME=]FILE.")
    return files


def variants_of(files: Mapping[str, str], baseline: str | None) -> tuple[Variant, ...]:
    """The baseline first; a system called lora... or adapter... is held against full..., too."""
    if baseline is not None and baseline not in files:
        raise ConfigError(f'--baseline "{baseline}" is none of: {", ".join(files)}.')
    first = baseline or next(iter(files))
    order = [first, *(name for name in files if name != first)]
    return tuple(
        Variant(name=name, kind="base" if name == first else _kind(name), model=files[name])
        for name in order
    )


def _kind(name: str) -> VariantKind:
    return "adapter" if name.casefold().startswith(("lora", "adapter")) else "full"


def _benchmark_metrics(spec: MetricsSpec, benchmark: Loaded) -> MetricsSpec:
    """A benchmark's own metrics, but for those that need probabilities, unless others are named."""
    if spec.primary != "auto" or spec.also != "auto":
        return spec
    own = tuple(
        name
        for name in benchmark.metrics
        if "label_probabilities" not in metrics_room.describe(name).needs
    )
    options = {**benchmark.metric_options, **spec.options}
    return MetricsSpec(
        primary=own[0],
        also=own,
        options={name: one for name, one in options.items() if name in own},
    )


def _with_gold(cases: CaseSet, outputs: Iterable[Outputs]) -> CaseSet:
    """Leave out rows labelled -1 beside 0, 1, ...: so data sets write that nobody agreed on a label.

    Where a system answers -1, it is a class like any other.
    """
    numbers = {str(n) for n in range(len(cases.labels or ()) - 1)}
    if len(numbers) < 2 or set(cases.labels or ()) != {"-1", *numbers}:
        return cases
    if any(text.strip() == "-1" for one in outputs for text in one.texts.values()):
        return cases
    kept = tuple(case for case in cases.cases if case.references != ("-1",))
    note = (
        f"{len(cases.cases) - len(kept)} of {len(cases.cases)} cases have the label -1, which nobody "
        "answers: read as no label, left out"
    )
    labels = tuple(label for label in cases.labels or () if label != "-1")
    return replace(cases, cases=kept, labels=labels, notes=(*cases.notes, note))


def _columns(cases: CaseSet, outputs: Mapping[str, Outputs]) -> tuple[str, ...]:
    """Which columns were read, in one sentence."""
    column = cases.columns.get("reference")
    expected = [f"references: {quote(column)} of {cases.name}"] if column else []
    given = [f"{name}: {quote(one.column)}" for name, one in outputs.items() if one.column]
    return ("columns: " + "; ".join([*expected, *given]),) if expected or given else ()


def _identify(*what: object) -> str:
    """Eight digits that depend on everything that can change a number of the result."""
    return hashlib.blake2b(repr(what).encode("utf-8", "replace"), digest_size=4).hexdigest()
