"""Outputs that exist already -> the same scores, comparisons and verdict as a run; no model.

A second, shorter corridor: data reads references and outputs, ``assess`` does the rest.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuneval import metrics as metrics_room
from tuneval.assess.assess import assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.assess.measure import choose_metrics, try_metrics
from tuneval.benchmarks import Loaded
from tuneval.benchmarks.load import load as load_benchmark
from tuneval.benchmarks.source import place_of
from tuneval.comparison import Settings
from tuneval.data.outputs import read_predictions, read_references
from tuneval.errors import ConfigError
from tuneval.pipeline.folder import environment, open_named_folder, write_result
from tuneval.plan.spec import MetricsSpec, OutputSpec
from tuneval.runs.gate import hold
from tuneval.types import Case, CaseSet, Prediction, RunResult, Variant, VariantKind

LABELLED = ("classify", "multiple_choice")


@dataclass(frozen=True, slots=True)
class Expected:
    """What outputs are held against: a file of references, or a published benchmark.

    Parameters
    ----------
    references : str
        "FILE" or "FILE:COLUMN"; see `tuneval.data.outputs`. ``task``, ``groups`` and ``id_column``
        say how it is read.
    benchmark, benchmark_data
        Instead of references: a name of `tuneval list benchmarks`, and the folder of its rows. It
        brings its own metrics.
    """

    references: str | None = None
    task: str = "auto"
    groups: Sequence[str] = ()
    id_column: str | None = None
    benchmark: str | None = None
    benchmark_data: str | None = None

    def __post_init__(self) -> None:
        """Refuse neither and both."""
        if (self.references is None) == (self.benchmark is None):
            raise ConfigError(
                "what was expected? Give --references FILE[:COLUMN], or --benchmark NAME."
            )


def score(
    expected: Expected,
    predictions: Sequence[str] | Mapping[str, str],
    *,
    metrics: MetricsSpec | None = None,
    baseline: str | None = None,
    settings: Settings | None = None,
    name: str | None = None,
    output: OutputSpec | None = None,
) -> RunResult:
    """Compare systems by outputs that they have given.

    Parameters
    ----------
    predictions : sequence of str or mapping
        "NAME=FILE[:COLUMN]" each, or name -> file. The first is the baseline unless it is named.

    Raises
    ------
    DataError, ConfigError, MetricError
        Before anything is computed.
    """
    started = time.monotonic()
    output = output or OutputSpec()
    files = named_files(predictions, flag="--predictions")
    cases, spec, may_be_missing = _read(expected, metrics or MetricsSpec())
    texts = {
        system: read_predictions(file, cases, may_be_missing=may_be_missing)
        for system, file in files.items()
    }
    chosen = choose_metrics(spec, cases, has_probabilities=False)
    try_metrics(chosen, cases)
    variants = variants_of(files, baseline)
    read = {one.name: _predictions(cases, texts[one.name]) for one in variants}
    folder = open_named_folder(
        output.dir, name or cases.name.partition(".")[0], _identify(cases, texts, spec)
    )
    found = assess(cases, chosen, read, variants, variants[0].name, settings or Settings())
    result = conclude(
        About(
            name=name or cases.name,
            run_id=folder.name.rpartition("-")[2],
            spec={
                "references": expected.references,
                "benchmark": expected.benchmark,
                "predictions": files,
                "task": cases.task,
                "metrics": spec.model_dump(mode="json"),
            },
            environment=environment(),
            seconds=time.monotonic() - started,
            output_dir=str(folder),
        ),
        Compared(variants, (cases,)),
        Found(
            predictions={cases.name: read},
            assessments={cases.name: found},
            primary_metrics={cases.name: chosen[0].name},
            notes=(*cases.notes, "scored from outputs that were given; no model was run"),
        ),
    )
    result = hold(result, (), output.fail_on)
    write_result(folder, result, output.reports)
    return result


def _read(expected: Expected, wanted: MetricsSpec) -> tuple[CaseSet, MetricsSpec, bool]:
    """Cases, their metrics, and whether a case without an output counts as answered wrongly."""
    if expected.benchmark is None:
        cases = read_references(
            str(expected.references),
            task=expected.task,
            groups=expected.groups,
            id_column=expected.id_column,
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


def _predictions(cases: CaseSet, texts: Mapping[str, str]) -> tuple[Prediction, ...]:
    """Texts as predictions; for classes the text must be one of the labels, else it is unparsed."""
    spellings = _spellings(cases)
    return tuple(
        Prediction(case.id, problem="unparsed: no prediction in the file")
        if case.id not in texts
        else Prediction(case.id, text=texts[case.id], completions=(texts[case.id],))
        if cases.task not in LABELLED
        else _label(case.id, texts[case.id].strip(), spellings)
        for case in cases.cases
    )


def _spellings(cases: CaseSet) -> Mapping[str, str]:
    """What may stand for a label: itself; in a benchmark its number, or the letter of a choice, too."""
    labels = cases.labels or ()
    if not cases.signature:
        return {label: label for label in labels}
    if cases.task == "multiple_choice":
        n_choices = max(len(_choices(case)) for case in cases.cases)
        numbers = [str(n) for n in range(n_choices)]
        letters = {chr(ord("A") + n): number for n, number in enumerate(numbers)}
        return {**letters, **{number: number for number in numbers}}
    return {**{str(n): label for n, label in enumerate(labels)}, **{one: one for one in labels}}


def _choices(case: Case) -> Sequence[object]:
    choices = case.inputs.get("choices")
    return choices if isinstance(choices, tuple) else ()


def _label(case_id: str, text: str, spellings: Mapping[str, str]) -> Prediction:
    if text in spellings:
        return Prediction(case_id, text=text, label=spellings[text])
    return Prediction(case_id, text=text, problem=f'unparsed: "{text[:60]}" is none of the labels')


def _identify(cases: CaseSet, texts: Mapping[str, Mapping[str, str]], spec: MetricsSpec) -> str:
    content = repr((cases.cases, sorted(texts.items()), spec))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
