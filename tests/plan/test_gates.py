"""Words of a gate: what they mean, and what a wrong one is told."""

from __future__ import annotations

import re

import pytest

from tuneval.errors import ConfigError
from tuneval.plan.gates import Condition, parse_condition, parse_conditions, refuse_unknown
from tuneval.plan.spec import RunSpec
from tuneval.types import Case, CaseSet

READ = [
    ("accuracy >= 0.90", ("accuracy", (), ">=", "", 0.9, False)),
    ("accuracy>=90%", ("accuracy", (), ">=", "", 90.0, True)),
    ("accuracy: >= .9", ("accuracy", (), ">=", "", 0.9, False)),
    ("f1_macro@full < 95 points", ("f1_macro", ("full",), "<", "", 95.0, False)),
    ("accuracy@lora@mmlu > base - 1.5", ("accuracy", ("lora", "mmlu"), ">", "base", -1.5, False)),
    ("loss <= last-week + 0.1", ("loss", (), "<=", "last-week", 0.1, False)),
    ("accuracy >= base", ("accuracy", (), ">=", "base", 0.0, False)),
    ("gap_to_full <= 5", ("gap_to_full", (), "<=", "", 5.0, False)),
    ("slice:intent=slow >= base - 2", ("slice:intent=slow", (), ">=", "base", -2.0, False)),
    ("slice:long:2x >= clean - 5 points", ("slice:long:2x", (), ">=", "clean", -5.0, False)),
    ("brittle none", ("brittle", (), "none", "", 0.0, False)),
    ("warnings@lora: none", ("warnings", ("lora",), "none", "", 0.0, False)),
]


@pytest.mark.parametrize(("text", "meant"), READ, ids=[text for text, _ in READ])
def test_a_condition_is_read(text: str, meant: tuple[object, ...]) -> None:
    one = parse_condition(text)
    found = (one.subject, one.at, one.sign, one.reference, one.number, one.is_percent)
    assert found == meant
    assert one.text == text


SUCH = (
    'Such are "accuracy >= 0.90", "slice:intent=slow >= base - 2", "gap_to_full <= 5", '
    '"brittle none".'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy", f'gate "accuracy" is no condition. {SUCH}'),
        ("accuracy = 0.9", f'gate "accuracy = 0.9" is no condition. {SUCH}'),
        (">= 0.9", f'gate ">= 0.9" is no condition. {SUCH}'),
        ("accuracy >= -", f'gate "accuracy >= -": "-" is no limit. {SUCH}'),
        ("gap_to_full <= base", f'gate "gap_to_full <= base": "base" is no limit. {SUCH}'),
        ("britle none", 'gate "britle none": there is no "britle" (did you mean "brittle"?).'),
    ],
)
def test_a_wrong_one_is_told_how(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_conditions([text])


KINDS = {"base": "base", "lora": "adapter"}
CASES = CaseSet(
    name="test",
    source="test.jsonl",
    layout="",
    task="classify",
    cases=(Case("test.jsonl:1", {"text": "a"}, ("x",), {"intent": "slow"}),),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acuracy >= 0.9", 'there is no "acuracy" (did you mean "accuracy"?)'),
        ("accuracy@lor >= 0.9", 'there is no "lor" (did you mean "lora"?)'),
        ("accuracy >= bse - 2", 'there is no "bse" (did you mean "base"?)'),
        ("slice:intent=slo >= 0.9", 'there is no "intent=slo" (did you mean "intent=slow"?)'),
        ("gap_to_full <= 5", "it needs an adapter and a full fine-tune"),
        ("brittle none", "no inputs are changed: add perturbations, or --robustness"),
    ],
)
def test_what_the_run_does_not_have_is_refused(text: str, message: str) -> None:
    whole = f'gate "{text}": {message}.'
    with pytest.raises(ConfigError, match=f"^{re.escape(whole)}$"):
        refuse_unknown(parse_conditions([text]), KINDS, [CASES], ["accuracy"])


def test_what_the_run_has_is_let_pass() -> None:
    texts = ["accuracy@test >= base - 2", "slice:intent=slow@lora >= 0.5", "forgot none"]
    refuse_unknown(parse_conditions(texts), KINDS, [CASES], ["accuracy"])


def test_a_run_yaml_with_a_gate_that_cannot_be_read_is_refused() -> None:
    described = {
        "variants": [{"name": "base", "model": "./base"}],
        "cases": [{"file": "test.jsonl"}],
        "gates": {"accuracy": "0.9"},
    }
    message = f'gate "accuracy 0.9" is no condition. {SUCH[:-1]}'
    with pytest.raises(ConfigError, match=re.escape(message)):
        RunSpec.from_dict(described)
    good = RunSpec.from_dict(described | {"gates": {"accuracy": ">= 0.9", "brittle": "none"}})
    assert good.gates == {"accuracy": ">= 0.9", "brittle": "none"}


def test_a_condition_is_a_record() -> None:
    assert parse_condition("brittle none") == Condition("brittle none", "brittle", (), "none")
