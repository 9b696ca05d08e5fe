"""Marks of arms: a class and a shape for each, and the interval that a mark sits on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tuneval.report.charts import svg
from tuneval.report.charts.scale import Scale
from tuneval.report.view import Arm
from tuneval.types import Interval, Score


def css_classes(arms: Sequence[Arm]) -> dict[str, str]:
    """Class of each arm and of each of its variants: kind and number ("adapter-0")."""
    seen: dict[str, int] = {}
    found = {}
    for arm in arms:
        number = seen.get(arm.kind, 0)
        seen[arm.kind] = number + 1
        for name in (*(variant.name for variant in arm.variants), arm.name):
            found[name] = f"{arm.kind}-{number % 4}"
    return found


def marker(css: str, x: float, y: float, size: float = 5) -> Markup:
    """Base circle, adapter square, full triangle: shape tells what colour tells."""
    if css.startswith("base"):
        return Markup('<circle class="mark {}" cx="{}" cy="{}" r="{}"/>').format(css, x, y, size)
    if css.startswith("adapter"):
        side = round(size * 1.8, 1)
        corner = (round(x - side / 2, 1), round(y - side / 2, 1))
        return Markup('<rect class="mark {}" x="{}" y="{}" width="{}" height="{}" rx="1"/>').format(
            css, *corner, side, side
        )
    points = [
        (x, y - size * 1.15),
        (x + size * 1.1, y + size * 0.85),
        (x - size * 1.1, y + size * 0.85),
    ]
    text = " ".join(f"{round(px, 1)},{round(py, 1)}" for px, py in points)
    return Markup('<polygon class="mark {}" points="{}"/>').format(css, text)


def icon(css: str) -> Markup:
    """The arm's mark for running text."""
    return Markup(
        '<svg class="icon" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{}</svg>'
    ).format(marker(css, 7, 7))


def interval_mark(score: Score, scale: Scale, y: float, css: str) -> list[Markup]:
    """A mark on its interval."""
    parts = []
    if is_drawable(score.interval):
        assert score.interval is not None
        low, high = scale(score.interval.low), scale(score.interval.high)
        parts.append(svg.line(f"bar thin {css}", low, y, high, y))
    return [*parts, marker(css, scale(score.value), y, 4.5)]


def is_drawable(interval: Interval | None) -> bool:
    """Has the interval both ends?"""
    return interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)
