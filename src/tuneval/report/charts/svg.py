"""What every chart is drawn with: shapes as escaped markup, and the finished drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tuneval.report import escape


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, the sentence it shows, and its numbers.

    ``links``: for each row, the address of the cases behind it.
    """

    title: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...] = ()


CaseLink = Callable[[Mapping[str, str]], str]
"""Filters of the case browser ("label": "refund") -> the address that shows those cases."""


def drawing(
    width: float, height: float, title: str, parts: Iterable[Markup], *, has_links: bool = False
) -> Markup:
    """The finished drawing; its title is read aloud, and so are the links inside."""
    return Markup(
        '<svg class="{size}" role="{role}" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        "<title>{title}</title>{parts}</svg>"
    ).format(
        size="chart big" if width > 640 else "chart",
        role="group" if has_links else "img",
        w=round(width),
        h=round(height),
        title=escape.terminal(title),
        parts=join(parts),
    )


def line(css: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(css, x1, y1, x2, y2)


def text(css: str, x: float, y: float, text: str) -> Markup:
    """One line of text; the class says where it is anchored."""
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
        css, round(x, 1), round(y, 1), text
    )


def linked(href: str, words: str, shape: Markup) -> Markup:
    """A shape that leads somewhere, with words that show when pointed at."""
    if not href:
        return shape
    return Markup('<a href="{}"><title>{}</title>{}</a>').format(href, words, shape)


def path(css: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Points joined by straight lines."""
    text = " ".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(points))
    return Markup('<path class="{}" d="{}"/>').format(css, text)


def join(parts: Iterable[Markup]) -> Markup:
    """Markup one after the other."""
    return Markup("").join(parts)
