"""A judge that is itself compared, by its name, its place or its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared import shared_path
from tuneval.pipeline.judging.judged import self_preference
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import JudgeSpec, RunSpec
from tuneval.types import Variant


class Named(NamedTuple):
    name: str
    spec: JudgeSpec


def warned(judge: dict[str, Any], *variants: Variant, backend: dict[str, Any]) -> list[str]:
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": one.name, "model": one.model} for one in variants],
            "cases": [{"file": "x.jsonl"}],
            "backend": backend,
        }
    )
    plan = Plan(spec, variants, variants[0].name, (), {}, {}, ())
    found = self_preference([Named("j", JudgeSpec(**judge))], plan)
    return [one.sentence for one in found]


def test_equal_weights_are_one_model_wherever_they_lie(tmp_path: Path) -> None:
    source = shared_path("models", "stories260k")
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    base = Variant("base", "base", str(source))
    lora = Variant("lora", "adapter", str(source), adapter=str(tmp_path / "nothing"))
    said = warned({"model": str(copy)}, base, lora, backend={"kind": "hf"})
    assert [one.partition(":")[0] for one in said] == [
        'The judge is the variant "base" itself',
        'The judge is the model that "lora" was trained from',
    ]
    config = copy / "model.safetensors"
    config.write_bytes(config.read_bytes()[:-1] + b"\x01")
    assert warned({"model": str(copy)}, base, lora, backend={"kind": "hf"}) == []


URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("judge", "is_told"),
    [
        ({"model": "m", "backend": "openai", "base_url": URL}, True),
        ({"model": "other", "backend": "openai", "base_url": URL}, False),
        ({"model": "m", "backend": "openai", "base_url": "http://127.0.0.1:2/v1"}, False),
        ({"model": "m"}, False),
    ],
)
def test_a_name_means_one_model_at_one_server(judge: dict[str, Any], is_told: bool) -> None:
    variants = Variant("base", "base", "b"), Variant("full", "full", "m")
    said = warned(judge, *variants, backend={"kind": "openai", "base_url": URL})
    assert bool(said) == is_told
