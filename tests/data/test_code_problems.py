"""Problem files and files of completions: what is read, and every fault with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from shared import shared_path, shared_rows
from tuneval.data.code_problems import read_completions, read_problems
from tuneval.errors import DataError

PROBLEM = {
    "task_id": "t/0",
    "prompt": "def f():\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}
WORDS = {
    "task_id": 7,
    "text": "Add.",
    "code": "def helper():\n    return 1\ndef add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3"],
    "test_setup_code": "import math",
}


def _write(folder: Path, name: str, *rows: Any) -> Path:
    path = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_humaneval() -> None:
    found = read_problems(shared_path("humaneval", "HumanEval.jsonl.gz"))
    rows = shared_rows("humaneval", "HumanEval.jsonl.gz")
    assert (found.name, found.task) == ("HumanEval", "complete_code")
    assert len(found.cases) == len(rows)
    first = found.cases[0]
    assert first.id == "HumanEval.jsonl.gz:1"
    assert first.inputs["task_id"] == "HumanEval/0"
    assert first.inputs["entry_point"] == "has_close_elements"
    assert first.references[0].startswith("    for idx")


def test_mbpp_form(tmp_path: Path) -> None:
    (case,) = read_problems(_write(tmp_path, "m.jsonl", WORDS)).cases
    assert case.inputs["entry_point"] == "add"
    assert case.inputs["tests"] == ("import math", "assert add(1, 2) == 3")
    assert case.inputs["test_kind"] == "assertions"
    assert case.inputs["prompt"] == '"""\nAdd.\nassert add(1, 2) == 3\n"""\n'
    assert "grading" not in case.inputs


def test_task_367_needs_live_objects(tmp_path: Path) -> None:
    path = _write(tmp_path, "m.jsonl", {**WORDS, "task_id": 367})
    assert read_problems(path).cases[0].inputs["grading"] == "inproc"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"line 1: not JSON"),
        ("[1]", r"line 1: no JSON object"),
        ({**PROBLEM, "task_id": None}, r'line 1: no "task_id" \(found "task_id", "prompt"'),
        (
            {k: v for k, v in PROBLEM.items() if k != "test"},
            r'line 1: no "test", a problem without tests',
        ),
        ({**PROBLEM, "test": " "}, r'line 1: "test" is no text or empty: a problem without tests'),
        ({**PROBLEM, "test": "def check(:"}, r'line 1: "test" is not Python'),
        ({**PROBLEM, "test": "x = 1"}, r'line 1: "test" defines no function "check"'),
        (
            {k: v for k, v in PROBLEM.items() if k != "entry_point"},
            r'line 1: no "entry_point", the function that the tests call',
        ),
        (
            {**PROBLEM, "entry_point": "g"},
            'line 1: entry_point "g" is what neither "prompt" nor "canonical_solution" defines',
        ),
        ({**PROBLEM, "entry_point": "f()"}, r'line 1: entry_point "f\(\)" is no name'),
        ({**WORDS, "test_list": []}, r'line 1: "test_list" holds no tests'),
        ({**WORDS, "test_list": ["assert add(1"]}, r'line 1: "test_list, test 1" is not Python'),
    ],
)
def test_bad_problem(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_problems(_write(tmp_path, "p.jsonl", row))


def test_problem_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'line 2: task_id "t/0" again \(first on line 1\)'):
        read_problems(_write(tmp_path, "p.jsonl", PROBLEM, PROBLEM))


def test_empty_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no problem in it"):
        read_problems(_write(tmp_path, "p.jsonl", ""))
    with pytest.raises(DataError, match="there is no file"):
        read_problems(tmp_path / "absent.jsonl")


def test_cut_gzip(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(PROBLEM).encode() * 100)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_problems(path)


def test_completions_follow_the_prompt(tmp_path: Path) -> None:
    problems = read_problems(_write(tmp_path, "p.jsonl", PROBLEM, WORDS))
    rows = [
        {"task_id": "t/0", "completion": "    return 1"},
        {"task_id": 7, "completion": "def add(a, b): return 3"},
        {"task_id": "t/0", "completion": "    return 2"},
    ]
    found = read_completions(_write(tmp_path, "s.jsonl", *rows), problems)
    assert [prediction.completions for prediction in found.predictions] == [
        ("def f():\n    return 1", "def f():\n    return 2"),
        ("def add(a, b): return 3",),
    ]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task_id": "t/9", "completion": ""}, r'line 2: task_id "t/9" is not in .*p\.jsonl'),
        ({"task_id": "t/0"}, r'line 2: no "completion" that is text \(found "task_id"\)'),
        ({"completion": ""}, r'line 2: no "task_id" \(found "completion"\)'),
        ("nonsense", r"line 2: not JSON"),
    ],
)
def test_bad_completion(tmp_path: Path, row: Any, message: str) -> None:
    problems = read_problems(_write(tmp_path, "p.jsonl", PROBLEM))
    path = _write(tmp_path, "s.jsonl", {"task_id": "t/0", "completion": "    return 1"}, row)
    with pytest.raises(DataError, match=message):
        read_completions(path, problems)


def test_no_completion_at_all(tmp_path: Path) -> None:
    problems = read_problems(_write(tmp_path, "p.jsonl", PROBLEM))
    with pytest.raises(DataError, match="no completion in it"):
        read_completions(_write(tmp_path, "s.jsonl", ""), problems)
