"""The shipped schemas are those of the code, and what is written and read agrees with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuneval import demo
from tuneval.errors import ConfigError
from tuneval.plan.spec import RunSpec
from tuneval.schemas import NAMES, place
from tuneval.schemas.make import text_of

ROOT = Path(__file__).parents[2]
VARIANTS = [{"name": "base", "model": "base"}]
SMALLEST: dict[str, Any] = {"variants": VARIANTS, "cases": [{"file": "test.jsonl"}]}


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_schema_is_fresh(name: str) -> None:
    shipped = place(name).read_text(encoding="utf-8")
    assert shipped == text_of(name), "write it again: python -m tuneval.schemas.make"


def test_every_key_of_run_yaml_says_what_it_is() -> None:
    schema = json.loads(place("run").read_text(encoding="utf-8"))
    sections = {"RunSpec": schema, **schema["$defs"]}
    silent = [
        f"{section}.{key}"
        for section, one in sections.items()
        for key, found in one.get("properties", {}).items()
        if "description" not in found and "$ref" not in found
    ]
    assert silent == []


def faults_of(name: str, content: Any) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with tuneval[dev]")
    schema = json.loads(place(name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(schema).iter_errors(content)
    return [f"{one.json_path}: {one.message}" for one in found]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"metrics": "accuracy"},
        {"metrics": ["accuracy", "f1_macro"]},
        {"metrics": {"primary": "accuracy"}},
        {"perturbations": ["typos", "long:2x", {"name": "long", "factor": 3}]},
        {"judge": "openai:judge"},
        {"judge": {"model": "judge", "price": [1, 2]}},
        {"ood": "other.jsonl", "adversarial": ["a.jsonl", "b.jsonl"]},
        {"gates": {"accuracy": ">= 0.9"}, "output": {"fail_on": "worse", "reports": "md"}},
        {"cases": [{"file": "a.csv", "labels": {"0": "no"}, "limit": 0.5, "groups": "writer"}]},
        {"backend": {"batch_size": 8, "dtype": "bfloat16"}},
        {"variants": [*VARIANTS, {"name": "lora", "adapter": ["a", "b"], "training_log": None}]},
    ],
    ids=lambda more: " ".join(more) or "the smallest",
)
def test_what_is_read_fits_the_schema(more: dict[str, Any]) -> None:
    content = {**SMALLEST, **more}
    spec = RunSpec.from_dict(content)
    assert faults_of("run", content) == []
    assert faults_of("run", yaml.safe_load(spec.to_yaml())) == []


@pytest.mark.parametrize(
    ("more", "place_of_fault"),
    [
        ({"statistics": {"resample": 10}}, "$.statistics"),
        ({"cases": [{"file": "a.jsonl", "limt": 3}]}, "$.cases[0]"),
        ({"backend": {"dtype": "float8"}}, "$.backend.dtype"),
        ({"variants": []}, "$.variants"),
        ({"output": {"fail_on": "better"}}, "$.output.fail_on"),
    ],
)
def test_what_is_refused_fits_no_schema(more: dict[str, Any], place_of_fault: str) -> None:
    content = {**SMALLEST, **more}
    with pytest.raises(ConfigError):
        RunSpec.from_dict(content)
    assert [one for one in faults_of("run", content) if one.startswith(place_of_fault)]


RUN_YAMLS = [
    *sorted((ROOT / "examples").rglob("run*.yaml")),
    demo.folder() / "run.yaml",
]


@pytest.mark.parametrize("path", RUN_YAMLS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_run_yaml_of_the_repository_fits(path: Path) -> None:
    assert faults_of("run", yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_the_demo_names_its_schema() -> None:
    first = (demo.folder() / "run.yaml").read_text(encoding="utf-8").splitlines()[0]
    named = first.partition("$schema=")[2]
    assert (demo.folder() / named).resolve() == place("run").resolve()


def test_a_result_fits_its_schema() -> None:
    whole = json.loads((ROOT / "tests/golden/report.json").read_text(encoding="utf-8"))
    assert faults_of("result", whole) == []
    for key, broken in (("scores", [{"variant": 3}]), ("headline", None), ("case_sets", {})):
        assert faults_of("result", {**whole, key: broken}), key
    assert any("NaN" in json.dumps(whole[key]) for key in whole), "no undefined number to try"
