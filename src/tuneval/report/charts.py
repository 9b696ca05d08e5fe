"""Charts of the HTML report as SVG: positions and marks only, colours by class, numbers in a table.

Every text goes through ``Markup.format`` and is escaped there. No style attributes: the report's
content security policy forbids them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tuneval.report import escape, wording
from tuneval.report.view import Arm, View
from tuneval.types import Confusion, Finding, Interval, LearningCurve, Score, Unit

MOST_NUMBERED_LABELS = 12
MOST_CONFUSIONS = 15
BRITTLE_BELOW = 0.9
DARK_ABOVE = 0.5


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, the sentence it shows, and its numbers."""

    title: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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


def strip(score: Score, css: str, scale: Scale) -> Markup:
    """One line: axis, interval, value, and a dot for each training seed."""
    parts = [_line("axis", scale.start, 12, scale.end, 12)]
    if _is_drawable(score.interval):
        assert score.interval is not None
        low, high = scale(score.interval.low), scale(score.interval.high)
        parts.append(_line(f"bar {css}", low, 12, high, 12))
    parts += [
        Markup('<circle class="seed {}" cx="{}" cy="24" r="2.5"/>').format(css, scale(seed))
        for seed in score.training_seeds
        if math.isfinite(seed)
    ]
    if math.isfinite(score.value):
        parts.append(marker(css, scale(score.value), 12))
    height = 30 if score.training_seeds else 24
    return Markup('<svg class="strip" viewBox="0 0 260 {}" aria-hidden="true">{}</svg>').format(
        height, _join(parts)
    )


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


def forest(view: View, case_set: str, attribute: str, css: Mapping[str, str]) -> Chart:
    """Groups of one attribute, one line per group, one mark with interval per arm."""
    metric = view.primary(case_set)
    table = [
        (name, [(arm, view.score(case_set, metric, arm, name)) for arm in view.arms])
        for name in view.groups(case_set)[attribute]
    ]
    leading = view.leading
    table.sort(key=lambda row: _sort_key(next((s for a, s in row[1] if a == leading), None)))
    scores = [score for _, row in table for _, score in row if score]
    scale = _zoomed(scores, 118, 424)
    per_row = 12 * len(view.arms) + 14
    height = per_row * len(table) + 34
    parts = _vertical_grid(scale, 8, height - 26, scores[0].unit if scores else "share")
    numbers = []
    for index, (name, row) in enumerate(table):
        top = 8 + index * per_row
        middle = top + per_row / 2
        n_cases = next((score.n_cases for _, score in row if score), 0)
        value = name.partition("=")[2]
        parts.append(_text("label end", 106, middle - 1, escape.fit(_clean(value), 15)))
        parts.append(_text("note end", 106, middle + 13, f"n = {wording.count(n_cases)}"))
        if index:
            parts.append(_line("rule", 0, top, 424, top))
        for step, (arm, score) in enumerate(row):
            y = top + 13 + 12 * step
            if score is None or not math.isfinite(score.value):
                continue
            parts += _interval_mark(score, scale, y, css[arm.name])
            bounds = wording.interval(score.interval, score.unit)
            numbers.append(
                (value, arm.title, wording.number(score.value, score.unit), bounds, str(n_cases))
            )
    title = _forest_title(view, table, attribute)
    return Chart(
        title,
        _svg(440, height, title, parts),
        (attribute, "variant", wording.metric_title(metric), "interval", "cases"),
        tuple(numbers),
    )


def robustness(view: View, case_set: str, css: Mapping[str, str]) -> Chart:
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
        parts.append(_line("grid", 44, scale(tick), width, scale(tick)))
        parts.append(_text("tick end", 38, scale(tick) + 4, _tick(tick, unit)))
    numbers = []
    for index, name in enumerate(names):
        left = 56 + index * group
        middle = left + (group - gap) / 2 - 3
        parts.append(_text("label middle", middle, 246, wording.slice_title(_clean(name))))
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
                parts.append(_line("clean", x - 3, scale(clean), x + bar + 3, scale(clean)))
                limit = scale(BRITTLE_BELOW * clean)
                parts.append(_line("limit", x - 3, limit, x + bar + 3, limit))
            parts.append(_text("value middle", x + bar / 2, 226, wording.number(score.value, unit)))
            numbers.append(
                (
                    wording.slice_title(name),
                    arm.title,
                    wording.number(clean, unit),
                    wording.number(score.value, unit),
                    wording.interval(score.interval, unit),
                )
            )
    title = _robustness_title(view, case_set, names)
    return Chart(
        title,
        _svg(width, 254, title, parts),
        ("input", "variant", "clean", "changed", "interval"),
        tuple(numbers),
    )


def confusion(table: Confusion, css: str, *, has_unparsed: bool) -> Chart:
    """Heat map of reference (rows) by predicted label; numbers up to twelve labels.

    ``has_unparsed``: draw the column of unreadable answers, so that maps side by side are alike.
    """
    n = len(table.labels)
    columns = [*map(_clean, table.labels), *(["unread"] if has_unparsed else [])]
    is_numbered = n <= MOST_NUMBERED_LABELS
    cell = 34 if is_numbered else max(4.0, round(330 / n, 1))
    left, top = (92, 74) if is_numbered else (14, 14)
    # Rotated labels reach beyond their column: room for the last one.
    width, height = left + cell * len(columns) + (30 if is_numbered else 4), top + cell * n + 22
    parts = []
    for i, row in enumerate(table.counts):
        total = sum(row)
        for j in range(len(columns)):
            kind = "right" if i == j else "wrong"
            share = row[j] / total if total else 0
            x, y = round(left + j * cell, 1), round(top + i * cell, 1)
            side = round(cell - (2 if is_numbered else 0.5), 1)
            if is_numbered:
                parts.append(
                    Markup('<rect class="empty" x="{}" y="{}" width="{}" height="{}"/>').format(
                        x, y, side, side
                    )
                )
            if row[j]:
                parts.append(
                    Markup(
                        '<rect class="cell {} {}" x="{}" y="{}" width="{}" height="{}" '
                        'fill-opacity="{}"/>'
                    ).format(kind, css, x, y, side, side, _opacity(share))
                )
            if is_numbered and row[j]:
                ink = "on-fill" if share > DARK_ABOVE else "off-fill"
                parts.append(_text(f"count {ink}", x + side / 2, y + side / 2 + 4, str(row[j])))
    if is_numbered:
        parts += [
            _text("label end", left - 8, top + i * cell + cell / 2 + 3, escape.fit(label, 13))
            for i, label in enumerate(map(_clean, table.labels))
        ]
        parts += [
            Markup('<text class="label" transform="translate({} {}) rotate(-40)">{}</text>').format(
                round(left + j * cell + cell / 2 - 2, 1), top - 8, escape.fit(label, 13)
            )
            for j, label in enumerate(columns)
        ]
    parts.append(
        _text("note middle", left + cell * len(columns) / 2, height - 4, "predicted label")
    )
    if not is_numbered:  # one sheet behind all cells: with 150 labels there would be 22,500
        sheet = Markup('<rect class="empty" x="{}" y="{}" width="{}" height="{}"/>').format(
            left, top, round(cell * len(columns), 1), round(cell * n, 1)
        )
        parts.insert(0, sheet)
    worst = frequent_confusions(table)
    right = sum(row[i] for i, row in enumerate(table.counts))
    total = sum(map(sum, table.counts))
    title = f"{table.variant}: {right} of {total} right"
    if worst and worst[0][2] > 1:
        title += f"; most often {worst[0][0]} is taken for {worst[0][1]} ({worst[0][2]})"
    return Chart(
        title,
        _svg(width, height, title, parts),
        ("reference", "predicted", "cases"),
        tuple((a, b, str(k)) for a, b, k in worst[: MOST_CONFUSIONS * 2]),
    )


def _opacity(share: float) -> float:
    """Shade of a cell, with a step where its number turns from dark on light to the reverse: in
    between, neither would be readable (contrast 4.5 to 1)."""
    return round(0.1 + 0.62 * share if share <= DARK_ABOVE else 0.76 + 0.24 * share, 2)


def frequent_confusions(table: Confusion) -> list[tuple[str, str, int]]:
    """(reference, predicted, count) of what went wrong, most frequent first."""
    columns = [*table.labels, "unread"]
    found = [
        (table.labels[i], columns[j], count)
        for i, row in enumerate(table.counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(found, key=lambda entry: -entry[2])


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
        parts.append(_line("grid", 52, y_scale(tick), 420, y_scale(tick)))
        parts.append(_text("tick end", 46, y_scale(tick) + 4, f"{tick:g}"))
    parts += [_text("tick middle", x_scale(t), 206, f"{t:g}") for t in x_scale.ticks()]
    parts.append(_text("note middle", 236, 224, "training step"))
    if log.best_step is not None:
        x = x_scale(log.best_step)
        parts.append(_line("limit", x, 14, x, 190))
        side = "end" if x > 300 else "start"
        shift = -6 if side == "end" else 6
        parts.append(_text(f"note {side}", x + shift, 24, f"best: step {log.best_step}"))
    lines = [
        _path(f"curve soft {css}", [(x_scale(x), y_scale.beyond(y)) for x, y in train]),
        _path(f"curve {css}", [(x_scale(x), y_scale(y)) for x, y in validation]),
    ]
    # An inner drawing cuts off what leaves its frame.
    parts.append(
        Markup(
            '<svg x="50" y="12" width="372" height="180" viewBox="50 12 372 180">{}</svg>'
        ).format(_join(lines))
    )
    parts += [marker(css, x_scale(x), y_scale(y), 3.5) for x, y in validation]
    rows = [(str(x), "train", f"{y:.3f}") for x, y in train]
    rows += [(str(x), "validation", f"{y:.3f}") for x, y in validation]
    title = f"{curve.variant}: {curve.finding}"
    return Chart(title, _svg(430, 230, title, parts), ("step", "part", "loss"), tuple(rows))


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
        parts.append(_line("grid", 46, y_scale(tick), 286, y_scale(tick)))
        parts.append(_text("tick end", 40, y_scale(tick) + 4, _tick(tick, "share")))
        parts.append(_text("tick middle", x_scale(tick), 272, _tick(tick, "share")))
    parts.append(_line("limit", x_scale(0), y_scale(0), x_scale(1), y_scale(1)))
    parts.append(_text("note middle", 166, 290, "confidence; bars: cases"))
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
        parts.append(_line(f"bar thin {css}", x, y_scale(low), x, y_scale(high)))
        parts.append(marker(css, x, y_scale(accuracy), 4))
    rows = tuple(
        (*tuple(wording.number(value, "share") for value in row[:4]), str(round(row[4])))
        for row in drawn
    )
    title = f"{finding.variant}: how often right, by confidence"
    return Chart(title, _svg(300, 298, title, parts), RELIABILITY_COLUMNS, rows)


def _interval_mark(score: Score, scale: Scale, y: float, css: str) -> list[Markup]:
    parts = []
    if _is_drawable(score.interval):
        assert score.interval is not None
        low, high = scale(score.interval.low), scale(score.interval.high)
        parts.append(_line(f"bar thin {css}", low, y, high, y))
    return [*parts, marker(css, scale(score.value), y, 4.5)]


def _zoomed(scores: Sequence[Score], start: float, end: float) -> Scale:
    """An axis that begins shortly before the lowest bound: for marks, never for bars."""
    whole = value_scale(scores, start, end)
    values = [value for score in scores for value in _extent(score)]
    if not values or whole.low:
        return whole
    step = whole.high / 10
    return Scale(math.floor(min(values) / step) * step, whole.high, start, end)


def _vertical_grid(scale: Scale, top: float, bottom: float, unit: Unit) -> list[Markup]:
    parts = []
    for tick in scale.ticks():
        parts.append(_line("grid", scale(tick), top, scale(tick), bottom))
        parts.append(_text("tick middle", scale(tick), bottom + 18, _tick(tick, unit)))
    return parts


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


def _robustness_title(view: View, case_set: str, names: Sequence[str]) -> str:
    arm, metric = view.leading, view.primary(case_set)
    scores = [s for name in names if arm and (s := view.score(case_set, metric, arm, name))]
    if not scores or arm is None:
        return "Changed inputs"
    worst = min(scores, key=_sort_key)
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


def _sort_key(score: Score | None) -> float:
    if score is None or math.isnan(score.value):
        return math.inf
    return score.value if score.higher_is_better else -score.value


def _extent(score: Score) -> list[float]:
    bounds = [score.interval.low, score.interval.high] if score.interval else []
    return [v for v in (score.value, *bounds, *score.training_seeds) if math.isfinite(v)]


def _is_drawable(interval: Interval | None) -> bool:
    return interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)


def _finite_points(xs: Sequence[int], ys: Sequence[float]) -> list[tuple[int, float]]:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]


def _tick(value: float, unit: Unit) -> str:
    return f"{value * 100:g}" if unit == "share" else f"{value:g}"


def _clean(text: str) -> str:
    return escape.terminal(text)


def _svg(width: float, height: float, title: str, parts: Iterable[Markup]) -> Markup:
    size = "chart big" if width > 640 else "chart"
    return Markup(
        '<svg class="{size}" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        "<title>{title}</title>{parts}</svg>"
    ).format(size=size, w=round(width), h=round(height), title=_clean(title), parts=_join(parts))


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(css, x1, y1, x2, y2)


def _text(css: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
        css, round(x, 1), round(y, 1), text
    )


def _path(css: str, points: Sequence[tuple[float, float]]) -> Markup:
    text = " ".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(points))
    return Markup('<path class="{}" d="{}"/>').format(css, text)


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
