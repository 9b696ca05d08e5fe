"""result.json: what is written is read back exactly; what cannot be read says why."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from report.finished_run import finished_run, with_benchmark
from tuneval.errors import DataError
from tuneval.report import results_json
from tuneval.types import Case, Comparison, Prediction, RunResult


def _frozen(value: Any) -> Any:
    """Comparable form: nan equals nan, everything else as it is, types included."""
    if isinstance(value, float):
        return repr(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value).__name__, [(name, _frozen(getattr(value, name))) for name in names]
    if isinstance(value, dict):
        return [(key, _frozen(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_frozen(item) for item in value]
    return type(value).__name__, value


def _with_inputs(**inputs: object) -> RunResult:
    result = finished_run(3, perturbed=False)
    case_set = result.case_sets[0]
    cases = tuple(Case(case.id, inputs, case.references) for case in case_set.cases)
    return dataclasses.replace(result, case_sets=(dataclasses.replace(case_set, cases=cases),))


def _with_number(value: float) -> RunResult:
    result = finished_run(3, perturbed=False)
    comparison = dataclasses.replace(
        result.comparisons[0], difference=value, details={"x": value}, p_value=None, interval=None
    )
    first = dict.fromkeys(result.case_scores, (None, value, 1.0))
    return dataclasses.replace(result, comparisons=(comparison,), case_scores=first)


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(finished_run(12), id="usual"),
        pytest.param(with_benchmark(finished_run(4)), id="chat turns and two case sets"),
        pytest.param(_with_number(math.nan), id="nan"),
        pytest.param(_with_number(math.inf), id="inf"),
        pytest.param(_with_number(-math.inf), id="-inf"),
        pytest.param(_with_number(0.1 + 0.2), id="all digits"),
        pytest.param(_with_inputs(choices=("a", "b"), n=3, ok=True, none=None), id="choices"),
        pytest.param(_with_inputs(text="", x=math.nan, y=math.inf), id="undefined column"),
        pytest.param(_with_inputs(text="NaN"), id="the text NaN stays text"),
    ],
)
def test_round_trip_is_exact(result: RunResult) -> None:
    text = results_json.render(result)
    again = results_json.parse(text)
    assert _frozen(again) == _frozen(result)
    assert results_json.render(again) == text


def test_is_strict_json() -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(results_json.render(_with_number(math.nan)), parse_constant=refuse)


def test_label_order_is_kept() -> None:
    result = finished_run(1, perturbed=False)
    answer = Prediction("test.jsonl:1", label="z", label_probabilities={"z": 0.5, "a": 0.5})
    result = dataclasses.replace(result, predictions={"base": (answer,)})
    read = results_json.parse(results_json.render(result)).predictions["base"][0]
    assert list(read.label_probabilities or ()) == ["z", "a"]


def test_half_a_surrogate_pair_does_not_stop_the_run() -> None:
    result = dataclasses.replace(finished_run(1), notes=("broken \ud83d text",))
    assert results_json.parse(results_json.render(result)).notes == ("broken \ufffd text",)


def _changed(**changes: object) -> str:
    plain = json.loads(results_json.render(finished_run(1, perturbed=False)))
    plain.update(changes)
    return json.dumps({key: value for key, value in plain.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "r.json, line 1: not JSON"),
        ("", "r.json, line 1: not JSON"),
        ("[]", 'r.json is not a result of tuneval: it has no number "schema_version"'),
        ('{"schema_version": "1"}', 'it has no number "schema_version"'),
        (_changed(schema_version=99), 'r.json has schema version "99"; this tuneval reads "1"'),
        (_changed(schema_version=0), 'r.json has the old schema version "0"'),
        (
            _changed(scores=...),
            "r.json is not a whole result of tuneval.\n    scores: field required",
        ),
        (_changed(seconds="soon"), "seconds: input should be a valid number"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        results_json.parse(text, source="r.json")
    assert message in str(error.value)


def test_missing_file_is_named(tmp_path: Any) -> None:
    with pytest.raises(DataError, match=r'gone\.json" cannot be read'):
        results_json.read(tmp_path / "gone.json")


def test_comparison_details_keep_their_numbers() -> None:
    result = finished_run(2)
    found: Comparison = results_json.parse(results_json.render(result)).comparisons[0]
    assert found.details["n_needed"] == 1850.0
    assert math.isnan(found.details["undefined"])
