"""T5s that were trained here write the summaries, and score, what a plain script has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import tuneval
from shared import SHARED, shared_path

pytestmark = pytest.mark.filterwarnings("ignore")


def test_texts_and_scores_are_those_of_a_plain_script(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("summeval", "realsumm"):
        shared_path(f"cnndm_{name}", f"{name}.jsonl.gz")
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    script("seq2seq/train.py").main(tmp_path, SHARED, steps=12, n_test=8)
    check = script("seq2seq/check.py")
    asked = {
        "base": str(tmp_path / "base"),
        "adapters": str(tmp_path / "lora"),
        "full": str(tmp_path / "full"),
        "data": str(tmp_path / "test.jsonl"),
        "template": "summarize: {article}",
        "output": {"dir": str(tmp_path / "runs")},
    }

    written = tuneval.compare(
        **asked, task_options={"generate": {"max_tokens": check.LONGEST_SUMMARY}}
    )
    scored = tuneval.compare(**asked, task="language_model")

    counted = check.main(tmp_path)
    rouge = {
        score.variant: score.value
        for score in written.scores
        if (score.metric, score.slice) == ("rougeL", "all")
    }
    for name, expected in counted.items():
        found = written.predictions[name]
        assert [one.completions[0] for one in found] == [one["text"] for one in expected]
        assert all(one.is_truncated for one in found)
        mean = sum(one["rougeL"] for one in expected) / len(expected)
        assert rouge[name] == pytest.approx(mean, abs=1e-12)
        assert [-one.nll for one in scored.predictions[name]] == pytest.approx(
            [one["loglikelihood"] for one in expected], rel=1e-5
        )
