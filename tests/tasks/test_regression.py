"""A number is read from an answer, or honestly none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneval.data.read import read
from tuneval.errors import DataError
from tuneval.tasks import build
from tuneval.tasks.regression import read_number
from tuneval.types import Case, Completion, Response


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.5", 3.5),
        (" 4\n", 4.0),
        ("-2", -2.0),
        ("\u22122", -2.0),
        (".5", 0.5),
        ("1,234.5", 1234.5),
        ("1e-3", 0.001),
        ("4.", 4.0),
        ("**3**", 3.0),
        ("```\n2.5\n```", 2.5),
        ("The answer is 3.8.", 3.8),
        ("about 3.5 points", 3.5),
        ("4 out of 5", 4.0),
        ("4/5", 4.0),
        ("I would give it 3/5.", 3.0),
        ("3 ... 3", 3.0),
        ("between 2 and 3", None),
        ("v2", None),
        ("1.2.3", None),
        ("five", None),
        ("", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_reading_a_number(text: str, number: float | None) -> None:
    assert read_number(text) == number


def answered(text: str, **options: object) -> tuple[str | None, str | None]:
    task = build("regression", **options)
    case = Case("t:1", {"text": "How alike?"}, ("3",))
    (request,) = task.ask(case)
    response = Response(request.id, "base", completions=(Completion(text, 2, "stop"),))
    found = task.read(case, [response])
    return found.text, found.problem


def test_a_number_outside_of_the_scale_was_not_read() -> None:
    assert answered("7", lowest=0, highest=5) == (None, 'unparsed: "7"')
    assert answered("5", lowest=0, highest=5) == ("5.0", None)
    assert answered("7") == ("7.0", None)


def test_a_head_reads_the_bare_texts() -> None:
    task = build("regression", template="{context} | {text}", prompt_style="text")
    (request,) = task.ask(Case("t:1", {"context": "One.", "text": "Two."}, ("3",)))
    assert (request.prompt, request.texts) == ("One. | Two.\n", ("One.", "Two."))


def test_a_file_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"text": "a", "label": 1.5}, {"text": "b", "label": "2"}, {"text": "c", "label": -3}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(path, task="regression")
    assert found.task == "regression"
    assert [float(case.references[0]) for case in found.cases] == [1.5, 2.0, -3.0]
    path.write_text(json.dumps({"text": "a", "label": "high"}) + "\n")
    with pytest.raises(DataError, match='"high" is no number, and the task is regression'):
        read(path, task="regression")
