"""The scripts on real data run, and leave what a comparison needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared import SHARED, shared_path

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

SETTINGS = {"trec6": "TREC6", "banking77": "BANKING77", "clinc150": "CLINC150"}


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_few_steps_leave_adapter_model_and_log(
    name: str,
    script: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shared_path("models", "stories260k")
    module = script(f"{name}/train.py")
    settings = getattr(module, SETTINGS[name])
    shared_path(name, f"{settings.test_part}.jsonl.gz")
    quick = ["--steps", "3", "--limit", "20", "--training-seeds", "5"]
    words = [*quick, "--shared", str(SHARED), "--output", str(tmp_path)]

    module.main(settings, words)

    adapter = json.loads((tmp_path / "lora-seed5" / "adapter_config.json").read_text("utf-8"))
    assert adapter["r"] == 16
    assert adapter["base_model_name_or_path"] == str(SHARED / "data" / "models" / "stories260k")
    for folder, weights in (("lora-seed5", "adapter_model"), ("full", "model")):
        assert (tmp_path / folder / f"{weights}.safetensors").exists()
        log = json.loads((tmp_path / folder / "trainer_state.json").read_text("utf-8"))
        assert log["global_step"] == 3
        assert sum("eval_loss" in row for row in log["log_history"]) == 3
    test = rows_of(tmp_path / f"{settings.test_part}.jsonl")
    assert len(test) == 20
    assert not any("_" in row["label"] for row in test)
    assert all(set(row) == {"text", "label", *settings.kept_columns} for row in test)
    if settings.out_of_scope:
        assert len(rows_of(tmp_path / "oos.jsonl")) == 20 * len(settings.out_of_scope)
    printed = capsys.readouterr().out
    assert f"{name}: 18 rows to train on, 2 to validate" in printed
    assert [line.split()[0] for line in printed.splitlines() if " right: " in line] == [
        "base",
        "lora-seed5",
        "full",
    ]


def test_missing_data_is_said(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = script("trec6/train.py")
    with pytest.raises(SystemExit, match="say with --shared where the real data lies"):
        module.main(module.TREC6, ["--shared", str(tmp_path)])
