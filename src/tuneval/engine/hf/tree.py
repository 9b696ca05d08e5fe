"""Pushes a packed prefix tree through a model: every distinct token once, nothing padded.

Two ways to do so: any transformers decoder that accepts a 4D mask (``MaskedTree``), and our own
pass for small models (``FusedTree``). Both are checked against plain forwards before they are
used. Not for: planning (``schedule.py``) or log-probabilities (``loglikelihood.py``).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tuneval.engine.hf.fused import FusedBody, Product, effective_weight, fits
from tuneval.engine.hf.loading import Network
from tuneval.engine.hf.schedule import Chunk, Trie, build_trie, chunks, is_visible

KeysValues = list[tuple[Tensor, Tensor]]
"""Per layer keys and values, each of shape (kv heads, tokens, width)."""

_CHECKED = 3e-5
"""Largest difference from a plain forward, as a share of the largest logit, in float32."""
_CHECKED_HALF = 2e-2


class Tree(Protocol):
    """Something that can push chunks of a trie, depth first."""

    name: str
    chunk_size: int
    head_rows: int
    longest: int | None

    def begin(self) -> None:
        """Forget all keys and values."""

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        """Hidden rows of the chunk's nodes, shape (n, hidden); keep what the next chunk needs."""

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden rows, float32."""

    def keys_values(self, columns: NDArray[np.int64]) -> KeysValues:
        """Keys and values of columns (path, then chunk) of the latest push."""


class FusedTree:
    """A tree over our own forward pass.

    Keys and values lie in one buffer per layer that grows as needed; a chunk is written behind the
    path above it.
    """

    name = "packed trie, fused pass"
    longest: int | None = None
    # Smaller chunks waste less attention on branches that cannot see one another.
    chunk_size = 128
    head_rows = 128

    def __init__(self, network: Network, adapter: str | None) -> None:
        model = network.model
        self.body = FusedBody(model, adapter)
        head = model.get_output_embeddings()
        self._head = Product(effective_weight(head, adapter), getattr(head, "bias", None))
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._kept: Tensor | None = None
        self._n_path = 0

    def begin(self) -> None:
        self._kept = None
        self._n_path = 0

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        self._keep(len(chunk.path))
        n = chunk.stop - chunk.start
        self._reserve(self._n_path + n)
        visible = torch.from_numpy(is_visible(trie, chunk))
        mask = torch.zeros(visible.shape).masked_fill_(~visible, float("-inf"))
        start, stop = self._n_path, self._n_path + n

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._keys[layer], self._values[layer]
            keys[:, start:stop] = k.transpose(0, 1)
            values[:, start:stop] = v.transpose(0, 1)
            mixed = functional.scaled_dot_product_attention(
                q.transpose(0, 1)[None],
                keys[None, :, :stop],
                values[None, :, :stop],
                attn_mask=mask,
                enable_gqa=True,
            )
            return mixed[0].transpose(0, 1).reshape(n, -1)

        ids = torch.from_numpy(trie.tokens[chunk.start : chunk.stop])
        depth = torch.from_numpy(trie.depth[chunk.start : chunk.stop])
        hidden = self.body.run(ids, depth, attend)
        self._kept = torch.from_numpy(chunk.kept)
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        return self._head.plain(hidden)

    def keys_values(self, columns: NDArray[np.int64]) -> KeysValues:
        index = torch.from_numpy(columns)
        return [
            (keys[:, index], values[:, index])
            for keys, values in zip(self._keys, self._values, strict=True)
        ]

    def _keep(self, n_path: int) -> None:
        """Move the columns that the chunk before left over to the front."""
        if self._kept is not None:
            for buffers in (self._keys, self._values):
                for buffer in buffers:
                    buffer[:, : len(self._kept)] = buffer[:, self._kept]
        self._n_path = n_path

    def _reserve(self, n: int) -> None:
        if self._keys and self._keys[0].shape[1] >= n:
            return
        size = max(1024, 1 << (n - 1).bit_length())
        shape = (self.body.n_kv, size, self.body.width)
        for buffers in (self._keys, self._values):
            grown = [torch.empty(shape) for _ in self.body.layers]
            for old, new in zip(buffers, grown, strict=False):
                new[:, : self._n_path] = old[:, : self._n_path]
            buffers[:] = grown


class MaskedTree:
    """A tree over a transformers decoder that accepts a 4D mask, explicit positions and a cache."""

    name = "packed trie"
    head_rows = 256

    def __init__(self, network: Network) -> None:
        self._network = network
        config = network.model.config.get_text_config()
        self.chunk_size = 256 if network.device == "cpu" else 2048
        self.longest: int | None = getattr(config, "attention_chunk_size", None)
        self._is_eager = network.model.config._attn_implementation == "eager"
        types = set(getattr(config, "layer_types", None) or ())
        window = getattr(config, "sliding_window", None)
        if getattr(config, "use_sliding_window", True) is False:
            window = None
        self._window: int | None = window
        # Models with one kind of layer take one mask; mixed ones take a mask per kind.
        self._kinds = sorted(types) if len(types) > 1 else []
        self._is_sliding = window is not None and types <= {"sliding_attention"}
        self._cache: Any = None
        self._kept: NDArray[np.int64] | None = None

    def begin(self) -> None:
        from transformers import DynamicCache

        # Built without the config, so that sliding layers keep everything; the mask slides.
        self._cache = DynamicCache()
        self._kept = None

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        device = self._network.device
        if self._kept is not None:
            index = torch.from_numpy(self._kept).to(device)
            for layer in self._cache.layers:
                layer.keys = layer.keys.index_select(2, index)
                layer.values = layer.values.index_select(2, index)
        ids = torch.from_numpy(trie.tokens[chunk.start : chunk.stop])[None].to(device)
        depth = torch.from_numpy(trie.depth[chunk.start : chunk.stop])[None].to(device)
        output = self._network.body(
            input_ids=ids,
            position_ids=depth,
            attention_mask=self._masks(trie, chunk),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._kept = chunk.kept
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        return self._network.head(hidden)

    def keys_values(self, columns: NDArray[np.int64]) -> KeysValues:
        index = torch.from_numpy(columns).to(self._network.device)
        return [
            (layer.keys[0][:, index], layer.values[0][:, index]) for layer in self._cache.layers
        ]

    def _masks(self, trie: Trie, chunk: Chunk) -> Any:
        if self._kinds:
            return {
                kind: self._mask(trie, chunk, self._window if kind == "sliding_attention" else None)
                for kind in self._kinds
            }
        return self._mask(trie, chunk, self._window if self._is_sliding else None)

    def _mask(self, trie: Trie, chunk: Chunk, window: int | None) -> Tensor:
        visible = torch.from_numpy(is_visible(trie, chunk, window))[None, None]
        visible = visible.to(self._network.device)
        if not self._is_eager:
            return visible
        # Eager attention adds its mask: a bool mask would raise nothing and be silently wrong.
        dtype = self._network.model.dtype
        lowest = torch.finfo(dtype).min
        return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
            ~visible, lowest
        )


def find_tree(network: Network, adapter: str | None, n_tokens: int) -> Tree | None:
    """The fastest way to push a trie through this model that gives its own logits, or None.

    Parameters
    ----------
    adapter : str or None
        PEFT's name of the adapter that is on.
    n_tokens : int
        Size of the vocabulary to draw the check's tokens from.
    """
    if network.own_forward is not None or not network.is_split:
        return None
    if fits(network.model):
        try:
            fused = FusedTree(network, adapter)
            if _is_right(fused, network, n_tokens):
                return fused
        except (ValueError, AttributeError, RuntimeError, TypeError, KeyError):
            pass  # an adapter or a setting that the fused pass does not know
    try:
        masked = MaskedTree(network)
        if _is_right(masked, network, n_tokens):
            return masked
    except (ValueError, AttributeError, RuntimeError, TypeError, KeyError, IndexError):
        pass  # architectures refuse a tree in many ways; the padded path runs them all
    return None


@torch.inference_mode()
def _is_right(tree: Tree, network: Network, n_tokens: int) -> bool:
    """Hold a branching tree of about fifty tokens against plain forwards of its paths."""
    draw = np.random.default_rng(0)
    stem = draw.integers(0, n_tokens, 12).tolist()
    twig = [*stem, *draw.integers(0, n_tokens, 9).tolist()]
    paths = [
        [*stem, *draw.integers(0, n_tokens, 7).tolist()],
        [*twig, *draw.integers(0, n_tokens, 5).tolist()],
        [*twig[:-2], *draw.integers(0, n_tokens, 8).tolist()],
        draw.integers(0, n_tokens, 6).tolist(),
    ]
    paths = [path[: tree.longest] for path in paths]
    trie = build_trie(paths)
    tree.begin()
    found = torch.cat([tree.head(tree.push(trie, chunk)) for chunk in chunks(trie, 16)])
    is_exact = network.model.dtype in (torch.float32, torch.float64)
    bound = _CHECKED if is_exact else _CHECKED_HALF
    for path, leaf in zip(paths, trie.leaf, strict=True):
        right = network.logits(torch.tensor([path], device=network.device))[0]
        mine = found[torch.from_numpy(trie.path(int(leaf)))]
        scale = float(right.abs().max().clamp(min=1.0))
        if not torch.isfinite(mine).all() or float((mine - right).abs().max()) > bound * scale:
            return False
    return True
