"""Which head a folder holds, by its settings and the names of its tensors alone."""

from __future__ import annotations

from typing import Any

import pytest

from tuneval.engine.hf.weights.heads import head_of_adapter, head_of_model


@pytest.mark.parametrize(
    ("config", "tensors", "head"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, (), "causal"),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, (), "causal"),
        ({"model_type": "llama"}, ("model.norm.weight",), "causal"),
        (
            {"architectures": ["BertLMHeadModel"], "model_type": "bert", "is_decoder": True},
            (),
            "causal",
        ),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, (), None),
        ({"architectures": ["BertModel"], "model_type": "bert"}, (), None),
        ({"model_type": "modernbert"}, (), None),
        (
            {"architectures": ["RobertaForSequenceClassification"], "model_type": "roberta"},
            (),
            "classification",
        ),
        (
            {"architectures": ["Qwen3ForSequenceClassification"], "model_type": "qwen3"},
            (),
            "classification",
        ),
        (
            {"model_type": "bert"},
            ("bert.pooler.dense.weight", "classifier.weight"),
            "classification",
        ),
        ({"model_type": "qwen2"}, ("model.norm.weight", "score.weight"), "classification"),
        (
            {"architectures": ["DistilBertForTokenClassification"], "model_type": "distilbert"},
            (),
            "tokens",
        ),
        (
            {
                "architectures": ["T5ForConditionalGeneration"],
                "model_type": "t5",
                "is_encoder_decoder": True,
            },
            (),
            "seq2seq",
        ),
        (
            {
                "architectures": ["BartForSequenceClassification"],
                "model_type": "bart",
                "is_encoder_decoder": True,
            },
            (),
            "classification",
        ),
    ],
)
def test_head_of_a_whole_model(config: dict[str, Any], tensors: Any, head: str | None) -> None:
    assert head_of_model(config, tensors) == head


@pytest.mark.parametrize(
    ("settings", "tensors", "head"),
    [
        ({"task_type": "CAUSAL_LM"}, (), "causal"),
        ({"task_type": "SEQ_2_SEQ_LM"}, (), "seq2seq"),
        ({"task_type": "SEQ_CLS"}, (), "classification"),
        ({"task_type": "TOKEN_CLS"}, (), "tokens"),
        ({"task_type": None}, ("base_model.model.model.layers.0.q_proj.lora_A.weight",), None),
        ({}, ("base_model.model.score.weight",), "classification"),
        ({}, ("base_model.model.classifier.dense.weight",), "classification"),
        ({}, ("base_model.model.lm_head.weight",), None),
    ],
)
def test_head_of_an_adapter(settings: dict[str, Any], tensors: Any, head: str | None) -> None:
    assert head_of_adapter(settings, tensors) == head
