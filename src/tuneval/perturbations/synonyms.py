"""Content words replaced by WordNet synonyms of the same part of speech.

Needs ``pip install 'tuneval[generation]'`` (nltk) and the WordNet data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from tuneval.errors import ConfigError
from tuneval.perturbations.text import NEGATIONS, WORD, RewrittenShare, is_free, kept

SHARES = {"light": 0.10, "medium": 0.25, "heavy": 0.50}
"""Share of the words of four or more letters that are replaced, as far as they have a synonym."""

MAX_SENSES = 3
_USUAL = 1 / 3
"""A sense counts if the word has it in this share of its uses."""
_CONTENT = frozenset("nva")
_NO_CONTENT = """
being despite does doing done gone have having hello like might must other please said same should
someone something thank thanks used using want wants while will would
"""
_LEFT_ALONE = frozenset(_NO_CONTENT.split())
"""Courtesies, and words of grammar that WordNet also knows as nouns or verbs ("will": testament)."""
_MIN_LETTERS = 4
_CLEARLY = 4.0
"""A word is taken for a noun, say, when that use is at least this many times as frequent as any
other in WordNet's counts: no tagger is needed, and words in doubt stay."""


def reworded(
    text: str,
    share: float,
    random: np.random.Generator,
    protected: frozenset[str] = frozenset(),
    references: tuple[str, ...] = (),
) -> str:
    """Replace ``share`` of the longer words, those that have a synonym; fractions go by lot."""
    mask = kept(text, protected, references)
    words, n_content = [], 0
    for match in WORD.finditer(text):
        is_name = match[0][0].isupper() and not _opens_sentence(text, match.start())
        is_plain = len(match[0]) >= _MIN_LETTERS and not is_name
        if is_plain and is_free(mask, *match.span()):
            n_content += match[0].lower() not in _LEFT_ALONE
            choices = [s for s in synonyms(match[0].lower()) if s not in protected]
            if choices:
                words.append((match, choices))
    n = min(int(share * n_content + random.random()), len(words))
    pieces, end = [], 0
    for index in sorted(random.permutation(len(words))[:n]):
        match, choices = words[index]
        word = choices[int(random.integers(len(choices)))]
        pieces += [text[end : match.start()], _cased(word, match[0])]
        end = match.end()
    return "".join((*pieces, text[end:]))


class Synonyms(RewrittenShare):
    """Replace dictionary forms only, so that no inflection has to be guessed."""

    name = "synonyms"
    levels = tuple(SHARES)
    shares = SHARES
    rewrite = staticmethod(reworded)


def _uses(synset: Any, word: str) -> int:
    """How often the word has this sense in WordNet's own texts."""
    return sum(lemma.count() for lemma in synset.lemmas() if lemma.name().lower() == word)


@lru_cache(maxsize=65536)
def synonyms(word: str) -> tuple[str, ...]:
    """Single-word synonyms of the first three senses in the word's usual part of speech.

    Only senses in which the word is usually meant, and only synonyms that occur in WordNet's own
    texts (the others are mostly archaic) and whose first sense it is: what a reader thinks of.
    """
    wordnet = _wordnet()
    if word in _LEFT_ALONE:
        return ()
    counts: dict[str, int] = {}
    for synset in wordnet.synsets(word):
        part = "a" if synset.pos() == "s" else synset.pos()
        counts[part] = counts.get(part, 0) + _uses(synset, word)
    part = max(counts, key=lambda p: counts[p], default="r")
    if part not in _CONTENT:
        return ()
    rivals = [n for p, n in counts.items() if p != part]
    if counts[part] < _CLEARLY * max(rivals, default=0) or wordnet.morphy(word, part) != word:
        return ()
    usual = [
        synset
        for synset in wordnet.synsets(word, pos=part)[:MAX_SENSES]
        if _uses(synset, word) >= _USUAL * counts[part]
    ]
    found = {
        lemma.name().lower(): None
        for synset in usual
        for lemma in synset.lemmas()
        if lemma.count() and wordnet.synsets(lemma.name(), pos=part)[0] == synset
    }
    return tuple(
        s
        for s in found
        if s not in (word, word.removesuffix("s"))
        and re.fullmatch(r"[a-z]+", s)
        and s not in NEGATIONS
    )


def has_wordnet() -> bool:
    """Are nltk and the WordNet data here?"""
    if find_spec("nltk") is None:
        return False
    try:
        _wordnet()
    except ConfigError:
        return False
    return True


@lru_cache(maxsize=1)
def _wordnet() -> Any:
    try:
        from nltk.corpus import wordnet
    except ImportError as error:
        raise ConfigError(
            "perturbation synonyms needs nltk: pip install 'tuneval[generation]'"
        ) from error
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise ConfigError(
            "perturbation synonyms needs the WordNet data, which are not here.\n"
            "Set NLTK_DATA to a directory that holds corpora/wordnet.zip."
        ) from error
    return wordnet


def _opens_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \"'([")
    return not before or before[-1] in ".!?\n"


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
