"""Synonyms from the WordNet files as NLTK ships them, read without NLTK.

Not for: meanings, relations, other languages. Files: ``corpora/wordnet.zip`` or the folder
``corpora/wordnet`` under one of the places where NLTK looks, too.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from tuneval.errors import MetricError

PARTS = ("noun", "verb", "adj", "adv")

# Endings that morphy, WordNet's own search, takes off; "ves" is NLTK's addition.
ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}


def folders() -> list[Path]:
    """Where data of NLTK may lie: ``NLTK_DATA``, the home folder, the system's."""
    given = [Path(one) for one in os.environ.get("NLTK_DATA", "").split(os.pathsep) if one]
    prefix = Path(sys.prefix)
    return [
        *given,
        Path.home() / "nltk_data",
        *(prefix / "nltk_data", prefix / "share" / "nltk_data", prefix / "lib" / "nltk_data"),
        *(Path("/usr") / middle / "nltk_data" for middle in ("share", "local/share", "lib")),
    ]


def find(metric: str) -> Path:
    """The zip file or folder of WordNet.

    Raises
    ------
    MetricError
        It is nowhere; names the places and the remedy.
    """
    for folder in folders():
        for name in ("wordnet.zip", "wordnet"):
            path = folder / "corpora" / name
            if path.exists():
                return path
    looked = ", ".join(f'"{folder}"' for folder in folders())
    raise MetricError(
        f'metric "{metric}" needs WordNet, which is not here (looked for corpora/wordnet.zip in '
        f"{looked}). Get it with: pip install nltk && python -m nltk.downloader wordnet"
    )


@lru_cache(maxsize=2)
def load(path: Path) -> WordNet:
    """Open WordNet once per process.

    Raises
    ------
    MetricError
        A file is missing or not as expected.
    """
    try:
        return WordNet(path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise MetricError(
            f'WordNet in "{path}" cannot be read ({error}). Get it again with: '
            "python -m nltk.downloader --force wordnet"
        ) from error


class WordNet:
    """Word -> words that share a meaning with it."""

    def __init__(self, path: Path) -> None:
        read = _reader(path)
        self._data = {part: read(f"data.{part}") for part in PARTS}
        self._lines = {part: _by_word(read(f"index.{part}")) for part in PARTS}
        self._irregular = {part: _by_word(read(f"{part}.exc")) for part in PARTS}
        self._found: dict[str, frozenset[str]] = {}

    def synonyms(self, word: str) -> frozenset[str]:
        """Single words of all synsets of ``word`` (lower case) and of its base forms.

        Spelled as WordNet does ("Paris"), so names match no text in lower case: as in NLTK.
        """
        found = self._found.get(word)
        if found is None:
            self._found[word] = found = frozenset(
                name
                for part in PARTS
                for form in self._forms(word.lower().encode("utf-8", "replace"), part)
                for name in self._synset_names(part, form)
            )
        return found

    def _forms(self, word: bytes, part: str) -> set[bytes]:
        line = self._irregular[part].get(word)
        if line is not None:
            forms = set(line.split()[1:])
        else:
            forms = {
                word[: len(word) - len(old)] + new.encode()
                for old, new in ENDINGS[part]
                if word.endswith(old.encode())
            }
        return {form for form in {word, *forms} if form in self._lines[part]}

    def _synset_names(self, part: str, form: bytes) -> list[str]:
        columns = self._lines[part][form].split()
        names = []
        for offset in columns[-int(columns[2]) :]:
            start = int(offset)
            data = self._data[part]
            synset = data[start : data.index(b"|", start)].split()
            count = int(synset[3], 16)
            names += [
                # An adjective may carry its position: "galore(ip)".
                name.decode().partition("(")[0]
                for name in synset[4 : 4 + 2 * count : 2]
                if b"_" not in name
            ]
        return names


def _reader(path: Path) -> Callable[[str], bytes]:
    if path.is_dir():
        return lambda name: (path / name).read_bytes()
    archive = zipfile.ZipFile(path)
    return lambda name: archive.read(f"wordnet/{name}")


def _by_word(content: bytes) -> dict[bytes, bytes]:
    """First word of each line -> the line; the licence on top begins with spaces."""
    return {
        line[: line.index(b" ")]: line
        for line in content.split(b"\n")
        if line and not line.startswith(b" ")
    }
