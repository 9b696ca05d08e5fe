"""A metric over runs as one SVG file that needs nothing beside it: for a page, a wiki, a slide."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from markupsafe import Markup

from tuneval.comparison.wording import scale
from tuneval.report import wording
from tuneval.report.charts import svg
from tuneval.report.charts.marks import marker
from tuneval.report.charts.scale import Scale
from tuneval.report.escape import fit, terminal
from tuneval.runs.history import Point, ends_of

SHAPES = ("base", "adapter", "full")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LEFT, TOP, BOTTOM, RUN_WIDTH, RIGHT, HEIGHT = 56, 34, 200, 96, 130, 236
NAME_LENGTH = 14
STYLE = """
svg { background: #fff; font: 12px system-ui, sans-serif; }
text { fill: #333; } .middle { text-anchor: middle; } .end { text-anchor: end; }
line { stroke: #ddd; } .limit { stroke: #888; stroke-dasharray: 4 4; }
path { fill: none; stroke-width: 2; } .interval { stroke-width: 1.5; }
"""


def render(points: Sequence[Point]) -> str:
    """Draw the points of ``runs.history.history``: a line an arm, a stroke for each interval."""
    runs = list(dict.fromkeys(point.run for point in points))
    arms = list(dict.fromkeys(point.arm for point in points))
    first = points[0].score
    factor = scale(first.unit).factor
    width = LEFT + max(3, len(runs)) * RUN_WIDTH + RIGHT
    ends = [factor * end for point in points for end in ends_of(point.score) if isfinite(end)]
    pad = (max(ends) - min(ends)) * 0.08 if ends and max(ends) > min(ends) else 1.0
    low, high = (min(ends) - pad, max(ends) + pad) if ends else (0.0, 1.0)
    y = Scale(low, high, BOTTOM, TOP)
    title = f"{wording.metric_title(first.metric)} on {first.case_set}"
    parts = [svg.text("title", LEFT, 18, terminal(title))]
    for tick in y.ticks():
        parts.append(svg.line("grid", LEFT, y(tick), width - RIGHT, y(tick)))
        parts.append(svg.text("end", LEFT - 6, y(tick) + 4, f"{tick:g}"))
    for number, run in enumerate(runs):
        found = next(point for point in points if point.run == run)
        parts += _label(found, _x(number))
    for number, arm in enumerate(arms):
        own = [point for point in points if point.arm == arm and isfinite(point.score.value)]
        parts += _arm(own, runs, number, y, factor)
    drawn = svg.drawing(width, HEIGHT, title, parts)
    colours = "".join(
        f".{_css(n)} {{ stroke: {COLOURS[n % len(COLOURS)]}; fill: {COLOURS[n % len(COLOURS)]}; }} "
        f"path.{_css(n)} {{ fill: none; }} text.{_css(n)} {{ stroke: none; }}\n"
        for n in range(len(arms))
    )
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg"')
    style = Markup("<style>{}{}</style>").format(Markup(STYLE), Markup(colours))
    return str(drawn.replace("<svg", head, 1).replace("</title>", Markup("</title>") + style, 1))


def _x(number: int) -> float:
    return LEFT + RUN_WIDTH * (number + 0.5)


def _css(number: int) -> str:
    return f"{SHAPES[number % len(SHAPES)]}-{number}"


def _label(point: Point, x: float) -> list[Markup]:
    """When a run was and what it is called; a line where the cases are no longer the same."""
    parts = [
        svg.text("middle", x, BOTTOM + 18, terminal(point.created[:10])),
        svg.text("middle", x, BOTTOM + 33, fit(terminal(point.run), NAME_LENGTH)),
    ]
    if not point.is_same_data:
        between = x - RUN_WIDTH / 2
        parts.append(svg.line("limit", between, TOP, between, BOTTOM))
        parts.append(svg.text("middle", between, TOP - 4, "other cases"))
    return parts


def _arm(
    own: Sequence[Point], runs: Sequence[str], number: int, y: Scale, factor: float
) -> list[Markup]:
    css, parts, stretch = _css(number), [], list[tuple[float, float]]()
    for point in own:
        x = _x(runs.index(point.run))
        low, value, high = (factor * end for end in ends_of(point.score))
        if not point.is_same_data:  # what was measured on other cases is not joined
            parts.append(svg.path(css, stretch) if len(stretch) > 1 else Markup(""))
            stretch = []
        stretch.append((x, y(value)))
        if point.score.interval is not None and isfinite(low) and isfinite(high):
            parts.append(svg.path(f"interval {css}", [(x, y(low)), (x, y(high))]))
        parts.append(marker(css, x, y(value), 4))
    if len(stretch) > 1:
        parts.append(svg.path(css, stretch))
    if own:
        last = own[-1]
        name = fit(terminal(last.arm), NAME_LENGTH)
        at = y(factor * last.score.value) + 4
        parts.append(svg.text(css, _x(runs.index(last.run)) + 10, at, name))
    return parts
