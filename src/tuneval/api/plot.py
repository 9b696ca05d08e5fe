"""A finished run as one drawing by matplotlib: every arm's value with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuneval.comparison.wording import scale
from tuneval.errors import ConfigError
from tuneval.extras import need
from tuneval.registry import unknown
from tuneval.report.view import View
from tuneval.report.wording import metric_title
from tuneval.types import RunResult, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(
    result: RunResult, metric: str | None = None, case_set: str | None = None, ax: Any = None
) -> Axes:
    """Draw one metric of one case set; see ``RunResult.plot``."""
    need("plot", "plot()")
    from matplotlib import pyplot

    view = View.of(result)
    where = case_set or next(
        (one.name for one in result.case_sets if one.is_decisive), result.case_sets[0].name
    )
    _is_among(where, [one.name for one in result.case_sets], "case set")
    what = metric or view.primary(where)
    _is_among(what, view.metrics(where), "metric")
    rows = [(arm.name, view.score(where, what, arm)) for arm in view.arms]
    scores = [(name, score) for name, score in rows if score is not None]
    if ax is None:
        _, ax = pyplot.subplots(figsize=(6.4, 1.0 + 0.45 * len(scores)), layout="constrained")
    _draw_scores(ax, scores)
    unit = scores[0][1].unit
    noun = {"share": "%", "points": "points"}.get(unit, unit if unit != "number" else "")
    ax.set_xlabel(f"{metric_title(what)} ({noun})" if noun else metric_title(what))
    ax.set_title(f"{where}, {scores[0][1].n_cases:,} cases")
    found: Axes = ax
    return found


def _draw_scores(ax: Any, scores: Sequence[tuple[str, Score]]) -> None:
    """A line an arm: its value, its interval, and the values of its training seeds."""
    for row, (_, score) in enumerate(scores):
        factor = scale(score.unit).factor
        value, colour = factor * score.value, f"C{row}"
        if score.interval:
            ends = [factor * score.interval.low, factor * score.interval.high]
            ax.plot(ends, [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        ax.plot([value], [row], "o", color=colour, markersize=7)
        seeds = [factor * one for one in score.training_seeds]
        ax.plot(seeds, [row] * len(seeds), "|", color=colour, markersize=12)
    ax.axvline(
        scale(scores[0][1].unit).factor * scores[0][1].value,
        color="0.6",
        linewidth=1,
        linestyle="--",
        zorder=0,
    )
    ax.set_yticks(range(len(scores)), [_as_text(name) for name, _ in scores])
    ax.set_ylim(len(scores) - 0.5, -0.5)


def _as_text(name: str) -> str:
    """A name may hold dollar signs, which matplotlib would read as mathematics."""
    return name.replace("$", r"\$")


def _is_among(name: str, known: Sequence[str], noun: str) -> None:
    if name not in known:
        raise ConfigError(f"plot: {noun}: {unknown(name, known)}")
