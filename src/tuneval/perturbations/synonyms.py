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
from tuneval.perturbations.text import NEGATIONS, WORD, is_free, kept, rewritten
from tuneval.types import Case

SHARES = {"light": 0.10, "medium": 0.25, "heavy": 0.50}
"""Share of the words with a synonym that are replaced."""

MAX_SENSES = 3
_CONTENT = frozenset("nva")
_COURTESIES = frozenset({"please", "thank", "thanks", "hello"})
_MIN_LETTERS = 4
_CLEARLY = 4.0
"""A word is taken for a noun, say, when that use is at least this many times as frequent as any
other in WordNet's counts: no tagger is needed, and words in doubt stay."""


class Synonyms:
    """Replace dictionary forms only, so that no inflection has to be guessed."""

    name = "synonyms"
    levels = tuple(SHARES)

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the reworded twin, or nothing where no word has a synonym."""

        def reword(text: str) -> str:
            return reworded(text, SHARES[level], random, protected, case.references)

        return rewritten(case, reword)


def reworded(
    text: str,
    share: float,
    random: np.random.Generator,
    protected: frozenset[str] = frozenset(),
    references: tuple[str, ...] = (),
) -> str:
    """Replace ``share`` of the words that have a synonym; a fraction of a word is drawn by lot."""
    mask = kept(text, protected, references)
    words = []
    for match in WORD.finditer(text):
        if len(match[0]) >= _MIN_LETTERS and is_free(mask, *match.span()):
            choices = [s for s in synonyms(match[0].lower()) if s not in protected]
            if choices:
                words.append((match, choices))
    n = int(share * len(words) + random.random())
    pieces, end = [], 0
    for index in sorted(random.permutation(len(words))[:n]):
        match, choices = words[index]
        word = choices[int(random.integers(len(choices)))]
        pieces += [text[end : match.start()], _cased(word, match[0])]
        end = match.end()
    return "".join((*pieces, text[end:]))


@lru_cache(maxsize=65536)
def synonyms(word: str) -> tuple[str, ...]:
    """Single-word synonyms of the first three senses in the word's usual part of speech.

    Only those that occur in WordNet's own texts: the others are mostly archaic.
    """
    wordnet = _wordnet()
    if word in _COURTESIES:
        return ()
    counts: dict[str, int] = {}
    for synset in wordnet.synsets(word):
        part = "a" if synset.pos() == "s" else synset.pos()
        own = sum(lemma.count() for lemma in synset.lemmas() if lemma.name().lower() == word)
        counts[part] = counts.get(part, 0) + own
    part = max(counts, key=lambda p: counts[p], default="r")
    if part not in _CONTENT:
        return ()
    rivals = [n for p, n in counts.items() if p != part]
    if counts[part] < _CLEARLY * max(rivals, default=0) or wordnet.morphy(word, part) != word:
        return ()
    found = {
        lemma.name().lower(): None
        for synset in wordnet.synsets(word, pos=part)[:MAX_SENSES]
        for lemma in synset.lemmas()
        if lemma.count()
    }
    return tuple(
        s for s in found if s != word and re.fullmatch(r"[a-z]+", s) and s not in NEGATIONS
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


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
