from __future__ import annotations

import pytest

from tuneval.errors import ConfigError
from tuneval.tasks import build
from tuneval.tasks.wording import Wording, fill, joiner, question_of, render, texts_of
from tuneval.types import COLUMN_NAMES, OWN, Case, Message

USER, ASSISTANT, SYSTEM = (
    lambda text, role=role: Message(role, text) for role in ("user", "assistant", "system")
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Label:", " "), ("What is it?", "\n"), ("Label: ", ""), ("line\n", ""), ("", ""),
        ("\u00a0", ""), ("\uff1a", "\n"),
    ],
)  # fmt: skip
def test_joiner(content: str, expected: str) -> None:
    assert joiner(content) == expected


@pytest.mark.parametrize(
    ("template", "inputs", "expected"),
    [
        ("Message: {text}\nTopic:", {"text": "hi"}, "Message: hi\nTopic:"),
        ("{a}{b}{a}", {"a": "1", "b": "2"}, "121"),
        ("{a}", {"a": "{b}", "b": "never"}, "{b}"),
        ("{a}", {"a": "\\1 {0} %s $x"}, "\\1 {0} %s $x"),
        ('{"text": "{text}"}', {"text": "hi"}, '{"text": "hi"}'),
        ("f() { return 1 } {}", {}, "f() { return 1 } {}"),
        ("{two words} {with-dash}", {"two words": "a", "with-dash": "b"}, "a b"),
        ("{n} {x} {flag}", {"n": 3, "x": 0.5, "flag": True}, "3 0.5 True"),
        ("{gone}.", {"gone": None}, "."),
        ("{sentence}!", {"text": "hi", COLUMN_NAMES: {"sentence": "text"}}, "hi!"),
        ("{question}!", {"text": "hi", f"{OWN}question": "Why?"}, "Why?!"),
        ("{choices}", {"choices": ("red", "blue")}, "A. red\nB. blue"),
    ],
)  # fmt: skip
def test_fill(template: str, inputs: dict[str, object], expected: str) -> None:
    assert fill(template, inputs) == expected


@pytest.mark.parametrize(
    ("template", "inputs", "message"),
    [
        ("{txt}", {"text": "x", "id": 1}, 'there is no column "txt" \\(there are: "text", "id"\\)'),
        (
            "{txt}",
            {"text": "x", f"{OWN}input": "y", COLUMN_NAMES: {"sentence": "text"}},
            'no column "txt" \\(there are: "text", "input", "sentence"\\)',
        ),
        ("{0}", {"0x": "x"}, None),
        ("{text.upper}", {"text": "x"}, 'there is no column "text.upper"'),
        ("{messages}", {"messages": (USER("x"),)}, 'column "messages" is no text'),
        ("{blob}", {"blob": {"a": 1}}, 'column "blob" is no text'),
    ],
)
def test_fill_refuses(template: str, inputs: dict[str, object], message: str | None) -> None:
    if message is None:
        assert fill(template, inputs) == template
        return
    with pytest.raises(ConfigError, match=message):
        fill(template, inputs)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"text": "hi"}, "hi\nLabel:"),
        ({"instruction": "Do it", "input": "this"}, "Do it\nthis"),
        ({"instruction": "Do it", "input": ""}, "Do it"),
        ({"instruction": "Do it"}, "Do it"),
        ({"question": "Why?"}, "Question: Why?\nAnswer:"),
        ({"context": "Because.", "question": "Why?"}, "Because.\n\nQuestion: Why?\nAnswer:"),
        ({"article": "News."}, "News.\n\nSummary:"),
        ({"context": "It rains.", "text": "It is wet."}, "It rains.\n\nIt is wet.\nLabel:"),
    ],
)
def test_default_wording(inputs: dict[str, object], expected: str) -> None:
    assert question_of(Case("c", inputs), "Label:") == expected


@pytest.mark.parametrize(
    ("inputs", "texts"),
    [
        ({"text": "a"}, ("a",)),
        ({"context": "premise", "text": "hypothesis"}, ("premise", "hypothesis")),
        ({"context": "passage", "question": "q"}, ("q", "passage")),
        ({"question": "q"}, ("q",)),
        ({"instruction": "i", "input": "x"}, ("i\nx",)),
        ({"article": "long"}, ("long",)),
        ({"prompt": "exact "}, ("exact ",)),
        (
            {"messages": (Message("system", "s"), Message("user", "u"), Message("assistant", "a"))},
            ("u",),
        ),
        ({"other": "o"}, ()),
    ],
)
def test_bare_texts(inputs: dict[str, object], texts: tuple[str, ...]) -> None:
    assert texts_of(Case("c", inputs)) == texts


def test_without_a_known_column_a_template_is_asked_for() -> None:
    message = 'f.jsonl:3: no wording is known for the columns "utterance".\nGive a template'
    with pytest.raises(ConfigError, match=message):
        question_of(Case("f.jsonl:3", {"utterance": "hi"}))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((USER("Hi"),), "Hi"),
        ((SYSTEM("S"), USER("Hi")), "S\n\nHi"),
        ((USER("Q1:"), ASSISTANT("A1"), USER("Q2:")), "Q1: A1\n\nQ2:"),
        ((USER("Q1"), ASSISTANT("A1"), USER("Q2")), "Q1\nA1\n\nQ2"),
        ((USER("Q1\n"), ASSISTANT("A1"), USER("Q2")), "Q1\nA1\n\nQ2"),
        ((USER("Q1"), USER("Q2")), "Q1\n\nQ2"),
        ((), ""),
    ],
)
def test_render(turns: tuple[Message, ...], expected: str) -> None:
    assert render(turns) == expected


TEXT = Case("c", {"text": "hi"}, ("r",))
EXACT = Case("c", {"prompt": "Topic:", "completion": " billing\n"}, ("billing",))
EARLIER = (USER("before"), ASSISTANT("said"))
TOLD = Case("c", {"text": "hi", "system": "own", "history": EARLIER}, ("r",))
CHAT = Case("c", {"messages": (SYSTEM("own"), USER("hi"))}, ("r",))


def question(case: Case) -> str:
    return question_of(case, "Label:")


@pytest.mark.parametrize(
    ("wording", "case", "prompt", "continuation"),
    [
        (Wording(question), TEXT, (USER("hi\nLabel:"),), "r"),
        (Wording(question, prompt_style="text"), TEXT, "hi\nLabel:", " r"),
        (Wording(question, template="{text}?", prompt_style="text"), TEXT, "hi?", "\nr"),
        (Wording(question, template="{text} ", prompt_style="text"), TEXT, "hi ", "r"),
        (Wording(question), EXACT, "Topic:", " r"),
        (Wording(question, prompt_style="text"), EXACT, "Topic:", " r"),
        (Wording(question, template="{prompt}"), EXACT, (USER("Topic:"),), "r"),
        (Wording(question, system="told"), EXACT, "told\n\nTopic:", " r"),
        (Wording(question), CHAT, (SYSTEM("own"), USER("hi")), "r"),
        (Wording(question), TOLD, (SYSTEM("own"), *EARLIER, USER("hi\nLabel:")), "r"),
        (Wording(question, system="told"), TOLD,
         (SYSTEM("told"), *EARLIER, USER("hi\nLabel:")), "r"),
        (Wording(question, template="{text}?"), TOLD, (SYSTEM("own"), *EARLIER, USER("hi?")), "r"),
        (Wording(question, template="{system} {text}"), TOLD, (*EARLIER, USER("own hi")), "r"),
        (Wording(question, system="told"), CHAT, (SYSTEM("told"), USER("hi")), "r"),
        (Wording(question, system="told"), TEXT, (SYSTEM("told"), USER("hi\nLabel:")), "r"),
        (
            Wording(question, examples=((TEXT, "a"), (CHAT, "b"))),
            CHAT,
            (SYSTEM("own"), USER("hi\nLabel:"), ASSISTANT("a"), USER("hi"), ASSISTANT("b"), USER("hi")),
            "r",
        ),
        (
            Wording(question, examples=((TEXT, "a"), (TEXT, "b")), prompt_style="text"),
            TEXT,
            "hi\nLabel: a\n\nhi\nLabel: b\n\nhi\nLabel:",
            " r",
        ),
        (
            Wording(question, examples=((EXACT, "a"), (EXACT, "b"))),
            EXACT,
            "Topic: a\n\nTopic: b\n\nTopic:",
            " r",
        ),
    ],
)  # fmt: skip
def test_prompts(wording: Wording, case: Case, prompt: object, continuation: str) -> None:
    assert wording.prompt(case) == prompt
    assert wording.continuation(case, "r") == continuation


@pytest.mark.parametrize(
    ("inputs", "answer", "expected"),
    [
        ({"completion": " billing"}, "login", " login"),
        ({"completion": "\n billing"}, "login", "\n login"),
        ({"completion": "billing"}, "login", "login"),
        ({"completion": " billing"}, " login", " login"),
        ({}, "login", "login"),
        ({"completion": (ASSISTANT(" x"),)}, "login", "login"),
    ],
)
def test_white_space_before_the_completion_is_the_rows_own(
    inputs: dict[str, object], answer: str, expected: str
) -> None:
    case = Case("c", {"prompt": "Topic:", **inputs})
    assert Wording(question).continuation(case, answer) == expected


@pytest.mark.parametrize(
    ("style", "template", "prompt"),
    [
        ("text", "{text}?", "hi?\n"),
        ("text", "{text}:", "hi:"),
        ("text", "{text}\n", "hi\n"),
        ("messages", "{text}?", (USER("hi?"),)),
    ],
)
def test_a_completion_begins_where_tokens_do(style: str, template: str, prompt: object) -> None:
    wording = Wording(question, template=template, prompt_style=style)
    assert wording.prompt_to_complete(TEXT) == prompt


def test_an_exact_prompt_is_not_touched() -> None:
    assert Wording(question).prompt_to_complete(EXACT) == "Topic:"


def test_the_places_of_the_cases_own_texts_are_known() -> None:
    case = Case("a:1", {"context": "One oak.", "question": " oak? ", "label": "elm"}, ("x",))
    (turn,) = build("generate", template="{question} {context} oak").ask(case)[0].prompt
    assert [turn.content[start:end] for start, end in turn.fields] == ["oak?", "One oak."]  # type: ignore[union-attr]
    assert turn == Message("user", " oak?  One oak. oak")  # places change no identity
