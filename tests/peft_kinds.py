"""One small adapter of every type that PEFT knows, with weights that act, as save_pretrained leaves it.

A type that is not named here is tried with the settings that most of them share.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

TARGETS = ["q_proj", "v_proj", "down_proj"]
TASK = {"task_type": "CAUSAL_LM"}

SETTINGS: dict[str, dict[str, Any]] = {
    "PROMPT_TUNING": {"num_virtual_tokens": 3},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": 3, "num_tasks": 2},
    "P_TUNING": {"num_virtual_tokens": 3, "encoder_hidden_size": 16},
    "PREFIX_TUNING": {"num_virtual_tokens": 3},
    "CARTRIDGE": {"num_virtual_tokens": 3},
    "CPT": {
        "cpt_token_ids": [5, 6, 7, 8],
        "cpt_mask": [1, 1, 1, 1],
        "cpt_tokens_type_mask": [1, 2, 3, 4],
    },
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
    "ADALORA": {"target_modules": TARGETS, "total_step": 10, "init_r": 4, "target_r": 4},
    "ADAMSS": {"target_modules": TARGETS, "r": 8, "num_subspaces": 2},
    "BEFT": {"target_modules": ["q_proj"]},
    "BOFT": {"target_modules": ["q_proj"], "boft_block_size": 4},
    "C3A": {"target_modules": ["q_proj"], "block_size": 8},
    "FOURIERFT": {"target_modules": TARGETS, "n_frequency": 20},
    "FROD": {"target_modules": ["q_proj"], "progressbar": False},
    "GLORA": {"target_modules": TARGETS, "r": 4},
    "GRALORA": {"target_modules": TARGETS, "r": 4, "alpha": 8},
    "IA3": {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "OFT": {"target_modules": ["q_proj"], "oft_block_size": 8},
    "OSF": {"target_modules": ["q_proj"], "effective_rank": 4},
    "ROAD": {"target_modules": ["q_proj"], "group_size": 8},
    "SHADOW": {},
    "TRAINABLE_TOKENS": {"token_indices": [5, 300]},
    "UNILORA": {"target_modules": TARGETS},
    "VBLORA": {"target_modules": ["q_proj"], "num_vectors": 8, "vector_length": 16},
    "WAVEFT": {"target_modules": TARGETS, "n_frequency": 20},
}
USUAL = {"target_modules": TARGETS, "r": 4}


def config_of(kind: str, **more: Any) -> Any:
    """Settings of an adapter of a type, by the names that this type's own class takes."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    made = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    names = made.__dataclass_fields__
    wanted = SETTINGS.get(kind, USUAL) | more
    return made(**{key: value for key, value in wanted.items() if key in names}, **TASK)


def trained(
    config: Any,
    base: Path,
    *,
    scale: float = 0.1,
    seed: int = 1,
    grown: int | None = None,
) -> Any:
    """A PEFT model on a base, every trainable number of it moved; ``grown``: tokens it has first."""
    import peft

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base)
        model.config.use_cache = config.peft_type != "XLORA"
        if grown is not None:
            model.resize_token_embeddings(grown, mean_resizing=False)
        tuned = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(torch.randn(parameter.shape) * scale)
    return tuned.eval()


def saved(tuned: Any, folder: Path) -> Path:
    """The folder that save_pretrained leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned.save_pretrained(folder)
    return folder


def loaded(folder: Path, base: Path) -> Any:
    """The adapter in a model of its own, as PEFT loads it."""
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base)
        return peft.PeftModel.from_pretrained(model, folder).eval()
