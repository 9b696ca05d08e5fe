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


# ---- what each says about a training: data, settings, seed ---------------------------------------------


def torchtune_record(folder: Path, *, seed: int, data: str, rate: float) -> None:
    """torchtune writes the configuration of a run into its output folder."""
    _written(
        folder / "torchtune_config.yaml",
        f"output_dir: {folder}\nseed: {seed}\ndataset:\n  source: {data}\noptimizer:\n  lr: {rate}\n"
        f"metric_logger:\n  log_dir: {folder}/logs\n",
    )


def swift_record(folder: Path, *, seed: int, data: str, rate: float) -> None:
    """ms-swift writes all of its arguments."""
    args = {"seed": seed, "dataset": [data], "learning_rate": rate, "output_dir": str(folder)}
    _written(folder / "args.json", json.dumps(args))


def llama_factory_record(folder: Path, *, seed: int, data: str, rate: float) -> None:
    """LLaMA-Factory's web page writes the arguments of a training."""
    _written(
        folder / "training_args.yaml",
        f"dataset: {data}\nlearning_rate: {rate}\noutput_dir: {folder}\nseed: {seed}\nstage: sft\n",
    )


def axolotl_record(folder: Path, *, seed: int, data: str, rate: float) -> None:
    """Axolotl's model card holds its configuration."""
    _written(
        folder / "README.md",
        "<details><summary>See axolotl config</summary>\n\naxolotl version: `0.9.2`\n```yaml\n"
        f"datasets:\n- path: {data}\n  type: alpaca\nlearning_rate: {rate}\noutput_dir: {folder}\n"
        f"seed: {seed}\nwandb_name: try-{seed}\n```\n\n</details>\n",
    )


def trainer_record(folder: Path, *, seed: int, data: str, rate: float) -> None:
    """The Trainer's model card lists what matters."""
    _written(
        folder / "README.md",
        f"# {folder.name}\n\nThis model is a fine-tuned version of [base](base) on the {data} dataset.\n\n"
        "The following hyperparameters were used during training:\n"
        f"- learning_rate: {rate}\n- train_batch_size: 8\n- seed: {seed}\n- num_epochs: 3\n\n### More\n",
    )


RECORDS = {
    "torchtune": torchtune_record,
    "ms-swift": swift_record,
    "LLaMA-Factory": llama_factory_record,
    "Axolotl": axolotl_record,
    "Trainer": trainer_record,
}


def step_record(folder: Path, step: int) -> None:
    """The state that the Trainer writes beside its weights."""
    _state(folder, step)


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
