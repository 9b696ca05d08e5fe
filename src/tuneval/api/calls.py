"""The calls behind ``tuneval.compare``, ``tuneval.run`` and ``tuneval.score``.

The command line builds the same RunSpec through the same functions; neither has an option that the
other lacks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from tuneval.api.objects import parted
from tuneval.api.options import CaseOptions, CompareOptions
from tuneval.api.result import RunResult
from tuneval.api.rows import write_rows
from tuneval.errors import ConfigError
from tuneval.plan.spec import RunSpec
from tuneval.plan.words import describe_run
from tuneval.types import Progress

if TYPE_CHECKING:
    from tuneval.pipeline.run import Announce


def run(
    spec: RunSpec | str | Path,
    *,
    models: Mapping[str, Any] | None = None,
    progress: Progress | bool | None = None,
    announce: Announce | None = None,
) -> RunResult:
    """Run a spec, or the run.yaml at a path.

    Parameters
    ----------
    models : mapping, optional
        Variant name -> (model, tokenizer) that are in memory already.
    progress : bool or Progress, optional
        True: a bar, or lines where stderr is no terminal; False: nothing. Left out: a bar in a
        notebook and nothing elsewhere.

    Raises
    ------
    TunevalError
        What happened, where and what to do. The same call continues where it stopped.
    """
    from tuneval.api.progress import in_notebook, progress_for
    from tuneval.pipeline.run import run as walk

    if progress is None or isinstance(progress, bool):
        progress = progress_for(quiet=not (in_notebook() if progress is None else progress))
    if not isinstance(spec, RunSpec):
        spec = RunSpec.from_yaml(spec)
    return RunResult.of(walk(spec, models=models, progress=progress, announce=announce))


def compare(
    base: Any = None,
    *,
    adapters: Any = (),
    full: Any = (),
    data: Any = None,
    benchmarks: str | Sequence[str] = (),
    guards: str | Sequence[str] = (),
    models: Mapping[str, Any] | None = None,
    progress: Progress | bool | None = None,
    announce: Announce | None = None,
    **options: Unpack[CompareOptions],
) -> RunResult:
    """Compare a base model, adapters and full fine-tunes on the same cases.

    Parameters
    ----------
    base : str or model, optional
        Folder or hub id; left out, the base that the adapters name. A model, or (model, tokenizer),
        may stand here and wherever a folder may.
    adapters, full : str, sequence or mapping
        Folders, globs, "NAME=DIR", or name -> folder(s).
    models : mapping, optional
        Name -> (model, tokenizer) in memory. A PEFT model is an adapter and brings its own base:
        the same model with its adapters off.
    data : path, sequence of paths, list of mappings, or datasets.Dataset
        The test cases.
    benchmarks : str or sequence of str
        Names of `tuneval list benchmarks`, such as "mmlu:anatomy".
    guards : str or sequence of str
        Files or benchmarks that must not get worse.
    progress : bool or Progress, optional
        As in ``run``.
    options
        ``task``, ``columns``, ``labels``, ``groups``, ``limit``, ``split``, ``template``,
        ``options`` (of the task), ``few_shot`` (of benchmarks), ``few_shot_file``, ``skip_bad_rows``
        for the data; ``name``, ``benchmark_data``, ``base_as`` and the sections of run.yaml (
        ``prompting``, ``metrics``, ``perturbations``, ``statistics``, ``backend``, ``output``,
        ``task_options``) as mappings.

    Returns
    -------
    RunResult

    Examples
    --------
    >>> result = tuneval.compare(adapters="out/lora", data="test.jsonl")  # doctest: +SKIP
    >>> print(result)                                                      # doctest: +SKIP
    >>> tuneval.compare(models={"tuned": (model, tokenizer)}, data=rows)    # doctest: +SKIP
    """
    words = _split(cast("Mapping[str, Any]", options))
    files = _files(data)
    words["benchmarks"], words["guards"] = _words(benchmarks), _words(guards)
    if files is None:
        place = Path((options.get("output") or {}).get("dir", "tuneval-runs"))
        files = [str(write_rows(data, place))]
        words["cases"]["name"] = "data"
    arms = parted(base, adapters, full, models)
    spec = describe_run(
        base=arms.base,
        adapters=_words(arms.adapters),
        full=_words(arms.full),
        held=arms.places,
        data=files,
        **words,
    )
    return run(spec, models=arms.objects or None, progress=progress, announce=announce)


def score(
    metric: str,
    predictions: Sequence[str | float],
    references: Sequence[str | float | Sequence[str]],
    **options: Any,
) -> float:
    """One number for texts that exist already: no model, no run, no interval.

    Parameters
    ----------
    metric : str
        A name of ``tuneval list metrics`` whose predictions are texts or labels.
    references : sequence
        For each prediction the text expected, or several of them.
    options
        Settings of the metric; ``labels``: the label set, else all labels that occur.

    Returns
    -------
    float
        In the metric's own unit: a share for accuracy, 0 to 100 for BLEU.

    Raises
    ------
    ConfigError, MetricError
        The lengths differ, there is no such metric, or it needs more than texts.

    Examples
    --------
    >>> tuneval.score("accuracy", ["a", "b"], ["a", "c"])
    0.5
    """
    from tuneval import metrics
    from tuneval.metrics.scripts import script_of
    from tuneval.types import Case, Prediction

    if len(predictions) != len(references):
        raise ConfigError(
            f"score: {len(predictions)} predictions for {len(references)} references."
        )
    if not references:
        raise ConfigError("score: nothing to score.")
    expected = [
        tuple(map(str, one)) if isinstance(one, list | tuple) else (str(one),) for one in references
    ]
    cases = [Case(str(n), inputs={}, references=texts) for n, texts in enumerate(expected, start=1)]
    given = [
        Prediction(case.id, text=str(one), label=str(one), completions=(str(one),))
        for case, one in zip(cases, predictions, strict=True)
    ]
    # Without a declared label set, what was predicted counts as well: so does scikit-learn.
    found = {text for texts in expected for text in texts} | {str(one.label) for one in given}
    labels = options.pop("labels", None) or sorted(found)
    script = script_of(text for texts in expected for text in texts)
    chosen = metrics.build(metric, labels=tuple(labels), script=script, **options)
    rows = chosen.per_case(cases, given)
    if chosen.statistic == "ranks":
        return float(chosen.from_rows(rows))  # type: ignore[attr-defined]
    return float(chosen.from_totals(rows.sum(axis=0)))


def _split(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the test files, and the sections of run.yaml."""
    cases = {name: one for name, one in options.items() if name in CaseOptions.__annotations__}
    return {"cases": cases, **{key: one for key, one in options.items() if key not in cases}}


def _words(
    given: str | Sequence[str] | Mapping[str, str | Sequence[str]],
) -> list[str]:
    """Turn any of the accepted forms into the command line's words."""
    if isinstance(given, str | os.PathLike):
        return [str(given)]
    if isinstance(given, Mapping):
        return [
            f"{name}={path}"
            for name, paths in given.items()
            for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)
        ]
    return [str(one) for one in given]


def _files(data: Any) -> list[str] | None:
    """Paths as they were given; None for rows in memory."""
    if data is None:
        return []
    if isinstance(data, str | os.PathLike):
        return [str(data)]
    if isinstance(data, Mapping):
        splits = ", ".join(f'"{name}"' for name in data)
        raise ConfigError(f"data is a mapping ({splits}): give one split, data=splits[NAME].")
    if isinstance(data, Sequence) and data and all(isinstance(d, str | os.PathLike) for d in data):
        return [str(one) for one in data]
    return None
