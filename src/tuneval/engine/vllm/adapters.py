"""Which adapters vLLM takes as they are, by what their folders say (no torch).

What it cannot take it drops without a word in part, so that it is refused here. Not for: whether an
adapter fits its base (``engine/hf/weights/adapter.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import AdapterError

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that an engine can be set up for."""
_SETTINGS = {
    "use_dora": "DoRA",
    "lora_bias": "a LoRA with biases of its own",
    "alora_invocation_tokens": "an activated LoRA",
    "layer_replication": "a LoRA over replicated layers",
    "trainable_token_indices": "trained tokens",
    "modules_to_save": "whole trained modules",
    "use_bdlora": "a block-diagonal LoRA",
    "use_qalora": "QALoRA",
}
_FACTOR = re.compile(r"\.lora_[AB]\.(?:[^.]+\.)?weight$")
_OUTER = ("lm_head", "embed_out", "embed_tokens", "word_embeddings", "wte", "embed_in")


def check(adapter: ModelFolder) -> None:
    """Refuse an adapter of which vLLM would leave a part out.

    Raises
    ------
    AdapterError
        Says which part, and what to do.
    """
    reasons = [*_of_settings(adapter.adapter_settings), *_of_tensors(adapter.adapter_tensors)]
    if not reasons:
        return
    raise AdapterError(
        f'adapter "{adapter.given}": vLLM cannot answer with all of it ({"; ".join(reasons)}).\n'
        "Use backend.kind: hf (leave --backend vllm away), or merge the adapter into its base and compare "
        "the merged folder with --full."
    )


def rank_of(adapter: ModelFolder) -> int:
    """The largest rank of its factors."""
    return max(_ranks(adapter.adapter_settings))


def engine_rank(ranks: Iterable[int]) -> int:
    """The least rank that an engine can be set up for and that holds all of these."""
    largest = max(ranks)
    return next(rank for rank in RANKS if rank >= largest)


def _of_settings(settings: Mapping[str, Any]) -> list[str]:
    kind = str(settings.get("peft_type") or "LORA")
    if kind != "LORA":
        return [f"it is of kind {kind}, and vLLM takes LoRA alone"]
    found = [f"it has {what}" for name, what in _SETTINGS.items() if settings.get(name)]
    if settings.get("bias") not in (None, "none"):
        found.append(f'it has trained biases (bias: "{settings["bias"]}")')
    if max(_ranks(settings)) > RANKS[-1]:
        found.append(f"its rank {max(_ranks(settings))} is above {RANKS[-1]}")
    return found


def _ranks(settings: Mapping[str, Any]) -> list[int]:
    own = [settings.get("r") or 1, *(settings.get("rank_pattern") or {}).values()]
    return [int(rank) for rank in own]


def _of_tensors(names: Iterable[str]) -> list[str]:
    names = sorted(names)
    outer = sorted({part for name in names for part in name.split(".") if part in _OUTER})
    whole = [name for name in names if not _FACTOR.search(name) and not _is_outer(name)]
    found = []
    if outer:
        found.append(f"it changes {', '.join(outer)}, which vLLM drops without a word")
    if whole:
        found.append(f'{len(whole)} of its tensors are no factors of a LoRA (first: "{whole[0]}")')
    return found


def _is_outer(name: str) -> bool:
    return any(part in _OUTER for part in name.split("."))
