"""Which head a model has: what its answers come from. Reads settings and tensor names, imports no torch.

Not for: whether it can be asked at all (``kind.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuneval.types import Head

ENCODERS = frozenset(
    (
        "albert",
        "bert",
        "big_bird",
        "camembert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "ernie",
        "eurobert",
        "flaubert",
        "funnel",
        "luke",
        "megatron-bert",
        "mobilebert",
        "modernbert",
        "mpnet",
        "nystromformer",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "squeezebert",
        "xlm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    )
)
"""Kinds that read in both directions unless their settings say is_decoder."""
OF_TASK: Mapping[str, Head] = {
    "CAUSAL_LM": "causal",
    "SEQ_2_SEQ_LM": "seq2seq",
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "tokens",
}
"""PEFT's ``task_type`` -> head."""
_ENDINGS: Mapping[str, Head] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tokens",
}
_LABEL_HEADS = ("classifier", "score")
"""What transformers calls a head over labels."""
_TEXT_HEADS = ("lm_head", "embed_out")


def head_of_model(config: Mapping[str, Any], tensors: Iterable[str] = ()) -> Head | None:
    """Head of a whole model; None of an encoder that has none but for filling gaps.

    Where the settings name no architecture, the tensors tell.
    """
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    for ending, head in _ENDINGS.items():
        if architecture.endswith(ending):
            return head
    if not architecture and _has_label_head(tensors):
        return "classification"
    if config.get("is_encoder_decoder"):
        return "seq2seq"
    if is_encoder(config):
        return None
    return "causal"


def head_of_adapter(settings: Mapping[str, Any], tensors: Iterable[str] = ()) -> Head | None:
    """Head that an adapter was trained for; None where it does not say, so that it is its base's."""
    task = settings.get("task_type")
    if task is not None:
        return OF_TASK.get(str(task))
    return "classification" if _has_label_head(tensors) else None


def head_of_object(model: Any) -> Head | None:
    """Head of a model in memory, by its class; PEFT's wrapper is looked through."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = getattr(inner, "config", None)
    named = ("model_type", "is_decoder", "is_encoder_decoder")
    settings = {name: getattr(config, name, None) for name in named}
    return head_of_model({**settings, "architectures": [type(inner).__name__]})


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Does a model read in both directions, so that it would see the label that it is asked for?"""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    is_kind = config.get("model_type") in ENCODERS or architecture.endswith("ForMaskedLM")
    return is_kind and not config.get("is_decoder")


def _has_label_head(tensors: Iterable[str]) -> bool:
    parts = {part for name in tensors for part in name.split(".")}
    return not parts.isdisjoint(_LABEL_HEADS) and parts.isdisjoint(_TEXT_HEADS)
