"""Classifiers trained for real on real rows, and compared: every case as a plain script has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared import SHARED, shared_path
from tuneval.api import compare

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.mark.parametrize(
    ("task", "base", "arms"),
    [
        ("trec6", "encoder", ["majority", "lora", "full"]),
        pytest.param("mnli", "encoder", ["majority", "lora", "full"], marks=pytest.mark.slow),
        pytest.param(
            "trec6", "stories", ["base", "majority", "lora", "full"], marks=pytest.mark.slow
        ),
    ],
)
def test_scores_equal_a_plain_script_to_the_last_case(
    task: str,
    base: str,
    arms: list[str],
    script: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = script("classifier/train.py")
    described = module.TASKS[task]
    shared_path(*described.file.split("/"))
    if base == "stories":
        shared_path("models", "stories260k")
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    out = tmp_path / "out"
    quick = ["--steps", "12", "--limit", "50", "--training-seeds", "5"]
    words = ["--task", task, "--base", base, "--shared", str(SHARED), "--output", str(out), *quick]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.main(words)

    result = compare(
        str(out / "base"),
        adapters=[str(out / "lora-seed5")],
        full=[str(out / "full")],
        data=[str(out / "test.jsonl")],
        labels=list(described.names),
        train_data=str(out / "train.jsonl"),
        backend={"device": "cpu", "head_labels": described.names},
        output={"dir": str(tmp_path / "runs")},
    )

    assert [one.name for one in result.variants] == arms
    _, test = module.rows_of(described, SHARED, 50)
    for name, folder in (("lora", "lora-seed5"), ("full", "full")):
        own = module.logprobs(out / folder, out / "base", described, test)
        found = result.predictions[name]
        assert len(found) == len(test)
        for prediction, logprobs in zip(found, own, strict=True):
            assert prediction.label == described.names[int(logprobs.argmax())]
            shares = [prediction.label_probabilities[label] for label in described.names]
            assert shares == pytest.approx(logprobs.exp().tolist(), abs=1e-6)
        right = [
            described.names[int(logprobs.argmax())] == described.names[row[described.label]]
            for logprobs, row in zip(own, test, strict=True)
        ]
        accuracy = next(
            one.value
            for one in result.scores
            if (one.variant, one.metric, one.slice) == (name, "accuracy", "all")
        )
        assert accuracy == sum(right) / len(test)
        assert list(result.case_scores[name]) == right
