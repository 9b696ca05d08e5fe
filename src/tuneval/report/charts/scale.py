"""Axes: values to pixels, round ticks, and which range a set of scores is drawn in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tuneval.report.charts import svg
from tuneval.types import Score, Unit


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of ``value``, held inside the axis."""
        return self.beyond(min(max(value, self.low), self.high))

    def beyond(self, value: float) -> float:
        """Position of ``value``, also outside the axis."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """About five round values."""
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        raw = span / 5
        magnitude = 10 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 10) for index in range(first, last + 1)]


def value_scale(scores: Iterable[Score], start: float, end: float) -> Scale:
    """Axis for scores: 0 to 1 for shares, 0 to 100 for points, else what there is."""
    scores = list(scores)
    units = {score.unit for score in scores}
    if units <= {"share"}:
        return Scale(0, 1, start, end)
    if units <= {"points"}:
        return Scale(0, 100, start, end)
    values = [value for score in scores for value in _extent(score)]
    if not values:
        return Scale(0, 1, start, end)
    pad = (max(values) - min(values)) * 0.08 or abs(max(values)) * 0.1 or 1
    return Scale(min(values) - pad, max(values) + pad, start, end)


def zoomed(scores: Sequence[Score], start: float, end: float) -> Scale:
    """An axis that begins shortly before the lowest bound: for marks, never for bars."""
    whole = value_scale(scores, start, end)
    values = [value for score in scores for value in _extent(score)]
    if not values or whole.low:
        return whole
    step = whole.high / 10
    return Scale(math.floor(min(values) / step) * step, whole.high, start, end)


def vertical_grid(scale: Scale, top: float, bottom: float, unit: Unit) -> list[Markup]:
    """A line and a number at each tick of a horizontal axis."""
    parts = []
    for tick in scale.ticks():
        parts.append(svg.line("grid", scale(tick), top, scale(tick), bottom))
        parts.append(svg.text("tick middle", scale(tick), bottom + 18, tick_label(tick, unit)))
    return parts


def tick_label(value: float, unit: Unit) -> str:
    """A tick in the unit of its axis; shares in percent."""
    return f"{value * 100:g}" if unit == "share" else f"{value:g}"


def _extent(score: Score) -> list[float]:
    bounds = [score.interval.low, score.interval.high] if score.interval else []
    return [v for v in (score.value, *bounds, *score.training_seeds) if math.isfinite(v)]
