"""A fine-tune made by TRL itself is compared without a flag, and scores what a plain script counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import tuneval

pytest.importorskip("trl", reason="trl is not installed (pip install 'tuneval[examples]')")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_score_is_that_of_a_plain_script(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    script("trl_chat/train.py").main(tmp_path, steps=60)

    result = tuneval.compare(
        adapters=str(tmp_path / "lora"),
        data=str(tmp_path / "test.jsonl"),
        output={"dir": str(tmp_path / "runs")},
    )

    (accuracy,) = (
        score.value
        for score in result.scores
        if (score.variant, score.metric, score.slice) == ("lora", "accuracy", "all")
    )
    n_right = script("trl_chat/check.py").main(tmp_path)["lora"]
    n_cases = len(result.predictions["lora"])
    assert accuracy == pytest.approx(n_right / n_cases, abs=1e-12)
    assert accuracy > 0.8
