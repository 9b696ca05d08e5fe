"""Thoughts before an answer are cut off, whatever their marks; where nothing is left, it is said."""

from __future__ import annotations

import pytest

from tuneval import tasks
from tuneval.errors import ConfigError
from tuneval.tasks.thinking import (
    BLOCKS,
    Said,
    Thinking,
    answers_alone,
    one_of_thinking,
    without_thinking,
)
from tuneval.types import Case, CaseSet, Completion, Response

CASE = Case("c:1", {"text": "Is it late?"}, ("yes",))


@pytest.mark.parametrize(("start", "end"), BLOCKS)
def test_every_kind_of_block_is_cut_and_an_open_one_is_no_answer(start: str, end: str) -> None:
    assert without_thinking(f"{start}\nno, not no\n{end}\n\nyes") == Said("yes", "closed")
    assert without_thinking(f"not no {end}yes") == Said("yes", "closed"), "the prompt began it"
    assert without_thinking(f"{start} no, and then") == Said("", "open")
    assert without_thinking(f"{start}a{end}{start}b{end} yes") == Said("yes", "closed")
    assert without_thinking(f"{start}a{end}{start}b") == Said("", "open")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", Said("yes")),
        (" yes\n", Said(" yes\n")),
        ("I think so: 3 < 4", Said("I think so: 3 < 4")),
        ("analysis of the case: yes", Said("analysis of the case: yes")),
        ("analysisIs it?assistantfinalyes", Said("yes", "closed")),
        (
            "<|start|>assistant<|channel|>analysis<|message|>no<|end|><|start|>assistant"
            "<|channel|>final<|message|>yes<|return|>",
            Said("yes", "closed"),
        ),
        ("<reasoning>no</reasoning>\n<answer>\nyes\n</answer>", Said("yes", "closed")),
        ("<answer>yes</answer>", Said("<answer>yes</answer>")),
    ],
)
def test_what_is_cut_and_what_stays(text: str, said: Said) -> None:
    assert without_thinking(text) == said


def test_it_is_kept_where_that_is_asked_or_the_references_think() -> None:
    text = "<think>a</think>b"
    assert without_thinking(text, mode="keep") == Said(text)
    assert without_thinking(text, ["<think>c</think>b"]) == Said(text)
    assert without_thinking(text, mode="off") == Said("b", "closed")
    with pytest.raises(ConfigError, match=r'thinking "loud": choose one of cut, keep, off.'):
        one_of_thinking("loud")


@pytest.mark.parametrize(
    ("reference", "mode", "expected", "n_notes"),
    [
        ("<think>hm</think>\n\n7", "cut", "7", 1),
        ("◁think▷hm◁/think▷7", "off", "7", 1),
        ("<think>hm</think>\n\n7", "keep", "<think>hm</think>\n\n7", 0),
        ("<think>hm", "cut", "<think>hm", 0),
        ("<think>hm</think>", "cut", "<think>hm</think>", 0),
        ("7", "cut", "7", 0),
    ],
)
def test_references_are_compared_without_their_thoughts(
    reference: str, mode: Thinking, expected: str, n_notes: int
) -> None:
    cases = CaseSet("c", "c.jsonl", "messages", "generate", (Case("c:1", {}, (reference,)),))
    found = answers_alone(cases, mode)
    assert (found.cases[0].references, len(found.notes)) == ((expected,), n_notes)


@pytest.mark.parametrize(
    ("task", "options"),
    [("generate", {}), ("classify", {"scoring": "generate"})],
)
def test_tasks_read_what_follows_the_thoughts(task: str, options: dict[str, str]) -> None:
    def read(text: str, **more: str) -> tuple[str | None, str, str | None]:
        built = tasks.build(task, labels=("yes", "no"), **options, **more)
        answer = Response("c:1#0", "v", completions=(Completion(text, 9, "stop"),))
        found = built.read(CASE, [answer])
        return found.label if task == "classify" else found.text, found.thinking, found.problem

    assert read("<think>no</think>yes") == ("yes", "closed", None)
    assert read("<think>no, yes") == (
        None,
        "open",
        "unparsed: the answer ends inside its thinking (cut at the limit)",
    )
    kept = read("<think>no</think>yes", thinking="keep")
    assert kept[1] == "" and kept[0] != "yes"
