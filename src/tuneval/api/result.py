"""A finished run that shows itself: as text, in a notebook, as rows, as a report in a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval import types
from tuneval.api import frames
from tuneval.errors import ConfigError
from tuneval.report.files import replace_file
from tuneval.runs.shelf import folders
from tuneval.types import Flips, arms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


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

    def __repr__(self) -> str:
        """One line: the whole is print()'s, the report's and the frames'."""
        names = ", ".join(arms([one for one in self.variants if one.kind != "judge"]))
        sets = ", ".join(f"{one.name} ({len(one.cases):,})" for one in self.case_sets)
        ended = self.headline if self.is_complete else f"{self.headline}, INCOMPLETE"
        return f"<RunResult {self.name} {self.run_id}: {ended}; {names} on {sets}>"

    def to_rows(self) -> list[dict[str, Any]]:
        """One mapping per score: variant, case set, metric, slice, value, interval, ..."""
        return [frames.of_score(score) for score in self.scores]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``to_rows`` as a DataFrame. Needs pandas (``pip install 'tuneval[pandas]'``)."""
        return _frame(self.to_rows(), "to_pandas() needs pandas; to_rows() does not")

    def comparisons_frame(self) -> pd.DataFrame:
        """One row a comparison: candidate minus baseline in the metric's unit, interval, p, cases.

        Needs pandas (``pip install 'tuneval[pandas]'``), as all frames do.
        """
        return _frame([frames.of_comparison(one) for one in self.comparisons])

    def cases_frame(self) -> pd.DataFrame:
        """One row a case and variant: what was expected, what was answered, what it scored.

        ``score`` is the value of the case set's first metric for that case alone (1 and 0 for
        right and wrong), ``probability`` the one given to the label that was answered; a column
        ``group_NAME`` for every group.
        """
        return _frame(frames.of_cases(self))

    def findings_frame(self) -> pd.DataFrame:
        """One row for everything that a check beyond the score found, its numbers in ``values``."""
        return _frame([frames.of_finding(one) for one in self.findings])

    def plot(self, metric: str | None = None, case_set: str | None = None, ax: Any = None) -> Axes:
        """Draw every arm's value with its interval; a stroke for each training seed.

        Parameters
        ----------
        metric, case_set : str, optional
            The first metric and case set where they are left out.
        ax : matplotlib Axes, optional
            Where to draw; a new figure where it is left out.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigError, BackendUnavailable
            There is no such metric; matplotlib is missing (``pip install 'tuneval[plot]'``).
        """
        from tuneval.api.plot import draw

        return draw(self, metric, case_set, ax)

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


def _frame(rows: Iterable[Mapping[str, Any]], what: str = "a frame needs pandas") -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError:
        raise ConfigError(f"{what}: pip install 'tuneval[pandas]'.") from None
    return pd.DataFrame(list(rows))


def _no_result(folder: Path) -> str:
    if (folder / "run.yaml").is_file():
        return (
            f'"{folder}" holds a run that was not finished (no result.json).\n'
            f"Go on with: tuneval run {shlex.quote(f'{folder}/run.yaml')}"
        )
    runs = sorted(one.name for one in folders(folder) if (one / "result.json").is_file())
    listed = f"\nIt holds the runs {', '.join(runs[:8])}: give one of them." if runs else ""
    return f'"{folder}" is no run folder: it has no result.json.{listed}'
