"""Groups of cases, one line a group, one mark with interval an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tuneval.report import escape, wording
from tuneval.report.charts import svg
from tuneval.report.charts.marks import interval_mark
from tuneval.report.charts.scale import vertical_grid, zoomed
from tuneval.report.charts.svg import CaseLink, Chart
from tuneval.report.view import Arm, View, worst_first
from tuneval.types import Score


def forest(
    view: View,
    case_set: str,
    attribute: str,
    css: Mapping[str, str],
    link: CaseLink | None = None,
) -> Chart:
    """Groups of one attribute, one line per group, one mark with interval per arm."""
    metric = view.primary(case_set)
    table = [
        (name, [(arm, view.score(case_set, metric, arm, name)) for arm in view.arms])
        for name in view.groups(case_set)[attribute]
    ]
    leading = view.leading
    table.sort(key=lambda row: worst_first(next((s for a, s in row[1] if a == leading), None)))
    scores = [score for _, row in table for _, score in row if score]
    scale = zoomed(scores, 118, 424)
    per_row = 12 * len(view.arms) + 14
    height = per_row * len(table) + 34
    parts = vertical_grid(scale, 8, height - 26, scores[0].unit if scores else "share")
    numbers, links = [], []
    for index, (name, row) in enumerate(table):
        top = 8 + index * per_row
        middle = top + per_row / 2
        n_cases = next((score.n_cases for _, score in row if score), 0)
        value = name.partition("=")[2]
        parts.append(svg.text("label end", 106, middle - 1, escape.fit(escape.terminal(value), 15)))
        parts.append(svg.text("note end", 106, middle + 13, f"n = {wording.count(n_cases)}"))
        if index:
            parts.append(svg.line("rule", 0, top, 424, top))
        for step, (arm, score) in enumerate(row):
            y = top + 13 + 12 * step
            if score is None or not math.isfinite(score.value):
                continue
            parts += interval_mark(score, scale, y, css[arm.name])
            bounds = wording.interval(score.interval, score.unit)
            numbers.append(
                (value, arm.title, wording.number(score.value, score.unit), bounds, str(n_cases))
            )
            links += [link({"group": name})] if link else []
    title = _forest_title(view, table, attribute)
    return Chart(
        title,
        svg.drawing(440, height, title, parts),
        (attribute, "variant", wording.metric_title(metric), "interval", "cases"),
        tuple(numbers),
        tuple(links),
    )


def _forest_title(
    view: View, table: Sequence[tuple[str, list[tuple[Arm, Score | None]]]], attribute: str
) -> str:
    arm = view.leading
    row = [(name, s) for name, scores in table for a, s in scores if a == arm and s is not None]
    if not row or arm is None:
        return attribute
    (_, low), (_, high) = row[0], row[-1]
    return (
        f"{attribute}: {arm.name} reaches {wording.number(low.value, low.unit)} on "
        f"{low.slice.partition('=')[2]} and {wording.number(high.value, high.unit)} on "
        f"{high.slice.partition('=')[2]}"
    )
