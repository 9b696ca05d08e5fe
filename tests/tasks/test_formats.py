"""The same wording in other prompt formats: what stands around the values changes, they do not."""

from __future__ import annotations

import pytest

from tuneval import tasks
from tuneval.perturbations import perturb
from tuneval.tasks.formats import restyled
from tuneval.types import PROMPT_FORMATS, Case, Message, Request

FORMATS = PROMPT_FORMATS


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{text}\nLabel:", ("{text} Label:", "{text}\nLABEL:", "{text}\nLabel -",
                            "{text}\n\nLabel::")),
        ("{text}", ("Input: {text} Output:", "INPUT: {text}\nOUTPUT:", "Input - {text}\nOutput -",
                    "Input:: {text}\n\nOutput::")),
        ("Message: {text} Topic:", ("Message:\n{text}\nTopic:", "MESSAGE: {text} TOPIC:",
                                    "Message - {text} Topic -", "Message:: {text} Topic::")),
        ("{a}\n{b}", ("Input: {a}\n{b} Output:", "INPUT: {a}\n{b}\nOUTPUT:",
                      "Input - {a}\n{b}\nOutput -", "Input:: {a}\n{b}\n\nOutput::")),
        ("TEXT: {text}", ("TEXT:\n{text}", "text: {text}", "TEXT - {text}", "TEXT:: {text}")),
    ],
)  # fmt: skip
def test_restyled(template: str, expected: tuple[str, ...]) -> None:
    assert tuple(restyled(template, name) for name in FORMATS) == expected
    assert len({template, *expected}) == 5


def prompts(task: tasks.Task, case: Case) -> list[str]:
    twins, _ = perturb([case], "format", "all", 0)
    return [_text(task.ask(twin)[0]) for twin in twins]


def _text(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "|".join(turn.content for turn in request.prompt)


def test_classify_with_braces_colons_and_line_breaks_in_the_text() -> None:
    text = "One: {label}\nTWO: {text}"
    case = Case("t:1", {"text": text, "label": "x"}, ("a",))
    assert prompts(tasks.build("classify", labels=["a", "b"]), case) == [
        f"{text} Label:",
        f"{text}\nLABEL:",
        f"{text}\nLabel -",
        f"{text}\n\nLabel::",
    ]


def test_a_template_of_the_users_and_examples_before_the_question() -> None:
    shown = Case("e:1", {"text": "Seen: before"}, ("b",))
    task = tasks.build(
        "classify", labels=["a", "b"], template="T: {text}\nL:", few_shot=[shown], system="Do: it"
    )
    case = Case("t:1", {"text": "Now: this"}, ("a",))
    assert prompts(task, case)[1:3] == [
        "Do: it|T: Seen: before\nL:|b|T: Now: this\nL:".replace("T:", "T:"),
        "Do: it|T - Seen: before\nL -|b|T - Now: this\nL -",
    ]


def test_multiple_choice_keeps_its_choices() -> None:
    case = Case("t:1", {"question": "Largest?", "choices": ("Mars", "{question}")}, ("0",))
    assert prompts(tasks.build("multiple_choice"), case) == [
        "Largest? A. Mars B. {question} Answer:",
        "Largest?\nA. Mars\nB. {question}\nANSWER:",
        "Largest?\nA. Mars\nB. {question}\nAnswer -",
        "Largest?\n\nA. Mars\n\nB. {question}\n\nAnswer::",
    ]


def test_of_a_chat_only_the_last_turn_is_worded_anew() -> None:
    turns = (Message("system", "s:"), Message("user", "u:"), Message("assistant", "a:"))
    case = Case("t:1", {"messages": (*turns, Message("user", "last: {turn}"))}, ("r",))
    assert prompts(tasks.build("generate"), case)[0] == "s:|u:|a:|Input: last: {turn} Output:"


@pytest.mark.parametrize(
    "case",
    [
        Case("t:1", {"prompt": "exact "}, ("r",)),
        Case("t:2", {"prompt": "def f():", "test": "assert f()"}),
        Case("t:3", {"text": "scored as it stands"}),
    ],
)
def test_where_there_is_no_wording_there_is_no_other_format(case: Case) -> None:
    assert perturb([case], "format", "all", 0) == ((), 1)


def test_a_column_of_a_file_is_no_format() -> None:
    case = Case("t:1", {"text": "x", "~prompt format": "mine"}, ("a",))
    (first, *_) = tasks.build("classify", labels=["a", "b"]).ask(case)
    assert _text(first) == "x\nLabel:"
