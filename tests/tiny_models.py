"""Small random models, adapters and a tokenizer trained on the spot; nothing is downloaded."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

END = "<|end|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog. Once upon a time there was a little girl.",
    "Question: What is the capital of France?\nAnswer: Paris\n\n",
    "Message: my card was refused\nTopic: card payment refused\n",
    "def add(a, b):\n    return a + b\n",
    "positive negative neutral refund shipping account login",
] * 4
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "gpt2": {},
}


def _byte_level(special: list[str]) -> Tokenizer:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return inner


def build_tokenizer(*, bos: bool = False, pad: bool = False, chat: bool = False) -> Any:
    """A byte-level BPE of about 400 tokens."""
    inner = _byte_level([END, *(["<s>"] if bos else []), *(["<pad>"] if pad else [])])
    if bos:
        number = inner.token_to_id("<s>")
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", number)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        bos_token="<s>" if bos else None,
        pad_token="<pad>" if pad else None,
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def words_only(*words: str) -> Any:
    """A tokenizer that knows these words and nothing else."""
    vocabulary = {word: number for number, word in enumerate(("[UNK]", END, *words))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token=END)


def build_model(folder: Path, family: str = "llama", *, seed: int = 0, **options: Any) -> Path:
    """Write a random model of a family, with a tokenizer, to a folder."""
    keys = ("bos", "pad", "chat")
    tokenizer = build_tokenizer(**{key: options.pop(key) for key in keys if key in options})
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 5,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **SHAPES.get(family, {}),
        **options,
    }
    if family == "gpt2":
        settings = {**settings, "n_positions": settings.pop("max_position_embeddings")}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**settings)).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_adapter(
    folder: Path, base: Path, *, seed: int = 1, scale: float = 0.3, config: Any = None
) -> Path:
    """Write an adapter with random weights for a base (a LoRA unless a config is given)."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    targets = ["c_attn"] if model.config.model_type == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    config = config or LoraConfig(
        r=4,
        lora_alpha=8,
        task_type="CAUSAL_LM",
        target_modules=targets,
        fan_in_fan_out=model.config.model_type == "gpt2",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads a deprecated property of transformers'
        peft = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape)
                parameter.copy_(
                    parameter + noise * scale if "modules_to_save" in name else noise * scale
                )
    peft.save_pretrained(folder)
    return folder


ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"max_position_embeddings": 66},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8,
                   "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 16},
}  # fmt: skip
"""Families that read in both directions -> their settings beside the usual ones."""


def build_encoder_tokenizer() -> Any:
    """A byte-level BPE that puts its own tokens around one text or a pair."""
    inner = _byte_level(["<s>", "<pad>", "</s>", "<mask>"])
    ends = [("<s>", inner.token_to_id("<s>")), ("</s>", inner.token_to_id("</s>"))]
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        cls_token="<s>",
        bos_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        eos_token="</s>",
        mask_token="<mask>",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def build_classifier(
    folder: Path, family: str, *, names: Sequence[str] = (), kind: str = "", **options: Any
) -> Path:
    """Write a random model with a head over labels, or without (``kind`` "MaskedLM", "CausalLM")."""
    tokenizer = options.pop("tokenizer", None) or (
        build_encoder_tokenizer() if family in ENCODERS else build_tokenizer()
    )
    named = {"id2label": dict(enumerate(names)), "label2id": {n: k for k, n in enumerate(names)}}
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 5,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        **SHAPES.get(family, {}),
        **ENCODERS.get(family, {}),
        **(named if names else {}),
        **options,
    }
    torch.manual_seed(settings.pop("seed", 0))
    loader = getattr(transformers, f"AutoModelFor{kind or 'SequenceClassification'}")
    model = loader.from_config(CONFIG_MAPPING[family](**settings)).eval()
    with torch.no_grad():  # some families start with zeros or tiny numbers
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_label_adapter(
    folder: Path, base: Path, *, n_labels: int, seed: int = 1, config: Any = None
) -> Path:
    """Write a SEQ_CLS (or other) adapter with random weights and a random head for a base that has none."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    task = (
        "SEQ_CLS" if config is None else str(getattr(config.task_type, "value", config.task_type))
    )
    kind = {"SEQ_CLS": "SequenceClassification", "TOKEN_CLS": "TokenClassification"}[task]
    loader = getattr(transformers, f"AutoModelFor{kind}")
    model = loader.from_pretrained(base, num_labels=n_labels)
    config = config or LoraConfig(
        r=4, lora_alpha=8, task_type="SEQ_CLS", target_modules="all-linear"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = get_peft_model(model, config)
    with torch.no_grad():
        for parameter in peft.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.2)
    peft.save_pretrained(folder)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes a key."""
    content = json.loads(path.read_text())
    content.update(changes)
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content))
