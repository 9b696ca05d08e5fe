"""Columns of outputs: found by name whoever wrote the file, and never the references again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneval.data.outputs import read_predictions, read_references
from tuneval.errors import DataError

GOLD = ("red", "blue")
SAID = ("one", "two")


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def rows(**columns: Any) -> list[dict[str, Any]]:
    """Two rows; a column is given as two values."""
    return [{name: values[n] for name, values in columns.items()} for n in (0, 1)]


PROMPT = ("p", "q")


@pytest.mark.parametrize(
    ("columns", "reference", "prediction"),
    [
        ({"prompt": PROMPT, "predict": SAID, "label": GOLD}, "label", "predict"),
        ({"input": PROMPT, "expected_output": GOLD, "actual_output": SAID}, "expected_output", "actual_output"),
        ({"question": PROMPT, "answer": GOLD, "generated_text": SAID}, "answer", "generated_text"),
        ({"question": PROMPT, "answer": GOLD, "response": SAID}, "answer", "response"),
        ({"text": PROMPT, "label": GOLD, "y_pred": SAID}, "label", "y_pred"),
        ({"Text": PROMPT, "Label": GOLD, "Model Output": SAID}, "Label", "Model Output"),
        ({"instruction": PROMPT, "output": GOLD, "prediction": SAID}, "output", "prediction"),
        ({"source": PROMPT, "reference": GOLD, "hypothesis": SAID}, "reference", "hypothesis"),
        ({"premise": PROMPT, "hypothesis": PROMPT, "label": GOLD, "pred": SAID}, "label", "pred"),
        ({"q": PROMPT, "gold": GOLD, "llama_output": SAID}, "gold", "llama_output"),
        ({"q": PROMPT, "answer": GOLD, "generated_text": ([{"generated_text": "one"}], [{"generated_text": "two"}])}, "answer", "generated_text"),
        ({"doc": ({}, {}), "target": GOLD, "resps": ([["one"]], [["two"]]), "filtered_resps": (["one"], ["two"])}, "target", "filtered_resps"),
        ({"q": PROMPT, "answer": GOLD, "outputs": ([{"text": "one"}], [{"text": "two"}])}, "answer", "outputs"),
        ({"custom_id": ("1", "2"), "answer": GOLD, "response": ({"status_code": 200, "body": {"choices": [{"message": {"role": "assistant", "content": "one"}}]}}, {"body": {"choices": [{"message": {"content": "two"}}]}})}, "answer", "response"),
        ({"q": PROMPT, "ideal": GOLD, "response": ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "one"}], [{"role": "assistant", "content": "two"}])}, "ideal", "response"),
    ],
)  # fmt: skip
def test_both_columns_of_one_file(
    columns: dict[str, Any], reference: str, prediction: str, tmp_path: Path
) -> None:
    file = write(tmp_path, "own.jsonl", rows(**columns))
    cases = read_references(file)
    assert cases.columns["reference"] == reference
    assert [case.references for case in cases.cases] == [("red",), ("blue",)]
    found = read_predictions(file, cases)
    assert found.column == prediction
    assert tuple(found.texts.values()) == SAID


def test_choices_of_lm_eval_are_the_likeliest(tmp_path: Path) -> None:
    chosen = ([["-3.5", "False"], ["-0.2", "True"]], [["-1.0", "True"], ["-2.0", "False"]])
    file = write(tmp_path, "samples.jsonl", rows(target=("1", "0"), filtered_resps=chosen))
    assert list(read_predictions(file, read_references(file)).texts.values()) == ["1", "0"]


REFERENCES = rows(id=(1, 2), label=GOLD)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"label": GOLD, "mine": SAID}, None),
        ({"label": GOLD, "guess": ("blue", "blue")}, "guess"),
        ({"label": ("blue", "blue")}, "label"),
        ({"output": GOLD}, "output"),
        ({"output": GOLD, "mine": SAID}, None),
        ({"prediction": GOLD, "mine": SAID}, "prediction"),
        ({"base": GOLD, "lora": ("blue", "blue")}, "lora"),
    ],
    ids=[
        "a copy",
        "a copy beside labels",
        "the same name, other values",
        "nothing but right answers",
        "doubtful",
        "sure",
        "named as the system",
    ],
)
def test_a_copy_of_the_references_is_not_taken(
    columns: dict[str, Any], found: str | None, tmp_path: Path
) -> None:
    cases = read_references(write(tmp_path, "refs.jsonl", REFERENCES), task="classify")
    file = write(tmp_path, "lora.jsonl", rows(id=(1, 2), **columns))
    if found is None:
        with pytest.raises(DataError, match="equals them in nearly all rows"):
            read_predictions(file, cases, system="lora")
    else:
        assert read_predictions(file, cases, system="lora").column == found


def test_the_column_of_the_references_is_refused_by_name(tmp_path: Path) -> None:
    file = write(tmp_path, "own.jsonl", rows(id=(1, 2), label=GOLD, text=PROMPT))
    cases = read_references(file)
    with pytest.raises(DataError, match='column "label" holds the references; scored against'):
        read_predictions(f"{file}:label", cases)
    with pytest.raises(DataError, match='"label" holds the references'):
        read_predictions(file, cases)


def test_two_columns_that_may_be_expected_or_answered(tmp_path: Path) -> None:
    file = write(tmp_path, "own.jsonl", rows(prompt=PROMPT, output=GOLD, completion=SAID))
    with pytest.raises(DataError, match="which was expected, and which was answered"):
        read_references(file)


def test_an_object_of_rows_under_their_ids(tmp_path: Path) -> None:
    """OpenCompass: one object, a number for each row."""
    file = tmp_path / "said.json"
    file.write_text(
        json.dumps(
            {"0": {"gold": "red", "prediction": "one"}, "1": {"gold": "blue", "prediction": "two"}}
        )
    )
    cases = read_references(str(file))
    assert [case.references for case in cases.cases] == [("red",), ("blue",)]
    assert tuple(read_predictions(str(file), cases).texts.values()) == SAID


def test_answers_of_a_batch_go_by_their_own_ids(tmp_path: Path) -> None:
    cases = read_references(write(tmp_path, "refs.jsonl", rows(id=("a", "b"), answer=GOLD)))
    said = [
        {"id": "x1", "custom_id": "b", "response": "two"},
        {"id": "x2", "custom_id": "a", "response": "one"},
    ]
    file = write(tmp_path, "batch.jsonl", said)
    assert tuple(read_predictions(file, cases).texts.values()) == SAID


def test_two_columns_that_may_be_expected(tmp_path: Path) -> None:
    file = write(tmp_path, "own.jsonl", rows(prompt=PROMPT, answer=SAID, target=GOLD))
    with pytest.raises(DataError, match='"answer", "target" may each hold what was expected'):
        read_references(file)
    assert len(read_references(f"{file}:target").cases) == len(GOLD)
    coded = write(tmp_path, "coded.jsonl", rows(label=GOLD, gold=GOLD))
    assert read_references(coded).columns["reference"] == "gold"


def test_json_is_no_label(tmp_path: Path) -> None:
    file = write(tmp_path, "own.jsonl", [{"answer": f'{{"n": {n % 2}}}'} for n in range(8)])
    assert read_references(file).task == "generate"
