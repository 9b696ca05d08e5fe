"""Files that ask and expect nothing, read where there is a judge."""

from __future__ import annotations

from typing import Any

import pytest

from tuneval.data.outputs import read_prompts
from tuneval.data.read import read
from tuneval.errors import DataError
from tuneval.tasks import build
from tuneval.types import Message

N = 8


def chat(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


@pytest.mark.parametrize(
    ("row", "options", "asked"),
    [
        ({"prompt": "Say 1."}, {}, user("Say 1.")),
        ({"instruction": "Sum up.", "input": "A text."}, {}, user("Sum up.\nA text.")),
        ({"question": "Who?", "context": "A passage."}, {}, user("Who?\nA passage.")),
        ({"input": "Say 1."}, {}, user("Say 1.")),
        ({"prompt": "Hi", "system": "Be brief."}, {}, (Message("system", "Be brief."), *user("Hi"))),
        ({"foo": "Say 1."}, {"columns": {"input": "foo"}}, user("Say 1.")),
        ({"prompt": "Say 1.", "kind": "a"}, {"groups": ["kind"]}, user("Say 1.")),
        ({"prompt": chat("system", "user")}, {},
         (Message("system", "system 0"), Message("user", "user 1"))),
        ({"messages": chat("user", "assistant", "user")}, {},
         (Message("user", "user 0"), Message("assistant", "assistant 1"), Message("user", "user 2"))),
    ],
    ids=lambda one: "+".join(one) if isinstance(one, dict) else None,
)  # fmt: skip
def test_what_is_asked(row: dict[str, Any], options: dict[str, Any], asked: Any) -> None:
    found = read([row] * N, is_judged=True, allow_duplicate_ids=True, **options)
    assert (found.task, found.are_prompts_alone) == ("generate", True)
    assert all(case.references == () for case in found.cases)
    (request,) = build("generate", labels=None, few_shot=()).ask(found.cases[0])
    assert request.prompt == asked
    assert not any("JSON" in note for note in found.notes)


def test_a_template_knows_the_column_by_its_own_name() -> None:
    rows = [{"prompt": f"Say {n}."} for n in range(N)]
    found = read(rows, is_judged=True, template="Q: {prompt}")
    task = build("generate", labels=None, few_shot=(), template="Q: {prompt}")
    assert task.ask(found.cases[0])[0].prompt == user("Q: Say 0.")


@pytest.mark.parametrize(
    ("row", "layout", "task"),
    [
        ({"prompt": "Say 1.", "completion": "One."}, "prompt and completion", "generate"),
        ({"messages": chat("user", "assistant")}, "messages", "generate"),
        ({"text": "Good.", "label": "positive"}, "labelled text", "classify"),
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, "preference", "preference"),
    ],
)
def test_what_is_expected_stays_expected(row: dict[str, Any], layout: str, task: str) -> None:
    rows = [{k: f"{v} {n}" if isinstance(v, str) and k != "label" else v for k, v in row.items()}
            for n in range(N)]  # fmt: skip
    found = read(rows, is_judged=True, allow_duplicate_ids=True)
    assert (found.layout, found.task, found.are_prompts_alone) == (layout, task, False)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"messages": chat("user"), "reference": "One."},
            "Say --reference messages or --reference",
        ),
        ({"prompt": chat("user", "assistant")}, 'the last turn is of "assistant"'),
        ({"prompt": "a", "instruction": "b"}, 'may be column "prompt" or "instruction"'),
        ({"prompt": ""}, '"prompt" is empty'),
    ],
)
def test_what_cannot_be_asked(row: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        read([row] * N, is_judged=True)
    assert words in str(caught.value)


def test_prompts_of_a_file_for_outputs(tmp_path: Any) -> None:
    file = tmp_path / "asked.txt"
    file.write_text("One?\nTwo?\n")
    found = read_prompts(str(file))
    assert [case.inputs for case in found.cases] == [
        {"instruction": "One?"},
        {"instruction": "Two?"},
    ]
    assert found.are_prompts_alone
    file = tmp_path / "asked.csv"
    file.write_text("id,prompt\n1,One?\n2,\n")
    with pytest.raises(DataError, match='line 3: field "prompt" is null'):
        read_prompts(str(file))
