"""The summary on standard output: 80 columns, 24 lines, ASCII of our own, no colour needed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from tuneval.report import escape, wording
from tuneval.report.view import OVERALL, Arm, View, chosen, originals
from tuneval.types import CaseSet, RunResult, Score

HEIGHT = 24
MOST_TABLE_LINES = 12
FEWEST_VERDICT_LINES = 7
MOST_ARMS_SIDE_BY_SIDE = 3
_COLOURS = {"+": "32", "=": "36", "?": "33", "!": "31"}
_GAP = 2


def render(result: RunResult, *, width: int = 80, color: bool = False, preface: bool = True) -> str:
    """Summarise a run for the terminal.

    Parameters
    ----------
    width : int
        Columns; no line of the summary but the path at its end is longer.
    color : bool
        Colour marks and headline with SGR sequences; widths stay the same.
    preface : bool
        Begin with the lines on data and variants; left out where they were just printed.
    """
    view = View.of(result)
    top = _heading(view, width) + (_preface(view, width) if preface else [])
    bottom = ["", *_verdict(view, width, color, FEWEST_VERDICT_LINES)]
    report = [_report_line(result)]
    room = HEIGHT - len(top) - len(bottom) - len(report) - 1
    table = _table(view, width, max(4, min(MOST_TABLE_LINES, room)))
    left = HEIGHT - len(top) - len(table) - len(report) - 3
    bottom = ["", *_verdict(view, width, color, max(FEWEST_VERDICT_LINES, left))]
    return "\n".join(line.rstrip() for line in [*top, "", *table, *bottom, *report]) + "\n"


def _heading(view: View, width: int) -> list[str]:
    result = view.result
    parts = [f"tuneval {result.tuneval_version}", f"run {result.run_id}", result.name]
    return [escape.fit("   ".join(escape.terminal(part) for part in parts if part), width)]


def _preface(view: View, width: int) -> list[str]:
    lines = []
    for case_set in view.result.case_sets[:1]:
        n_labels = f", {len(case_set.labels)} labels" if case_set.labels else ""
        more = len(view.result.case_sets) - 1
        others = f"; and {more} more case set{'s' if more > 1 else ''}" if more else ""
        n_cases = wording.count(len(originals(case_set)))
        text = f"{case_set.source}, {n_cases} cases{_independent(case_set)}{n_labels}{others}"
        lines.append(("data", text))
    if len(view.arms) <= MOST_ARMS_SIDE_BY_SIDE:
        lines += [(arm.name, _arm_line(view, arm)) for arm in view.arms]
    else:
        lines.append(("arms", ", ".join(arm.title for arm in view.arms)))
    lines = [(escape.terminal(name), escape.terminal(text)) for name, text in lines]
    column = min(14, max((escape.display_width(name) for name, _ in lines), default=0) + 2)
    return [
        escape.fit(f"  {_left(escape.fit(name, column - 2), column)}{text}", width)
        for name, text in lines
    ]


def _independent(case_set: CaseSet) -> str:
    """How many cases count as independent, where some belong together."""
    chosen = [case for case in case_set.cases if case.origin is None]
    n_units = len({case.cluster or case.id for case in chosen})
    return f" ({wording.count(n_units)} independent)" if n_units < len(chosen) else ""


def _arm_line(view: View, arm: Arm) -> str:
    first, facts = arm.variants[0], view.facts(arm)
    if first.kind == "majority":
        return "no model: the commonest label for every case"
    seeds = len(arm.variants)
    place = f"{seeds} training seeds" if seeds > 1 else first.adapter or first.model
    if facts is None:
        return place
    size = facts.n_adapter_parameters or facts.n_parameters
    settings = [f"{key}={value}" for key, value in facts.settings.items()]
    details = [wording.quantity(size) + " parameters", facts.dtype, facts.device, *settings]
    return f"{place} ({', '.join(detail for detail in details if detail)})"


def _table(view: View, width: int, room: int) -> list[str]:
    if not view.result.case_sets or not view.arms:
        return ["no scores"]
    rows = _side_by_side(view, room - 2, width)
    if rows is None:
        rows = _one_below_another(view, room - 2, width)
    return [*rows, *_footnote(view, width, has_intervals=any("[" in row for row in rows))]


def _side_by_side(view: View, room: int, width: int) -> list[str] | None:
    """One column per arm, every pair where they fit, and as many intervals as fit; None where it does
    not fit at all."""
    if len(view.arms) > MOST_ARMS_SIDE_BY_SIDE:
        return None
    case_set = view.result.main.name
    first = _first_pair(view, case_set)
    leading = [first] if first else []
    every = [*leading, *(one for one in view.shown_pairs(case_set) if one != first)]
    base = (view.base,) if view.base else ()
    for pairs in (every, leading):
        header = ["", *(escape.terminal(arm.title) for arm in view.arms)]
        header += [escape.terminal(f"{candidate}-{baseline}") for baseline, candidate in pairs]
        for bracketed in (view.arms, base, ()):
            lines = _columns(header, _rows(view, pairs, bracketed, room), width)
            if lines is not None:
                return lines
    return None


FEWEST_METRICS = 4
"""Lines that metrics keep where there are slices to show: the first ones and the last."""


def _rows(
    view: View, pairs: Sequence[tuple[str, str]], bracketed: Sequence[Arm], room: int
) -> list[list[str]]:
    """Metrics of the first case set, its slices, primary metrics of the other case sets."""

    def row(title: str, case_set: str, metric: str, name: str, last: Sequence[str]) -> list[str]:
        is_bracketed = metric == view.primary(case_set) and name == OVERALL
        cells = [
            _value(view.score(case_set, metric, arm, name), is_bracketed and arm in bracketed)
            for arm in view.arms
        ]
        return [escape.terminal(title), *cells, *map(escape.terminal, last)]

    def differences(case_set: str, metric: str) -> list[str]:
        return [_difference(view, case_set, metric, pair) for pair in pairs]

    case_set = view.result.main.name
    others = [o for o in view.result.case_sets if o.name != case_set and view.primary(o.name)]
    metric = view.primary(case_set)
    metrics = [
        row(wording.metric_title(m), case_set, m, OVERALL, differences(case_set, m))
        for m in view.metrics(case_set)
    ]
    slices = [
        row(
            f"  {wording.slice_title(name)}",
            case_set,
            metric,
            name,
            [view.slice_note(case_set, name)] if pairs else [],
        )
        for name in (*view.perturbations(case_set), *view.lowest_groups(case_set))
    ]
    tail = []
    for other in others:
        theirs = view.primary(other.name)
        title = f"{other.name} {wording.metric_title(theirs)}"
        tail.append(row(title, other.name, theirs, OVERALL, differences(other.name, theirs)))
    kept = max(FEWEST_METRICS, room - len(slices) - len(tail))
    if kept < len(metrics):  # slices were asked for by name, most metrics were not
        metrics = [*metrics[: kept - 1], metrics[-1]]
    spare = max(0, room - len(metrics) - len(tail))
    return [*metrics, *slices[:spare], *tail][:room]


def _one_below_another(view: View, room: int, width: int) -> list[str]:
    """One line per arm: its primary score, what it is ahead of each arm that it was compared with, and
    as many further metrics as fit."""
    case_set = view.result.main.name
    metrics = view.metrics(case_set)[:3]
    names = [arm.name for arm in view.arms]
    compared = {pair for pair in view.pairs(case_set) if {*pair} <= {*names}}
    others = [name for name in names if any(baseline == name for baseline, _ in compared)]

    def table(n_others: int, n_metrics: int, bracketed: bool) -> list[str] | None:
        header = ["", *map(wording.metric_title, metrics[:1])]
        header += [f"vs {name}" for name in others[:n_others]]
        header += map(wording.metric_title, metrics[1:n_metrics])
        rows = []
        for arm in view.arms:
            cells = [_value(view.score(case_set, metrics[0], arm), bracketed)] if metrics else []
            cells += [
                _difference(view, case_set, metrics[0], (name, arm.name))
                for name in others[:n_others]
            ]
            cells += [_value(view.score(case_set, m, arm), False) for m in metrics[1:n_metrics]]
            rows.append([escape.terminal(arm.title), *cells])
        return _columns(list(map(escape.terminal, header)), rows[:room], width)

    for n_others in range(len(others), -1, -1):
        for bracketed in (True, False):
            for n_metrics in range(len(metrics), 0, -1):
                lines = table(n_others, n_metrics, bracketed)
                if lines is not None:
                    return lines
    return [escape.fit(escape.terminal(arm.title), width) for arm in view.arms[:room]]


def _columns(header: list[str], rows: Sequence[list[str]], width: int) -> list[str] | None:
    """Columns as wide as their widest cell; None where they do not fit.

    The last cell of a row that has fewer reaches over the columns that are left.
    """
    n = len(header)
    whole = [row for row in [header, *rows] if len(row) == n]
    partial = [row for row in rows if len(row) < n]
    widths = [
        max(
            escape.display_width(row[i])
            for row in [*whole, *(one for one in partial if len(one) - 1 > i)]
        )
        for i in range(n)
    ]
    needed = [sum(widths) + _GAP * (n - 1)]
    needed += [
        sum(widths[: len(row) - 1]) + _GAP * (len(row) - 1) + escape.display_width(row[-1])
        for row in partial
    ]
    if max(needed) > width:
        return None
    gap = " " * min(4, max(_GAP, _GAP + (width - max(needed)) // max(1, n - 1)))
    return [
        gap.join(
            cell if i == len(row) - 1 and len(row) < n else _left(cell, widths[i])
            for i, cell in enumerate(row)
        )
        for row in [header, *rows]
    ]


def _first_pair(view: View, case_set: str) -> tuple[str, str] | None:
    """What the last column compares: the leading arm with the base, else the first pair."""
    base, leading = view.base, view.leading
    pairs = view.pairs(case_set)
    if base and leading and (base.name, leading.name) in pairs:
        return base.name, leading.name
    return pairs[0] if pairs else None


def _value(score: Score | None, with_interval: bool) -> str:
    if score is None:
        return ""
    value = wording.number(score.value, score.unit)
    if score.standard_deviation is not None:
        return f"{value} +- {wording.number(score.standard_deviation, score.unit)}"
    if with_interval and score.interval is not None:
        return f"{value} [{wording.interval(score.interval, score.unit, between=' ')}]"
    return value


def _difference(view: View, case_set: str, metric: str, pair: tuple[str, str] | None) -> str:
    found = view.comparison(case_set, metric, pair) if pair else None
    if found is None:
        return ""
    return wording.starred(found)


def _footnote(view: View, width: int, *, has_intervals: bool) -> list[str]:
    parts = wording.star_legend(view.result.comparisons)
    shown = [s for s in view.result.scores if s.slice == OVERALL and s.interval is not None]
    if has_intervals and shown and shown[0].interval:
        parts.append(f"[{shown[0].interval.confidence:.0%} interval]")
    if any(len(arm.variants) > 1 for arm in view.arms):
        parts.append("+- sd over seeds")
    parts += wording.level_legend(view.result.comparisons)
    return textwrap.wrap("; ".join(parts), width, break_on_hyphens=False)


def _verdict(view: View, width: int, color: bool, most: int) -> list[str]:
    headline = escape.fit(escape.terminal(view.headline()), width)
    lines = [_paint(headline, "1", color)]
    if not view.result.is_complete:
        command = escape.terminal(view.resume_command())
        lines.append(f"  Go on with: {command}" if command else f"  {wording.SAME_COMMAND}")
    messages = view.messages()
    blocks = _wrapped(messages, width - 4)
    if sum(map(len, blocks)) > most:
        blocks = _wrapped([(sign, _first_sentence(text)) for sign, text in messages], width - 4)
    shown = chosen([sign for sign, _ in messages], [len(block) for block in blocks], most)
    for index in shown:
        sign, block = messages[index][0], blocks[index]
        lines.append(f"  {_paint(sign, _COLOURS[sign], color)} {block[0]}")
        lines += [f"    {line}" for line in block[1:]]
    if len(shown) < len(messages):
        lines.append(f"    and {len(messages) - len(shown)} more in the report")
    return lines


def _wrapped(messages: Sequence[tuple[str, str]], width: int) -> list[list[str]]:
    return [
        textwrap.wrap(escape.terminal(text), width, break_on_hyphens=False) or [""]
        for _, text in messages
    ]


def _first_sentence(text: str) -> str:
    """What was found; the advice after it stands in the report."""
    return re.split(r"(?<=[.)])\s+(?=[A-Z])", text, maxsplit=1)[0]


def _report_line(result: RunResult) -> str:
    folder = result.output_dir.rstrip("/")
    path = f"{folder}/report.html" if folder else "not written"
    return f"report  {escape.terminal(path)}"


def _left(text: str, width: int) -> str:
    return text + " " * (width - escape.display_width(text))


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
