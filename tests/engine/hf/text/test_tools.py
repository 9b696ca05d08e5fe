"""Tools go through the chat template of each variant, or somebody is told why they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiny_models import CHAT_TEMPLATE, build_tokenizer
from tool_templates import FIND, HERMES, LLAMA, MISTRAL
from tuneval.engine.hf.text.render import Renderer
from tuneval.engine.hf.text.shown import shown
from tuneval.errors import VariantError
from tuneval.types import Decoding, Message, Request

CALLED = json.dumps({"tool_calls": [{"function": {"name": "find", "arguments": '{"gate": 7}'}}]})
TURNS = (
    Message("user", "Where is gate 7?"),
    Message("assistant", "", CALLED),
    Message("tool", "yard 3"),
)


def request(*turns: Message, tools: Any = (FIND,)) -> Request:
    given = json.dumps(list(tools)) if tools else ""
    return Request("r", "c", turns, decoding=Decoding(), tools=given)


def text_of(template: str | None, *turns: Message, tools: Any = (FIND,)) -> str:
    reader = Renderer(build_tokenizer(), template=template, context_length=4000)
    (found,) = shown(reader, [request(*turns, tools=tools)])
    return found.text


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(
            HERMES,
            "<|im_start|>system\nTools:\n<tools>\n" + json.dumps(FIND) + "\n</tools><|im_end|>\n"
            "<|im_start|>user\nWhere is gate 7?<|im_end|>\n"
            '<|im_start|>assistant\n<tool_call>\n{"name": "find", "arguments": {"gate": 7}}\n</tool_call>'
            "<|im_end|>\n<|im_start|>user\n<tool_response>\nyard 3\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\n",
            id="Hermes",
        ),
        pytest.param(
            LLAMA,
            "<|user|>Functions at hand:\n" + json.dumps(FIND, indent=4) + "\n\nWhere is gate 7?<|eot|>"
            '<|assistant|>{"name": "find", "parameters": {"gate": 7}}<|eot|>'
            '<|ipython|>"yard 3"<|eot|><|assistant|>',
            id="Llama",
        ),
        pytest.param(
            MISTRAL,
            "[AVAILABLE_TOOLS] " + json.dumps([FIND["function"]]) + "[/AVAILABLE_TOOLS]"
            "[INST] Where is gate 7?[/INST]"
            '[TOOL_CALLS] [{"name": "find", "arguments": {"gate": 7}}]</s>[TOOL_RESULTS] yard 3[/TOOL_RESULTS]',
            id="Mistral",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_wrapped", [True, False], ids=["OpenAI's form", "bare function"])
def test_tools_and_calls_stand_where_the_template_puts_them(
    template: str, expected: str, is_wrapped: bool
) -> None:
    """Arguments that a file holds as text come out as JSON once, not quoted twice."""
    assert text_of(template, *TURNS, tools=(FIND if is_wrapped else FIND["function"],)) == expected


@pytest.mark.parametrize("template", [HERMES, LLAMA, MISTRAL], ids=["Hermes", "Llama", "Mistral"])
def test_without_tools_nothing_changes(template: str) -> None:
    assert "find" not in text_of(template, Message("user", "Where?"), tools=())


@pytest.mark.parametrize(
    ("template", "turns", "fault"),
    [
        (CHAT_TEMPLATE, "Where is it?", 'the name "find" does not stand in its text'),
        (CHAT_TEMPLATE, "Please find it.", "its text is the same with and without them"),
        (None, "Please find it.", 'the plain template has no place for tools (the first is "find")'),
    ],
)  # fmt: skip
def test_a_template_without_a_place_for_tools_is_refused(
    template: str | None, turns: str, fault: str
) -> None:
    with pytest.raises(VariantError) as caught:
        text_of(template, Message("user", turns))
    assert fault in str(caught.value)
    assert "{tools: text}" in str(caught.value)


def test_a_long_question_is_cut_around_its_tools() -> None:
    reader = Renderer(build_tokenizer(), template=HERMES, context_length=500)
    long = request(Message("user", "Where is gate seven? " * 100))
    (found,) = shown(reader, [long])
    (ids,) = reader.prompts([long])
    assert found.n_cut > 0
    assert json.dumps(FIND) in found.text
    assert reader.tokenizer.decode(ids.ids) == found.text


def test_the_joint_before_a_scored_answer_is_that_with_tools() -> None:
    """A template may write something before an answer where tools are at hand, and nothing elsewhere."""
    template = (
        "{% if tools %}{{ tools[0].function.name }}{% endif %}{% for m in messages %}"
        "{% if m.role == 'assistant' and tools %}<answer>{% endif %}{{ m.content }}{% endfor %}"
    )
    reader = Renderer(build_tokenizer(), template=template, context_length=500)
    turns = (Message("user", "q"),)
    scored = [
        Request(str(n), "c", turns, continuation="Paris", tools=tools)
        for n, tools in enumerate(("", json.dumps([FIND])))
    ]
    assert [one.joint for one in reader.written(scored)] == ["", "<answer>"]
