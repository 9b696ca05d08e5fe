"""One metric over the runs of a folder: a row for each run and arm, as a table and a chart of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from tuneval.errors import ConfigError
from tuneval.registry import unknown
from tuneval.report import wording
from tuneval.report.escape import display_width, fit
from tuneval.report.results_json import read
from tuneval.report.view import View
from tuneval.runs.shelf import folders
from tuneval.types import CaseSet, RunResult, Score

WIDEST_CHART, NARROWEST_CHART = 60, 10
NAME_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Point:
    """An arm's score in one run. ``is_same_data``: on the cases of the run before."""

    run: str
    created: str
    arm: str
    score: Score
    is_same_data: bool


def history(
    place: Path, *, metric: str | None = None, arms: Sequence[str] = (), case_set: str | None = None
) -> list[Point]:
    """Collect the scores, the oldest run first.

    Raises
    ------
    ConfigError
        No finished run, or none that has such a metric, arm or case set.
    """
    runs = [one for one in folders(place) if (one / "result.json").is_file()]
    if not runs:
        raise ConfigError(f'"{place}" holds no finished run. Give the folder that the runs lie in.')
    results = [(folder.name, read(folder / "result.json")) for folder in runs]
    name = case_set or results[-1][1].main.name
    primary = [one.primary_metrics[name] for _, one in results if name in one.primary_metrics]
    metric = metric or (primary[-1] if primary else "")
    points: list[Point] = []
    before = ""
    for run, result in results:
        cases = next((one for one in result.case_sets if one.name == name), None)
        if cases is None:
            continue
        found = _points(run, result, cases, metric, arms, before)
        before = cases.sha256 + cases.signature if found else before
        points += found
    if not points:
        raise ConfigError(_nothing([one for _, one in results], name, metric, arms))
    return points


def lines(points: Sequence[Point], *, columns: int = 80) -> Iterator[str]:
    """The table; beside each number, where its interval lies between the lowest and the highest."""
    first = points[0].score
    shown = [end for point in points for end in ends_of(point.score) if isfinite(end)] or [0.0]
    low, high = min(shown), max(shown)
    width = max(display_width(point.arm) for point in points)
    left = " " * (2 + min(width, NAME_WIDTH) + 2 + 22 + 1)
    room = min(WIDEST_CHART, max(NARROWEST_CHART, columns - len(left) - 2))
    yield f"{wording.metric_title(first.metric)} on {first.case_set}"
    run = ""
    for point in points:
        if point.run != run:
            run = point.run
            yield f"{point.created}  {run}"
            if not point.is_same_data:
                yield "  (other cases than before)"
        score = point.score
        bounds = wording.interval(score.interval, score.unit)
        value = wording.number(score.value, score.unit)
        text = f"{value} ({bounds})" if bounds else value
        arm = fit(point.arm, NAME_WIDTH)
        arm += " " * (min(width, NAME_WIDTH) - display_width(arm))
        yield f"  {arm}  {text:<22} |{_bar(score, low, high, room)}|"
    ends = [wording.number(end, first.unit) for end in (low, high)]
    yield f"{left}{ends[0]}{ends[1]:>{room + 2 - len(ends[0])}}"


def _points(
    run: str, result: RunResult, cases: CaseSet, metric: str, arms: Sequence[str], before: str
) -> list[Point]:
    view = View.of(result)
    is_same = before in ("", cases.sha256 + cases.signature)
    return [
        Point(run, result.created, arm.name, score, is_same)
        for arm in view.arms
        if (not arms or arm.name in arms) and (score := view.score(cases.name, metric, arm))
    ]


def _nothing(results: Sequence[RunResult], case_set: str, metric: str, arms: Sequence[str]) -> str:
    sets = {cases.name for result in results for cases in result.case_sets}
    if case_set not in sets:
        return f"--case-set: {unknown(case_set, sorted(sets))}."
    metrics = {score.metric for result in results for score in result.scores}
    if metric not in metrics:
        return f"--metric: {unknown(metric, sorted(metrics))}."
    known = {arm.name for result in results for arm in View.of(result).arms}
    missing = next((arm for arm in arms if arm not in known), None)
    return f"--arm: {unknown(missing, sorted(known))}." if missing else "No run has that score."


def ends_of(score: Score) -> tuple[float, float, float]:
    """Low end, value and high end; three times the value where there is no interval."""
    if score.interval is None:
        return (score.value,) * 3
    return score.interval.low, score.value, score.interval.high


def _bar(score: Score, low: float, high: float, room: int) -> str:
    """ "-" over the interval, "o" at the value."""
    if not isfinite(score.value):
        return " " * room
    places = [
        round((end - low) / (high - low) * (room - 1)) if high > low else 0
        for end in ends_of(score)
    ]
    cells = ["-" if places[0] <= n <= places[2] else " " for n in range(room)]
    cells[places[1]] = "o"
    return "".join(cells)
