"""Wordings taken apart and put together again: what is kept, what is tried, what is pasted."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from tuneval.tasks import build
from tuneval.tasks.frames import Frame, Framing, cue_of
from tuneval.tasks.wording import fill
from tuneval.types import Case, Message

TEXT = Case("a:1", {"text": "It broke {twice}."}, ("bug",))
PASSAGE = Case("a:2", {"question": "Who?", "context": "Ann came."}, ("Ann",))
CHAT = Case("a:3", {"messages": (Message("user", "Who?"),)}, ("Ann",))
EXACT = Case("a:4", {"prompt": "Q: Who? A:", "completion": " Ann"}, ("Ann",))


def framing(case: Case, **options: object) -> Framing:
    is_label = case is TEXT
    task = build(
        "classify" if is_label else "generate",
        labels=("bug", "bill") if is_label else None,
        **options,
    )
    return Framing.of(task.wording, [case])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("case", "options", "body", "start"),
    [
        (TEXT, {}, "{text}", Frame("", "\nLabel:")),
        (TEXT, {"template": "Mail: {text}\n\nTopic:"}, "{text}", Frame("Mail: ", "\n\nTopic:")),
        (TEXT, {"prompt_style": "text"}, "{text}", Frame("", "\nLabel:", is_chat=False)),
        (TEXT, {"system": "Be brief."}, "{text}", Frame("", "\nLabel:", "Be brief.")),
        (PASSAGE, {}, "{context}\n\nQuestion: {question}", Frame("", "\nAnswer:")),
        (CHAT, {}, None, Frame("", "")),
        (EXACT, {}, None, Frame("", "")),
    ],
)  # fmt: skip
def test_a_wording_is_taken_apart(
    case: Case, options: dict[str, object], body: str | None, start: Frame
) -> None:
    found = framing(case, **options)
    assert (found.body, found.start) == (body, start)
    assert found.worded(start) is found.wording


@pytest.mark.parametrize(
    ("frame", "prompt", "answer"),
    [
        (Frame("Mail: ", "\nTopic:", is_chat=False), "Mail: It broke {twice}.\nTopic:", " bug"),
        (Frame("", "\n", is_chat=False), "It broke {twice}.\n", "bug"),
        (Frame("", "", is_chat=False), "It broke {twice}.", "\nbug"),
        (Frame("", "\nTopic:\n", is_chat=False), "It broke {twice}.\nTopic:\n", "bug"),
        (Frame("", ""), (Message("user", "It broke {twice}."),), "bug"),
        (
            Frame("", "", "Be brief."),
            (Message("system", "Be brief."), Message("user", "It broke {twice}.")),
            "bug",
        ),
    ],
)
def test_a_frame_becomes_a_prompt_and_its_joint(frame: Frame, prompt: object, answer: str) -> None:
    wording = framing(TEXT).worded(frame)
    assert (wording.prompt(TEXT), wording.continuation(TEXT, "bug")) == (prompt, answer)


@pytest.mark.parametrize(
    "wanted",
    [
        "Mail: {text}\nIssue:",  # the columns' own names
        "Question: {text}\n\nIntent:",
        "{text}",
        "{text}\n",
        "Input:\n{text}\nOutput:",
        "{text} Class:",
        "### Instruction:\n{text}\n\n### Response:\n",
        "Query: {text}\nAnswer:\n",
        "Q: {text}\nA:",
    ],
)
def test_few_moves_of_one_part_reach_it(wanted: str) -> None:
    """A climb that takes the nearest of all neighbours, as the search takes the cheapest."""
    own = framing(TEXT)

    def nearness(frame: Frame) -> float:
        return SequenceMatcher(None, own.template(frame), wanted, autojunk=False).ratio()

    frame = own.start
    for _ in range(3):
        moves = own.neighbours(frame, input_cues=["Mail"], answer_cues=["Issue"])
        frame = max((frame, *moves), key=nearness)
    assert own.template(frame) == wanted


def test_chat_template_and_system_turn_are_tried_where_there_is_one() -> None:
    own = framing(CHAT)
    assert list(own.neighbours(own.start)) == []
    assert list(own.neighbours(own.start, has_chat_template=True)) == [
        Frame("", "", None, is_chat=False),
        Frame("", "", None),
        Frame("", "", "You are a helpful assistant."),
    ]


def test_choices_are_part_of_the_template() -> None:
    case = Case("a:1", {"question": "Which?", "choices": ("oak", "elm")}, ("1",))
    for options, template in (
        ({}, "{question}\n{choices}\nAnswer:"),
        ({"scoring": "text"}, "Question: {question}\nAnswer:"),
    ):
        asked = build("multiple_choice", **options).wording  # type: ignore[attr-defined]
        own = Framing.of(asked, [case])
        assert own.template(own.start) == template
        other = own.worded(Frame("Q: ", "\nA:"))
        assert other.prompt(case)[-1].content == fill(
            own.template(Frame("Q: ", "\nA:")), case.inputs
        )  # type: ignore[union-attr]


def test_the_words_before_of_one_join_the_words_after_of_another() -> None:
    found = [Frame("Q: ", "\nLabel:"), Frame("", "\nTopic:"), Frame("", "\nTopic:", "Be brief.")]
    joined = set(framing(TEXT).joined(found))
    assert Frame("Q: ", "\nTopic:") in joined
    assert Frame("Q: ", "\nTopic:", "Be brief.") not in joined


def test_turns_of_the_cases_stay_their_own() -> None:
    wording = framing(CHAT).worded(Frame("", "", "Be brief."))
    assert wording.prompt(CHAT) == (Message("system", "Be brief."), Message("user", "Who?"))


@pytest.mark.parametrize(
    ("frame", "has_chat_template", "flags"),
    [
        (Frame("Mail: ", "\nTopic:"), False, r"--prompt 'Mail: {text}\nTopic:'"),
        (
            Frame("Don't: ", "", "Be brief."),
            True,
            "--prompt 'Don'\"'\"'t: {text}' --chat-template auto --system 'Be brief.'",
        ),
        (Frame("", "", is_chat=False), True, "--prompt '{text}' --chat-template off"),
    ],
)
def test_flags_ready_to_paste(frame: Frame, has_chat_template: bool, flags: str) -> None:
    assert framing(TEXT).flags(frame, has_chat_template=has_chat_template) == flags


@pytest.mark.parametrize(
    ("column", "cue"), [("intent_name", "Intent name"), ("TEXT", "TEXT"), ("q?", "Q"), ("", "")]
)
def test_cue_of_a_column(column: str, cue: str) -> None:
    assert cue_of(column) == cue
