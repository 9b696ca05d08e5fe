"""The test score over the checkpoints of one training."""

from __future__ import annotations

from tuneval.report.charts import svg
from tuneval.report.charts.marks import marker
from tuneval.report.charts.scale import Scale, tick_label
from tuneval.report.charts.svg import Chart
from tuneval.report.wording import number
from tuneval.types import Finding, Unit

LAST_COLUMN = "against the best"


def is_path(finding: Finding) -> bool:
    """Does the finding's table hold the scores of checkpoints?"""
    return len(finding.columns) == 5 and list(finding.columns)[-1] == LAST_COLUMN


def path(finding: Finding, css: str) -> Chart:
    """Score by step, one mark with its interval a checkpoint; a line stands at the best."""
    unit_of_steps, metric, *_ = finding.columns
    unit: Unit = finding.columns[metric]  # type: ignore[assignment]
    drawn = [
        tuple(float(value) for value in row[:4] if isinstance(value, int | float))
        for row in finding.rows
    ]
    drawn = [row for row in drawn if len(row) == 4]
    steps = [row[0] for row in drawn] or [0.0]
    bounds = [value for row in drawn for value in row[1:]] or [0.0, 1.0]
    pad = (max(bounds) - min(bounds)) * 0.06 or 0.1
    x_scale = Scale(min(*steps, 0), max(steps), 52, 420)
    y_scale = Scale(min(bounds) - pad, max(bounds) + pad, 190, 14)
    parts = []
    for tick in y_scale.ticks():
        parts.append(svg.line("grid", 52, y_scale(tick), 420, y_scale(tick)))
        parts.append(svg.text("tick end", 46, y_scale(tick) + 4, tick_label(tick, unit)))
    parts += [svg.text("tick middle", x_scale(t), 206, f"{t:g}") for t in x_scale.ticks()]
    parts.append(svg.text("note middle", 236, 224, f"training {unit_of_steps}"))
    best = x_scale(finding.values["best"])
    parts.append(svg.line("limit", best, 14, best, 190))
    parts.append(svg.path(f"curve {css}", [(x_scale(x), y_scale(y)) for x, y, _, _ in drawn]))
    for x, y, low, high in drawn:
        parts.append(
            svg.line(f"bar thin {css}", x_scale(x), y_scale(low), x_scale(x), y_scale(high))
        )
        parts.append(marker(css, x_scale(x), y_scale(y), 4))
    rows = tuple(
        (f"{x:g}", *(number(value, unit) for value in (y, low, high))) for x, y, low, high in drawn
    )
    title = f"{finding.subject}: {metric} by {unit_of_steps}"
    header = (unit_of_steps, metric, "low", "high")
    return Chart(title, svg.drawing(430, 230, title, parts), header, rows)
