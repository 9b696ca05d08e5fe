"""Which script a text is written in, and what counts as a word in it.

Latin letters alone are words to the usual programs; a Chinese text has none for them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

Script = Literal["latin", "han", "kana", "hangul", "unspaced", "spaced"]
"""``unspaced``: Thai, Lao, Khmer, Burmese, Tibetan; ``spaced``: every other script with words."""

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_UNSPACED = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3"
_LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a"
_OF_SCRIPT: dict[Script, re.Pattern[str]] = {
    "latin": re.compile(f"[{_LATIN}]"),
    "han": re.compile(f"[{_HAN}]"),
    "kana": re.compile(f"[{_KANA}]"),
    "hangul": re.compile(f"[{_HANGUL}]"),
    "unspaced": re.compile(f"[{_UNSPACED}]"),
}
_LETTER = re.compile(r"[^\W\d_]")
_SINGLE = f"{_HAN}{_KANA}{_UNSPACED}"
# Marks (vowel signs, points) are no \w, and belong to the word that they stand in.
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u08d3-\u08ff"
    "\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0980-\u0983\u09bc-\u09cd\u0a01-\u0a03"
    "\u0a3c-\u0a4d\u0a81-\u0a83\u0abc-\u0acd\u0b01-\u0b03\u0b3c-\u0b4d\u0b82\u0bbe-\u0bcd"
    "\u0c00-\u0c04\u0c3e-\u0c4d\u0c81-\u0c83\u0cbc-\u0ccd\u0d00-\u0d03\u0d3e-\u0d4d\u0d82\u0d83"
    "\u0dca-\u0ddf\u200c\u200d"
)
WORD = re.compile(f"[a-z0-9]+|[{_SINGLE}]|(?:(?![{_SINGLE}{_LATIN}_])[\\w{_MARKS}])+")
"""Runs of Latin letters and digits, as rouge-score has them; single characters where a script sets no
spaces; runs of letters and their marks in every other."""

FEW = 0.05
"""Less of a text than this in another script is a name or a formula."""


def script_of(texts: Iterable[str]) -> Script:
    """The script of most letters; Japanese is known by its kana, however much Han it holds."""
    counts: Counter[Script] = Counter()
    for text in texts:
        found: dict[Script, int] = {
            script: len(pattern.findall(text)) for script, pattern in _OF_SCRIPT.items()
        }
        found["spaced"] = max(len(_LETTER.findall(text)) - sum(found.values()), 0)
        counts.update(found)
    others = {script: n for script, n in counts.items() if script != "latin" and n}
    if not others or sum(others.values()) < FEW * counts.total():
        return "latin"
    if counts["kana"] > FEW * (counts["kana"] + counts["han"]):
        others["kana"] = counts["kana"] + others.pop("han", 0)
    if counts["latin"] > sum(others.values()):
        return "latin"
    return max(others, key=others.__getitem__)
