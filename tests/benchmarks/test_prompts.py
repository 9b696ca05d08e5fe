"""Prompts are lm-eval's to the character: hashes made by lm-eval itself (evidence/lm_eval_peer.py)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from shared import DATA, shared_path
from tuneval import tasks
from tuneval.benchmarks import Place
from tuneval.benchmarks.load import load

VECTORS = Path(__file__).parents[1] / "vectors" / "lm_eval_prompts.json"
PROMPTS = json.loads(VECTORS.read_text(encoding="utf-8"))["prompts"]


@pytest.mark.parametrize("key", PROMPTS)
def test_context_and_continuation_are_those_of_lm_eval(key: str) -> None:
    shared_path("mmlu")
    name, _, shots = key.rpartition("/")
    found = load(name, Place(DATA, offline=True), few_shot=int(shots))
    task = tasks.build(
        found.cases.task, labels=found.cases.labels, few_shot=found.examples, **found.options
    )
    asked: list[str] = []
    for case in found.cases.cases:
        asked += [f"{one.prompt}\x1f{one.continuation or ''}" for one in task.ask(case)]
        if len(asked) >= len(PROMPTS[key]):
            break
    assert [hashlib.sha256(one.encode()).hexdigest()[:32] for one in asked] == PROMPTS[key]


def test_they_were_made_by_the_version_that_the_wording_names() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert (vectors["tool"], vectors["version"]) == ("lm_eval", "0.4.13")
    assert {key.partition(":")[0].partition("/")[0] for key in PROMPTS} == {
        "mmlu", "sst2", "squad", "humaneval", "cnn_dailymail",
    }  # fmt: skip
