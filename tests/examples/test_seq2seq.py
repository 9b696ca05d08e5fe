"""T5s that were trained here write the summaries, and score, what a plain script has."""

from __future__ import annotations

import json
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
    script("seq2seq/train.py").main(tmp_path, SHARED, steps=6, n_test=6)
    check = script("seq2seq/check.py")
    asked = {
        "base": str(tmp_path / "base"),
        "adapters": str(tmp_path / "lora"),
        "full": str(tmp_path / "full"),
        "output": {"dir": str(tmp_path / "runs")},
    }

    file = tmp_path / "test.jsonl"
    written = tuneval.compare(
        **asked,
        data=str(file),
        template="summarize: {article}",
        options={"max_tokens": check.LONGEST_SUMMARY},
    )
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    pairs = [
        {"instruction": check.PREFIX + row["article"], "output": row["highlights"]} for row in rows
    ]
    scored = tuneval.compare(
        **asked, data=pairs, task="language_model", prompting={"allow_lost_questions": True}
    )

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
