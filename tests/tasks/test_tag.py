"""One tag a word: how it is asked, and how tags are read."""

from __future__ import annotations

import pytest

from tuneval.tasks import build
from tuneval.types import Case, Completion, Message, Response

LABELS = ("O", "B-PER", "I-PER", "B-LOC")
CASE = Case("ner.jsonl:1", {"text": "Ada lives in Paris"}, ("B-PER O O B-LOC",))


def read(text, labels=LABELS, case=CASE, **response):
    given = Response("1", "v", completions=(Completion(text, 4, "stop"),), **response)
    return build("tag", labels=labels).read(case, [given])


def test_words_and_wording() -> None:
    (request,) = build("tag", labels=LABELS).ask(CASE)
    assert request.texts == ("Ada lives in Paris",)
    (turn,) = request.prompt
    assert turn == Message("user", "Ada lives in Paris\nTags:")
    assert request.decoding.max_tokens == 40
    (request,) = build("tag", labels=LABELS, template="{text} =>", max_tokens=9).ask(CASE)
    assert request.prompt == (Message("user", "Ada lives in Paris =>"),)
    assert request.decoding.max_tokens == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B-PER O O B-LOC", "B-PER O O B-LOC"),
        pytest.param("b-per o O B_LOC", "B-PER O O B-LOC", id="spelled otherwise"),
        pytest.param("B-PER\nO\nO\nB-LOC\n", "B-PER O O B-LOC", id="a line each"),
        pytest.param("```\nB-PER O O B-LOC\n```", "B-PER O O B-LOC", id="in a fence"),
        pytest.param("B-ORG O O O", "B-ORG O O O", id="a tag that the file does not know"),
        pytest.param("LABEL_1 O O O", "LABEL_1 O O O", id="no name is guessed"),
    ],
)
def test_tags_are_read(text, expected) -> None:
    found = read(text)
    assert (found.text, found.problem) == (expected, None)


@pytest.mark.parametrize("text", ["B-PER O O", "B-PER O O B-LOC O", "", "It is a person."])
def test_another_number_of_tags_is_unparsed(text) -> None:
    if text == "It is a person.":
        text += " Yes."
    found = read(text)
    assert found.text is None
    assert found.problem.startswith("unparsed")
    assert f"{len(text.split())} tags of 4 words" in found.problem


def test_outputs_without_names_are_numbers() -> None:
    case = Case("n:1", {"text": "Ada lives"}, ("1 3",))
    assert read("LABEL_1 LABEL_3", ("0", "1", "3"), case).text == "1 3"
    assert read("LABEL_1 LABEL_2", ("0", "1", "3"), case).text == "1 LABEL_2"


def test_a_problem_is_no_answer() -> None:
    given = Response("1", "v", problem="out of memory with one text", is_truncated=True)
    found = build("tag", labels=LABELS).read(CASE, [given])
    assert (found.text, found.problem) == (None, "out of memory with one text")
    assert found.is_truncated
