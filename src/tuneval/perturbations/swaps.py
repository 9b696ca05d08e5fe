"""Words about people exchanged in pairs, both ways; lists that a person can extend.

Not for: which pairs (gender.py, first_names.py), what a changed answer means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuneval.errors import ConfigError, DataError, gather
from tuneval.perturbations.text import LETTER, is_free, kept
from tuneval.types import Case

DIRECTION = "~swap direction"
"""Key in the inputs of a twin: "right" where only words of the left column were replaced by those of
the right one, "left" for the reverse, "both" where both kinds stood in the text."""

Pair = tuple[str, str]

_WORD = re.compile(rf"(?<![\w'’])[{LETTER}]+(?!\w)")
"""A word up to its apostrophe: of "he's" and "John's" only the first part is swapped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a word becomes, and whether that leads to the right column or to the left one."""

    other: str
    direction: str


Ambiguous = Mapping[str, Callable[[str], str]]
"""Word -> its counterpart, by the text that follows it."""


def swapped(
    case: Case,
    table: Mapping[str, Entry],
    ambiguous: Ambiguous,
    protected: frozenset[str],
    *,
    capitalised: frozenset[str] = frozenset(),
) -> tuple[Case, ...]:
    """Swap in every text of the case; empty if nothing stood there, or if the expected answer
    itself holds such a word, because then the answer would have to change as well.

    Parameters
    ----------
    table : mapping
        Word in lower case -> what it becomes.
    ambiguous : mapping
        Words of the table whose counterpart depends on what follows.
    capitalised : frozenset of str
        Words of the table that are meant only with a capital (names).
    """
    if "test" in case.inputs or any(_holds(text, table) for text in _answers(case)):
        return ()
    seen: set[str] = set()

    def swap(text: str) -> str:
        mask = kept(text, protected, case.references)
        pieces, end = [], 0
        for match in _WORD.finditer(text):
            word = match[0]
            entry = table.get(word.lower())
            is_meant = word[0].isupper() or word.lower() not in capitalised
            if entry is None or not is_meant or not is_free(mask, *match.span()):
                continue
            choose = ambiguous.get(word.lower())
            other = entry.other if choose is None else choose(text[match.end() :])
            pieces += [text[end : match.start()], _cased(other, word)]
            end = match.end()
            seen.add(entry.direction)
        return "".join((*pieces, text[end:]))

    inputs = {key: _mapped(key, value, swap) for key, value in case.inputs.items()}
    if not seen:
        return ()
    direction = seen.pop() if len(seen) == 1 else "both"
    return (replace(case, inputs={**inputs, DIRECTION: direction}),)


_TEXTS = ("text", "instruction", "input", "question", "context", "article", "prompt")


def _mapped(key: str, value: object, swap: Callable[[str], str]) -> object:
    if key in _TEXTS and isinstance(value, str):
        return swap(value)
    if key == "choices" and isinstance(value, tuple):
        return tuple(swap(one) for one in value)
    if key == "messages" and isinstance(value, tuple):
        return tuple(
            one if one.role == "system" else replace(one, content=swap(one.content))
            for one in value
        )
    return value


def _answers(case: Case) -> Sequence[str]:
    return () if "choices" in case.inputs else case.references


def _holds(text: str, table: Mapping[str, Entry]) -> bool:
    return any(match[0].lower() in table for match in _WORD.finditer(text))


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word


def table_of(pairs: Sequence[Pair], one_way: Mapping[str, Entry] | None = None) -> dict[str, Entry]:
    """Look-up in both directions; the first pair that names a word has it."""
    table: dict[str, Entry] = {}
    for left, right in pairs:
        table.setdefault(left.lower(), Entry(right, "right"))
        table.setdefault(right.lower(), Entry(left, "left"))
    return {**(one_way or {}), **table}


def read_pairs(file: str | Path | None) -> tuple[Pair, ...]:
    """Read pairs of words: a line "left, right" each, or YAML as a list of pairs or a mapping.

    Raises
    ------
    DataError
        The file cannot be opened, or lines hold no pair of words.
    """
    if file is None:
        return ()
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f'word pairs: "{path}" cannot be opened ({error.strerror}).') from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 (byte offset {error.start}).") from error
    rows = _yaml_rows(path, text) if path.suffix in (".yaml", ".yml") else _text_rows(text)
    pairs, faults = [], []
    for place, row in rows:
        match row:
            case [str(left), str(right)] if _is_word(left) and _is_word(right):
                pairs.append((left.strip(), right.strip()))
            case _:
                faults.append(f"{place}: not two words")
    if faults:
        headline = f"{path.name}: {len(faults)} pairs cannot be read."
        raise DataError(gather(headline, faults, 'Write "left, right", one pair a line.'))
    if not pairs:
        raise ConfigError(f"{path.name} holds no pair of words.")
    return tuple(pairs)


def _is_word(text: str) -> bool:
    return _WORD.fullmatch(text.strip()) is not None


def _text_rows(text: str) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if content:
            yield f"line {number}", re.split(r"\s*[,;\t=]\s*", content)


def _yaml_rows(path: Path, text: str) -> Iterator[tuple[str, object]]:
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path.name}: not YAML that can be read ({error}).") from error
    rows = list(content.items()) if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DataError(f"{path.name}: expected a list of pairs.")
    for number, row in enumerate(rows, 1):
        yield f"pair {number}", list(row) if isinstance(row, list | tuple) else row
