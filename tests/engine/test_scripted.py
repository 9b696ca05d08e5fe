from __future__ import annotations

import doctest
import math

import pytest

from tuneval.engine import scripted
from tuneval.engine.scripted import LIKELY, ScriptedBackend, prompt_text
from tuneval.types import Decoding, Message, Request, Response, Variant

BASE = Variant("base", "base", "small")


def ask(backend: ScriptedBackend, request: Request, variant: Variant = BASE) -> Response:
    return next(backend.answer(variant, [request]))


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(scripted).failed == 0


@pytest.mark.parametrize(
    ("rules", "prompt", "expected"),
    [
        ({"": "billing"}, "anything", "billing"),
        ({"log in": "login", "": "billing"}, "I cannot log in", "login"),
        ({"log": "short", "log in": "long"}, "I cannot log in", "long"),
        (lambda variant, request: f"{variant.name} {request.prompt}", "x", "base x"),
        ({"": 7.5}, "a number is drawn as its text", "7.5"),
        ({"": {"a": -2.0, "b": -1.0}}, "the likeliest is drawn", "b"),
    ],
)
def test_completions(rules: scripted.Rules, prompt: str, expected: str) -> None:
    response = ask(ScriptedBackend(rules), Request("1", "c", prompt, decoding=Decoding()))
    assert response.completions[0].text == expected


@pytest.mark.parametrize(
    ("said", "decoding", "text", "finish_reason"),
    [
        ("one two three", Decoding(max_tokens=2), "one two", "length"),
        ("one two three", Decoding(max_tokens=3), "one two three", "stop"),
        ("one\n\ntwo", Decoding(stop=("\n\n",)), "one", "stop"),
        ("", Decoding(), "", "stop"),
    ],
)
def test_limits(said: str, decoding: Decoding, text: str, finish_reason: str) -> None:
    response = ask(ScriptedBackend({"": said}), Request("1", "c", "x", decoding=decoding))
    assert response.completions[0].text == text
    assert response.completions[0].finish_reason == finish_reason


def test_several_completions_come_in_turn() -> None:
    request = Request("1", "c", "x", decoding=Decoding(n_completions=3, temperature=1.0))
    response = ask(ScriptedBackend({"": ("a", "b")}), request)
    assert [one.text for one in response.completions] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("said", "continuation", "nats", "is_greedy"),
    [
        ("login", " login", LIKELY, True),
        ("login", " billing", scripted.UNLIKELY, False),
        ({"a": -1.0, "b": -2.0}, "a", -1.0, True),
        ({"a": -1.0, "b": -2.0}, " b", -2.0, False),
        ({"a": -1.0}, "c", -math.inf, False),
        (-3.25, "anything", -3.25, False),
    ],
)
def test_loglikelihoods(
    said: scripted.Said, continuation: str, nats: float, is_greedy: bool
) -> None:
    response = ask(ScriptedBackend({"": said}), Request("1", "c", "x", continuation=continuation))
    assert (response.loglikelihood, response.is_greedy) == (nats, is_greedy)


def test_no_rule_is_a_problem_not_an_answer() -> None:
    response = ask(ScriptedBackend({"x": "y"}), Request("1", "c", "z", decoding=Decoding()))
    assert response.problem == "the script says nothing to this prompt"
    assert response.completions == ()


def test_a_variant_may_have_rules_of_its_own() -> None:
    backend = ScriptedBackend({"": "all"}, models={"base": {"": "own"}}, device="auto")
    request = Request("1", "c", "x", decoding=Decoding())
    assert ask(backend, request).completions[0].text == "own"
    other = Variant("full", "full", "tuned")
    assert ask(backend, request, other).completions[0].text == "all"
    assert backend.asked == [("base", request), ("full", request)]
    assert backend.fingerprint(BASE) != ScriptedBackend({"": "all"}).fingerprint(BASE)


def test_messages_are_one_text() -> None:
    request = Request("1", "c", (Message("system", "a"), Message("user", "b")), continuation="c")
    assert prompt_text(request) == "a\nb"
