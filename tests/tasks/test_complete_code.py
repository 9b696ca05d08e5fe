"""Prompts as the benchmarks define them, stop strings, and code read out of chat answers."""

from __future__ import annotations

import pytest

from tuneval.errors import ConfigError
from tuneval.tasks.complete_code import CompleteCode, code_block, cut
from tuneval.types import Case, Completion, Message, Response

PROMPT = 'import math\n\n\ndef area(r):\n    """Area of a circle."""\n'
FUNCTION = Case("p:1", {"prompt": PROMPT, "entry_point": "area", "test_kind": "function"})
WORDS = Case(
    "m:1",
    {
        "prompt": '"""\nAdd.\nassert add(1, 2) == 3\n"""\n',
        "instruction": "Add. Your code must pass.",
        "entry_point": "add",
        "test_kind": "assertions",
    },
)


def _answers(*texts: str) -> Response:
    return Response("p:1#0", "base", tuple(Completion(text, 3, "stop") for text in texts))


def test_completion_asks_with_exactly_the_prompt_and_its_stops() -> None:
    (request,) = CompleteCode(n_completions=5, temperature=0.8, top_p=0.95).ask(FUNCTION)
    assert request.prompt == PROMPT
    assert request.decoding is not None
    assert request.decoding.n_completions == 5
    assert request.decoding.stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


@pytest.mark.parametrize(
    ("case", "content"),
    [
        (FUNCTION, "```python\nimport math\n\n\ndef area(r):"),
        (WORDS, "Add. Your code must pass."),
    ],
)
def test_instruction_asks_in_a_chat(case: Case, content: str) -> None:
    (request,) = CompleteCode(style="instruction").ask(case)
    assert isinstance(request.prompt, tuple)
    assert isinstance(request.prompt[0], Message)
    assert content in request.prompt[0].content
    assert request.decoding is not None
    assert request.decoding.stop == ()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("    return 1\n", "    return 1\n"),
        ("    return 1\n\ndef other():\n    pass\n", "    return 1\n"),
        ("    return 1\nprint(area(2))\nif x:\n", "    return 1"),
        ("", ""),
    ],
)
def test_completion_is_cut_at_stops_and_follows_the_prompt(text: str, kept: str) -> None:
    prediction = CompleteCode().read(FUNCTION, [_answers(text)])
    assert prediction.completions == (PROMPT + kept,)
    assert prediction.text == text


def test_problem_of_the_response_is_kept() -> None:
    prediction = CompleteCode().read(FUNCTION, [Response("p:1#0", "base", problem="gave up")])
    assert prediction.problem == "gave up"
    assert prediction.completions == ()


BODY = "def area(r):\n    return math.pi * r * r\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"Here:\n```python\n{BODY}```\nDone.", BODY),
        (f"```\nprint(1)\n```\nand\n```py\n{BODY}```", BODY),
        (f"```python\n{BODY}", BODY),
        (f"```bash\npip install x\npip install y\npip install z\n```\n```python\n{BODY}```", BODY),
        (f"~~~\n{BODY}~~~", BODY),
        (BODY, BODY),
        ("I cannot do that.", "I cannot do that."),
    ],
    ids=["one", "the one that defines", "cut", "not the shell", "tildes", "no fence", "no code"],
)
def test_code_block_of_an_answer(answer: str, code: str) -> None:
    assert code_block(answer, "area") == code


def test_answer_gets_what_the_prompt_defines_before_the_function() -> None:
    prediction = CompleteCode(style="instruction").read(
        FUNCTION, [_answers(f"```python\n{BODY}```", "```python\n    return 1\n```")]
    )
    assert prediction.completions == ("import math\n\n\n" + BODY, PROMPT + "    return 1\n")


def test_no_stop_string_leaves_the_text() -> None:
    assert cut("a\nb", ("\n#",)) == "a\nb"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "chat"}, 'there is no style "chat"'),
        ({"n_completions": 5}, "5 completions at temperature 0 are all the same"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CompleteCode(**options)  # type: ignore[arg-type]


def test_signature_names_every_setting() -> None:
    assert CompleteCode().signature() == (
        "complete_code|style:completion|completions:1|temperature:0|top_p:1|max_tokens:512"
        "|stop:default|sampling_seed:0"
    )
