"""What ``import tuneval`` offers: one call that compares, and a result that shows itself.

The command line builds the same RunSpec through the same functions; neither has an option that the
other lacks.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval import types
from tuneval.config import RunSpec
from tuneval.errors import ConfigError
from tuneval.resolve import describe_run
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
        """Read a run folder or its result.json. Raises ConfigError if there is none."""
        from tuneval.report.results_json import read

        path = Path(path)
        return cls.of(read(path / "result.json" if path.is_dir() else path))

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

        Raises
        ------
        ConfigError
            The two were not compared, or the primary metric is not right-or-wrong.
        """
        found = tuple(
            one for one in self.flips if (one.baseline, one.candidate) == (baseline, candidate)
        )
        if not found:
            known = sorted({f"{one.baseline} -> {one.candidate}" for one in self.flips})
            raise ConfigError(
                f'no paired table of "{baseline}" and "{candidate}" '
                f"(there is: {', '.join(known) or 'none'})."
            )
        return found

    def save_report(self, path: str | Path, kind: str | None = None) -> Path:
        """Write a report; its kind is the suffix of ``path`` unless it is given."""
        from tuneval import registry
        from tuneval.report import REPORTS
        from tuneval.report.files import replace_file

        path = Path(path)
        render = registry.load(REPORTS, kind or path.suffix.lstrip("."), room="report")
        replace_file(path, render(self))
        return path


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
    data: Any,
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
    options
        ``task``, ``columns``, ``labels``, ``groups``, ``limit``, ``split``, ``template``,
        ``options`` (of the task), ``few_shot_file``, ``skip_bad_rows`` for the data; ``name`` and the sections of run.yaml
        (``prompting``, ``metrics``, ``perturbations``, ``statistics``, ``backend``, ``output``,
        ``task_options``) as mappings.

    Returns
    -------
    RunResult

    Examples
    --------
    >>> result = tuneval.compare(adapters="out/lora", data="test.jsonl")  # doctest: +SKIP
    >>> print(result)                                                      # doctest: +SKIP
    """
    with _as_files(data) as files:
        spec = describe_run(
            base=base, adapters=_words(adapters), full=_words(full), data=files, **_split(options)
        )
        return run(spec, models=models, progress=progress, announce=announce)


CASE_OPTIONS = (
    "task",
    "columns",
    "labels",
    "groups",
    "limit",
    "split",
    "template",
    "options",
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


class _as_files:  # noqa: N801 - reads as a phrase in a with statement
    """Data in memory becomes a JSON Lines file for the time of the run, so that there is one way
    in and errors can name a line."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> list[str]:
        if isinstance(self._data, str | os.PathLike):
            return [str(self._data)]
        items = list(self._data)
        if items and all(isinstance(item, str | os.PathLike) for item in items):
            return [str(item) for item in items]
        self._folder = tempfile.TemporaryDirectory(prefix="tuneval-")
        path = Path(self._folder.name) / "data.jsonl"
        with path.open("w", encoding="utf-8") as lines:
            for item in items:
                lines.write(json.dumps(self._with_label_names(item), ensure_ascii=False) + "\n")
        return [str(path)]

    def _with_label_names(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """A datasets.Dataset keeps class labels as numbers and their names in its features."""
        features = getattr(self._data, "features", None) or {}
        return {
            key: features[key].names[value]
            if isinstance(value, int) and hasattr(features.get(key), "names")
            else value
            for key, value in item.items()
        }

    def __exit__(self, *failure: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()
