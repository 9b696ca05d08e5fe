"""Loss and perplexity from sums: the shared vector, failures, and missing fields."""

import math

import pytest

from metrics.making import made_cases, value, vector
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.types import Case, Prediction


def documents():
    given = vector("perplexity")
    rows = given["input"]["documents"]
    cases = made_cases(["word " * words for _, _, words, _ in rows])
    answers = [
        Prediction(case_id=case.id, nll=-total, n_tokens=tokens, n_bytes=size)
        for case, (total, tokens, _, size) in zip(cases, rows, strict=True)
    ]
    return cases, answers, given


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("perplexity", "token_ppl"),
        ("word_perplexity", "word_ppl"),
        ("byte_perplexity", "byte_ppl"),
        ("bits_per_byte", "bits_per_byte"),
    ],
)
def test_vector_perplexity(name, key):
    cases, answers, given = documents()
    found = value(build(name), cases, answers)
    assert found == pytest.approx(given["expected"][key], abs=given["tolerance"])


def test_loss_is_the_logarithm_of_perplexity():
    cases, answers, given = documents()
    assert math.exp(value(build("loss"), cases, answers)) == pytest.approx(
        given["expected"]["token_ppl"]
    )


def test_a_failed_case_adds_nothing():
    cases, answers, _ = documents()
    broken = Prediction(case_id="x", problem="nonfinite: nan logits")
    rows = build("perplexity").per_case([*cases, *made_cases(["x"])], [*answers, broken])
    assert rows[-1].tolist() == [0, 0]


def test_missing_fields_are_named():
    with pytest.raises(MetricError, match=r'case "test.jsonl:1" has no "nll".*"language_model"'):
        build("loss").per_case(made_cases(["x"]), [Prediction(case_id="test.jsonl:1", text="x")])
    nothing = Case(id="a:1", inputs={})
    with pytest.raises(MetricError, match=r'"a:1" has neither a reference nor a text.*"byte_perp'):
        build("word_perplexity").per_case(
            [nothing], [Prediction(case_id="a:1", nll=1.0, n_tokens=1)]
        )
