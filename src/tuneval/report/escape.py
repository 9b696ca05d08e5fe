"""Hostile text made harmless for terminal, CSV, Markdown and lines of JSON.

Not for HTML elements: there the template engine escapes everything.
"""

from __future__ import annotations

import re
import unicodedata

# C0, DEL, C1; marks that reorder or hide text; line separators; halves of surrogate pairs.
_INVISIBLE = "\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_HIDDEN = re.compile(f"[\x00-\x1f{_INVISIBLE}\ud800-\udfff\U000e0000-\U000e007f]")
_HIDDEN_IN_JSON = re.compile(f"[{_INVISIBLE}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORMULA_START = tuple("=+-@\t\r\n＝＋－＠")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&!])")
# GitHub turns these into mentions, issue links and web links even in escaped text; an empty comment
# in between stops it and shows nothing.
_AUTOLINK = re.compile(r"@|#(?=\w)|(?<=[a-z]):(?=//)|(?<=www)(?=\.)", re.IGNORECASE)


def terminal(text: str) -> str:
    r"""Show control characters, escape sequences and bidi marks as visible text on one line.

    Joiners stay where they make letters of Indic and Arabic scripts or one emoji of several; between
    Latin, Greek and Cyrillic letters they could only hide something.

    >>> terminal("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _HIDDEN.sub(lambda match: _shown(match, text), text)


def csv_cell(text: str) -> str:
    """Show control characters, and prefix ``'`` where a spreadsheet would read a formula.

    >>> csv_cell("=1+1")
    "'=1+1"
    """
    return f"'{terminal(text)}" if text.startswith(_FORMULA_START) else terminal(text)


def markdown(text: str) -> str:
    r"""Escape markup, mentions and links; the result stays on one line.

    >>> markdown("a|b @you")
    'a\\|b @<!-- -->you'
    """
    escaped = _MARKDOWN.sub(r"\\\1", terminal(" ".join(text.split())))
    return _AUTOLINK.sub(lambda match: f"{match.group()}<!-- -->", escaped)


def json_text(text: str) -> str:
    """Escape, in JSON text, the marks that split lines, reorder or hide; the content is the same.

    A line of JSON Lines then stays one line for every reader, and ``cat`` does no harm.
    """
    if text.isascii() and "\x7f" not in text:  # most lines, and ten times as fast
        return text
    return _HIDDEN_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", well_formed(text))


def well_formed(text: str) -> str:
    """Replace lone halves of surrogate pairs, which UTF-8 cannot hold, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def display_width(text: str) -> int:
    """Columns that ``text`` takes in a terminal: wide characters two, combining marks none."""
    return sum(
        0
        if unicodedata.combining(c) or c in _JOINERS
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def fit(text: str, width: int) -> str:
    """Cut ``text`` to ``width`` terminal columns, ending in ".." where something was cut."""
    if display_width(text) <= width:
        return text
    kept = ""
    for character in text:
        if display_width(kept + character) > width - 2:
            break
        kept += character
    return f"{kept}.."


_JOINERS = "\u200c\u200d"
_UNJOINED = ("LATIN", "GREEK", "CYRILLIC")


def _shown(match: re.Match[str], text: str) -> str:
    character, place = match.group(), match.start()
    if (
        character in _JOINERS
        and place
        and _joins(text[place - 1])
        and _joins(text[place + 1 :][:1])
    ):
        return character
    return _visible(character)


def _joins(character: str) -> bool:
    """Can a joiner beside it be part of how it is written?"""
    category = unicodedata.category(character) if character else ""
    if category.startswith("L"):
        return not unicodedata.name(character, "").startswith(_UNJOINED)
    return category.startswith("M") or category in {"So", "Sk"}


def _visible(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
