"""Porter's stemmer as the reference programs of ROUGE and METEOR run it, without their package.

Porter (1980), An algorithm for suffix stripping, with the changes that NLTK makes by default:
a list of irregular words, short words left alone, "ied"/"ies" and "y" treated more gently.
Equal to nltk.stem.PorterStemmer on every word tried (tests/metrics/test_porter.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

IRREGULAR = {
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "innings": "inning",
    "outings": "outing",
    "cannings": "canning",
    **{
        word: word
        for word in (
            *("sky", "news", "inning", "outing", "canning"),
            *("howe", "proceed", "exceed", "succeed"),
        )
    },
}

Rules = Sequence[tuple[str, str]]

PLURALS: Rules = (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", ""))
DOUBLE_SUFFIXES: Rules = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
)
SINGLE_SUFFIXES: Rules = (
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
)
BARE_SUFFIXES = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"),
    *("ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


def stem(word: str) -> str:
    """Stem of a word in lower case."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _without_plural(word)
    word = _without_past(word)
    if word.endswith("y") and len(word) > 2 and _shape(word[:-1])[-1] == "c":
        word = word[:-1] + "i"
    word = _without_double_suffix(word)
    word = _replaced(word, SINGLE_SUFFIXES, lambda start: _measure(start) > 0)
    word = _without_bare_suffix(word)
    return _tidied(word)


def _shape(word: str) -> str:
    """One letter for each: "c" for a consonant, "v" for a vowel; y is a vowel after a consonant."""
    shape = ""
    for letter in word:
        if letter in "aeiou":
            shape += "v"
        elif letter == "y":
            shape += "v" if shape.endswith("c") else "c"
        else:
            shape += "c"
    return shape


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _is_short(word: str) -> bool:
    """Ends consonant, vowel, consonant (no w, x, y), or is a vowel and a consonant."""
    shape = _shape(word)
    return (shape.endswith("cvc") and word[-1] not in "wxy") or shape == "vc"


def _replaced(word: str, rules: Rules, holds: Callable[[str], bool]) -> str:
    """The first suffix that fits decides, also when its condition does not hold."""
    for old, new in rules:
        if word.endswith(old):
            start = word[: len(word) - len(old)]
            return start + new if holds(start) else word
    return word


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    return _replaced(word, PLURALS, lambda _: True)


def _without_past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        start = word.removesuffix(suffix)
        if start != word and "v" in _shape(start):
            return _mended(start)
    return word


def _mended(start: str) -> str:
    """What is left of a word after "ed" or "ing", made a word again."""
    for ending in ("at", "bl", "iz"):
        if start.endswith(ending):
            return start + "e"
    if len(start) >= 2 and start[-1] == start[-2] and _shape(start)[-1] == "c":
        return start if start[-1] in "lsz" else start[:-1]
    return start + "e" if _measure(start) == 1 and _is_short(start) else start


def _without_double_suffix(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _without_double_suffix(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, DOUBLE_SUFFIXES, lambda start: _measure(start) > 0)


def _without_bare_suffix(word: str) -> str:
    for suffix in BARE_SUFFIXES:
        if word.endswith(suffix):
            start = word[: len(word) - len(suffix)]
            fits = _measure(start) > 1 and (suffix != "ion" or start[-1] in "st")
            return start if fits else word
    return word


def _tidied(word: str) -> str:
    if word.endswith("e"):
        start = word[:-1]
        measure = _measure(start)
        if measure > 1 or (measure == 1 and not _is_short(start)):
            word = start
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


class Stems(dict[str, str]):
    """Word -> stem, each found once; words of up to ``shortest`` letters stay as they are."""

    def __init__(self, shortest: int = 0) -> None:
        super().__init__()
        self.shortest = shortest

    def __missing__(self, word: str) -> str:
        self[word] = found = word if len(word) <= self.shortest else stem(word)
        return found
