"""The run as a pull-request comment: GitHub Markdown, at most 40 lines."""

from __future__ import annotations

from tuneval.report import wording
from tuneval.report.escape import markdown as escape
from tuneval.report.view import View, originals
from tuneval.types import RunResult, Score

MOST_LINES = 40
_SIGNS = {"+": "✅", "=": "➖", "?": "❔", "!": "⚠️"}


def render(result: RunResult) -> str:
    """Decision, sentences, the table of all metrics, slices of the primary one, and provenance."""
    view = View.of(result)
    top = [f"## {escape(view.headline())}: {escape(result.name)}", ""]
    if not result.is_complete:
        command = escape(view.resume_command())
        how = f"Go on with: {command}" if command else wording.SAME_COMMAND
        top += [f"Some answers are missing. {how}", ""]
    messages = [f"- {_SIGNS[sign]} {escape(sentence)}" for sign, sentence in view.messages()]
    bottom = _provenance(view)
    table = _table(view)
    room = MOST_LINES - len(top) - len(bottom) - 2
    shown_messages = _cut(messages, max(4, room - len(table)), "- and {} more in the report")
    shown_table = _cut(table, room - len(shown_messages), "\n{} more rows in the report", minimum=3)
    blocks = [block for block in (shown_messages, shown_table) if block]
    middle = [line for block in blocks for line in (*block, "")]
    return "\n".join([*top, *middle, *bottom]) + "\n"


def _table(view: View) -> list[str]:
    lines = []
    for index, case_set in enumerate(view.result.case_sets):
        pairs = view.shown_pairs(view.result.main.name)
        if index == 0:
            titles = [arm.title for arm in view.arms]
            titles += [f"{candidate} − {baseline}" for baseline, candidate in pairs]
            lines = [_row(["", *map(escape, titles)]), _row([":--", *["--:"] * len(titles)])]
        prefix = f"{case_set.name}: " if len(view.result.case_sets) > 1 else ""
        for metric in view.metrics(case_set.name):
            cells = [escape(prefix + wording.metric_title(metric))]
            cells += [_value(view.score(case_set.name, metric, arm)) for arm in view.arms]
            cells += [_difference(view, case_set.name, metric, pair) for pair in pairs]
            lines.append(_row(cells))
        metric = view.primary(case_set.name)
        for name in [*view.perturbations(case_set.name), *view.lowest_groups(case_set.name)]:
            cells = [f"↳ {escape(prefix + wording.slice_title(name))}"]
            cells += [_value(view.score(case_set.name, metric, arm, name)) for arm in view.arms]
            cells += [_difference(view, case_set.name, metric, pair, name) for pair in pairs]
            lines.append(_row(cells))
    return lines


def _provenance(view: View) -> list[str]:
    result = view.result
    data = ", ".join(
        f"{escape(case_set.source)} ({wording.count(len(originals(case_set)))} cases)"
        for case_set in result.case_sets[:3]
    )
    return [
        "<sub>Brackets: confidence interval; ±: standard deviation over training seeds; "
        "\\*: p below .05 after Holm; (\\*): suggests, after Benjamini-Hochberg.<br>",
        f"tuneval {escape(result.tuneval_version)}, run {escape(result.run_id)}, "
        f"{escape(result.created)}{f'; {data}' if data else ''}</sub>",
    ]


def _value(score: Score | None) -> str:
    if score is None:
        return ""
    value = wording.number(score.value, score.unit)
    if score.standard_deviation is not None:
        return f"{value} ± {wording.number(score.standard_deviation, score.unit)}"
    return f"{value} [{wording.interval(score.interval, score.unit)}]" if score.interval else value


def _difference(
    view: View, case_set: str, metric: str, pair: tuple[str, str], name: str = "all"
) -> str:
    found = view.comparison(case_set, metric, pair, name)
    if found is None:
        return ""
    bounds = wording.signed_interval(found.interval, found.unit)
    shown = wording.starred(found).replace("*", "\\*").replace("<", "&lt;")
    return shown + (f" [{bounds}]" if bounds else "")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cut(lines: list[str], most: int, rest: str, *, minimum: int = 0) -> list[str]:
    most = max(most, minimum)
    if len(lines) <= most:
        return lines
    kept = lines[: most - 1 - rest.count("\n")]
    return [*kept, *rest.format(len(lines) - len(kept)).split("\n")]
