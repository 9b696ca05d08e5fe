from __future__ import annotations

import pytest

from shared import shared_rows
from tuneval.errors import DataError
from tuneval.tasks.multiple_choice import MultipleChoice
from tuneval.types import Case, Completion, Message, Response

CASE = Case("q.jsonl:1", {"question": "Which flies?", "choices": ("cat", "a bird", "dog")}, ("1",))
ASKED = "Which flies?\nA. cat\nB. a bird\nC. dog\nAnswer:"


def scored(*nats: float) -> list[Response]:
    return [Response(f"q#{n}", "base", loglikelihood=v, n_tokens=1) for n, v in enumerate(nats)]


def test_letters_are_asked_for_below_the_choices() -> None:
    requests = MultipleChoice(MultipleChoice.Options()).ask(CASE)
    assert [request.continuation for request in requests] == ["A", "B", "C"]
    assert requests[0].prompt == (Message("user", ASKED),)


def test_as_text_the_prompt_is_that_of_mmlu() -> None:
    """The layout of lm-evaluation-harness's mmlu: choices below the question, " A" to be scored."""
    example = Case("dev:1", CASE.inputs, ("2",))
    requests = MultipleChoice(MultipleChoice.Options(prompt_style="text", few_shot=(example,))).ask(
        CASE
    )
    assert requests[0].prompt == f"{ASKED} C\n\n{ASKED}"
    assert [request.continuation for request in requests] == [" A", " B", " C"]


def test_texts_are_asked_for_without_the_choices() -> None:
    example = Case("dev:1", CASE.inputs, ("2",))
    requests = MultipleChoice(MultipleChoice.Options(scoring="text", few_shot=(example,))).ask(CASE)
    assert [request.continuation for request in requests] == ["cat", "a bird", "dog"]
    wording = "Question: Which flies?\nAnswer:"
    assert requests[0].prompt == (
        Message("user", wording), Message("assistant", "dog"), Message("user", wording),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "nats", "expected"),
    [
        ({}, (-1.0, -2.0, -3.0), "0"),
        ({}, (-2.0, -1.0, -1.0), "1"),
        ({"scoring": "likelihood"}, (-2.0, -3.0, -1.0), "2"),
        ({"scoring": "text"}, (-3.0, -5.0, -3.5), "0"),
        ({"scoring": "text", "normalize": "per_character"}, (-3.0, -5.0, -3.5), "1"),
        ({"normalize": "pmi"}, (-1.0, -2.0, -3.0, -1.0, -1.0, -9.0), "2"),
    ],
)
def test_the_index_is_the_label(
    options: dict[str, str], nats: tuple[float, ...], expected: str
) -> None:
    task = MultipleChoice(MultipleChoice.Options(**options))  # type: ignore[arg-type]
    assert len(task.ask(CASE)) == len(nats)
    prediction = task.read(CASE, scored(*nats))
    assert prediction.label == expected
    assert prediction.text == CASE.inputs["choices"][int(expected)]  # type: ignore[index]
    assert list(prediction.label_probabilities or ()) == ["0", "1", "2"]


def test_pmi_scores_the_same_words_without_the_prompt() -> None:
    requests = MultipleChoice(MultipleChoice.Options(normalize="pmi")).ask(CASE)
    assert [(one.prompt, one.continuation) for one in requests[3:]] == [
        ("", " A"), ("", " B"), ("", " C"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "label", "problem"),
    [("B", "1", None), ("The answer is C.", "2", None), ("who knows", None, 'unparsed: "who knows"')],
)  # fmt: skip
def test_a_completion_is_read_strictly(text: str, label: str | None, problem: str | None) -> None:
    task = MultipleChoice(MultipleChoice.Options(scoring="generate"))
    (request,) = task.ask(CASE)
    assert request.prompt == (Message("user", ASKED),)
    said = Response("q#0", "base", completions=(Completion(text, 3, "length"),))
    prediction = task.read(CASE, [said])
    assert (prediction.label, prediction.problem) == (label, problem)
    assert prediction.finish_reasons == ("length",)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"question": "x"}, r'q:1: "choices" must hold 2 to 26 texts \(found none\)'),
        ({"question": "x", "choices": ("one",)}, r"found 1"),
        ({"question": "x", "choices": tuple("x" * 27)}, r"found 27"),
        ({"question": "x", "choices": ("a", "")}, '"choices" holds an empty text'),
    ],
)
def test_choices_that_cannot_be(inputs: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        MultipleChoice(MultipleChoice.Options()).ask(Case("q:1", inputs, ("0",)))


def test_a_passage_stands_before_the_question() -> None:
    case = Case("q:1", {**CASE.inputs, "context": "Birds fly."}, ("1",))
    prompt = MultipleChoice(MultipleChoice.Options()).ask(case)[0].prompt
    assert prompt == (Message("user", f"Birds fly.\n\n{ASKED}"),)


def test_real_questions_are_asked_whole() -> None:
    for row in shared_rows("mmlu", "dev.jsonl.gz"):
        inputs = {"question": row["question"], "choices": tuple(row["choices"])}
        case = Case("mmlu:1", inputs, (str(row["answer"]),))
        requests = MultipleChoice(MultipleChoice.Options(prompt_style="text")).ask(case)
        listed = "".join(
            f"\n{mark}. {text}" for mark, text in zip("ABCD", row["choices"], strict=True)
        )
        assert requests[0].prompt == f"{row['question'].strip()}{listed}\nAnswer:"
