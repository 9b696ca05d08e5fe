"""A finished run that shows itself: as text, in a notebook, as rows, as a report in a file."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval import types
from tuneval.errors import ConfigError
from tuneval.report.files import replace_file
from tuneval.runs.shelf import folders
from tuneval.types import Flips

if TYPE_CHECKING:
    import pandas as pd


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
        from tuneval.assess.conclude import decide_again
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
        """Write a report; its kind is the suffix of ``path`` unless it is given (.xml: JUnit)."""
        from tuneval import registry
        from tuneval.report import REPORTS

        path = Path(path)
        suffix = path.suffix.lstrip(".")
        kind = kind or ("junit" if suffix == "xml" else suffix)
        render = registry.load(REPORTS, kind, room="report")
        try:
            replace_file(path, render(self))
        except OSError as error:
            raise ConfigError(f'"{path}" cannot be written: {error.strerror}.') from None
        return path


def _no_result(folder: Path) -> str:
    if (folder / "run.yaml").is_file():
        return (
            f'"{folder}" holds a run that was not finished (no result.json).\n'
            f"Go on with: tuneval run {shlex.quote(f'{folder}/run.yaml')}"
        )
    runs = sorted(one.name for one in folders(folder) if (one / "result.json").is_file())
    listed = f"\nIt holds the runs {', '.join(runs[:8])}: give one of them." if runs else ""
    return f'"{folder}" is no run folder: it has no result.json.{listed}'
