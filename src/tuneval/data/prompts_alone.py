"""Files of prompts alone: what is asked, and nothing that was expected. A judge compares what is answered.

Not for: files with references, whose layouts are ``layouts``'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tuneval.data.fields import RowFault, optional_text, text_of, turns_of, value_of
from tuneval.data.formats import Fields, Table
from tuneval.data.layouts import AROUND, CHATS, Layout, Match, Reading, around, fit, match
from tuneval.data.names import QUESTIONS, REFERENCES, SYSTEMS, TEXTS, Tiers, has_name
from tuneval.types import PROMPTS_ALONE, Message

PROMPTS: Tiers = (("prompt", "instruction"), *QUESTIONS, *TEXTS)

HINT = "To compare what is answered to prompts alone, name a judge: --judge MODEL."


def _chat(row: Fields, columns: Mapping[str, str]) -> Reading:
    turns = turns_of(value_of(row, columns, "messages"), columns["messages"])
    if turns[-1].role != "user":
        raise RowFault(f'the last turn is of "{turns[-1].role}", expected the user\'s', "messages")
    told = around(row, columns).get("system")
    if told and turns[0].role != "system":
        turns = (Message("system", str(told)), *turns)
    return Reading({"messages": turns}, ())


def _prompt(row: Fields, columns: Mapping[str, str]) -> Reading:
    """A user's turn, under the chat template of each variant; turns where the column holds some."""
    if isinstance(value_of(row, columns, "instruction"), list | tuple):
        return _chat(row, {**columns, "messages": columns["instruction"]})
    inputs: dict[str, object] = {"instruction": text_of(row, columns, "instruction")}
    told = around(row, columns)
    given = (optional_text(row, columns, "input"), told.pop("context", None))
    if parts := [str(part) for part in given if part]:
        inputs["input"] = "\n\n".join(parts)
    return Reading({**inputs, **told}, ())


LAYOUTS = (
    Layout(
        PROMPTS_ALONE[1], "messages", None, {"messages": CHATS},
        ("generate",), _chat, {"system": SYSTEMS},
    ),
    Layout(
        PROMPTS_ALONE[0], "instruction", None, {"instruction": PROMPTS},
        ("generate",), _prompt, {**AROUND, "input": (("input",),)},
    ),
)  # fmt: skip


def alone(
    table: Table, present: Sequence[str], explicit: Mapping[str, str], grouped: Collection[str]
) -> Match | None:
    """How a file of prompts alone is read; None where it has an answer, or nothing that asks."""
    free = [column for column in present if column not in grouped]
    found = [one for one in match(free, explicit) if one.layout.reference]
    if "reference" in explicit or any(one.layout.name != "messages" for one in found):
        return None
    if found and not _end_with_the_user(table, found[0].columns["messages"]):
        return None
    if found and any(has_name(REFERENCES, column) for column in free):
        return None  # what was expected may stand beside the conversation: whoever asks says so
    layouts = LAYOUTS[1:] if "input" in explicit else LAYOUTS  # a named column may hold either
    fitting = (fit(layout, free, explicit) for layout in layouts)
    return next((one for one in fitting if one is not None), None)


def asked_of(row: Fields, column: str) -> dict[str, object]:
    """The inputs of a case that has this column of prompts. Raises RowFault."""
    return _prompt(row, {"instruction": column}).inputs


def is_prompt(column: str) -> bool:
    """Could a file be one of prompts alone by this column?"""
    return has_name((*PROMPTS[:1], *QUESTIONS), column)


def _end_with_the_user(table: Table, column: str) -> bool:
    """Does every conversation wait for an answer?"""
    return all(_last_role(row.fields.get(column), column) == "user" for row in table.rows)


def _last_role(value: object, column: str) -> str | None:
    try:
        return turns_of(value, column)[-1].role
    except RowFault:
        return None
