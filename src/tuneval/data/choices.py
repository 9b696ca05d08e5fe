"""The choices of a question and which is right, in every notation that files use.

Choices: a list of texts or of {label, text}, {text: [...], label: [...]}, {"A": text, ...}, a column
each (A, B, ... or option1, option2, ...), with or without "A) " before each text. The answer: a
letter or name, the text, or a number, whose count may begin at 0 or at 1; which of these a file
means is decided by all of its rows together.
"""

from __future__ import annotations

import ast
import json
import re
import string
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tuneval.data.fields import RowFault, is_without_width, scalar_of, value_of
from tuneval.data.formats import Fields, Row, Table, kind, quote
from tuneval.data.labels import as_text
from tuneval.data.names import folded
from tuneval.errors import DataError

MADE = "choices"
"""Column made of columns that hold a choice each."""
_FAMILY = re.compile(r"(|option|opt|op|choice|ending|sol|solution|ans|answer)([a-j]|\d{1,2})")
_PREFIX = re.compile(r"\s*[(\[]?([A-Ja-j]|\d{1,2})\s*(?:[)\]]\s*|[.:]\s+)(?=\S)")
_NAMED = re.compile(r"[(\[]?([A-Za-z]|\d{1,2})[).:\]]?")


class Choices(NamedTuple):
    """The texts to choose from, as shown and as the file writes them, and their names if any."""

    texts: tuple[str, ...]
    raw: tuple[str, ...]
    names: tuple[str, ...]


class Settled(NamedTuple):
    """How the answers of a file are read: index of the right choice of a row."""

    choose: Callable[[Choices, object], int]
    note: str | None = None


# ---- a column for each choice --------------------------------------------------------------------


def choice_columns(present: Sequence[str]) -> tuple[str, ...]:
    """Columns that hold a choice each, in their order: A, B, ... or option1, option2, ..."""
    families: dict[str, dict[int, str]] = {}
    for column in present:
        if found := _FAMILY.fullmatch(folded(column)):
            prefix, suffix = found.groups()
            if prefix or suffix.isalpha():
                place = int(suffix) if suffix.isdecimal() else ord(suffix) - ord("a")
                families.setdefault(prefix, {})[place] = column
    for members in families.values():
        places = sorted(members)
        if len(places) > 1 and places[0] <= 1 and places == list(range(places[0], places[-1] + 1)):
            return tuple(members[place] for place in places)
    return ()


def joined(table: Table, columns: Sequence[str]) -> Table:
    """The table with one column of choices more, made of these."""
    names = [
        re.sub(r"^.*?([A-Ja-j]|\d{1,2})$", r"\1", column.strip()).upper() for column in columns
    ]
    rows = []
    for place, fields in table.rows:
        given = [
            (name, fields[column])
            for name, column in zip(names, columns, strict=True)
            if fields.get(column) not in (None, "")
        ]
        made = {"text": [text for _, text in given], "label": [name for name, _ in given]}
        rows.append(Row(place, {**fields, MADE: made}))
    return replace(table, rows=rows)


# ---- one row -------------------------------------------------------------------------------------


def choices_of(row: Fields, columns: Mapping[str, str]) -> Choices:
    """The choices of a row. Raises RowFault where there are none, or all are equal."""
    column = columns["choices"]
    raw, names = _texts_and_names(value_of(row, columns, "choices"), column)
    if len(raw) < 2:
        raise RowFault(f"field {quote(column)} is no list of two or more choices")
    for n, value in enumerate(raw, 1):
        if not isinstance(value, str | int | float):
            raise RowFault(f"choice {n} of {quote(column)} is {kind(value)}, expected text")
        if is_without_width(str(value)):
            raise RowFault(f"choice {n} of {quote(column)} is empty")
    texts = tuple(str(value) for value in raw)
    if not names:
        texts, names = _without_prefix(texts)
    if len({text.strip() for text in texts}) == 1:
        raise RowFault(f"all {len(texts)} choices of {quote(column)} are {quote(texts[0])}")
    return Choices(texts, tuple(str(value) for value in raw), names)


def _opened(value: str) -> object:
    """A list or object that a table holds as text: JSON, Python's notation, or a line each."""
    if value.lstrip()[:1] in ("[", "{"):
        for parse in (json.loads, _literal):
            try:
                found: object = parse(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return found
    lines = [line for line in value.splitlines() if line.strip()]
    return lines if all(_PREFIX.match(line) for line in lines) else value


def _literal(value: str) -> object:
    with warnings.catch_warnings(action="ignore"):  # an escape in a text is not the user's concern
        return ast.literal_eval(value)


def _texts_and_names(value: object, column: str) -> tuple[Sequence[object], tuple[str, ...]]:
    if isinstance(value, str):
        value = _opened(value)
    if isinstance(value, dict) and isinstance(value.get("text"), list | tuple):
        names = value.get("label") or ()
        if names and len(names) != len(value["text"]):
            raise RowFault(
                f"field {quote(column)} has {len(value['text'])} texts and {len(names)} labels"
            )
        return value["text"], tuple(str(name) for name in names)
    if isinstance(value, dict):
        return list(value.values()), tuple(str(name) for name in value)
    if not isinstance(value, list | tuple):
        return (), ()
    if all(isinstance(one, dict) and "text" in one for one in value):
        names = tuple(str(one["label"]) for one in value if "label" in one)
        return [one["text"] for one in value], names if len(names) == len(value) else ()
    return value, ()


def _without_prefix(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take "A) " from before each choice, where all of them have it, in order."""
    found = [_PREFIX.match(text) for text in texts]
    names = tuple(one[1].upper() for one in found if one)
    orders = (
        [*string.ascii_uppercase],
        [str(n) for n in range(99)],
        [str(n) for n in range(1, 99)],
    )
    if len(names) < len(texts) or not any(list(names) == o[: len(names)] for o in orders):
        return texts, ()
    return tuple(text[one.end() :] for text, one in zip(texts, found, strict=True) if one), names


# ---- which is right ------------------------------------------------------------------------------


def _by_name(given: Choices, answer: object) -> int | None:
    if not given.names or isinstance(answer, bool):
        return None
    text = as_text(answer)
    bare = _NAMED.fullmatch(text)
    names = [name.casefold() for name in given.names]
    for word in (text, bare[1] if bare else text):
        if word.casefold() in names:
            return names.index(word.casefold())
    return None


def _by_letter(given: Choices, answer: object) -> int | None:
    bare = _NAMED.fullmatch(answer.strip()) if isinstance(answer, str) else None
    if given.names or bare is None or not bare[1].isalpha():
        return None
    return _inside(given, ord(bare[1].upper()) - ord("A"))


def _by_text(given: Choices, answer: object) -> int | None:
    text = as_text(answer).casefold()
    if prefix := _PREFIX.match(text):
        at = _by_name(given, prefix[1]) if given.names else _by_letter(given, prefix[1])
        if at is not None and given.texts[at].strip().casefold() == text[prefix.end() :]:
            return at
    for texts in (given.texts, given.raw):
        found = [n for n, choice in enumerate(texts) if choice.strip().casefold() == text]
        if len({given.texts[n].strip() for n in found}) == 1:
            return found[0]
    return None


def _number(answer: object) -> int | None:
    text = as_text(answer)
    return int(text) if not isinstance(answer, bool) and text.isdecimal() else None


def _from(start: int) -> Callable[[Choices, object], int | None]:
    def index(given: Choices, answer: object) -> int | None:
        number = _number(answer)
        return None if number is None else _inside(given, number - start)

    return index


def _inside(given: Choices, index: int) -> int | None:
    return index if 0 <= index < len(given.texts) else None


_Rule = Callable[[Choices, object], int | None]
_NAMES: Mapping[str, _Rule] = {"name": _by_name, "letter": _by_letter, "text": _by_text}


def settle(table: Table, columns: Mapping[str, str]) -> Settled:
    """Decide by all rows how answers name a choice.

    Raises
    ------
    DataError
        Two ways fit every row and do not agree.
    """
    asked = list(_asked(table.rows, columns))
    counts = {f"number counted from {n}": _from(n) for n in _starts(asked)}
    rules: dict[str, _Rule] = {**_NAMES, **counts}
    found = {
        way: [rule(given, answer) for _, given, answer in asked] for way, rule in rules.items()
    }
    whole = {way: indices for way, indices in found.items() if asked and None not in indices}
    if "name" in whole:  # a number that is a name is no count
        whole = {way: whole[way] for way in ("name", "text") if way in whole}
    ways = list(whole)
    for way in ways[1:]:
        for at, both in enumerate(zip(whole[ways[0]], whole[way], strict=True)):
            if both[0] != both[1]:
                raise DataError(_two_ways(table, asked[at], (ways[0], way), both))
    if ways:
        is_from_1 = ways[0].endswith("from 1")
        note = f"The answers in {quote(columns['answer'])} count the choices from 1."
        return Settled(_reader([rules[ways[0]]]), note if is_from_1 else None)
    return Settled(_reader(rules.values()))


def answer_of(row: Fields, columns: Mapping[str, str]) -> object:
    """The answer of a row; a list of one is that one. Raises RowFault."""
    column = columns["answer"]
    value = row.get(column)
    if isinstance(value, list | tuple) and len(value) == 1:
        row = {**row, column: value[0]}
    return scalar_of(row, columns, "answer")


def equals_of(given: Choices, index: int) -> tuple[int, ...]:
    """This choice, and then all others with the same words: nothing tells them apart."""
    words = given.texts[index].strip()
    others = [n for n, text in enumerate(given.texts) if n != index and text.strip() == words]
    return (index, *others)


def doubles_note(table: Table, columns: Mapping[str, str], settled: Settled) -> str | None:
    """A sentence where rows offer the same choice twice: how many, and in how many it is right."""
    doubled: list[tuple[int, str]] = []
    n_right = 0
    for place, given, answer in _asked(table.rows, columns):
        counts = Counter(text.strip() for text in given.texts)
        twice = next((text for text, n in counts.items() if n > 1), None)
        if twice is None:
            continue
        doubled.append((place, twice))
        try:
            n_right += len(equals_of(given, settled.choose(given, answer))) > 1
        except RowFault:
            continue
    if not doubled:
        return None
    place, text = doubled[0]
    are = f"{len(doubled)} {table.unit}{'s offer' if len(doubled) > 1 else ' offers'}"
    right = f"; in {n_right} of them it is the right one, and each of its doubles counts as right"
    return (
        f"{are} a choice twice (first: {table.unit} {place}, {quote(text)})"
        f"{right if n_right else ', never the right one'}."
    )


_Asked = tuple[int, Choices, object]


def _asked(rows: Iterable[Row], columns: Mapping[str, str]) -> Iterable[_Asked]:
    """Place, choices and answer of every row that has them."""
    for place, fields in rows:
        try:
            yield place, choices_of(fields, columns), answer_of(fields, columns)
        except RowFault:
            continue


def _starts(asked: Sequence[_Asked]) -> tuple[int, ...]:
    """0, 1 or either: where the count may begin, by the smallest and the largest number there is."""
    numbers = [(_number(answer), len(given.texts)) for _, given, answer in asked]
    has_first = any(number == 0 for number, _ in numbers)
    has_last = any(number == n for number, n in numbers)
    if has_first or not has_last:
        return (0,) if has_first else (0, 1)
    return (1,)


def _two_ways(
    table: Table, asked: _Asked, ways: Sequence[str], indices: Sequence[int | None]
) -> str:
    place, given, answer = asked
    readings = " or ".join(
        f"choice {n + 1} ({quote(given.texts[n])}) by its {way}"
        for way, n in zip(ways, indices, strict=True)
        if n is not None
    )
    return (
        f"{table.file}, {table.unit} {place}: the answer {quote(answer)} may mean {readings}; every "
        "row can be read both ways.\nWrite the answers as letters; A is the first choice."
    )


def _reader(rules: Iterable[_Rule]) -> Callable[[Choices, object], int]:
    rules = tuple(rules)
    return lambda given, answer: _one(given, answer, rules)


def _one(given: Choices, answer: object, rules: Iterable[_Rule]) -> int:
    """The one index that the rules find. Raises RowFault where they find none or several."""
    found = sorted({n for rule in rules if (n := rule(given, answer)) is not None})
    if len(found) == 1:
        return found[0]
    if found:
        both = " or ".join(f"{n + 1} ({quote(given.texts[n])})" for n in found)
        raise RowFault(f"answer {quote(answer)} may mean choice {both}", "answer")
    raise RowFault(f"answer {quote(answer)} is none of the {len(given.texts)} choices", "answer")
