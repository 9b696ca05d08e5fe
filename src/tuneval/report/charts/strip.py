"""A score as one line in a table: interval, value, training seeds."""

from __future__ import annotations

import math

from markupsafe import Markup

from tuneval.report.charts import svg
from tuneval.report.charts.marks import is_drawable, marker
from tuneval.report.charts.scale import Scale
from tuneval.types import Score


def strip(score: Score, css: str, scale: Scale) -> Markup:
    """One line: axis, interval, value, and a dot for each training seed."""
    parts = [svg.line("axis", scale.start, 12, scale.end, 12)]
    if is_drawable(score.interval):
        assert score.interval is not None
        low, high = scale(score.interval.low), scale(score.interval.high)
        parts.append(svg.line(f"bar {css}", low, 12, high, 12))
    parts += [
        Markup('<circle class="seed {}" cx="{}" cy="24" r="2.5"/>').format(css, scale(seed))
        for seed in score.training_seeds
        if math.isfinite(seed)
    ]
    if math.isfinite(score.value):
        parts.append(marker(css, scale(score.value), 12))
    height = 30 if score.training_seeds else 24
    return Markup('<svg class="strip" viewBox="0 0 260 {}" aria-hidden="true">{}</svg>').format(
        height, svg.join(parts)
    )
