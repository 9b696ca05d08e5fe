"""What ``import tuneval`` offers: one call that compares, and a result that shows itself.

The command line builds the same RunSpec through the same functions; neither has an option that the
other lacks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval import types
from tuneval.config import RunSpec
from tuneval.errors import ConfigError
from tuneval.report.files import replace_file
from tuneval.run_words import describe_run
from tuneval.types import Flips, Progress

if TYPE_CHECKING:
    import pandas as pd

    from tuneval.pipeline import Announce


class RunResult(types.RunResult):
    """A finished run: prints as the console summary, shows as the report's first screen in a
    notebook, and gives its numbers as rows or as a DataFrame."""

    __slots__ = ()

    @classmethod
    def of(cls, result: types.RunResult) -> RunResult:
        """Dress a plain result."""
        return cls(**{one.name: getattr(result, one.name) for one in fields(types.RunResult)})

    @classmethod
    def load(cls, path: str | Path) -> RunResult:
        """Read a run folder or its result.json, and judge its records again.

        Raises
        ------
        ConfigError
            There is none, or it cannot be read.
        """
        from tuneval.assess import decide_again
        from tuneval.report.results_json import read

        path = Path(path)
        if path.is_dir() and not (path / "result.json").is_file():
            raise ConfigError(_no_result(path))
        return cls.of(decide_again(read(path / "result.json" if path.is_dir() else path)))

    def __str__(self) -> str:
        from tuneval.report.console import render

        return render(self)

    def _repr_html_(self) -> str:
        from tuneval.report.html import render_summary

        return render_summary(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One mapping per score: variant, case set, metric, slice, value, interval, ..."""
        return [
            {
                "variant": score.variant,
                "case_set": score.case_set,
                "metric": score.metric,
                "slice": score.slice,
                "value": score.value,
                "low": score.interval.low if score.interval else None,
                "high": score.interval.high if score.interval else None,
                "n_cases": score.n_cases,
                "unit": score.unit,
                "signature": score.signature,
            }
            for score in self.scores
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``to_rows`` as a DataFrame. Needs pandas (``pip install 'tuneval[pandas]'``)."""
        try:
            import pandas as pd
        except ImportError:
            raise ConfigError(
                "to_pandas() needs pandas: pip install 'tuneval[pandas]'. to_rows() does not."
            ) from None
        return pd.DataFrame(self.to_rows())

    def flips_of(self, baseline: str, candidate: str) -> tuple[Flips, ...]:
        """The cases that the candidate fixed and broke, one table per case set.

        A name is that of a variant, or of a recipe (then of its training seed that was paired).

        Raises
        ------
        ConfigError
            The two were not compared, or the primary metric is not right-or-wrong.
        """
        found = tuple(
            one
            for one in self.flips
            if baseline in self._names(one.baseline) and candidate in self._names(one.candidate)
        )
        if not found:
            known = sorted({f"{one.baseline} -> {one.candidate}" for one in self.flips})
            raise ConfigError(
                f'no paired table of "{baseline}" and "{candidate}" '
                f"(there is: {', '.join(known) or 'none'})."
            )
        return found

    def _names(self, variant: str) -> set[str | None]:
        """A variant's own name and its recipe's."""
        return {variant, *(one.recipe for one in self.variants if one.name == variant)}

    def save_report(self, path: str | Path, kind: str | None = None) -> Path:
        """Write a report; its kind is the suffix of ``path`` unless it is given."""
        from tuneval import registry
        from tuneval.report import REPORTS

        path = Path(path)
        render = registry.load(REPORTS, kind or path.suffix.lstrip("."), room="report")
        try:
            replace_file(path, render(self))
        except OSError as error:
            raise ConfigError(f'"{path}" cannot be written: {error.strerror}.') from None
        return path


def _no_result(folder: Path) -> str:
    if (folder / "run.yaml").is_file():
        return (
            f'"{folder}" holds a run that was not finished (no result.json).\n'
            f"Go on with: tuneval run {folder}/run.yaml"
        )
    runs = sorted(one.parent.name for one in folder.glob("*/result.json"))
    listed = f"\nIt holds the runs {', '.join(runs[:8])}: give one of them." if runs else ""
    return f'"{folder}" is no run folder: it has no result.json.{listed}'


def run(
    spec: RunSpec | str | Path,
    *,
    models: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> RunResult:
    """Run a spec, or the run.yaml at a path.

    Parameters
    ----------
    models : mapping, optional
        Variant name -> (model, tokenizer) that are in memory already.

    Raises
    ------
    TunevalError
        What happened, where and what to do. The same call continues where it stopped.
    """
    from tuneval.pipeline import run as walk

    if not isinstance(spec, RunSpec):
        spec = RunSpec.from_yaml(spec)
    return RunResult.of(walk(spec, models=models, progress=progress, announce=announce))


def compare(
    base: str | None = None,
    *,
    adapters: str | Sequence[str] | Mapping[str, str | Sequence[str]] = (),
    full: str | Sequence[str] | Mapping[str, str] = (),
    data: Any = None,
    benchmarks: str | Sequence[str] = (),
    guards: str | Sequence[str] = (),
    models: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    **options: Any,
) -> RunResult:
    """Compare a base model, adapters and full fine-tunes on the same cases.

    Parameters
    ----------
    base : str, optional
        Folder or hub id; left out, the base that the adapters name.
    adapters, full : str, sequence or mapping
        Folders, globs, "NAME=DIR", or name -> folder(s).
    data : path, sequence of paths, list of mappings, or datasets.Dataset
        The test cases.
    benchmarks : str or sequence of str
        Names of `tuneval list benchmarks`, such as "mmlu:anatomy".
    guards : str or sequence of str
        Files or benchmarks that must not get worse.
    options
        ``task``, ``columns``, ``labels``, ``groups``, ``limit``, ``split``, ``template``,
        ``options`` (of the task), ``few_shot`` (of benchmarks), ``few_shot_file``, ``skip_bad_rows``
        for the data; ``name``, ``benchmark_data`` and the sections of run.yaml (
        ``prompting``, ``metrics``, ``perturbations``, ``statistics``, ``backend``, ``output``,
        ``task_options``) as mappings.

    Returns
    -------
    RunResult

    Examples
    --------
    >>> result = tuneval.compare(adapters="out/lora", data="test.jsonl")  # doctest: +SKIP
    >>> print(result)                                                      # doctest: +SKIP
    """
    words = _split(options)
    files = _files(data)
    words["benchmarks"], words["guards"] = _words(benchmarks), _words(guards)
    if files is None:
        place = Path((options.get("output") or {}).get("dir", "tuneval-runs"))
        files = [str(_write_rows(data, place))]
        words["cases"]["name"] = "data"
    spec = describe_run(
        base=base, adapters=_words(adapters), full=_words(full), data=files, **words
    )
    return run(spec, models=models, progress=progress, announce=announce)


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
    chosen = metrics.build(metric, labels=tuple(labels), **options)
    rows = chosen.per_case(cases, given)
    if chosen.statistic == "ranks":
        return float(chosen.from_rows(rows))  # type: ignore[attr-defined]
    return float(chosen.from_totals(rows.sum(axis=0)))


CASE_OPTIONS = (
    "task",
    "columns",
    "labels",
    "groups",
    "limit",
    "split",
    "template",
    "options",
    "few_shot",
    "few_shot_file",
    "skip_bad_rows",
)
"""Options that belong to the test files; all others are sections of run.yaml."""


def _split(options: Mapping[str, Any]) -> dict[str, Any]:
    cases = {name: options[name] for name in CASE_OPTIONS if name in options}
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


def _write_rows(data: Any, place: Path) -> Path:
    """Rows in memory become a JSON Lines file beside the runs, so that there is one way in, errors
    can name a line, and the run.yaml that is left can be run again."""
    items = data.to_dict("records") if hasattr(data, "columns") else list(data)
    lines = []
    for number, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            raise ConfigError(
                f"data: row {number} is {type(item).__name__}, not a mapping of columns. "
                "Give a path, a list of dicts, a datasets.Dataset or a DataFrame."
            )
        row = _with_label_names(item, getattr(data, "features", None) or {})
        lines.append(json.dumps(row, ensure_ascii=False, default=_plain))
    content = "".join(f"{line}\n" for line in lines)
    digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
    path = place / f"data-{digest}.jsonl"
    try:
        place.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise ConfigError(
            f'the output folder "{place}" cannot be written: {error.strerror}.\n'
            'Give another one with output={"dir": DIR}.'
        ) from None
    return path


def _with_label_names(item: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
    """A datasets.Dataset keeps class labels as numbers and their names in its features."""
    return {
        str(key): features[key].names[value]
        if isinstance(value, int) and hasattr(features.get(key), "names")
        else value
        for key, value in item.items()
    }


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ConfigError(f"data: a value of type {type(value).__name__} cannot be a column's value.")
