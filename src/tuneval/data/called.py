"""Conversations whose last turn calls tools: what is expected are the calls.

Not for: calls that a model wrote, which the metric reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from tuneval.data.fields import RowFault, json_of, parsed
from tuneval.data.formats import kind, quote
from tuneval.errors import DataError
from tuneval.types import Message

TASK = "tool_call"
NONE = "[]"
"""The reference of a turn that calls no tool."""
_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_END_OF_THINKING = "</think>"


def calls_of(turn: Message) -> str:
    """The calls of a turn, as a JSON list of objects with name and arguments; "" where it calls nothing.

    Read are ``tool_calls``, and blocks between <tool_call> and </tool_call> among the words.

    Raises
    ------
    RowFault
        A call has no name, or its arguments are no object.
    """
    calls = turn.as_turn().get("tool_calls")
    if not calls:
        said = turn.content.rpartition(_END_OF_THINKING)[2]
        calls = [_in_block(text) for text in _BLOCK.findall(said)]
    return json_of([_call(one) for one in calls]) if calls else ""


def _in_block(text: str) -> object:
    """JSON, or Python's notation of it, which older files of this kind have."""
    found = parsed(text.strip())
    if isinstance(found, str):
        try:
            return ast.literal_eval(found)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return found
    return found


def _call(given: object) -> dict[str, object]:
    inner = given.get("function", given) if isinstance(given, dict) else given
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        shown = quote(inner.get("arguments", inner) if isinstance(inner, dict) else inner)
        raise RowFault(f"the assistant's answer calls a tool without a name (with {shown})")
    arguments = parsed(inner.get("arguments", inner.get("parameters")) or {})
    if not isinstance(arguments, dict):
        raise RowFault(
            f"the assistant's answer calls {quote(inner['name'])}, and its arguments are "
            f"{kind(arguments)} ({quote(arguments)}), expected an object"
        )
    return {"name": inner["name"], "arguments": arguments}


def task_of(file: str, calls: Sequence[str | None], task: str | None) -> str | None:
    """The task of rows of which ``calls`` says what each one's last turn calls; ``task`` is what was said.

    Raises
    ------
    DataError
        Some conversations end in calls and some in words, and nobody said what is asked.
    """
    n_calling = sum(map(bool, calls))
    if task is not None or not n_calling:
        return task
    if n_calling == len(calls):
        return TASK
    raise DataError(
        f"{file} fits two tasks: {n_calling} of {len(calls)} conversations end in calls of tools, the others "
        "in words.\nSay --task tool_call (where words stand, no tool is to be called), or --task generate "
        "--skip-bad-rows (the words alone are compared)."
    )
