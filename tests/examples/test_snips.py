"""The SNIPS script runs and leaves files that a comparison reads as objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared import SHARED, shared_path
from tuneval.data.read import read

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
# The last layer is tied to the first, which this adapter leaves as it is on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated",
    "ignore:Model has `tie_word_embeddings",
    "ignore:Setting `save_embedding_layers`",
)


def test_a_few_steps_leave_adapter_model_and_files(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    shared_path("models", "stories260k")
    shared_path("snips_slots", "validate_half.jsonl.gz")
    script("snips/train.py").main(
        ["--steps", "2", "--shared", str(SHARED), "--output", str(tmp_path)]
    )
    adapter = json.loads((tmp_path / "lora" / "adapter_config.json").read_text("utf-8"))
    assert "lm_head" in adapter["target_modules"]
    assert (tmp_path / "full" / "model.safetensors").exists()
    test, learned = (read(tmp_path / f"{name}.jsonl") for name in ("test", "train"))
    assert test.task == learned.task == "extract"
    assert not {case.inputs["text"] for case in test.cases} <= {
        case.inputs["text"] for case in learned.cases
    }
