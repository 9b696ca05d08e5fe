"""Calls of tools: verdicts of the Berkeley function calling leaderboard, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared import DATA, shared_json, shared_path, shared_rows
from tuneval.data.outputs import read_predictions, read_references
from tuneval.metrics import build
from tuneval.metrics.calls import Call, read_calls
from tuneval.types import Case, Prediction

MODELS = sorted(path.name for path in (DATA / "bfcl" / "outputs").glob("*.jsonl.gz"))


@pytest.mark.parametrize("model", MODELS or ["none"])
def test_every_verdict_is_the_leaderboards(model: str) -> None:
    questions = str(shared_path("bfcl", "questions_half.jsonl.gz"))
    cases = read_references(questions)
    assert cases.task == "tool_call"
    path = shared_path("bfcl", "outputs", model)
    texts = read_predictions(f"{path}:output", cases).texts
    judged = {row["id"]: row for row in shared_rows("bfcl", "outputs", model)}
    predictions = [Prediction(case.id, text=texts[case.id]) for case in cases.cases]
    rows = build("tool_call_accuracy").per_case(cases.cases, predictions)
    wrong = [
        case.inputs["id"]
        for case, row in zip(cases.cases, rows, strict=True)
        if bool(row[0]) is not judged[str(case.inputs["id"])]["valid"]
    ]
    assert wrong == []
    _sums_up(
        rows, cases.cases, shared_json("bfcl", "expected.json"), Path(model).name.split(".jsonl")[0]
    )


def _sums_up(rows, cases, expected, model) -> None:
    for category, figures in expected[model].items():
        own = [
            row[0]
            for row, case in zip(rows, cases, strict=True)
            if case.inputs["category"] == category
        ]
        assert (sum(own), len(own)) == (figures["correct"], figures["total"]), category


F = (Call("f", {"x": 1}),)
READ = [
    ('{"name": "f", "arguments": {"x": 1}}', F),
    ('[{"name": "f", "arguments": "{\\"x\\": 1}"}]', F),
    ('{"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]}', F),
    ('[{"f": {"x": 1}}]', F),
    ('[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}}]', F),
    ("f(x=1)", F),
    ("[f(x=1)]", F),
    ("Let me see.\n[f(x=1)]\nDone.", F),
    ('<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>', F),
    (
        '<tool_call>{"name": "f", "arguments": {"x": "it\'s"}}</tool_call>',
        (Call("f", {"x": "it's"}),),
    ),
    (
        "[f(x=1), a.b(y=[1, -2.5], z={'k': True})]",
        (*F, Call("a.b", {"y": [1, -2.5], "z": {"k": True}})),
    ),
    ("f(x=3*10**2)", (Call("f", {"x": 300}),)),
    ("[]", ()),
    ('{"tool_calls": []}', ()),
    ("I cannot help with that.", None),
    ("", None),
    ("f(1)", None),
    ("f(**x)", None),
    ("__import__('os').system(command='id')", None),
    ("f(x=9**9**9**9)", None),
    ("(" * 10_000, None),
    ("f(x=" + "[" * 500 + "]" * 500 + ")", None),
    ("<|im_start|>[f(x=1)]", None),
    ('{"a": 1, "b": 2}', None),
]


@pytest.mark.parametrize(("text", "calls"), READ)
def test_what_is_read(text: str, calls: object) -> None:
    assert read_calls(text) == calls


def _right(text: str, reference: object, functions: object = None) -> bool:
    inputs = {} if functions is None else {"functions": json.dumps(functions)}
    case = Case("1", inputs, (json.dumps(reference),))
    return bool(build("tool_call_accuracy").per_case([case], [Prediction("1", text=text)])[0][0])


TOOL = [{"name": "f", "parameters": {"type": "object", "required": ["x"],
         "properties": {"x": {"type": "number"}, "y": {"type": "string"}}}}]  # fmt: skip
WANTED = [{"name": "f", "arguments": {"x": 1, "y": "New York"}}]


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ('f(x=1, y="New York")', True),
        ('f(x=1.0, y="new-york")', True),
        ('f(x="1", y="New York")', False),
        ('f(x=True, y="New York")', False),
        ("f(x=1)", False),
        ('f(x=1, y="New York", z=2)', False),
        ('[f(x=1, y="New York"), f(x=1, y="New York")]', False),
        ("[]", False),
    ],
)
@pytest.mark.parametrize("functions", [TOOL, None], ids=["described", "not described"])
def test_one_value_for_each_argument(text: str, is_right: bool, functions: object) -> None:
    assert _right(text, WANTED, functions) is is_right


def test_where_no_tool_fits() -> None:
    assert _right("I have no tool for that.", [])
    assert not _right("f(x=1)", [])
