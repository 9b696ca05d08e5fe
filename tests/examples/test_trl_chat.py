"""A fine-tune made by TRL itself is compared without a flag, and scores what a plain script counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tuneval

pytest.importorskip("trl", reason="trl is not installed (pip install 'tuneval[examples]')")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_score_is_that_of_a_plain_script(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    script("trl_chat/train.py").main(tmp_path, steps=60, every=0)

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


def test_the_callback_leaves_trl_as_it_was(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Bit for bit the same adapter with evaluations in between and without; the losses, too."""
    train = script("trl_chat/train.py").main
    plain = train(tmp_path / "plain", steps=12, every=0)
    seen = train(tmp_path / "seen", steps=12, every=4)
    one, two = (
        load_file(tmp_path / name / "lora" / "adapter_model.safetensors")
        for name in ("plain", "seen")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    logged = [entry for entry in seen.state.log_history if "tuneval/accuracy" in entry]
    assert [entry["step"] for entry in logged] == [0, 4, 8, 12]

    def losses(trainer: Any) -> list[float]:
        return [one["eval_loss"] for one in trainer.state.log_history if "eval_loss" in one]

    assert losses(plain) == losses(seen)
