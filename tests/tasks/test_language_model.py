from __future__ import annotations

import pytest

from tuneval.tasks.language_model import LanguageModel
from tuneval.types import Case, Message, Prediction, Response


@pytest.mark.parametrize(
    ("inputs", "references", "prompt", "continuation"),
    [
        ({"text": " Once\n"}, (), "", " Once\n"),
        ({"instruction": "Say", "input": "hi"}, ("hi!",), (Message("user", "Say\nhi"),), "hi!"),
        ({"text": "Say hi"}, ("hi!",), (Message("user", "Say hi"),), "hi!"),
        ({"messages": (Message("user", "Say"),)}, ("hi!",), (Message("user", "Say"),), "hi!"),
        ({"prompt": "Say:"}, (" hi!",), "Say:", " hi!"),
        ({"prompt": "Say:", "completion": " hi!"}, ("hi!",), "Say:", " hi!"),
    ],
)
def test_what_is_scored(
    inputs: dict[str, object], references: tuple[str, ...], prompt: object, continuation: str
) -> None:
    (request,) = LanguageModel(LanguageModel.Options()).ask(Case("c", inputs, references))
    assert (request.prompt, request.continuation) == (prompt, continuation)


def test_a_plain_text_is_scored_as_it_is_whatever_the_prompting() -> None:
    example = Case("train:1", {"text": "x"}, ("y",))
    task = LanguageModel(
        LanguageModel.Options(template="{text}!", system="Be brief.", few_shot=(example,))
    )
    (request,) = task.ask(Case("c", {"text": "Once"}))
    assert (request.prompt, request.continuation) == ("", "Once")


def test_sums_of_the_scored_text() -> None:
    task = LanguageModel(LanguageModel.Options(token_logprobs=True))
    case = Case("c", {"text": "zw\u00f6lf \u20ac"})
    (request,) = task.ask(case)
    assert request.with_token_logprobs
    response = Response("c#0", "base", loglikelihood=-6.5, n_tokens=2, token_logprobs=(-4.0, -2.5))
    assert task.read(case, [response]) == Prediction(
        "c", nll=6.5, n_tokens=2, n_bytes=10, token_logprobs=(-4.0, -2.5)
    )


def test_bytes_include_the_space_that_was_scored() -> None:
    case = Case("c", {"prompt": "Say:", "completion": " hi"}, ("hi",))
    response = Response("c#0", "base", loglikelihood=-1.0, n_tokens=1)
    assert LanguageModel(LanguageModel.Options()).read(case, [response]).n_bytes == 3


@pytest.mark.parametrize(
    "case", [Case("c", {"text": ""}), Case("c", {"text": "x"}, ("",)), Case("c", {})]
)
def test_nothing_to_predict_is_a_problem(case: Case) -> None:
    task = LanguageModel(LanguageModel.Options())
    assert task.ask(case) == ()
    assert task.read(case, []).problem == "empty: there is no text to predict"
