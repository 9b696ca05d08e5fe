"""Messages -> the text that a model reads: chat template or plain template, and nothing lost.

Not for: tokens, and what to leave out where the text is too long (``cutting.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tuneval.errors import VariantError
from tuneval.types import Message

VERSION = 3
"""Stands in fingerprints; raised when the same messages begin to give another text."""

_ANOTHER_TEMPLATE = (
    "Compare models with a chat template that writes calls of tools, or leave these rows out."
)
_PLAIN_OR_ROLE = (
    "Use --chat-template off for the plain template, which keeps every turn, or give them a role that "
    "the template knows."
)
_TOOLS_AS_TEXT = (
    "Have them stand as text in the system turn, the same for every variant: task_options: {TASK: {tools: "
    "text}} in run.yaml."
)
_END_OF_THINKING = "</think>"
_ANSWER = "⁂"
"""Stands for an answer where a template is asked what it puts before one."""


def plain_template(messages: Sequence[Message], *, is_scored: bool, tools: str = "") -> str:
    """Messages as text where there is no chat template.

    System text and each answered turn end in a blank line; question and answer are joined by
    nothing after white space, by a blank after ":", else by a line break. The blank belongs to the
    answer's first token in most vocabularies, so a prompt for generation ends before it.
    """
    calling = list(dict.fromkeys(turn.role for turn in messages if _is_calling(turn)))
    if calling:
        raise VariantError(
            f"the plain template has no form for calls of tools (in turns of: {', '.join(calling)}).\n"
            f"{_ANOTHER_TEMPLATE}"
        )
    if tools:
        raise VariantError(
            f'the plain template has no place for tools (the first is "{names_of(tools)[0]}").\n'
            f"{_TOOLS_AS_TEXT}"
        )
    text = ""
    for index, turn in enumerate(messages):
        is_last = index == len(messages) - 1
        if turn.role != "user":
            text += turn.content + ("" if is_last else "\n\n")
            continue
        between = joiner(turn.content)
        text += turn.content + (between.rstrip(" ") if is_last and not is_scored else between)
    return text


def _is_calling(turn: Message) -> bool:
    return "tool_calls" in turn.as_turn()


def joiner(content: str) -> str:
    """What stands between a question and its answer in the plain template."""
    if not content or content[-1].isspace():
        return ""
    return " " if content.endswith(":") else "\n"


def chat_text(
    tokenizer: Any,
    template: str,
    messages: Sequence[Message],
    *,
    thinks: bool = True,
    tools: str = "",
) -> str:
    """Messages, and the tools at hand, through a chat template, up to where the answer begins.

    Raises
    ------
    VariantError
        The template refuses the messages, or leaves out what one of them says, or a tool.
    """
    import jinja2

    try:
        text = _rendered(
            tokenizer, template, messages, is_answered=False, thinks=thinks, tools=tools
        )
    except jinja2.TemplateError as error:
        roles = ", ".join(turn.role for turn in messages)
        raise VariantError(
            f"the chat template refuses these messages ({roles}): {error}.\n"
            "Use --chat-template off for the plain template, or leave the system text out."
        ) from error
    lost = _lost(messages, text)
    if lost:
        is_calling = any(_is_calling(turn) for turn in messages if turn.role in lost)
        raise VariantError(
            f"the chat template leaves out the text of these turns: {', '.join(lost)} "
            f'(first: "{_first_of(lost[0], messages)}").\n'
            + (_ANOTHER_TEMPLATE if is_calling else _PLAIN_OR_ROLE)
        )
    hidden = next((name for name in names_of(tools) if name not in text), None)
    if hidden is not None:
        raise VariantError(
            f'the chat template shows no tools (the name "{hidden}" does not stand in its text).\n'
            f"{_TOOLS_AS_TEXT}"
        )
    return text


def refuse_template_without_tools(
    tokenizer: Any, template: str, messages: Sequence[Message], tools: str, *, thinks: bool = True
) -> None:
    """Hold a chat template to showing tools: with and without them its text must differ.

    A name of a tool among the words of a turn would hide that the template leaves tools out.

    Raises
    ------
    VariantError
        The text is the same.
    """
    with_tools, without = (
        chat_text(tokenizer, template, messages, thinks=thinks, tools=given)
        for given in (tools, "")
    )
    if with_tools == without:
        raise VariantError(
            "the chat template shows no tools (its text is the same with and without them).\n"
            f"{_TOOLS_AS_TEXT}"
        )


def names_of(tools: str) -> list[str]:
    """The names of tools, from the JSON list of their descriptions."""
    return [str(one["function"]["name"]) for one in _as_templates_take(tools)]


def _as_templates_take(tools: str) -> list[dict[str, Any]]:
    """Descriptions in the form of OpenAI, which templates are written for; bare functions are wrapped."""
    given = json.loads(tools) if tools else []
    every = given if isinstance(given, list) else [given]
    return [one if "function" in one else {"type": "function", "function": one} for one in every]


def answer_joint(
    tokenizer: Any,
    template: str,
    messages: Sequence[Message],
    *,
    thinks: bool = True,
    tools: str = "",
) -> str:
    """What a chat template writes between its generation prompt and the answer; mostly nothing.

    Trainers render whole conversations, so that a blank, a line break or an empty thinking block
    before the answer is learnt as its beginning. A generation prompt that ends earlier ("About:"
    before " billing") would have the answer scored where it was never seen.
    """
    import jinja2

    before = _rendered(tokenizer, template, messages, is_answered=False, thinks=thinks, tools=tools)
    try:
        answered = (*messages, Message("assistant", _ANSWER))
        whole = _rendered(
            tokenizer, template, answered, is_answered=True, thinks=thinks, tools=tools
        )
    except jinja2.TemplateError:
        return ""  # a template that takes no answers says nothing about them
    joint, found, _ = whole.removeprefix(before).partition(_ANSWER)
    return joint if found and whole.startswith(before) else ""


def _rendered(
    tokenizer: Any,
    template: str,
    messages: Sequence[Message],
    *,
    is_answered: bool,
    thinks: bool,
    tools: str = "",
) -> str:
    turns = [_with_objects(turn.as_turn()) for turn in messages]
    text: str = tokenizer.apply_chat_template(
        turns,
        chat_template=template,
        tokenize=False,
        add_generation_prompt=not is_answered,
        **({"tools": _as_templates_take(tools)} if tools else {}),
        **({} if thinks else {"enable_thinking": False}),
    )
    return text


def _with_objects(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn whose calls have their arguments as objects: templates write them as JSON by themselves, and a
    text that is JSON already would come out quoted twice."""
    if not turn.get("tool_calls"):
        return turn
    return {**turn, "tool_calls": [_with_object(call) for call in turn["tool_calls"]]}


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    inner = call.get("function", call)
    given = inner.get("arguments")
    try:
        read = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        read = given
    called = {**inner, "arguments": read}
    return {**call, "function": called} if "function" in call else called


def _lost(messages: Sequence[Message], text: str) -> list[str]:
    """Roles of the messages whose words do not stand in the text; white space does not count."""
    squeezed = _squeezed(text)
    return list(
        dict.fromkeys(
            turn.role
            for turn in messages
            if not _has_calls(turn, text)
            or (_squeezed(_kept(turn)) not in squeezed and not _is_quoted(turn.content, text))
        )
    )


def _has_calls(turn: Message, text: str) -> bool:
    """Do the names and the values of all calls of tools stand in the text?"""
    calls = [one.get("function", one) for one in turn.as_turn().get("tool_calls", ())]
    return all(
        _squeezed(value) in _squeezed(text) or _is_quoted(value, text)
        for call in calls
        for value in (str(call.get("name", "")), *_values(call.get("arguments")))
    )


def _values(arguments: object) -> Iterator[str]:
    """Every text and number among the arguments of a call; arguments may be JSON as text."""
    read: object = arguments
    if isinstance(arguments, str):
        try:
            read = json.loads(arguments)
        except ValueError:
            read = arguments
    yield from _leaves(read)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _kept(turn: Message) -> str:
    """What a template must keep: templates of thinking models drop the thoughts of earlier turns."""
    return turn.content.rpartition(_END_OF_THINKING)[2]


def _is_quoted(content: str, text: str) -> bool:
    """Templates write the turns of tools as JSON."""
    return any(json.dumps(content, ensure_ascii=ascii)[1:-1] in text for ascii in (True, False))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _first_of(role: str, messages: Sequence[Message]) -> str:
    content = next(turn.content or turn.more for turn in messages if turn.role == role)
    return content if len(content) <= 60 else content[:57] + "..."
