from __future__ import annotations

import pytest

from tuneval.tasks.generate import Generate
from tuneval.tasks.tool_call import ToolCall
from tuneval.types import Case, Completion, Decoding, Message, Prediction, Response

CASE = Case("t.jsonl:1", {"article": "News."}, ("Short news.",))


def test_every_setting_travels_in_the_request() -> None:
    task = Generate(
        Generate.Options(
            max_tokens=9,
            stop=("END",),
            temperature=0.5,
            top_p=0.9,
            n_completions=3,
            sampling_seed=7,
        )
    )
    (request,) = task.ask(CASE)
    assert request.decoding == Decoding(9, ("END",), 0.5, 0.9, 3, 7)
    assert request.prompt == (Message("user", "News.\n\nSummary:"),)


def test_all_completions_are_read_and_the_first_that_can_be_is_the_text() -> None:
    said = [Completion(text, 1, "stop") for text in ("<think>on and on", " one \n", "two")]
    response = Response("t.jsonl:1#0", "base", completions=tuple(said))
    read = Generate(Generate.Options()).read(CASE, [response])
    assert read.texts == (None, "one", "two")
    assert (read.text, read.problem) == ("one", None)


def test_the_first_completion_is_the_text_and_all_are_kept() -> None:
    said = (Completion(" one \n", 2, "stop"), Completion("two", 5, "length"))
    response = Response("t.jsonl:1#0", "base", completions=said, is_truncated=True)
    assert Generate(Generate.Options()).read(CASE, [response]) == Prediction(
        "t.jsonl:1",
        text="one",
        texts=("one", "two"),
        completions=(" one \n", "two"),
        n_tokens=7,
        finish_reasons=("stop", "length"),
        is_truncated=True,
    )


@pytest.mark.fault
@pytest.mark.parametrize("text", ["", " \n"])
def test_fault_13_an_empty_completion_is_an_empty_text(text: str) -> None:
    response = Response("t.jsonl:1#0", "base", completions=(Completion(text, 0, "stop"),))
    prediction = Generate(Generate.Options()).read(CASE, [response])
    assert (prediction.text, prediction.problem) == ("", None)


def test_an_exact_prompt_is_asked_exactly() -> None:
    case = Case("c", {"prompt": "  def f(x):\n", "completion": "    return x"}, ("    return x",))
    (request,) = Generate(Generate.Options()).ask(case)
    assert request.prompt == "  def f(x):\n"


TOOLS = '[{"name": "find", "parameters": {}}]'
TOLD = Message("system", f"Tools: {TOOLS}")
ASKED = Message("user", "Where?")


@pytest.mark.parametrize("task", [Generate, ToolCall])
@pytest.mark.parametrize(
    ("inputs", "options", "tools", "turns"),
    [
        ({"messages": (ASKED,)}, {}, TOOLS, (ASKED,)),
        ({"messages": (ASKED,)}, {"tools": "text"}, "", (TOLD, ASKED)),
        ({"messages": (ASKED,)}, {"prompt_style": "text"}, "", f"Tools: {TOOLS}\n\nWhere?"),
        ({"messages": (Message("system", "Be brief."), ASKED)}, {"tools": "text"}, "",
         (Message("system", f"Be brief.\n\nTools: {TOOLS}"), ASKED)),
        ({"messages": (Message("system", "You may find."), ASKED)}, {}, "",
         (Message("system", "You may find."), ASKED)),
        ({"messages": (ASKED,), "text": "x"}, {"template": "{text} {functions}"}, "",
         (Message("user", f"x {TOOLS}"),)),
        ({"question": "Where?"}, {"tools": "template"}, TOOLS,
         (Message("user", "Question: Where?\nAnswer:"),)),
    ],
)  # fmt: skip
def test_tools_stand_in_the_template_or_in_the_prompt(task, inputs, options, tools, turns) -> None:
    case = Case("t.jsonl:1", {**inputs, "functions": TOOLS}, ("[]",))
    (request,) = task(task.Options(**options)).ask(case)
    assert request.tools == tools
    assert (request.prompt if isinstance(turns, tuple) else request.prompt.strip()) == turns
