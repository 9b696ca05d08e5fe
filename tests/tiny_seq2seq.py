"""Small random models with an encoder and a decoder, and adapters for them; nothing is downloaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForSeq2SeqLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tiny_models import CORPUS

PAD, END, BEGIN = "<pad>", "</s>", "<s>"
POSITIONS = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
)
# One set of names for all families; each takes those that it knows.
SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model"), 32),
    **dict.fromkeys(("d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim"), 48),
    **dict.fromkeys(("num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_heads", "encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("n_positions", *POSITIONS), 128),
    "d_kv": 8,
    "attention_window": 16,
    "block_size": 8,
    "num_global_tokens": 8,
    "init_std": 0.2,
    "initializer_factor": 1.0,
    "dropout": 0.0,
}
FROM_PAD = ("t5", "mt5", "umt5", "longt5", "pegasus", "pegasus_x", "marian")
"""Families whose decoders begin with the padding token."""


def build_tokenizer(*, bart: bool = False) -> Any:
    """A byte-level BPE of about 400 tokens that ends every text, and as BART's begins it, too."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[PAD, END, BEGIN],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokens = [(token, inner.token_to_id(token)) for token in (PAD, END, BEGIN)]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}" if bart else f"$A {END}", special_tokens=tokens
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=END, pad_token=PAD, bos_token=BEGIN if bart else None
    )


def build_model(folder: Path, family: str = "t5", *, seed: int = 0, **options: Any) -> Path:
    """Write a random model of a family, with a tokenizer, to a folder."""
    tokenizer = build_tokenizer(bart=options.pop("begins", family not in FROM_PAD))
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    settings: dict[str, Any] = {
        **SETTINGS,
        "vocab_size": len(tokenizer) + 5,
        "pad_token_id": pad,
        "eos_token_id": end,
        "bos_token_id": tokenizer.convert_tokens_to_ids(BEGIN),
        "decoder_start_token_id": pad if family in FROM_PAD else end,
        "forced_eos_token_id": None,
        **options,
    }
    if "t5" in family:  # relative positions: no table of them
        for name in POSITIONS:
            del settings[name]
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(CONFIG_MAPPING[family](**settings)).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_adapter(
    folder: Path, base: Path, *, seed: int = 1, scale: float = 0.3, config: Any = None
) -> Path:
    """Write an adapter with random weights for a base (a LoRA unless a config is given)."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    is_t5 = "t5" in model.config.model_type
    config = config or LoraConfig(
        r=4,
        lora_alpha=8,
        task_type="SEQ_2_SEQ_LM",
        target_modules=["q", "v", "wo"] if is_t5 else ["q_proj", "v_proj", "fc2"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape) * scale
                parameter.copy_(parameter + noise if "modules_to_save" in name else noise)
    peft.save_pretrained(folder)
    return folder
