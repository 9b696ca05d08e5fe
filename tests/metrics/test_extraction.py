"""JSON answers: fields as scikit-learn counts them, schemas as the official suite judges them."""

from __future__ import annotations

import json

import pytest
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from metrics.making import value
from shared import shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.metrics.json_answer import fields, is_json, read_json
from tuneval.types import Case, Prediction

DEEP = "[" * 100_000
READ: list[tuple[str, object]] = [
    ('{"a": 1}', {"a": 1}),
    (' \n{"a": 1}\n', {"a": 1}),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('Here it is:\n```\n{"a": [1]}\n```\nDone.', {"a": [1]}),
    ('Sure! {"a": {"b": 2}} That is all.', {"a": {"b": 2}}),
    ("the list [1, 2] it is", [1, 2]),
    ("7", 7),
    ("null", None),
]
UNREAD = [
    "", "no", "{", '{"a": 1} or {"a": 2}', '{"a": NaN}', '{"a": Infinity}', "{'a': 1}", '{"a": 1,}',
    DEEP, "x" * 10, "```\n{\n```",
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), READ)
def test_what_is_read(text: str, found: object) -> None:
    read = read_json(text)
    assert read is not None
    assert read.value == found


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not(text: str) -> None:
    assert read_json(text) is None


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ('{"a": 1}', True),
        ("```json\n[1]\n```", True),
        ("1", False),
        ('x {"a": 1}', False),
        ("", False),
    ],
)
def test_valid_is_the_whole_answer(text: str, is_valid: bool) -> None:
    assert is_json(text) is is_valid


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1.0}', True),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', True),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": "1"}', '{"a": 1}', False),
        ('{"a": []}', '{"a": {}}', False),
        ('{"a/b": 1}', '{"a": {"b": 1}}', False),
        ('{"a": [1, 1]}', '{"a": [1]}', False),
    ],
)
def test_fields_are_the_same_or_not(one: str, other: str, is_same: bool) -> None:
    assert (fields(json.loads(one)) == fields(json.loads(other))) is is_same


def _answers() -> tuple[list[Case], list[Prediction]]:
    """Every target of the set, answered by that of a near row: some fields are right."""
    rows = shared_rows("snips_slots", "validate_half.jsonl.gz")
    cases = [Case(row["id"], {"text": row["text"]}, (row["target"],)) for row in rows]
    given = [cases[max(n - n % 3, 0)].references[0] for n in range(len(cases))]
    texts = ["no idea" if n % 11 == 0 else text for n, text in enumerate(given)]
    return cases, [Prediction(c.id, text=t) for c, t in zip(cases, texts, strict=True)]


@pytest.mark.parametrize(
    ("name", "oracle"),
    [("field_f1", f1_score), ("field_precision", precision_score), ("field_recall", recall_score)],
)
def test_fields_count_as_in_scikit_learn(name: str, oracle: object) -> None:
    cases, predictions = _answers()

    def found(text: str) -> set[str]:
        try:
            whole = json.loads(text)
        except ValueError:
            return set()
        slots = {f"{key}={one}" for key, values in whole["slots"].items() for one in values}
        return {f"intent={whole['intent']}", *slots, *(() if whole["slots"] else ("none",))}

    expected = [found(case.references[0]) for case in cases]
    given = [found(one.text or "") for one in predictions]
    binary = MultiLabelBinarizer().fit(expected + given)
    wanted = oracle(  # type: ignore[operator]
        binary.transform(expected), binary.transform(given), average="micro", zero_division=0
    )
    assert value(build(name), cases, predictions) == pytest.approx(wanted, abs=1e-12)


def test_exact_answers_of_the_shared_rows() -> None:
    cases, predictions = _answers()
    wanted = [
        one.text != "no idea" and json.loads(one.text or "") == json.loads(case.references[0])
        for case, one in zip(cases, predictions, strict=True)
    ]
    rows = build("json_exact").per_case(cases, predictions)
    assert rows[:, 0].astype(bool).tolist() == wanted
    assert build("json_valid").per_case(cases, predictions)[:, 0].sum() == sum(
        one.text != "no idea" for one in predictions
    )


DRAFTS = {
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}


@pytest.mark.parametrize("draft", sorted(DRAFTS))
def test_schemas_are_judged_as_in_the_official_suite(draft: str) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not here")
    metric = build("json_schema_valid")
    wrong = []
    rows = [
        row
        for row in shared_rows("json_schema", "tests_half.jsonl.gz")
        if row["draft"] == draft
        and not row["may_need_other_documents"]
        and not row["needs_unicode_regex"]
    ]
    for row in rows:
        schema = row["schema"]
        if isinstance(schema, dict):
            schema = {"$schema": DRAFTS[draft], **schema}
        case = Case(row["id"], {"schema": json.dumps(schema)}, ("{}",))
        ((valid, _),) = metric.per_case([case], [Prediction(case.id, text=json.dumps(row["data"]))])
        if bool(valid) is not row["valid"]:
            wrong.append(row["id"])
    assert rows
    assert wrong == []


def test_a_schema_opens_no_address() -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not here")
    case = Case("t:1", {"schema": '{"$ref": "http://127.0.0.1:1/x.json"}'}, ("{}",))
    with pytest.raises(MetricError, match="which is not in it"):
        build("json_schema_valid").per_case([case], [Prediction("t:1", text="{}")])


@pytest.mark.parametrize("schema", ['{"type": "nothing"}', "[1]", "{"])
def test_a_schema_that_is_none(schema: str) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not here")
    with pytest.raises(MetricError):
        build("json_schema_valid").per_case(
            [Case("t:1", {"schema": schema}, ("{}",))], [Prediction("t:1", text="{}")]
        )


def test_a_reference_that_is_no_json_is_named() -> None:
    with pytest.raises(MetricError, match='case "t:1" is no JSON'):
        build("field_f1").per_case([Case("t:1", {}, ("green",))], [Prediction("t:1", text="{}")])
