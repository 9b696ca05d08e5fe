"""What answering took: every distinct question once, tokens read, drawn and scored."""

from __future__ import annotations

from dataclasses import replace

from tuneval.pipeline.effort import Tally
from tuneval.types import Completion, Decoding, Effort, Request, Response, Variant

LORA, BASE = Variant("lora", "adapter", "b", adapter="a"), Variant("base", "base", "b")


def _scored(name: str, prompt: str = "p", continuation: str = " yes") -> Request:
    return Request(name, "c", prompt, continuation=continuation)


def _answer(name: str, **more: object) -> Response:
    return Response(name, "lora", prompt_tokens=10, seconds=0.5, **more)  # type: ignore[arg-type]


def test_laps_add_up_and_a_question_put_twice_counts_once() -> None:
    tally = Tally()
    asked = [_scored("1"), _scored("2", continuation=" no"), _scored("again")]
    tally.add(LORA, asked, {one.id: _answer(one.id, n_tokens=2) for one in asked})
    drawn = Request("3", "c", "q", decoding=Decoding())
    completions = (Completion("a b", 2, "stop"), Completion("a b c", 3, "length"))
    tally.add(LORA, [drawn], {"3": _answer("3", completions=completions)})
    assert list(tally.rows([BASE, LORA])) == [Effort("lora", 3, 30, 2 + 2 + 5, 1.5)]


def test_questions_that_differ_in_anything_are_two() -> None:
    tally = Tally()
    asked = [_scored("1"), replace(_scored("2"), stride=8), replace(_scored("3"), label="yes")]
    tally.add(LORA, asked, {one.id: _answer(one.id, n_tokens=1) for one in asked})
    assert next(tally.rows([LORA])).n_questions == 3
