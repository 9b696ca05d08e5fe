"""Typing slips: two letters swapped, one dropped, one doubled, or the key beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from tuneval.perturbations.text import NEGATIONS, WORD, RewrittenShare, is_free, kept

SHARES = {"light": 0.05, "medium": 0.15, "heavy": 0.30}
"""Share of the words of four or more letters that get one slip each."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_MIN_LETTERS = 4


def _neighbours() -> dict[str, str]:
    """Keys that touch on a keyboard whose rows are shifted by half a key."""
    near: dict[str, str] = {}
    for y, row in enumerate(_ROWS):
        for x, key in enumerate(row):
            around = [
                (y, x - 1),
                (y, x + 1),
                (y - 1, x),
                (y - 1, x + 1),
                (y + 1, x - 1),
                (y + 1, x),
            ]
            near[key] = "".join(
                _ROWS[b][a] for b, a in around if 0 <= b < len(_ROWS) and 0 <= a < len(_ROWS[b])
            )
    return near


NEIGHBOURS = _neighbours()


def misspelt(
    text: str,
    share: float,
    random: np.random.Generator,
    protected: frozenset[str] = frozenset(),
    references: tuple[str, ...] = (),
) -> str:
    """Misspell ``share`` of the words that may change; a fraction of a word is drawn by lot."""
    mask = kept(text, protected, references)
    words = [m for m in WORD.finditer(text) if _is_long(m[0]) and is_free(mask, *m.span())]
    n = int(share * len(words) + random.random())
    pieces, end = [], 0
    for index in sorted(random.permutation(len(words))[:n]):
        word = words[index]
        pieces += [text[end : word.start()], _slip(word[0], random, protected)]
        end = word.end()
    return "".join((*pieces, text[end:]))


class Typos(RewrittenShare):
    """One slip in a share of the longer words; first letters stay, as in most real slips."""

    name = "typos"
    levels = tuple(SHARES)
    shares = SHARES
    rewrite = staticmethod(misspelt)


def _is_long(word: str) -> bool:
    return sum(letter.isalpha() for letter in word) >= _MIN_LETTERS


def _slip(word: str, random: np.random.Generator, protected: frozenset[str]) -> str:
    """Make one slip; a slip that would give a negation or a protected word is not made."""
    for kind in random.permutation(len(_SLIPS)).tolist():
        slips: list[str] = [
            slip
            for slip in _SLIPS[kind](word)
            if slip != word and slip.lower() not in NEGATIONS and slip.lower() not in protected
        ]
        if slips:
            return slips[int(random.integers(len(slips)))]
    return word


def _inner(word: str) -> Iterator[int]:
    return (m.start() for m in re.finditer(r"[^\W\d_]", word) if m.start() > 0)


def _swaps(word: str) -> list[str]:
    return [
        word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        for i in _inner(word)
        if i + 1 < len(word) and word[i + 1].isalpha()
    ]


def _drops(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i in _inner(word)]


def _doubles(word: str) -> list[str]:
    return [word[: i + 1] + word[i:] for i in _inner(word)]


def _keys_beside(word: str) -> list[str]:
    return [
        word[:i] + (key.upper() if word[i].isupper() else key) + word[i + 1 :]
        for i in _inner(word)
        for key in NEIGHBOURS.get(word[i].lower(), "")
    ]


_SLIPS: tuple[Callable[[str], list[str]], ...] = (_swaps, _drops, _doubles, _keys_beside)
