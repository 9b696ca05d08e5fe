from __future__ import annotations

import math

import pytest

from shared import shared_json, shared_rows
from tuneval.errors import ConfigError
from tuneval.tasks.classify import Classify, prefix_warnings
from tuneval.tasks.likelihood import choice_scores, softmax
from tuneval.types import Case, Completion, Message, Response

LABELS = ("billing", "login", "card arrival")
CASE = Case("t.jsonl:1", {"text": "My bill is wrong"}, ("billing",))


def scored(*nats: float, n_tokens: tuple[int, ...] = ()) -> list[Response]:
    tokens = n_tokens or (1,) * len(nats)
    return [
        Response(f"t.jsonl:1#{n}", "base", loglikelihood=value, n_tokens=count)
        for n, (value, count) in enumerate(zip(nats, tokens, strict=True))
    ]


def drawn(text: str, finish_reason: str = "stop") -> list[Response]:
    said = Completion(text, 2, finish_reason)
    return [Response("t.jsonl:1#0", "base", completions=(said,))]


def test_one_request_per_label_in_their_order() -> None:
    requests = Classify(Classify.Options(labels=LABELS)).ask(CASE)
    assert [request.continuation for request in requests] == list(LABELS)
    assert [request.id for request in requests] == ["t.jsonl:1#0", "t.jsonl:1#1", "t.jsonl:1#2"]
    assert {request.prompt for request in requests} == {
        (Message("user", "My bill is wrong\nLabel:"),)
    }


def test_text_prompts_join_by_themselves() -> None:
    requests = Classify(Classify.Options(labels=LABELS, prompt_style="text")).ask(CASE)
    assert requests[0].prompt == "My bill is wrong\nLabel:"
    assert [request.continuation for request in requests] == [f" {label}" for label in LABELS]


def test_an_exact_prompt_keeps_the_completions_own_space() -> None:
    case = Case("c", {"prompt": "Topic:", "completion": " billing"}, ("billing",))
    requests = Classify(Classify.Options(labels=LABELS)).ask(case)
    assert requests[0].prompt == "Topic:"
    assert [request.continuation for request in requests] == [f" {label}" for label in LABELS]


def test_probabilities_are_the_softmax_in_the_order_of_the_labels() -> None:
    prediction = Classify(Classify.Options(labels=LABELS)).read(CASE, scored(-2.0, -1.0, -3.0))
    total = sum(math.exp(nats) for nats in (-2.0, -1.0, -3.0))
    assert prediction.label == prediction.text == "login"
    assert prediction.label_probabilities is not None
    assert list(prediction.label_probabilities) == list(LABELS)
    assert prediction.label_probabilities["login"] == pytest.approx(math.exp(-1) / total)


def test_hopeless_scores_still_have_probabilities() -> None:
    prediction = Classify(Classify.Options(labels=LABELS)).read(
        CASE, scored(-2000.0, -2001.0, -9000.0)
    )
    assert prediction.label_probabilities is not None
    assert prediction.label_probabilities["billing"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_ties_go_to_the_first() -> None:
    assert (
        Classify(Classify.Options(labels=LABELS)).read(CASE, scored(-2.0, -1.0, -1.0)).label
        == "login"
    )


@pytest.mark.parametrize(
    ("normalize", "nats", "n_tokens", "expected"),
    [
        ("sum", (-2.0, -2.1, -3.0), (1, 1, 3), "billing"),
        ("per_token", (-2.0, -2.1, -3.0), (1, 1, 3), "card arrival"),
        ("per_character", (-2.0, -2.1, -3.0), (1, 1, 1), "card arrival"),
        ("per_byte", (-2.0, -2.1, -3.0), (1, 1, 1), "card arrival"),
        ("pmi", (-2.0, -2.1, -3.0, -1.0, -5.0, -3.0), (1,) * 6, "login"),
    ],
)
def test_normalizations(
    normalize: str, nats: tuple[float, ...], n_tokens: tuple[int, ...], expected: str
) -> None:
    task = Classify(Classify.Options(labels=LABELS, normalize=normalize))
    assert len(task.ask(CASE)) == len(nats)
    assert task.read(CASE, scored(*nats, n_tokens=n_tokens)).label == expected


def test_pmi_asks_for_every_label_without_the_prompt_too() -> None:
    requests = Classify(Classify.Options(labels=LABELS, normalize="pmi")).ask(CASE)
    alone = [(request.prompt, request.continuation) for request in requests[3:]]
    assert alone == [("", f" {label}") for label in LABELS]
    other = Classify(Classify.Options(labels=LABELS, normalize="pmi")).ask(
        Case("c", {"text": "another text"})
    )
    assert [(request.prompt, request.continuation) for request in other[3:]] == alone


def test_scores_equal_lm_evals() -> None:
    (vector,) = (
        one
        for one in shared_json("vectors", "statistics.json")["vectors"]
        if one["id"] == "choice_scoring"
    )
    given, expected = vector["input"], vector["expected"]
    likely = scored(*given["loglikelihood"])
    alone = scored(*given["loglikelihood_unconditional"])
    names = {"sum": "raw", "per_character": "char_norm", "per_byte": "byte_norm", "pmi": "pmi"}
    for normalize, name in names.items():
        scores = choice_scores(likely, given["choices"], normalize, alone)
        assert int(scores.argmax()) == expected[name], name
    probabilities = softmax(choice_scores(likely, given["choices"], "sum"))
    assert probabilities.tolist() == pytest.approx(
        expected["probabilities"], abs=vector["tolerance"]
    )


def test_verbalizers_are_asked_for_and_read_as_labels() -> None:
    task = Classify(
        Classify.Options(labels=("0", "1"), verbalizers={"0": "negative", "1": "positive"})
    )
    assert [request.continuation for request in task.ask(CASE)] == ["negative", "positive"]
    prediction = task.read(CASE, scored(-2.0, -1.0))
    assert (prediction.label, prediction.text) == ("1", "positive")
    assert list(prediction.label_probabilities or ()) == ["0", "1"]


def test_examples_show_the_words_of_their_label() -> None:
    example = Case("train:1", {"text": "great"}, ("1",))
    task = Classify(
        Classify.Options(labels=("0", "1"), verbalizers={"1": "positive"}, few_shot=(example,))
    )
    prompt = task.ask(CASE)[0].prompt
    assert prompt[:2] == (Message("user", "great\nLabel:"), Message("assistant", "positive"))


@pytest.mark.parametrize(
    ("text", "label", "problem"),
    [
        ("Billing.", "billing", None),
        ("I think it is login", "login", None),
        ("login or billing", None, 'unparsed: "login or billing"'),
        ("", None, 'unparsed: ""'),
    ],
)
def test_a_completion_is_read_strictly(text: str, label: str | None, problem: str | None) -> None:
    prediction = Classify(Classify.Options(labels=LABELS, scoring="generate")).read(
        CASE, drawn(text)
    )
    assert (prediction.label, prediction.problem) == (label, problem)
    assert prediction.text == text.strip()
    assert prediction.completions == (text,)


def test_generation_is_one_short_request() -> None:
    (request,) = Classify(Classify.Options(labels=LABELS, scoring="generate", max_tokens=5)).ask(
        CASE
    )
    assert request.decoding is not None
    assert (request.decoding.max_tokens, request.decoding.stop) == (5, ())


def test_after_examples_a_completion_ends_with_the_empty_line() -> None:
    (request,) = Classify(
        Classify.Options(labels=LABELS, scoring="generate", few_shot=(CASE,))
    ).ask(CASE)
    assert request.decoding is not None and request.decoding.stop == ("\n\n",)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (None, {}, 'needs a set of two or more labels \\(found none\\).\nGive them with --labels'),
        (("one",), {}, 'found "one"'),
        ("ab", {}, 'found "ab"'),
        (("a", "b", "a"), {}, 'label "a" stands in the set twice'),
        (("a", " "), {}, 'label " " is not a text with words in it'),
        (("a", 1), {}, 'label "1" is not a text'),
        (("good", "bad"), {"verbalizers": {"god": "x"}}, 'there is no "god" \\(did you mean "good"'),
        (("good", "bad"), {"verbalizers": {"good": ""}}, 'label "good" has no words'),
        (("good", "bad"), {"verbalizers": {"good": "bad"}}, '"good" and "bad" are both spelled "bad"'),
        (("a", "b"), {"few_shot": (CASE,)}, 'few-shot case "t.jsonl:1": label there is no "billing"'),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(labels: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classify(Classify.Options(labels=labels, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "n"), [(("a", "b"), 0), (("card", "card arrival"), 1), (("ab", "abc", "abcd"), 3)]
)
def test_labels_that_open_other_labels(words: tuple[str, ...], n: int) -> None:
    found = prefix_warnings(words)
    assert len(found) == min(n, 1)
    assert "".join(found).count("(") == n


def test_the_warning_counts_for_sums_only() -> None:
    words = ("card", "card arrival")
    assert Classify(Classify.Options(labels=words)).warnings() == (
        'a label is a prefix of another: "card" ("card arrival"). By the sum of log-likelihoods the '
        "longer one can hardly win; normalize: per_token or verbalizers mend it.",
    )
    assert Classify(Classify.Options(labels=words, normalize="per_token")).warnings() == ()
    assert Classify(Classify.Options(labels=words, scoring="generate")).warnings() == ()


@pytest.mark.parametrize(("folder", "column"), [("banking77", "category"), ("clinc150", "intent")])
def test_real_labels_are_read_back_from_their_own_words(folder: str, column: str) -> None:
    name = "test_half.jsonl.gz" if folder == "banking77" else "val.jsonl.gz"
    labels = sorted({row[column] for row in shared_rows(folder, name)})
    task = Classify(Classify.Options(labels=labels, scoring="generate"))
    for label in labels:
        for text in (label, f" {label.upper()}.", f"Label: {label}"):
            assert task.read(CASE, drawn(text)).label == label
