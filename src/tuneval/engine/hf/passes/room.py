"""What a token or a row takes of memory, and how many fit. Holds no torch.

Not for: how much is free (``weights/memory.py``) or what runs together (``schedule.py``).
"""

from __future__ import annotations

from typing import Any

from tuneval.engine.hf.weights.network import Network


def fitting(wanted: int, n_bytes: int, room: int, least: int = 1) -> int:
    """``wanted``, halved until so many of ``n_bytes`` each fit into ``room``; ``least`` at least.

    Halves, so that a little more or less of free memory changes no batch.
    """
    while wanted > least and wanted * n_bytes > room:
        wanted //= 2
    return max(wanted, least)


def held_bytes(network: Network) -> int:
    """Keys and values of one token in all layers."""
    config = network.model.config.get_text_config()
    n_heads = _number(config, "num_attention_heads", 1)
    width = _number(config, "head_dim", _number(config, "hidden_size", 0) // n_heads)
    n_kept = _number(config, "num_key_value_heads", n_heads)
    n_layers = _number(config, "num_hidden_layers", 1)
    return 2 * n_layers * n_kept * width * int(network.model.dtype.itemsize)


def scored_bytes(network: Network) -> int:
    """Keys and values of one token, and the widest rows that are made of it on the way."""
    config = network.model.config.get_text_config()
    hidden = _number(config, "hidden_size", 0)
    wide = _number(config, "intermediate_size", 4 * hidden)
    rows = (4 * wide + 8 * hidden) * int(network.model.dtype.itemsize)
    return held_bytes(network) + rows


def logits_bytes(network: Network) -> int:
    """One row of logits, and its float32 copy."""
    n_tokens = len(network.model.get_input_embeddings().weight)
    return n_tokens * (int(network.model.dtype.itemsize) + 4)


def _number(config: Any, name: str, otherwise: int) -> int:
    """A number of a config; some families name it otherwise or have one for each layer."""
    value = getattr(config, name, None)
    if isinstance(value, (list, tuple)):
        value = max((one for one in value if isinstance(one, int)), default=None)
    return value if isinstance(value, int) and value > 0 else otherwise
