"""Scores on changed inputs beside the clean ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from tuneval.report import escape, wording
from tuneval.report.charts import svg
from tuneval.report.charts.scale import tick_label, value_scale
from tuneval.report.charts.svg import CaseLink, Chart
from tuneval.report.view import Arm, View, worst_first

BRITTLE_BELOW = 0.9


def robustness(
    view: View, case_set: str, css: Mapping[str, str], link: CaseLink | None = None
) -> Chart:
    """Bars per perturbation and arm; a line marks the clean score, a dashed one 90% of it."""
    metric = view.primary(case_set)
    names = view.perturbations(case_set)
    bar, gap = 38, 30
    group = (bar + 6) * len(view.arms) + gap
    width = max(300, 50 + group * len(names))
    scores = [s for n in names for a in view.arms if (s := view.score(case_set, metric, a, n))]
    clean_scores = [s for arm in view.arms if (s := view.score(case_set, metric, arm))]
    scale = value_scale([*scores, *clean_scores], 210, 24)
    unit = scores[0].unit if scores else "share"
    parts = []
    for tick in scale.ticks():
        parts.append(svg.line("grid", 44, scale(tick), width, scale(tick)))
        parts.append(svg.text("tick end", 38, scale(tick) + 4, tick_label(tick, unit)))
    numbers, links = [], []
    for index, name in enumerate(names):
        left = 56 + index * group
        middle = left + (group - gap) / 2 - 3
        parts.append(
            svg.text("label middle", middle, 246, wording.slice_title(escape.terminal(name)))
        )
        for step, arm in enumerate(view.arms):
            score, clean = (
                view.score(case_set, metric, arm, name),
                _clean_value(view, case_set, arm, name),
            )
            if score is None or not math.isfinite(score.value):
                continue
            x = left + step * (bar + 6)
            y = scale(score.value)
            parts.append(
                Markup(
                    '<rect class="fill {}" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>'
                ).format(css[arm.name], x, y, bar, round(210 - y, 1))
            )
            if clean is not None and math.isfinite(clean):
                parts.append(svg.line("clean", x - 3, scale(clean), x + bar + 3, scale(clean)))
                limit = scale(BRITTLE_BELOW * clean)
                parts.append(svg.line("limit", x - 3, limit, x + bar + 3, limit))
            parts.append(
                svg.text("value middle", x + bar / 2, 226, wording.number(score.value, unit))
            )
            numbers.append(
                (
                    wording.slice_title(name),
                    arm.title,
                    wording.number(clean, unit),
                    wording.number(score.value, unit),
                    wording.interval(score.interval, unit),
                )
            )
            links += [link({"kind": name})] if link else []
    title = _robustness_title(view, case_set, names)
    return Chart(
        title,
        svg.drawing(width, 254, title, parts),
        ("input", "variant", "clean", "changed", "interval"),
        tuple(numbers),
        tuple(links),
    )


def _robustness_title(view: View, case_set: str, names: Sequence[str]) -> str:
    arm, metric = view.leading, view.primary(case_set)
    scores = [s for name in names if arm and (s := view.score(case_set, metric, arm, name))]
    if not scores or arm is None:
        return "Changed inputs"
    worst = min(scores, key=worst_first)
    clean = _clean_value(view, case_set, arm, worst.slice)
    return (
        f"{arm.name} falls furthest under {wording.slice_title(worst.slice)}: "
        f"{wording.number(clean, worst.unit)} clean, {wording.number(worst.value, worst.unit)} changed"
    )


def _clean_value(view: View, case_set: str, arm: Arm, name: str) -> float | None:
    """Clean score on the changed items where it was measured, else on all."""
    change = view.change(case_set, arm, name)
    if change is not None and "clean" in change.details:
        return change.details["clean"]
    score = view.score(case_set, view.primary(case_set), arm)
    return score.value if score else None
