"""Each way out of a text format is closed; ordinary text stays as it is."""

from __future__ import annotations

import csv
import io

import pytest

from tuneval.report import escape

ORDINARY = ["", "plain text", "größer, 漢字, Ελλ, 🙂", "a-b_c", "50% of 3.5"]
JOINED = ["क्\u200dष", "می\u200cخواهم", "👩\u200d👩\u200d👧", "👩🏽\u200d🚀", "❤️\u200d🔥"]
"""Letters and emoji that a joiner makes: it is part of how they are written."""
HIDING = ["pay\u200dpal", "а\u200cb", "\u200dक", "क\u200d", "1\u200d2", "👩 \u200d👩"]
"""Here it could only hide something."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        *[(text, text) for text in ORDINARY],
    ],
)
def test_terminal(text: str, shown: str) -> None:
    assert escape.terminal(text) == shown


@pytest.mark.parametrize("text", JOINED, ids=ascii)
def test_joiners_that_are_written_stay(text: str) -> None:
    assert escape.terminal(text) == text


@pytest.mark.parametrize("text", HIDING, ids=ascii)
def test_joiners_that_hide_are_shown(text: str) -> None:
    shown = escape.terminal(text)
    assert "\u200c" not in shown and "\u200d" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\x09=1"),
        ("\r=1", "'\\x0d=1"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("＝1", "'＝1"),
        *[(text, text) for text in ORDINARY],
    ],
)
def test_csv_cell(text: str, shown: str) -> None:
    assert escape.csv_cell(text) == shown
    line = io.StringIO()
    csv.writer(line).writerow([shown])
    assert next(csv.reader(io.StringIO(line.getvalue(), newline=""))) == [shown]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**b** _i_ `c`", "\\*\\*b\\*\\* \\_i\\_ \\`c\\`"),
        ("a|b\nc", "a\\|b c"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("![x](javascript:alert)", "\\!\\[x\\](javascript:alert)"),
        ("@you #12", "@<!-- -->you #<!-- -->12"),
        ("https://evil.example", "https:<!-- -->//evil.example"),
        ("www.evil.example", "www<!-- -->.evil.example"),
        ("\x1b[2J", "\\\\x1b\\[2J"),
        ("accuracy +39.8 (95% CI)", "accuracy +39.8 (95% CI)"),
    ],
)
def test_markdown(text: str, shown: str) -> None:
    assert escape.markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abcd.."), ("漢字漢字", 6, "漢字.."), ("", 3, "")],
)
def test_fit(text: str, width: int, shown: str) -> None:
    assert escape.fit(text, width) == shown
    assert escape.display_width(shown) <= width
