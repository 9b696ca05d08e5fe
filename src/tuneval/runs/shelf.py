"""The runs that lie in a folder: what each was and said, or how to go on with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuneval.errors import ConfigError, DataError
from tuneval.report import wording
from tuneval.report.results_json import read
from tuneval.report.view import View
from tuneval.types import RunResult

LATEST = "latest"
"""Name of the link to the run that was finished last."""
RUNS = "tuneval-runs"
"""Where runs lie unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of ``tuneval runs``. ``state`` is "complete", or what to do."""

    name: str
    created: str = ""
    arms: tuple[str, ...] = ()
    score: str = ""
    headline: str = ""
    state: str = "complete"


def folders(place: Path) -> list[Path]:
    """Run folders in ``place``, the last one finished (or begun) at the end."""
    found = [one for one in place.glob("*/") if not one.is_symlink() and _touched(one) > 0]
    return sorted(found, key=_touched)


def last_run(place: Path) -> Path:
    """The folder of the run that was finished last. Raises ConfigError: there is none."""
    finished = [one for one in folders(place) if (one / "result.json").is_file()]
    if not finished:
        raise ConfigError(f'"{place}" holds no finished run. Give a run folder.')
    return finished[-1]


def entries(place: Path) -> Iterator[Entry]:
    """What lies in ``place``, the oldest first. Raises ConfigError: no run at all."""
    found = folders(place)
    if not found:
        raise ConfigError(f'"{place}" holds no run. Give the folder that the runs lie in.')
    for folder in found:
        if not (folder / "result.json").is_file():
            yield Entry(folder.name, state=f"go on: tuneval run {folder}")
            continue
        try:
            yield _entry(folder, read(folder / "result.json"))
        except DataError as error:
            yield Entry(folder.name, state=str(error).partition("\n")[0])


def _entry(folder: Path, result: RunResult) -> Entry:
    view = View.of(result)
    return Entry(
        name=folder.name,
        created=result.created,
        arms=tuple(arm.title for arm in view.arms),
        score=_score(view),
        headline=view.headline(),
        state="complete" if result.is_complete else f"go on: {view.resume_command()}",
    )


def _score(view: View) -> str:
    """The leading arm's primary metric on the first case set."""
    if not view.result.case_sets or view.leading is None:
        return ""
    name = view.result.main.name
    found = view.score(name, view.primary(name), view.leading)
    if found is None:
        return ""
    bounds = wording.interval(found.interval, found.unit)
    value = wording.number(found.value, found.unit)
    return f"{wording.metric_title(found.metric)} {value}" + (f" ({bounds})" if bounds else "")


def _touched(folder: Path) -> float:
    """When the run was finished, else begun; 0 for a folder that is no run's."""
    for name in ("result.json", "run.yaml"):
        if (folder / name).is_file():
            return (folder / name).stat().st_mtime
    return 0.0
