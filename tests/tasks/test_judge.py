from __future__ import annotations

import math

import pytest

from tuneval.errors import ConfigError
from tuneval.tasks.judge import Judge, conversation, disagreements, judge_cases
from tuneval.types import Case, Completion, Message, Prediction, Response

CASE = Case("t:1", {"question": "Why?", "baseline": "OLD {A}", "candidate": "NEW {question}"})


def drawn(*texts: str) -> list[Response]:
    return [
        Response(f"t:1#{n}", "judge", completions=(Completion(text, 1, "stop"),))
        for n, text in enumerate(texts)
    ]


def scored(*nats: float) -> list[Response]:
    return [
        Response(f"t:1#{n}", "judge", loglikelihood=value, n_tokens=1)
        for n, value in enumerate(nats)
    ]


def test_both_orders_are_asked_and_hostile_answers_stay_literal() -> None:
    requests = Judge(system="Be fair.").ask(CASE)
    assert len(requests) == 2
    for request, (first, second) in zip(requests, [("NEW", "OLD"), ("OLD", "NEW")], strict=True):
        system, user = request.prompt
        assert system == Message("system", "Be fair.")
        assert isinstance(user, Message)
        assert user.content.index(first) < user.content.index(second)
        assert "OLD {A}" in user.content and "NEW {question}" in user.content


def test_likelihoods_of_both_letters_in_both_orders() -> None:
    requests = Judge(scoring="likelihood").ask(CASE)
    assert [request.continuation for request in requests] == ["A", "B", "A", "B"]
    assert requests[0].prompt == requests[1].prompt != requests[2].prompt == requests[3].prompt
    joined = Judge(scoring="likelihood", prompt_style="text").ask(CASE)
    assert [request.continuation for request in joined] == [" A", " B", " A", " B"]
    assert isinstance(joined[0].prompt, str)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("said", "label", "orders", "problem"),
    [
        (("A", "B"), "candidate", ("candidate",) * 2, None),
        (("B.", "Better answer: A"), "baseline", ("baseline",) * 2, None),
        (("A", "A"), "tie", ("candidate", "baseline"), None),
        (("B", "B"), "tie", ("baseline", "candidate"), None),
        (("A", "both are fine"), None, (), 'unparsed: "both are fine"'),
        (("", "A"), None, (), 'unparsed: ""'),
        (("A or B", "A"), None, (), 'unparsed: "A or B"'),
    ],
)
def test_fault_29_a_letter_is_read_or_the_case_is_left_out(
    said: tuple[str, str], label: str | None, orders: tuple[str, ...], problem: str | None
) -> None:
    prediction = Judge().read(CASE, drawn(*said))
    assert (prediction.label, prediction.completions) == (label, orders)
    assert prediction.problem == problem
    assert prediction.label_probabilities is None


def test_likelihoods_are_averaged_over_the_orders() -> None:
    prediction = Judge(scoring="likelihood").read(
        CASE, scored(math.log(0.6), math.log(0.2), math.log(0.1), math.log(0.3))
    )
    assert prediction.label == "candidate"
    assert prediction.label_probabilities == pytest.approx({"candidate": 0.75, "baseline": 0.25})


def test_a_verdict_that_turns_with_the_order_is_a_tie() -> None:
    prediction = Judge(scoring="likelihood").read(
        CASE, scored(math.log(0.9), math.log(0.1), math.log(0.6), math.log(0.4))
    )
    assert prediction.label == "tie"
    assert prediction.label_probabilities == {"candidate": 0.5, "baseline": 0.5}
    assert disagreements([prediction]) == (1, 0, 1)


def test_position_bias_counts_verdicts_only() -> None:
    task = Judge()
    predictions = [
        task.read(CASE, drawn(*said)) for said in [("A", "A"), ("A", "B"), ("?", "A"), ("B", "B")]
    ]
    assert disagreements(predictions) == (1, 1, 3)


def test_a_missing_text_is_missing_for_both() -> None:
    cases = [Case(f"t:{n}", {"text": f"q{n}"}, ("r",), {"w": "x"}, "c") for n in range(3)]
    told = [Prediction(case.id, text="") for case in cases]
    lost = [*told[:1], Prediction("t:1", problem="nonfinite"), *told[2:]]
    judged, n_missing = judge_cases(cases, told, lost)
    assert [case.id for case in judged] == ["t:0", "t:2"]
    assert n_missing == 1
    assert judged[0].inputs == {"question": "q0", "baseline": "", "candidate": ""}
    assert (judged[0].groups, judged[0].cluster) == ({"w": "x"}, "c")


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"instruction": "Do", "input": "it"}, "Do\nit"),
        ({"prompt": "Exactly this:"}, "Exactly this:"),
        ({"messages": (Message("user", "hi"),)}, "hi"),
        (
            {"messages": (Message("system", "s"), Message("user", "hi"))},
            "system: s\n\nuser: hi",
        ),
    ],
)
def test_what_was_asked_is_one_text(inputs: dict[str, object], text: str) -> None:
    assert conversation(Case("c", inputs)) == text


def test_a_template_needs_both_answers() -> None:
    with pytest.raises(ConfigError, match=r'option "template": there is no \{B\} in it'):
        Judge(template="{question} {A}")
