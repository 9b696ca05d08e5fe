"""The column layouts that are recognised, as one flat table, and how a row of each is read.

Knows one row at a time; task, label set and faults of a whole file belong to ``read``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tuneval.data.formats import Fields, kind, listed, quote
from tuneval.types import Message

Tiers = tuple[tuple[str, ...], ...]
"""Names that a column may bear, the usual ones first; a later tier counts when no earlier does."""


class RowFault(Exception):
    """Why one row cannot be read; ``key`` is the standard key of the field that is missing."""

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


class Reading(NamedTuple):
    """What one row gives: the standard inputs, the references, the cluster if it has one."""

    inputs: dict[str, object]
    references: tuple[object, ...]
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One shape of a row.

    ``needs`` and ``may`` map standard keys to names of columns. ``tasks`` names what can be asked;
    the first one is meant unless ``decided_by_references``.
    """

    name: str
    input: str
    reference: str | None
    needs: Mapping[str, Tiers]
    tasks: tuple[str, ...]
    build: Callable[[Fields, Mapping[str, str]], Reading]
    may: Mapping[str, Tiers] = field(default_factory=dict)
    decided_by_references: bool = False


class Match(NamedTuple):
    """A layout that a table fits. ``rivals``: key -> further columns that could be meant."""

    layout: Layout
    columns: dict[str, str]
    rivals: dict[str, tuple[str, ...]]

    @property
    def reference(self) -> str | None:
        """Column of the reference."""
        return self.columns.get(self.layout.reference) if self.layout.reference else None


# ---- one field -----------------------------------------------------------------------------------


def _value(row: Fields, columns: Mapping[str, str], key: str) -> object:
    column = columns[key]
    if column not in row:
        raise RowFault(f"no field {quote(column)} (found {listed(row) or 'none'})", key)
    value = row[column]
    if value is None:
        raise RowFault(f"field {quote(column)} is null", key)
    return value


def _text(row: Fields, columns: Mapping[str, str], key: str) -> str:
    value = _value(row, columns, key)
    if not isinstance(value, str):
        shown = f" ({quote(value)})" if isinstance(value, int | float) else ""
        raise RowFault(f"field {quote(columns[key])} is {kind(value)}{shown}, expected text", key)
    if not value.strip():
        raise RowFault(f"field {quote(columns[key])} is empty", key)
    return value


def _optional(row: Fields, columns: Mapping[str, str], key: str) -> str | None:
    column = columns.get(key)
    if column is None or row.get(column) in (None, ""):
        return None
    return _text(row, columns, key)


def _scalar(row: Fields, columns: Mapping[str, str], key: str) -> object:
    """A label or a short answer: text, number or truth value, as it stands."""
    value = _value(row, columns, key)
    if isinstance(value, list | tuple | dict) or value != value:  # noqa: PLR0124 - nan
        what = kind(value) if value == value else "not a number"  # noqa: PLR0124
        raise RowFault(f"field {quote(columns[key])} is {what}, expected one value", key)
    if isinstance(value, str) and not value.strip():
        raise RowFault(f"field {quote(columns[key])} is empty", key)
    return value


def _answers(row: Fields, columns: Mapping[str, str], key: str) -> tuple[object, ...]:
    """One answer or several, without repetition; SQuAD's two notations included."""
    value = _value(row, columns, key)
    if isinstance(value, dict):
        value = value.get("text", value)
    if not isinstance(value, list | tuple):
        return (_scalar(row, columns, key),)
    texts = [part.get("text") if isinstance(part, dict) else part for part in value]
    if any(not isinstance(text, str | int | float) for text in texts):
        raise RowFault(f"field {quote(columns[key])} holds an answer that is not text", key)
    return tuple(dict.fromkeys(texts))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


# ---- chats ---------------------------------------------------------------------------------------

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
}


def _turns(value: object, column: str) -> tuple[Message, ...]:
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
    if isinstance(content, list):  # parts, as of a chat with pictures
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise RowFault(f"{where} holds something other than text")
        content = "".join(str(part) for part in parts)
    if not isinstance(content, str):
        raise RowFault(f'{where} has no "content" (found {listed(turn)})')
    return Message(_ROLES.get(role.lower(), role.lower()), content)


def _messages(row: Fields, columns: Mapping[str, str]) -> Reading:
    turns = _turns(_value(row, columns, "messages"), columns["messages"])
    system = _optional(row, columns, "system")
    if system and turns[0].role != "system":
        turns = (Message("system", system), *turns)
    *before, last = turns
    if last.role != "assistant":
        raise RowFault(f'the last turn is of "{last.role}", expected the assistant\'s answer')
    if not any(turn.role == "user" for turn in before):
        raise RowFault("no turn of the user before the assistant's answer")
    return Reading({"messages": tuple(before)}, (last.content,))


def _labelled_messages(row: Fields, columns: Mapping[str, str]) -> Reading:
    turns = _turns(_value(row, columns, "messages"), columns["messages"])
    return Reading({"messages": turns}, (_scalar(row, columns, "label"),))


def _prompt(row: Fields, columns: Mapping[str, str]) -> dict[str, object]:
    value = _value(row, columns, "prompt")
    if isinstance(value, list | tuple):
        return {"messages": _turns(value, columns["prompt"])}
    return {"prompt": _text(row, columns, "prompt")}


def _answer_turn(row: Fields, columns: Mapping[str, str], key: str) -> object:
    """The answer, as text or as turns that end with it."""
    value = _value(row, columns, key)
    if isinstance(value, list | tuple):
        return _turns(value, columns[key])[-1].content
    return _scalar(row, columns, key)


# ---- the other rows ------------------------------------------------------------------------------


def _prompt_completion(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = _prompt(row, columns)
    raw = row.get(columns["completion"])
    if "prompt" in inputs and isinstance(raw, str):
        inputs["completion"] = raw  # its leading space is part of what was trained
    return Reading(inputs, (_answer_turn(row, columns, "completion"),))


def _instruction(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs: dict[str, object] = {"instruction": _text(row, columns, "instruction")}
    given = _optional(row, columns, "input")
    if given is not None:
        inputs["input"] = given
    return Reading(inputs, (_scalar(row, columns, "output"),))


def _labelled(row: Fields, columns: Mapping[str, str]) -> Reading:
    return Reading({"text": _text(row, columns, "text")}, (_scalar(row, columns, "label"),))


def _text_output(row: Fields, columns: Mapping[str, str]) -> Reading:
    return Reading({"text": _text(row, columns, "text")}, (_scalar(row, columns, "output"),))


def _plain(row: Fields, columns: Mapping[str, str]) -> Reading:
    return Reading({"text": _text(row, columns, "text")}, ())


def _question(row: Fields, columns: Mapping[str, str]) -> Reading:
    answers = _answers(row, columns, "answer")
    if not answers:
        raise RowFault(f"field {quote(columns['answer'])} is empty", "answer")
    return Reading({"question": _text(row, columns, "question")}, answers)


def _squad(row: Fields, columns: Mapping[str, str]) -> Reading:
    """No answer in the passage is an answer too: the empty text, as in SQuAD 2.0's own program."""
    context = _text(row, columns, "context")
    inputs = {"context": context, "question": _text(row, columns, "question")}
    answers = _answers(row, columns, "answers") or ("",)
    return Reading(dict(inputs), answers, cluster=f"context-{_digest(context)}")


def _summary(row: Fields, columns: Mapping[str, str]) -> Reading:
    return Reading({"article": _text(row, columns, "article")}, (_text(row, columns, "summary"),))


def _program(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs: dict[str, object] = {
        "prompt": _text(row, columns, "prompt"),
        "test": _text(row, columns, "test"),
    }
    entry_point = _optional(row, columns, "entry_point")
    if entry_point is not None:
        inputs["entry_point"] = entry_point
    solution = _optional(row, columns, "canonical_solution")
    return Reading(inputs, () if solution is None else (solution,))


def _preference(row: Fields, columns: Mapping[str, str]) -> Reading:
    chosen, rejected = (_answer_turn(row, columns, key) for key in ("chosen", "rejected"))
    if chosen == rejected:
        raise RowFault("the chosen and the rejected answer are the same")
    return Reading({**_prompt(row, columns), "chosen": chosen, "rejected": rejected}, (chosen,))


def _multiple_choice(row: Fields, columns: Mapping[str, str]) -> Reading:
    value = _value(row, columns, "choices")
    names: Sequence[object] = ()
    if isinstance(value, dict):  # ARC: {"text": [...], "label": ["A", ...]}
        names = value.get("label") or ()
        value = value.get("text")
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise RowFault(f"field {quote(columns['choices'])} is no list of two or more choices")
    choices = tuple(str(choice) for choice in value)
    answer = _scalar(row, columns, "answer")
    index = _choice(answer, choices, tuple(str(name) for name in names))
    question = _text(row, columns, "question")
    return Reading({"question": question, "choices": choices}, (str(index),))


def _choice(answer: object, choices: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Index of the right choice, from an index, a letter, the row's own name or the text."""
    if isinstance(answer, int) and not isinstance(answer, bool) and not names:
        readings = {answer}
    else:
        text = str(answer).strip()
        readings = {n for n, choice in enumerate(choices) if choice.strip() == text}
        if names:
            readings |= {n for n, name in enumerate(names) if name == text}
        elif text.isdecimal():
            readings.add(int(text))
        elif len(text) == 1 and "A" <= text.upper() <= "Z":
            readings.add(ord(text.upper()) - ord("A"))
    inside = {n for n in readings if 0 <= n < len(choices)}
    if len(inside) == 1:
        return inside.pop()
    if inside:
        both = " or ".join(str(n) for n in sorted(inside))
        raise RowFault(f"answer {quote(answer)} may mean choice {both} (counted from 0)", "answer")
    last = len(choices) - 1
    raise RowFault(f"answer {quote(answer)} is none of the choices 0 to {last}", "answer")


# ---- the table -----------------------------------------------------------------------------------

_FREE = ("generate", "classify", "language_model")

LABELS: Tiers = (
    ("label", "intent", "category"),
    ("class", "sentiment", "emotion", "topic", "target", "labels", "gold_label", "label_text",
     "label_name", "coarse_label", "coarse_name", "fine_label", "fine_name", "class_name",
     "category_name", "intent_name"),
)  # fmt: skip
TEXTS: Tiers = (
    ("text", "sentence", "input"),
    ("utterance", "content", "review", "tweet", "comment", "query", "message", "question"),
)

LAYOUTS = (
    Layout(
        "messages", "messages", "messages", {"messages": (("messages",), ("conversations",))},
        _FREE, _messages, {"system": (("system",),)}, decided_by_references=True,
    ),
    Layout(  # only when the user names the label's column: else the last turn is the reference
        "labelled messages", "messages", "label",
        {"messages": (("messages",), ("conversations",)), "label": ()},
        ("classify", "generate"), _labelled_messages,
    ),
    Layout(
        "prompt and completion", "prompt", "completion",
        {"prompt": (("prompt",),), "completion": (("completion",), ("response", "output"))},
        _FREE, _prompt_completion, decided_by_references=True,
    ),
    Layout(
        "instruction", "instruction", "output",
        {"instruction": (("instruction",),), "output": (("output", "response"),)},
        _FREE, _instruction, {"input": (("input",), ("context",))}, decided_by_references=True,
    ),
    Layout(
        "labelled text", "text", "label", {"text": TEXTS, "label": LABELS},
        ("classify", "generate"), _labelled,
    ),
    Layout(
        "multiple choice", "question", "answer",
        {"question": (("question",), ("ctx", "question_stem")),
         "choices": (("choices",), ("options", "endings")),
         "answer": (("answer",), ("answerkey", "answer_key", "answer_idx", "label"))},
        ("multiple_choice",), _multiple_choice,
    ),
    Layout(
        "squad", "question", "answers",
        {"context": (("context",), ("passage",)), "question": (("question",),),
         "answers": (("answers",),)},
        ("generate",), _squad,
    ),
    Layout(
        "summary", "article", "summary",
        {"article": (("article",), ("document",)),
         "summary": (("summary",), ("highlights",), ("reference",))},
        ("generate",), _summary,
    ),
    Layout(
        "program", "prompt", "test", {"prompt": (("prompt",),), "test": (("test",),)},
        ("complete_code",), _program,
        {"entry_point": (("entry_point",),), "canonical_solution": (("canonical_solution",),)},
    ),
    Layout(
        "question and answer", "question", "answer",
        {"question": (("question",),), "answer": (("answer",), ("answers",))},
        _FREE, _question, decided_by_references=True,
    ),
    Layout(
        "preference", "prompt", "chosen",
        {"prompt": (("prompt",),), "chosen": (("chosen",),), "rejected": (("rejected",),)},
        ("preference",), _preference,
    ),
    Layout(
        "text and output", "text", "output",
        {"text": TEXTS, "output": (("output", "response"),)},
        _FREE, _text_output, decided_by_references=True,
    ),
    Layout("text", "text", None, {"text": TEXTS}, ("language_model",), _plain),
)  # fmt: skip


def match(present: Sequence[str], explicit: Mapping[str, str]) -> list[Match]:
    """Every layout that these columns fit, in the order of the table, without weaker duplicates.

    Parameters
    ----------
    present : sequence of str
        Columns of the table.
    explicit : mapping
        "input" and "reference" -> the column that the user named for it.
    """
    matches = [m for m in (_fit(layout, present, explicit) for layout in _open(explicit)) if m]
    return [
        m
        for n, m in enumerate(matches)
        if not any(_covers(o, m, is_earlier=k < n) for k, o in enumerate(matches) if k != n)
    ]


def _open(explicit: Mapping[str, str]) -> list[Layout]:
    """Layouts that the user's choice of columns leaves possible."""
    layouts = [
        m for m in LAYOUTS if "reference" not in explicit or m.reference not in (None, m.input)
    ]
    if "input" in explicit:
        name = explicit["input"].lower()
        known = [m for m in layouts if name in _names(m.needs[m.input])]
        layouts = known or [m for m in layouts if m.input == "text"]
    return layouts


def _names(tiers: Tiers) -> set[str]:
    return {name for tier in tiers for name in tier}


def _fit(layout: Layout, present: Sequence[str], explicit: Mapping[str, str]) -> Match | None:
    columns: dict[str, str] = {}
    rivals: dict[str, tuple[str, ...]] = {}
    fixed = {layout.input: explicit.get("input")}
    if layout.reference:
        fixed.setdefault(layout.reference, explicit.get("reference"))
    taken = set(explicit.values())
    for key, tiers in {**layout.needs, **layout.may}.items():
        own = fixed.get(key)
        free = [column for column in present if column not in taken]
        found = (own,) if own else _first_tier(tiers, free)
        if found:
            columns[key], rivals[key] = found[0], found[1:]
            taken.add(found[0])
        elif key in layout.needs:
            return None
    return Match(layout, columns, {key: others for key, others in rivals.items() if others})


def _first_tier(tiers: Tiers, present: Sequence[str]) -> tuple[str, ...]:
    for tier in tiers:
        found = tuple(column for column in present if column.lower() in tier)
        if found:
            return found
    return ()


def _covers(other: Match, match: Match, *, is_earlier: bool) -> bool:
    """Does ``other`` explain the same columns and more (or as much, and is the nearer shape)?"""
    if match.reference is None or other.reference is None:
        return False  # plain text competes with nothing; whoever chooses knows the task
    mine, theirs = set(match.columns.values()), set(other.columns.values())
    if other.layout.input == "text" != match.layout.input:
        return False
    is_nearer = match.layout.input == "text" != other.layout.input
    return mine < theirs or (mine == theirs and (is_earlier or is_nearer))


def has_name(tiers: Tiers, column: str) -> bool:
    """Is ``column`` one of these names, in any tier and any case?"""
    return any(column.lower() in tier for tier in tiers)
