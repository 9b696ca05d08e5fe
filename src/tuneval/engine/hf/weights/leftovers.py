"""What training on several devices leaves of a model that nobody has put together: said, with the command.

Reads names and tensor shapes only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from tuneval.errors import VariantError

_FSDP_FOLDER = "pytorch_model_fsdp_0"
"""Where accelerate writes the shards of FSDP."""
_WRAPPERS = {
    "_fsdp_wrapped_module.": "FSDP",
    "_orig_mod.": "torch.compile",
    "module.": "DistributedDataParallel",
}
"""What stands in the names of tensors that were saved with the model wrapped."""


def check_is_whole(shapes: Mapping[str, tuple[int, ...]], path: Path, given: str) -> None:
    """Raise VariantError where tensors are parts: empty, flat, or named by what the model was wrapped in."""
    empty = sorted(name for name, shape in shapes.items() if 0 in shape)
    if empty:
        raise VariantError(
            f'"{given}": {len(empty)} of {len(shapes)} tensors are empty (first: "{empty[0]}"). DeepSpeed '
            f"ZeRO-3 kept the numbers in shards of its own.\n{_how_to_gather(path, given)}"
        )
    flat = sorted(name for name, shape in shapes.items() if _is_lora(name) and len(shape) < 2)
    if flat:
        raise VariantError(
            f'"{given}": {len(flat)} of {len(shapes)} tensors are flat (first: "{flat[0]}"). FSDP had them in '
            "shards when they were saved.\nSave them whole: fsdp_state_dict_type: FULL_STATE_DICT, or "
            'trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT") before save_model.'
        )
    for part, maker in _WRAPPERS.items():
        wrapped = [name for name in shapes if _is_wrapped(name, part)]
        if wrapped and len(wrapped) * 2 > len(shapes):
            raise VariantError(
                f'"{given}": its tensors bear the name of a wrapper ("{wrapped[0]}"): they were saved while '
                f"{maker} had the model wrapped, and transformers does not know them.\n"
                "Save the model inside: accelerator.unwrap_model(model).save_pretrained(folder)"
            )


def _is_lora(name: str) -> bool:
    return re.search(r"\.lora_[AB]\.weight$", name) is not None


def _is_wrapped(name: str, part: str) -> bool:
    inside = name.removeprefix("base_model.model.")
    return inside.startswith(part) or (part.startswith("_") and f".{part}" in inside)


def how_to_put_together(path: Path, given: str) -> str | None:
    """What to do with a folder that holds shards and no whole model; None where it holds none."""
    if (path / "zero_to_fp32.py").is_file() or any(_children(path, "global_step*")):
        return _how_to_gather(path, given)
    if (path / _FSDP_FOLDER).is_dir() or any(_children(path, "*.distcp")):
        shards = f"{given}/{_FSDP_FOLDER}" if (path / _FSDP_FOLDER).is_dir() else given
        words = ["accelerate", "merge-weights", shards, f"{given}-whole"]
        return (
            "FSDP kept the numbers in shards of its own. Put them together, and copy config.json (or "
            f"adapter_config.json) and the tokenizer's files beside them:\n    {shlex.join(words)}"
        )
    if (path / "adapters.safetensors").is_file():
        return (
            "Its adapters.safetensors are of mlx-lm, which PEFT does not read: make a whole model with "
            "mlx_lm.fuse and give that with --full."
        )
    if (path / "pytorch_model_fsdp.bin").is_file():
        return (
            "pytorch_model_fsdp.bin holds the whole model as a pickle. Load it into the base with "
            "load_state_dict(torch.load(FILE, weights_only=True)), and save that with save_pretrained"
        )
    return None


def _how_to_gather(path: Path, given: str) -> str:
    """The command that makes one model of DeepSpeed's shards."""
    if not (path / "zero_to_fp32.py").is_file():
        return (
            "Put them together with zero_to_fp32.py of the checkpoint's folder, or train with "
            "stage3_gather_16bit_weights_on_model_save: true"
        )
    words = [f"{given}/zero_to_fp32.py", given, f"{given}-whole", "--safe_serialization"]
    return (
        f"Put them together, and copy the json files of {given} beside them:\n"
        f"    python {shlex.join(words)}"
    )


def _children(path: Path, pattern: str) -> Iterable[Path]:
    try:
        return list(path.glob(pattern))
    except OSError:
        return ()
