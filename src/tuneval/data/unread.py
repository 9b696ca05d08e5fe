"""Columns that a reading leaves out: refused where they may be what is asked or expected, else named."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from shlex import quote as quoted

from tuneval.data.fields import strings_in
from tuneval.data.formats import Row, Table, listed, quote
from tuneval.data.labels import MAX_FOUND_LABELS
from tuneval.data.layouts import Match
from tuneval.data.names import (
    AFTERWARDS,
    ALONE,
    ASIDES,
    HEADS,
    HISTORIES,
    OFFERED,
    PAIRS,
    PASSAGES,
    QUESTIONS,
    REFERENCES,
    SYSTEMS,
    TEXTS,
    Tiers,
    has_name,
)
from tuneval.data.prompts_alone import HINT, is_prompt
from tuneval.data.values import columns_of, is_free_text, is_low, values_of
from tuneval.errors import DataError

_ASKED: Tiers = (
    *QUESTIONS,
    *TEXTS,
    *PASSAGES,
    *SYSTEMS,
    *HISTORIES,
    ("instruction",),
    tuple(name for pair in PAIRS for name in pair),
)
_HEADED = ("text", "article")
"""Inputs that a title may be part of; over a passage with its question it is none."""
_ENOUGH = 20
"""Characters from which a text that stands in another one is there by no chance."""
_FEW, _LONG, _TIMES = 5, 20, 2
"""Rows, words of a text, and how often it is as long as all that is read, from which a column that
nobody asked about may be part of the question."""


def _another_task(column: str) -> str:
    return f"predicting a number is another task (--task regression --reference {quoted(column)})"


def refuse_reference(
    table: Table, text: str, explicit: Mapping[str, str], grouped: Collection[str]
) -> None:
    """Text alone is language modelling; raise DataError where it may not be alone."""
    others = [
        column
        for column in columns_of(table.rows)
        if column not in (text, *explicit.values(), *grouped)
    ]
    shown = {column: _reading(table, column) for column in others}
    classes = [f"{quote(c)} ({what})" for c, what in shown.items() if what]
    alone = f"--task language_model for the perplexity of {quote(text)} alone"
    if classes:
        first = next(column for column, what in shown.items() if what)
        raise DataError(
            f"{table.file}: no column bears a known name for a reference; "
            f"{' or '.join(classes[:5])} may be one.\nSay --reference {quoted(first)}, or {alone}."
            + _hint(text)
        )
    for column in others:
        if _is_score(table, column):
            raise DataError(
                f"{table.file}: {quote(column)} holds numbers; {_another_task(column)}.\nSay {alone}."
            )
    if not has_name(ALONE, text) and "input" not in explicit:
        raise DataError(
            f"{table.file}: {quote(text)} has no reference beside it (columns "
            f"{listed(columns_of(table.rows))}).\nSay --reference COLUMN, or {alone}." + _hint(text)
        )


def _hint(text: str) -> str:
    """What else a column of prompts may be there for."""
    return f"\n{HINT}" if is_prompt(text) else ""


def _reading(table: Table, column: str) -> str | None:
    """How a column could be a reference: "3 values", "text"; None if it could not."""
    values = values_of(table.rows, column)
    if is_low(values, MAX_FOUND_LABELS):
        return f"{len(set(values) - {None})} values"
    if has_name(ASIDES, column):
        return None
    texts = ["\n".join(strings_in(row.fields.get(column))) for row in table.rows]
    given = [text for text in texts if text.strip()]
    return "text" if given and 2 * len(given) >= len(texts) and not _are_numbers(given) else None


def _are_numbers(texts: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(text)) for text in texts)
    except ValueError:
        return False


def _fractions(values: Sequence[str]) -> list[str]:
    return [value for value in values if _are_numbers([value]) and float(value) % 1]


def _is_score(table: Table, column: str) -> bool:
    values = [value for value in values_of(table.rows, column) if value]
    return bool(values) and _are_numbers(values) and not has_name(ASIDES, column)


def numbers_hint(table: Table) -> str:
    """A sentence for a file without a layout that has a column of numbers with fractions."""
    for column in columns_of(table.rows):
        values = [value for value in values_of(table.rows, column) if value]
        if 4 * len(_fractions(values)) > len(values):
            return f" {quote(column)} holds numbers; {_another_task(column)}."
    return ""


def refuse_numbers(table: Table, column: str) -> None:
    """Raise DataError where a column of labels holds numbers with fractions."""
    values = [value for value in values_of(table.rows, column) if value]
    found = _fractions(values)
    if 4 * len(found) > len(values):
        raise DataError(
            f"{table.file}: {quote(column)} holds numbers with fractions ({', '.join(found[:3])}); "
            f"{_another_task(column)}.\nWrite classes into the column, or name another with --reference."
        )


def refuse_reference_beside(table: Table, chosen: Match, explicit: Mapping[str, str]) -> None:
    """Raise DataError where another column is called like a reference and holds something else."""
    if "reference" in explicit or chosen.reference is None:
        return
    for column in columns_of(table.rows):
        if column in chosen.used or column in explicit.values() or not has_name(REFERENCES, column):
            continue
        if _holds_another(table.rows, column, chosen.reference):
            flags = " or ".join(f"--reference {quoted(c)}" for c in (chosen.reference, column))
            raise DataError(
                f"{table.file}: the reference may be {quote(chosen.reference)} or "
                f"{quote(column)}.\nSay {flags}."
            )


def _holds_another(rows: Sequence[Row], column: str, reference: str) -> bool:
    """Something else than the reference, or a list without it?"""
    pairs = [(row.fields.get(column), row.fields.get(reference)) for row in rows]
    return any(
        other not in one if isinstance(one, list) else one not in (None, "", other)
        for one, other in pairs
    )


def refuse_question_beside(
    table: Table,
    chosen: Match,
    explicit: Mapping[str, str],
    templated: Collection[str],
    grouped: Collection[str],
) -> None:
    """Raise DataError where a column of texts is called like a part of a question."""
    if "input" in explicit or templated:
        return
    for column in _left(table, chosen, {*explicit.values(), *grouped}):
        values = values_of(table.rows, column)
        names = (*_ASKED, *HEADS) if chosen.layout.input in _HEADED else _ASKED
        is_text = has_name(names, column) and is_free_text(values) and not is_low(values, 20)
        if is_text or has_name(OFFERED, column) or _outweighs(table.rows, column, chosen):
            raise DataError(_part_of_question(table, chosen, column))


def _outweighs(rows: Sequence[Row], column: str, chosen: Match) -> bool:
    """Does a column of any name hold a long text of each row's own, while what is asked is short?

    A schema beside "List all users" is likely part of the question. A chat is whole by itself, and
    what explains an answer, or was answered by some model, is no question.
    """
    if chosen.layout.input == "messages" or has_name((*ASIDES, *AFTERWARDS), column):
        return False
    texts = [value for row in rows if isinstance(value := row.fields.get(column), str)]
    if 2 * len(texts) < len(rows) or 2 * len(set(texts)) < len(texts) or len(texts) < _FEW:
        return False
    long = _middle([len(text.split()) for text in texts])
    read = [
        sum(len(text.split()) for name in chosen.used for text in strings_in(row.fields.get(name)))
        for row in rows
    ]
    return long >= _LONG and long >= _TIMES * _middle(read)


def _middle(lengths: Sequence[int]) -> int:
    return sorted(lengths)[len(lengths) // 2]


def _left(table: Table, chosen: Match, named: Collection[str]) -> list[str]:
    """Columns that are not used, have no other purpose, and say something new."""
    return [
        column
        for column in columns_of(table.rows)
        if column not in chosen.used
        and column not in named
        and not _is_told_already(table.rows, column, chosen)
    ]


def _part_of_question(table: Table, chosen: Match, column: str) -> str:
    text = chosen.columns[chosen.layout.input]
    passage = chosen.columns.get("context")
    asked = "\\n".join(
        f"{{{one}}}"
        for key in (chosen.layout.input, "input", "choices")
        if (one := chosen.columns.get(key)) is not None
    )
    parts = [f"{{{column}}}", *([f"{{{passage}}}"] if passage else []), asked]
    template = "\\n\\n".join(parts) + "\\nAnswer:"
    return (
        f"{table.file}: {quote(column)} holds text that is not asked about; the question may be "
        f"{quote(text)} alone or with {quote(column)}.\nSay --input {quoted(text)} to leave it out, "
        f"or put it into the prompt: --prompt {quoted(template)}."
    )


def _is_told_already(rows: Sequence[Row], column: str, chosen: Match) -> bool:
    """Is each text of a column part of what is read, or what is read part of it (a rendering)?"""
    for row in rows:
        value = row.fields.get(column)
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            return False
        read = [text for name in chosen.used for text in strings_in(row.fields.get(name))]
        text = value.strip()
        is_part = any(text == one.strip() or (len(text) >= _ENOUGH and text in one) for one in read)
        is_whole = bool(read) and all(one.strip() in text for one in read)
        if not (is_part or is_whole):
            return False
    return True


def unread_note(
    rows: Sequence[Row], chosen: Match, named: Collection[str], templated: Collection[str]
) -> str | None:
    """One sentence with the columns of text that no part of the run reads."""
    columns = [
        column
        for column in columns_of(rows)
        if column not in chosen.used
        and column not in (*named, *templated)
        and not has_name((("id", "_id"),), column)
        and any(_is_text(row.fields.get(column)) for row in rows)
    ]
    if not columns:
        return None
    return f"Not read: {listed(columns)} (a column stands in a prompt as {{NAME}}: --prompt)."


def _is_text(value: object) -> bool:
    return any(strings_in(value))
