"""Prompts are lm-eval's to the character: hashes made by lm-eval itself (evidence/lm_eval_peer.py)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from benchmarks.made import write
from shared import DATA, shared_path, shared_rows
from tuneval import registry, tasks
from tuneval.benchmarks import BENCHMARKS, Place
from tuneval.benchmarks.checksums import KNOWN
from tuneval.benchmarks.load import checksum, load
from tuneval.types import Case

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "lm_eval_prompts.json").read_text(encoding="utf-8")
)
PROMPTS = VECTORS["prompts"]
PLACE = Place(DATA, offline=True)


@pytest.mark.parametrize("key", [key for key in PROMPTS if not key.startswith("gsm8k")])
def test_context_and_continuation_are_those_of_lm_eval(key: str) -> None:
    """Of the rows that are here; examples that are drawn depend on a row's place too."""
    shared_path("mmlu")
    name, _, shots = key.rpartition("/")
    by_place = bool(int(shots)) and shots_of(name) == "drawn"
    found = load(name, PLACE, few_shot=int(shots))
    task = tasks.build(
        found.cases.task, labels=found.cases.labels, few_shot=found.examples, **found.options
    )
    rows = VECTORS["rows"][name]
    here = {row_of(case): (place, case) for place, case in enumerate(found.cases.cases)}
    n_requests = len(PROMPTS[key]) // len(rows)
    n_checked = 0
    for n, row in enumerate(rows):
        place, case = here.get(row, (None, None))
        if case is None or (by_place and place != n):
            continue
        asked = [digest(one.prompt, one.continuation or "") for one in task.ask(case)]
        assert asked == PROMPTS[key][n * n_requests : (n + 1) * n_requests]
        n_checked += 1
    if not n_checked:
        pytest.skip(f"none of the rows that lm-eval was asked for is in {name}")


def shots_of(name: str) -> str:
    """How examples are chosen; skips where they are not the published ones."""
    name, _, subset = name.partition(":")
    benchmark = registry.load(BENCHMARKS, name, room="benchmarks")()
    facts = benchmark.facts(subset)
    pool = benchmark.read(PLACE, subset, facts.pool)
    if checksum(pool) != KNOWN[f"{facts.name}/{facts.pool}"][1]:
        pytest.skip(f"the examples of {facts.name} are not the published ones")
    return facts.shots


def row_of(case: Case) -> str:
    """What `rows` of the vectors knows the case by."""
    fields = ("question", "text", "article", "prompt")
    text = next(case.inputs[one] for one in fields if one in case.inputs)
    if case.id.startswith("glue") and "context" in case.inputs:  # one text may stand beside several
        text = f"{text}\n{case.inputs['context']}"
    return digest("\n".join((text, *case.inputs.get("choices", ()))).strip(), "")


def digest(context: str, continuation: str) -> str:
    return hashlib.sha256(f"{context}\x1f{continuation}".encode()).hexdigest()[:32]


def test_they_were_made_by_the_version_that_the_wording_names() -> None:
    assert (VECTORS["tool"], VECTORS["version"]) == ("lm_eval", "0.4.13")
    assert {key.partition(":")[0].partition("/")[0] for key in PROMPTS} == {
        "mmlu", "sst2", "squad", "humaneval", "cnn_dailymail", "glue", "gsm8k",
    }  # fmt: skip


@pytest.mark.parametrize("shots", [0, 5, 8])
def test_gsm8k_asks_what_lm_eval_asks(shots: int, tmp_path: Path) -> None:
    """The training split is not among the rows: every third problem is an example instead, as it was for
    lm-eval (evidence/lm_eval_peer.py). Examples are drawn by place, so they need the very same rows."""
    rows = shared_rows("gsm8k", "test_half.jsonl.gz")
    parts = {
        "train": [r for r in rows if r["idx"] % 3 == 0],
        "test": [r for r in rows if r["idx"] % 3],
    }
    for split, own in parts.items():
        write(tmp_path / f"gsm8k/{split}.jsonl", own)
    found = load("gsm8k", Place(tmp_path, offline=True), few_shot=shots)
    task = tasks.build(found.cases.task, few_shot=found.examples, **found.options)
    known = dict(zip(VECTORS["rows"]["gsm8k"], PROMPTS[f"gsm8k/{shots}"], strict=True))
    asked = {row_of(case): digest(task.ask(case)[0].prompt, "") for case in found.cases.cases}
    here = known.keys() & asked.keys()
    is_same_place = list(asked)[: len(known)] == list(known)
    if not here or (shots and not is_same_place):
        pytest.skip("the rows that lm-eval was asked for are not all here")
    assert {row: asked[row] for row in here} == {row: known[row] for row in here}
