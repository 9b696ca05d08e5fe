"""How often right, by confidence."""

from __future__ import annotations

from markupsafe import Markup

from tuneval.report import wording
from tuneval.report.charts import svg
from tuneval.report.charts.marks import marker
from tuneval.report.charts.scale import Scale, tick_label
from tuneval.report.charts.svg import Chart
from tuneval.types import Finding

RELIABILITY_COLUMNS = ("confidence", "accuracy", "low", "high", "cases")
"""What a finding's table holds if it can be drawn as a reliability diagram: one row a bin."""


def is_reliability(finding: Finding) -> bool:
    """Does the finding's table hold bins of confidence?"""
    return set(RELIABILITY_COLUMNS) <= set(finding.columns)


def reliability(finding: Finding, css: str) -> Chart:
    """Accuracy by confidence, one mark with interval a bin; the diagonal is honest confidence.

    Bars at the foot show how many cases stand in each bin.
    """
    names = list(finding.columns)
    picked = [names.index(name) for name in RELIABILITY_COLUMNS]
    bins = [tuple(row[at] for at in picked) for row in finding.rows]
    drawn = [
        tuple(float(value) for value in row if isinstance(value, int | float))
        for row in bins
        if all(isinstance(value, int | float) for value in row)
    ]
    x_scale, y_scale = Scale(0, 1, 46, 286), Scale(0, 1, 254, 14)
    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(svg.line("grid", 46, y_scale(tick), 286, y_scale(tick)))
        parts.append(svg.text("tick end", 40, y_scale(tick) + 4, tick_label(tick, "share")))
        parts.append(svg.text("tick middle", x_scale(tick), 272, tick_label(tick, "share")))
    parts.append(svg.line("limit", x_scale(0), y_scale(0), x_scale(1), y_scale(1)))
    parts.append(svg.text("note middle", 166, 290, "confidence; bars: cases"))
    most = max((row[4] for row in drawn), default=1.0) or 1.0
    for confidence, _, _, _, n_cases in drawn:
        height = 34 * n_cases / most
        parts.append(
            Markup('<rect class="fill soft {}" x="{}" y="{}" width="5" height="{}"/>').format(
                css, round(x_scale(confidence) - 2.5, 1), round(254 - height, 1), round(height, 1)
            )
        )
    for confidence, accuracy, low, high, _ in drawn:
        x = x_scale(confidence)
        parts.append(svg.line(f"bar thin {css}", x, y_scale(low), x, y_scale(high)))
        parts.append(marker(css, x, y_scale(accuracy), 4))
    rows = tuple(
        (*tuple(wording.number(value, "share") for value in row[:4]), str(round(row[4])))
        for row in drawn
    )
    title = f"{finding.variant}: how often right, by confidence"
    return Chart(title, svg.drawing(300, 298, title, parts), RELIABILITY_COLUMNS, rows)
