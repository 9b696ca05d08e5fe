"""What a token takes, and how many of them fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tiny_models import SHAPES, build_model
from tuneval.engine.hf.passes.room import fitting, held_bytes, logits_bytes, scored_bytes
from tuneval.engine.hf.weights.network import Network


@pytest.mark.parametrize(
    ("wanted", "n_bytes", "room", "least", "fits"),
    [
        (2048, 10, 20480, 1, 2048),
        (2048, 10, 20479, 1, 1024),
        (2048, 10, 3000, 1, 256),
        (2048, 10, 0, 16, 16),
        pytest.param(8, 10, 0, 16, 16, id="never below the least"),
        pytest.param(128, 0, 0, 1, 128, id="what takes nothing"),
    ],
)
def test_fitting(wanted: int, n_bytes: int, room: int, least: int, fits: int) -> None:
    assert fitting(wanted, n_bytes, room, least) == fits


@pytest.mark.parametrize("family", SHAPES)
def test_keys_and_values_of_a_token_are_as_large_as_the_cache_holds_them(
    family: str, tmp_path: Path
) -> None:
    folder = build_model(tmp_path / family, family)
    network = Network(AutoModelForCausalLM.from_pretrained(folder), device="cpu")
    with torch.inference_mode():
        cache = network.model(torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held_bytes(network) == held // 3
    assert scored_bytes(network) > held_bytes(network)
    assert logits_bytes(network) == 8 * network.model.config.vocab_size
