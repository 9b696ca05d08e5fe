"""One field of one row: a text, a label, answers, turns. What is wrong with it is a ``RowFault``."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from tuneval.data.formats import Fields, Row, kind, listed, quote
from tuneval.types import Message


class RowFault(Exception):
    """Why one row cannot be read; ``key`` is the standard key of the field that is missing."""

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def value_of(row: Fields, columns: Mapping[str, str], key: str) -> object:
    """What stands in the column of ``key``; missing and null are faults."""
    column = columns[key]
    if column not in row:
        raise RowFault(f"no field {quote(column)} (found {listed(row) or 'none'})", key)
    value = row[column]
    if value is None:
        raise RowFault(f"field {quote(column)} is null", key)
    return value


def text_of(row: Fields, columns: Mapping[str, str], key: str) -> str:
    """A text with something in it."""
    value = value_of(row, columns, key)
    if not isinstance(value, str):
        shown = f" ({quote(value)})" if isinstance(value, int | float) else ""
        raise RowFault(f"field {quote(columns[key])} is {kind(value)}{shown}, expected text", key)
    _refuse_blank(value, columns[key], key)
    return value


def optional_text(row: Fields, columns: Mapping[str, str], key: str) -> str | None:
    """A text that need not be there; several passages in a list are one text."""
    column = columns.get(key)
    value = row.get(column) if column is not None else None
    if value in (None, "", []):
        return None
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    return text_of(row, columns, key)


def scalar_of(row: Fields, columns: Mapping[str, str], key: str) -> object:
    """A label or a short answer: text, number or truth value, as it stands."""
    column, value = columns[key], value_of(row, columns, key)
    if isinstance(value, list | tuple):
        raise RowFault(
            f"field {quote(column)} is a list, expected one value as in other rows: several labels of "
            "one case are the task multilabel, for which every row has a list",
            key,
        )
    if isinstance(value, dict):
        raise RowFault(
            f"field {quote(column)} is an object (of {listed(value, 4) or 'nothing'}), expected one "
            "value",
            key,
        )
    if value != value:  # noqa: PLR0124 - nan
        raise RowFault(f"field {quote(column)} is not a number, expected one value", key)
    if isinstance(value, str):
        _refuse_blank(value, column, key)
    return value


def answers_of(row: Fields, columns: Mapping[str, str], key: str) -> tuple[object, ...]:
    """One right answer or several, without repetition; SQuAD's and TriviaQA's notations
    included."""
    value = value_of(row, columns, key)
    if isinstance(value, dict) and isinstance(value.get("aliases"), list | tuple):
        value = [value.get("value"), *value["aliases"]]
    elif isinstance(value, dict) and (
        isinstance(value.get("text"), list) or "answer_start" in value
    ):
        value = value.get("text", value)
    if is_structure(value):
        return (json_of(value),)
    if not isinstance(value, list | tuple):
        return (scalar_of(row, columns, key),)
    texts = [part.get("text") if isinstance(part, dict) else part for part in value]
    if any(not isinstance(text, str | int | float) for text in texts):
        raise RowFault(f"field {quote(columns[key])} holds an answer that is not text", key)
    return tuple(dict.fromkeys(texts))


def is_structure(value: object) -> bool:
    """Is it an object, or a list of objects that are no answers with a text each?"""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, dict) and "text" not in one for one in value)
    return isinstance(value, dict) and bool(value)


def is_list(value: object) -> bool:
    """Is it a list of labels, none at all included?"""
    return isinstance(value, list | tuple) and all(isinstance(one, str | int) for one in value)


def are_lists(rows: Sequence[Row], column: str) -> bool:
    """Does a column hold lists of labels in every row that has something there?"""
    values = [parsed(row.fields[column]) for row in rows if row.fields.get(column) is not None]
    return bool(values) and all(map(is_list, values))


def json_of(value: object) -> str:
    """A value of a row as JSON text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def parsed(value: object) -> object:
    """What a text in JSON holds; everything else as it is. Tables write lists and objects as text."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def some_answers(row: Fields, columns: Mapping[str, str], key: str) -> tuple[object, ...]:
    """As ``answers_of``, at least one, and none of them blank."""
    answers = answers_of(row, columns, key)
    if not answers:
        raise RowFault(f"field {quote(columns[key])} is empty", key)
    for answer in answers:
        if isinstance(answer, str):
            _refuse_blank(answer, columns[key], key)
    return answers


def words_of(row: Fields, columns: Mapping[str, str], key: str) -> list[str]:
    """A list of words, or of tags as text or numbers, none of them empty or parted by white space."""
    column, value = columns[key], value_of(row, columns, key)
    if hasattr(value, "tolist"):  # an array, as of Parquet
        value = value.tolist()
    if not isinstance(value, list | tuple) or not value:
        what = "empty" if value == [] else kind(value)
        raise RowFault(
            f"field {quote(column)} is {what}, expected a list with one entry a word", key
        )
    found = []
    for place, one in enumerate(value, 1):
        if isinstance(one, bool) or not isinstance(one, str | int):
            raise RowFault(f"entry {place} of {quote(column)} is {kind(one)}, expected text", key)
        text = str(one)
        if len(text.split()) != 1:
            fault = f"({quote(text)}) holds white space" if text.strip() else "is empty"
            raise RowFault(f"entry {place} of {quote(column)} {fault}, expected one word", key)
        found.append(text.strip())
    return found


def _refuse_blank(text: str, column: str, key: str) -> None:
    if not text.strip():
        raise RowFault(f"field {quote(column)} is empty", key)
    if is_without_width(text):
        raise RowFault(
            f"field {quote(column)} holds nothing but characters without width ({_codes(text)})",
            key,
        )


def is_without_width(text: str) -> bool:
    """Does a text show nothing, though it holds characters (zero-width spaces, marks, BOMs)?"""
    return all(c.isspace() or unicodedata.category(c) == "Cf" for c in text)


def _codes(text: str) -> str:
    return ", ".join(dict.fromkeys(f"U+{ord(c):04X}" for c in text if not c.isspace()))


def refuse_nul(row: Fields) -> None:
    """A NUL ends a text for many programs, so that no two of them would read the same case."""
    for column, value in row.items():
        texts = (value,) if isinstance(value, str) else strings_in(value)
        if any("\0" in text for text in texts):
            raise RowFault(f"field {quote(column)} holds a NUL character")


def strings_in(value: object) -> Iterator[str]:
    """Every text in a value, lists and objects opened."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings_in(part)


# ---- chats ---------------------------------------------------------------------------------------

_ROLES = {
    "human": "user",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
}


_CALLING = ("function_call", "function-call", "tool_call")
"""Roles of turns whose words are calls of tools, in JSON."""


def turns_of(value: object, column: str) -> tuple[Message, ...]:
    """The turns of a chat, as role and content or as from and value."""
    if not isinstance(value, list | tuple) or not value:
        raise RowFault(f"field {quote(column)} is {kind(value)}, expected a list of turns")
    return tuple(_turn(turn, f"turn {n} of {quote(column)}") for n, turn in enumerate(value, 1))


def _turn(turn: object, where: str) -> Message:
    if not isinstance(turn, dict):
        raise RowFault(f"{where} is {kind(turn)}, expected an object")
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if not isinstance(role, str):
        raise RowFault(f'{where} has no "role" (found {listed(turn) or "nothing"})')
    if role.lower() in _CALLING:
        calls = parsed(content)
        turn, role, content = {"tool_calls": calls}, "assistant", ""
    if isinstance(content, list):  # parts, as of a chat with pictures
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise RowFault(f"{where} holds something other than text")
        content = "".join(str(part) for part in parts)
    more = _more(turn, where)
    if content is None and "tool_calls" in more:
        content = ""
    if not isinstance(content, str):
        raise RowFault(f'{where} has no "content" (found {listed(turn)})')
    as_text = json.dumps(more, ensure_ascii=False) if more else ""
    return Message(_ROLES.get(role.lower(), role.lower()), content, as_text)


def _more(turn: dict[str, object], where: str) -> dict[str, object]:
    """What chat templates read of a turn beside its words: the tools it calls, or which one answered."""
    calls = turn.get("tool_calls")
    if not calls and turn.get("function_call"):  # the older form, of one call
        calls = [{"type": "function", "function": turn["function_call"]}]
    if not calls:
        named = {key: turn.get(key) for key in ("tool_call_id", "name")}
        return {key: value for key, value in named.items() if isinstance(value, str)}
    calls = parsed(calls)
    calls = [calls] if isinstance(calls, dict) else calls
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise RowFault(f'{where}: "tool_calls" is {kind(calls)}, expected a list of objects')
    # Templates look for a call under "function"; files also have it bare.
    return {
        "tool_calls": [
            one if "function" in one else {"type": "function", "function": one} for one in calls
        ]
    }


def tools_in_turns(value: object) -> dict[str, object]:
    """The tools that a turn of the system has beside its words, as an input of the case; {} for none."""
    for turn in value if isinstance(value, list | tuple) else ():
        given = turn.get("tools", turn.get("functions")) if isinstance(turn, dict) else None
        found = parsed(given)
        if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
            return {"functions": json_of(found)}
    return {}


def history_of(value: object, column: str) -> tuple[Message, ...]:
    """Earlier turns: as of a chat, as pairs of question and answer, or as texts in turn."""
    if not isinstance(value, list | tuple):
        raise RowFault(f"field {quote(column)} is {kind(value)}, expected a list of turns")
    if all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        value = [text for pair in value for text in pair]
    if not all(isinstance(text, str) for text in value):
        return turns_of(value, column)
    # The turn that follows is the user's.
    roles = ("assistant", "user")
    return tuple(
        Message(roles[(len(value) - n + 1) % 2], text) for n, text in enumerate(value) if text
    )
