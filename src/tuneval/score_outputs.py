"""Outputs that exist already -> the same scores, comparisons and verdict as a run; no model.

A second, shorter corridor: data reads references and outputs, ``assess`` does the rest.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.assess import assess, choose_metrics, conclude, try_metrics
from tuneval.comparison import Settings
from tuneval.config import MetricsSpec
from tuneval.data.outputs import read_predictions, read_references
from tuneval.errors import ConfigError
from tuneval.run_folder import environment, open_named_folder, write_result
from tuneval.types import CaseSet, Prediction, RunResult, Variant, VariantKind

LABELLED = "classify"


def score(
    references: str,
    predictions: Sequence[str] | Mapping[str, str],
    *,
    task: str = "auto",
    metrics: str | Sequence[str] = "auto",
    primary: str = "auto",
    metric_options: Mapping[str, Mapping[str, Any]] | None = None,
    baseline: str | None = None,
    groups: Sequence[str] = (),
    id_column: str | None = None,
    settings: Settings | None = None,
    output_dir: str = "tuneval-runs",
    name: str | None = None,
    reports: Sequence[str] = ("html",),
) -> RunResult:
    """Compare systems by outputs that they have given.

    Parameters
    ----------
    references : str
        "FILE" or "FILE:COLUMN"; see `tuneval.data.outputs`.
    predictions : sequence of str or mapping
        "NAME=FILE[:COLUMN]" each, or name -> file. The first is the baseline unless it is named.
    metrics : "auto" or sequence of str
        The first is primary, unless ``primary`` names another.

    Raises
    ------
    DataError, ConfigError, MetricError
        Before anything is computed.
    """
    started = time.monotonic()
    files = named_files(predictions, flag="--predictions")
    cases = read_references(references, task=task, groups=groups, id_column=id_column)
    texts = {system: read_predictions(file, cases) for system, file in files.items()}
    spec = _metrics_spec(metrics, primary, metric_options or {})
    chosen = choose_metrics(spec, cases, has_probabilities=False)
    try_metrics(chosen, cases)
    variants = variants_of(files, baseline)
    read = {one.name: _predictions(cases, texts[one.name]) for one in variants}
    folder = open_named_folder(
        output_dir, name or cases.name.partition(".")[0], _identify(cases, texts, spec)
    )
    found = assess(cases, chosen, read, variants, variants[0].name, settings or Settings())
    result = conclude(
        name=name or cases.name,
        run_id=folder.name.rpartition("-")[2],
        spec={
            "references": references,
            "predictions": files,
            "task": cases.task,
            "metrics": spec.model_dump(mode="json"),
        },
        environment=environment(),
        variants=variants,
        facts=(),
        case_sets=(cases,),
        predictions={cases.name: read},
        assessments={cases.name: found},
        primary_metrics={cases.name: chosen[0].name},
        logs={},
        notes=(*cases.notes, "scored from outputs that were given; no model was run"),
        seconds=time.monotonic() - started,
        output_dir=str(folder),
    )
    write_result(folder, result, reports)
    return result


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


def _metrics_spec(
    metrics: str | Sequence[str], primary: str, options: Mapping[str, Mapping[str, Any]]
) -> MetricsSpec:
    if isinstance(metrics, str) and metrics == "auto":
        return MetricsSpec(primary=primary, options=options)
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    first = names[0] if primary == "auto" else primary
    return MetricsSpec(primary=first, also=names, options=options)


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


def _predictions(cases: CaseSet, texts: Mapping[str, str]) -> tuple[Prediction, ...]:
    """Texts as predictions; for classes the text must be one of the labels, else it is unparsed."""
    labels = set(cases.labels or ())
    return tuple(
        Prediction(case.id, text=texts[case.id], completions=(texts[case.id],))
        if cases.task != LABELLED
        else _label(case.id, texts[case.id].strip(), labels)
        for case in cases.cases
    )


def _label(case_id: str, text: str, labels: set[str]) -> Prediction:
    if text in labels:
        return Prediction(case_id, text=text, label=text)
    return Prediction(case_id, text=text, problem=f'unparsed: "{text[:60]}" is none of the labels')


def _identify(cases: CaseSet, texts: Mapping[str, Mapping[str, str]], spec: MetricsSpec) -> str:
    content = repr((cases.cases, sorted(texts.items()), spec))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
