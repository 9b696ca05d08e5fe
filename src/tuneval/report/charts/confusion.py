"""Which label is taken for which."""

from __future__ import annotations

from markupsafe import Markup

from tuneval.report import escape
from tuneval.report.charts import svg
from tuneval.report.charts.svg import CaseLink, Chart
from tuneval.types import Confusion

MOST_NUMBERED_LABELS = 12
MOST_CONFUSIONS = 15
DARK_ABOVE = 0.5
UNREAD = "unread"


def confusion(
    table: Confusion, css: str, *, has_unparsed: bool, link: CaseLink | None = None
) -> Chart:
    """Heat map of reference (rows) by predicted label; numbers up to twelve labels.

    ``has_unparsed``: draw the column of unreadable answers, so that maps side by side are alike.
    ``link``: a mistaken cell leads to its cases and says what it is.
    """

    def address(expected: str, given: str) -> str:
        answered = "unread" if given == UNREAD else given
        words = {"label": expected, "got": answered, "by": table.variant}
        return link(words) if link else ""

    n = len(table.labels)
    given = [*table.labels, *([UNREAD] if has_unparsed else [])]
    columns = list(map(escape.terminal, given))
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
                shape = Markup(
                    '<rect class="cell {} {}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>'
                ).format(kind, css, x, y, side, side, _opacity(share))
                words = f"{table.labels[i]} taken for {given[j]}: {row[j]}"
                href = address(table.labels[i], given[j]) if i != j else ""
                parts.append(svg.linked(href, escape.terminal(words), shape))
            if is_numbered and row[j]:
                ink = "on-fill" if share > DARK_ABOVE else "off-fill"
                parts.append(svg.text(f"count {ink}", x + side / 2, y + side / 2 + 4, str(row[j])))
    if is_numbered:
        parts += [
            svg.text("label end", left - 8, top + i * cell + cell / 2 + 3, escape.fit(label, 13))
            for i, label in enumerate(map(escape.terminal, table.labels))
        ]
        parts += [
            Markup('<text class="label" transform="translate({} {}) rotate(-40)">{}</text>').format(
                round(left + j * cell + cell / 2 - 2, 1), top - 8, escape.fit(label, 13)
            )
            for j, label in enumerate(columns)
        ]
    parts.append(
        svg.text("note middle", left + cell * len(columns) / 2, height - 4, "predicted label")
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
        svg.drawing(width, height, title, parts, has_links=link is not None),
        ("reference", "predicted", "cases"),
        tuple((a, b, str(k)) for a, b, k in worst[: MOST_CONFUSIONS * 2]),
        tuple(address(a, b) for a, b, _ in worst[: MOST_CONFUSIONS * 2]) if link else (),
    )


def _opacity(share: float) -> float:
    """Shade of a cell, with a step where its number turns from dark on light to the reverse: in
    between, neither would be readable (contrast 4.5 to 1)."""
    return round(0.1 + 0.62 * share if share <= DARK_ABOVE else 0.76 + 0.24 * share, 2)


def frequent_confusions(table: Confusion) -> list[tuple[str, str, int]]:
    """(reference, predicted, count) of what went wrong, most frequent first."""
    columns = [*table.labels, UNREAD]
    found = [
        (table.labels[i], columns[j], count)
        for i, row in enumerate(table.counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(found, key=lambda entry: -entry[2])
