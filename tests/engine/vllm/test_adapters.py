from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.vllm.adapters import check, engine_rank, rank_of
from tuneval.errors import AdapterError

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def folder(settings: dict[str, Any], *more: str) -> ModelFolder:
    names = (f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight", *more)
    return ModelFolder(
        Path("here"),
        "here",
        has_adapter=True,
        has_model=False,
        adapter_settings={"peft_type": "LORA", "r": 8, **settings},
        adapter_tensors=dict.fromkeys(names, (8, 8)),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "bias": "none", "modules_to_save": None, "use_dora": False},
        {"rank_pattern": {"q_proj": 512}, "alpha_pattern": {"q_proj": 3}},
        {"init_lora_weights": "gaussian"},
    ],
    ids=["plain", "nothing more", "patterns", "init"],
)
def test_a_plain_lora_is_taken(settings: dict[str, Any]) -> None:
    check(folder(settings))


@pytest.mark.parametrize(
    ("settings", "more", "says"),
    [
        ({"peft_type": "IA3"}, (), "it is of kind IA3, and vLLM takes LoRA alone"),
        ({"use_dora": True}, (), "it has DoRA"),
        ({"bias": "lora_only"}, (), r'it has trained biases \(bias: "lora_only"\)'),
        ({"modules_to_save": ["lm_head"]}, (), "it has whole trained modules"),
        ({"trainable_token_indices": [3]}, (), "it has trained tokens"),
        ({"r": 600}, (), "its rank 600 is above 512"),
        ({"rank_pattern": {"q_proj": 1024}}, (), "its rank 1024 is above 512"),
        ({}, ("base_model.model.lm_head.lora_A.weight",), "it changes lm_head, which vLLM drops"),
        (
            {},
            ("base_model.model.model.embed_tokens.lora_embedding_A",),
            "it changes embed_tokens, which vLLM drops",
        ),
        (
            {},
            ("base_model.model.model.norm.weight",),
            r'1 of its tensors are no factors of a LoRA \(first: "base_model.model.model.norm.weight"',
        ),
    ],
)
def test_what_would_be_left_out_is_refused(
    settings: dict[str, Any], more: tuple[str, ...], says: str
) -> None:
    with pytest.raises(AdapterError, match=says) as error:
        check(folder(settings, *more))
    assert "backend.kind: hf" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "rank"),
    [({"r": 1}, 8), ({"r": 8}, 8), ({"r": 9}, 16), ({"r": 4, "rank_pattern": {"q": 100}}, 128)],
)
def test_the_engine_is_set_up_for_the_largest_rank(settings: dict[str, Any], rank: int) -> None:
    assert engine_rank([2, rank_of(folder(settings))]) == rank
