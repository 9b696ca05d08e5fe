"""How wide the terminal is and whether it shows colours: asked by every command that prints."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

USUAL, NARROWEST, WIDEST = 80, 60, 160


def is_watched() -> bool:
    """Whether a person's terminal, or COLUMNS, says how wide it is."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()


def width() -> int:
    """Columns to fill: those of the terminal (or of COLUMNS), 60 to 160; 80 where nobody looks."""
    if not is_watched():
        return USUAL
    found = shutil.get_terminal_size((USUAL, 24)).columns
    return min(WIDEST, max(NARROWEST, found))


def has_colours() -> bool:
    """Whether stdout shows colours and wants any."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def folded(line: str, *, hang: int = 0) -> str:
    """A line that fits, further ones ``hang`` columns in; a word that is wider stays whole."""
    return textwrap.fill(
        line,
        width(),
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def fitted(line: str, *, hang: int = 0) -> str:
    """``folded`` where somebody looks; whole where a file or a pipe is written. A prompt (its lines
    begin with a bar) is never folded."""
    if not is_watched() or line.lstrip().startswith("|"):
        return line
    return folded(line, hang=hang)
