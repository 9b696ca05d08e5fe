"""What holds for every task of the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneval.errors import ConfigError
from tuneval.tasks import TASKS, Task, build
from tuneval.types import Case, Completion, Message, Prediction, Request, Response

SECRET = "zebra"
"""The reference of every case here: a prompt that holds it has leaked."""

TEXT = Case("t.jsonl:1", {"text": "My bill is wrong"}, (SECRET,))
CHAT = Case(
    "t.jsonl:2",
    {
        "messages": (
            Message("system", "Be brief."),
            Message("user", "Hello"),
            Message("assistant", "How can I help?"),
            Message("user", "My bill is wrong"),
        )
    },
    (SECRET,),
)
ALPACA = Case("t.jsonl:3", {"instruction": "Name the topic", "input": "My bill"}, (SECRET,))
EXACT = Case("t.jsonl:4", {"prompt": "Topic of my bill:", "completion": f" {SECRET}"}, (SECRET,))
PASSAGE = Case("t.jsonl:5", {"context": "A passage.", "question": "What is it?"}, (SECRET,))
PAIR = Case("t.jsonl:7", {"question": "Why?", "baseline": "one", "candidate": "two"})
CHOICE = Case("t.jsonl:6", {"question": "Which?", "choices": ("one", "two", "three")}, ("2",))

LABELLED = (TEXT, CHAT, ALPACA, EXACT, PASSAGE)
CASES = {
    "classify": LABELLED,
    "multiple_choice": (CHOICE,),
    "generate": LABELLED,
    "regression": LABELLED,
    "language_model": (*LABELLED, Case("t.txt:1", {"text": "Once upon a time"})),
    "judge": (PAIR,),
    "tag": (TEXT,),
}
OPTIONS = {
    "classify": (
        {},
        {"scoring": "generate"},
        {"normalize": "pmi"},
        {"verbalizers": {SECRET: "striped"}},
        {"template": "Topic of {text}{prompt}:"},
    ),
    "multiple_choice": (
        {},
        {"scoring": "text", "normalize": "per_character"},
        {"scoring": "generate"},
        {"normalize": "pmi"},
    ),
    "generate": ({}, {"n_completions": 2, "temperature": 0.7}),
    "regression": ({}, {"lowest": 0, "highest": 5}),
    "language_model": ({}, {"token_logprobs": True}),
    "judge": ({}, {"scoring": "likelihood"}),
    "tag": ({}, {"max_tokens": 9}),
}
STYLES = ({}, {"prompt_style": "text"}, {"system": "Be exact."})


def made(name: str, **options: object) -> Task:
    return build(name, labels=(SECRET, "horse"), **options)


# Takes exact prompts and tests, and none of the styles: test_complete_code.py holds its contract.
NAMES = [name for name in TASKS if name != "complete_code"]


def combinations() -> list[tuple[str, dict[str, object]]]:
    return [(name, {**own, **style}) for name in NAMES for own in OPTIONS[name] for style in STYLES]


def cases_for(name: str, options: dict[str, object]) -> list[Case]:
    """The cases that the options fit; a template names columns that not every layout has."""
    if "template" in options:
        return [replace(TEXT, inputs={"text": "My bill", "prompt": ""})]
    return list(CASES[name])


def responses_to(requests: tuple[Request, ...]) -> list[Response]:
    return [
        Response(request.id, "base", loglikelihood=-1.0 - n, n_tokens=2)
        if request.decoding is None
        else Response(
            request.id,
            "base",
            completions=(
                Completion(" A\n" if request.case_id == PAIR.id else " horse\n", 2, "stop"),
            )
            * request.decoding.n_completions,
        )
        for n, request in enumerate(requests)
    ]


def prompt_of(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(turn.content for turn in request.prompt)


every_combination = pytest.mark.parametrize(("name", "options"), combinations(), ids=str)


@every_combination
def test_asking_is_pure_and_ids_are_unique(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    cases = cases_for(name, options)
    first = [task.ask(case) for case in cases]
    assert first == [task.ask(case) for case in cases]
    assert first == [made(name, **options).ask(case) for case in cases]
    ids = [request.id for requests in first for request in requests]
    assert len(set(ids)) == len(ids)
    for case, requests in zip(cases, first, strict=True):
        assert requests
        assert {request.case_id for request in requests} == {case.id}


@every_combination
def test_no_prompt_tells_the_reference(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    for case in cases_for(name, options):
        for request in task.ask(case):
            assert SECRET not in prompt_of(request)


@every_combination
def test_the_reference_moves_no_prompt(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    for case in cases_for(name, options):
        if case.references:
            other = replace(case, references=("0",) if case is CHOICE else ("horse",))
            asked, asked_other = task.ask(case), task.ask(other)
            assert [one.prompt for one in asked] == [one.prompt for one in asked_other]


@every_combination
def test_reading_is_pure(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    for case in cases_for(name, options):
        responses = responses_to(task.ask(case))
        prediction = task.read(case, responses)
        assert prediction == task.read(case, responses)
        assert prediction.case_id == case.id
        if prediction.label_probabilities is not None:
            assert sum(prediction.label_probabilities.values()) == pytest.approx(1)


@every_combination
def test_a_problem_stays_a_problem(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    for case in cases_for(name, options):
        responses = responses_to(task.ask(case))
        broken = Response(responses[-1].request_id, "base", problem="nonfinite: nan")
        prediction = task.read(case, [*responses[:-1], broken])
        assert prediction == Prediction(case.id, problem="nonfinite: nan")


@every_combination
def test_a_cut_prompt_is_told(name: str, options: dict[str, object]) -> None:
    task = made(name, **options)
    for case in cases_for(name, options):
        responses = responses_to(task.ask(case))
        assert not task.read(case, responses).is_truncated
        responses[-1] = replace(responses[-1], is_truncated=True)
        assert task.read(case, responses).is_truncated


@pytest.mark.parametrize("style", ["messages", "text"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"judge"}))
def test_examples_stand_in_order_before_the_question(name: str, style: str) -> None:
    case = CASES[name][0]
    key = "question" if name == "multiple_choice" else "text"
    references = ("0", "1", "0") if name == "multiple_choice" else ("horse", SECRET, "horse")
    examples = tuple(
        replace(case, id=f"train:{n}", inputs={**case.inputs, key: f"example {n}"}, references=(r,))
        for n, r in enumerate(references)
    )
    task = made(name, few_shot=examples, prompt_style=style, system="Be exact.")
    prompt = prompt_of(task.ask(case)[0])
    marks = ["Be exact.", "example 0", "example 1", "example 2", str(case.inputs[key])]
    places = [prompt.index(mark) for mark in marks]
    assert places == sorted(places)
    shown = {"multiple_choice": ("A", "B", "A")}.get(name, references)
    for n, answer in enumerate(shown):
        end = places[n + 2]
        assert prompt[places[n + 1] : end].rstrip().endswith(answer)


@every_combination
def test_signatures_are_one_line_and_repeat(name: str, options: dict[str, object]) -> None:
    signature = made(name, **options).signature()
    assert signature.startswith(f"{name}|")
    assert "\n" not in signature
    assert signature == made(name, **options).signature()


SETTINGS = {
    "classify": {
        "scoring": "generate", "normalize": "per_token", "verbalizers": {SECRET: "striped"},
        "template": "{text}", "system": "s", "prompt_style": "text", "few_shot": (TEXT,),
    },
    "multiple_choice": {
        "scoring": "text", "normalize": "per_byte", "template": "{question}", "system": "s",
        "prompt_style": "text", "few_shot": (CHOICE,),
    },
    "generate": {
        "template": "{text}", "system": "s", "prompt_style": "text", "few_shot": (TEXT,),
        "max_tokens": 3, "stop": ["x"], "temperature": 0.5, "top_p": 0.5, "sampling_seed": 1,
    },
    "regression": {
        "template": "{text}", "system": "s", "prompt_style": "text", "few_shot": (TEXT,),
        "max_tokens": 3, "stop": ["x"], "lowest": 0, "highest": 5.0,
    },
    "language_model": {
        "template": "{text}", "system": "s", "prompt_style": "text", "few_shot": (TEXT,),
    },
    "judge": {
        "template": "{A}{B}", "system": "s", "prompt_style": "text", "scoring": "likelihood",
        "max_tokens": 3,
    },
    "tag": {
        "template": "{text}", "system": "s", "prompt_style": "text", "few_shot": (TEXT,),
        "max_tokens": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting_is_in_the_signature(name: str) -> None:
    signatures = [made(name).signature()]
    signatures += [made(name, **{key: value}).signature() for key, value in SETTINGS[name].items()]
    assert len(set(signatures)) == len(signatures)


def test_the_label_set_is_in_the_signature() -> None:
    signatures = {
        build("classify", labels=labels).signature() for labels in (("a", "b"), ("b", "a"))
    }
    assert len(signatures) == 2


def test_decoding_is_in_the_signature_where_it_counts() -> None:
    drawn = {made("classify", scoring="generate", max_tokens=n).signature() for n in (4, 8)}
    scored = {made("classify", max_tokens=n).signature() for n in (4, 8)}
    assert (len(drawn), len(scored)) == (2, 1)


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clasify", {}, 'tasks: there is no "clasify" \\(did you mean "classify"\\?\\)'),
        ("classify", {"scorng": 1}, '"classify", options: there is no "scorng" \\(did you mean "scoring"\\?\\)'),
        ("generate", {"scoring": "generate"}, 'task "generate", options: there is no "scoring"'),
        ("language_model", {"max_tokens": 3}, "It takes template, system, token_logprobs"),
        ("classify", {"scoring": "likelyhood"}, 'option "scoring": there is no "likelyhood" \\(did you mean "likelihood"\\?\\)'),
        ("classify", {"normalize": "tokens"}, "It may be sum, per_token, per_character, per_byte, pmi"),
        ("classify", {"scoring": None}, 'option "scoring": there is no "None"'),
        ("classify", {"prompt_style": "chat"}, "It may be messages, text"),
        ("classify", {"template": 5}, 'option "template": "5" is not a text'),
        ("classify", {"system": ["x"]}, 'option "system"'),
        ("regression", {"lowest": "0"}, 'option "lowest": "0" is no number'),
        ("regression", {"lowest": 5, "highest": 0}, "the scale from 5.0 to 0.0 is empty"),
        ("generate", {"max_tokens": 0}, '"max_tokens": "0" is not a whole number of at least 1'),
        ("generate", {"max_tokens": "12"}, 'option "max_tokens": "12" is not a whole number'),
        ("generate", {"max_tokens": True}, 'option "max_tokens": "True" is not a whole number'),
        ("generate", {"temperature": -1}, '"temperature": "-1" is not a number from 0 to 100'),
        ("generate", {"temperature": "hot"}, 'option "temperature": "hot" is not a number'),
        ("generate", {"temperature": float("nan")}, 'option "temperature": "nan" is not a number'),
        ("generate", {"top_p": 0}, 'option "top_p": "0" is not a number above 0 to 1'),
        ("generate", {"stop": 3}, 'option "stop": "3" is not a list of texts'),
        ("generate", {"stop": [""]}, "is not a list of texts"),
        ("generate", {"n_completions": 5}, '"5" completions at temperature 0 would all be the same'),
        ("judge", {"few_shot": (TEXT,)}, 'task "judge", options: there is no "few_shot"'),
        ("generate", {"few_shot": (replace(TEXT, references=()),)}, 'few-shot case "t.jsonl:1" has no reference'),
    ],
)  # fmt: skip
def test_options_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(name, **options)


def test_stop_may_be_one_text() -> None:
    (request,) = made("generate", stop="END").ask(TEXT)
    assert request.decoding is not None and request.decoding.stop == ("END",)


def _is_drawn(task: Task, case: Case) -> bool:
    return all(request.decoding is not None for request in task.ask(case))


# A judge that could not see all of it is not read at all.
@pytest.mark.parametrize("name", [name for name in TASKS if name != "judge"])
def test_cuts_reach_the_prediction(name: str) -> None:
    options = {"scoring": "generate"} if name in ("classify", "multiple_choice") else {}
    task = made(name, **options)
    case = CASES[name][0] if name in CASES else EXACT
    cut = [
        replace(
            one,
            is_truncated=True,
            completions=tuple(replace(two, finish_reason="length") for two in one.completions),
        )
        for one in responses_to(task.ask(case))
    ]
    prediction = task.read(case, cut)
    assert prediction.is_truncated
    assert ("length" in prediction.finish_reasons) is _is_drawn(task, case)
