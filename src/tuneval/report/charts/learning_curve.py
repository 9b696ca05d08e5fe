"""Loss over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from tuneval.report.charts import svg
from tuneval.report.charts.marks import marker
from tuneval.report.charts.scale import Scale
from tuneval.report.charts.svg import Chart
from tuneval.types import LearningCurve


def learning_curve(curve: LearningCurve, css: str) -> Chart:
    """Training and validation loss by step; a line marks the best step."""
    log = curve.log
    train = _finite_points(log.steps, log.train_loss)
    validation = _finite_points(log.validation_steps, log.validation_loss)
    xs = [x for x, _ in (*train, *validation)] or [0]
    # The first training losses would press everything else to the ground.
    ceiling = max([y for _, y in validation] + [y for _, y in train[len(train) // 4 :]] or [1])
    x_scale = Scale(min(*xs, 0), max(xs), 52, 420)
    y_scale = Scale(0, ceiling * 1.08, 190, 14)
    parts = []
    for tick in y_scale.ticks():
        parts.append(svg.line("grid", 52, y_scale(tick), 420, y_scale(tick)))
        parts.append(svg.text("tick end", 46, y_scale(tick) + 4, f"{tick:g}"))
    parts += [svg.text("tick middle", x_scale(t), 206, f"{t:g}") for t in x_scale.ticks()]
    parts.append(svg.text("note middle", 236, 224, "training step"))
    if log.best_step is not None:
        x = x_scale(log.best_step)
        parts.append(svg.line("limit", x, 14, x, 190))
        side = "end" if x > 300 else "start"
        shift = -6 if side == "end" else 6
        parts.append(svg.text(f"note {side}", x + shift, 24, f"best: step {log.best_step}"))
    lines = [
        svg.path(f"curve soft {css}", [(x_scale(x), y_scale.beyond(y)) for x, y in train]),
        svg.path(f"curve {css}", [(x_scale(x), y_scale(y)) for x, y in validation]),
    ]
    # An inner drawing cuts off what leaves its frame.
    parts.append(
        Markup(
            '<svg x="50" y="12" width="372" height="180" viewBox="50 12 372 180">{}</svg>'
        ).format(svg.join(lines))
    )
    parts += [marker(css, x_scale(x), y_scale(y), 3.5) for x, y in validation]
    rows = [(str(x), "train", f"{y:.3f}") for x, y in train]
    rows += [(str(x), "validation", f"{y:.3f}") for x, y in validation]
    title = f"{curve.variant}: {curve.finding}"
    return Chart(title, svg.drawing(430, 230, title, parts), ("step", "part", "loss"), tuple(rows))


def _finite_points(xs: Sequence[int], ys: Sequence[float]) -> list[tuple[int, float]]:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
