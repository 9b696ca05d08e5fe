"""What TRL, Axolotl, LLaMA-Factory and Unsloth leave on disk after a LoRA run, around given weights.

File names and contents follow what these trainers write; the weights are those of a small adapter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_models import edit_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PICKLES = ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def trl(folder: Path, adapter: Path, base: Path, *, recorded: str) -> Path:
    """SFTTrainer of TRL, or the plain Trainer: final adapter, tokenizer, numbered checkpoints."""
    _adapter(folder, adapter, base, recorded)
    for step in (30, 90):
        checkpoint = folder / f"checkpoint-{step}"
        _adapter(checkpoint, adapter, base, recorded)
        _pickles(checkpoint)
        _state(checkpoint, step)
    (folder / "training_args.bin").write_bytes(b"never opened")
    return folder


def axolotl(folder: Path, adapter: Path, base: Path, *, recorded: str) -> Path:
    """Axolotl copies the base's config.json beside the adapter and keeps its own log."""
    trl(folder, adapter, base, recorded=recorded)
    shutil.copy(base / "config.json", folder / "config.json")
    (folder / "debug.log").write_text("axolotl\n")
    return folder


def llama_factory(folder: Path, adapter: Path, base: Path, *, recorded: str) -> Path:
    """LLaMA-Factory logs into trainer_log.jsonl beside the adapter."""
    _adapter(folder, adapter, base, recorded)
    rows = [
        {"current_steps": 10, "total_steps": 20, "loss": 0.9, "epoch": 0.5, "percentage": 50.0},
        {"current_steps": 20, "total_steps": 20, "loss": 0.5, "epoch": 1.0, "percentage": 100.0},
        {"current_steps": 20, "total_steps": 20, "eval_loss": 0.6, "epoch": 1.0},
    ]
    (folder / "trainer_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "all_results.json").write_text('{"train_loss": 0.7}')
    (folder / "training_args.yaml").write_text("stage: sft\n")
    _pickles(folder)
    return folder


def unsloth(folder: Path, adapter: Path, base: Path, *, recorded: str) -> Path:
    """Unsloth's save_pretrained beside the Trainer's own ``outputs`` folder."""
    _adapter(folder, adapter, base, recorded)
    checkpoint = folder.parent / "outputs" / "checkpoint-60"
    _adapter(checkpoint, adapter, base, recorded)
    _state(checkpoint, 60)
    return folder


def llama_factory_data(folder: Path, rows: list[Mapping[str, Any]]) -> Path:
    """A data file whose columns are named by the dataset_info.json beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tickets.json"
    path.write_text(json.dumps(rows))
    columns = {"prompt": "ticket", "query": "details", "response": "queue"}
    info = {"tickets": {"file_name": "tickets.json", "columns": columns}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return path


def _adapter(folder: Path, adapter: Path, base: Path, recorded: str) -> None:
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copy(base / name, folder / name)
    edit_json(folder / "adapter_config.json", base_model_name_or_path=recorded)


def _pickles(folder: Path) -> None:
    for name in PICKLES:
        (folder / name).write_bytes(b"never opened")


def _state(folder: Path, step: int) -> None:
    history = [
        {"epoch": 0.5, "loss": 1.0, "step": step // 2, "learning_rate": 1e-4, "grad_norm": 0.3},
        {"epoch": 1.0, "eval_loss": 0.8, "step": step},
    ]
    state = {"global_step": step, "epoch": 1.0, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state))
