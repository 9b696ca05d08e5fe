"""Pushes a packed prefix tree through a model: every distinct token once, nothing padded.

Two ways to do so: any transformers decoder that accepts a 4D mask (``MaskedTree``), and our own
pass for small models (``FusedTree``). Both are checked against plain forwards before they are
used. Not for: planning (``schedule.py``) or log-probabilities (``loglikelihood.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuneval.engine.hf.passes.attention import attended, padded
from tuneval.engine.hf.passes.cascade import Begun, Cascade, KeysValues
from tuneval.engine.hf.passes.fused import FusedBody, Product, effective_weight, fits
from tuneval.engine.hf.passes.padded import head_rows
from tuneval.engine.hf.passes.schedule import (
    Chunk,
    Trie,
    build_trie,
    chunks,
    columns_of,
    is_visible,
)
from tuneval.engine.hf.weights.network import Network, is_near

_CHECKED = 3e-5
"""Largest difference from a plain forward, as a share of the largest logit, in float32."""
_CHECKED_HALF = 2e-2
_CHECK_CHUNK = 24
"""In whatever order the branches come, one forks within a chunk of so many and one between two."""
_ROW_STEP = 8
_NARROW = 4


class Tree(Protocol):
    """Something that can push chunks of a trie, depth first."""

    name: str
    chunk_size: int
    head_rows: int
    longest: int | None
    can_generate: bool
    shares_stems: bool
    """Whether rows under way can read keys that they share from one place."""

    def begin(self) -> None:
        """Forget all keys and values."""

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        """Hidden rows of the chunk's nodes, shape (n, hidden); keep what the next chunk needs."""

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden rows, in the model's own dtype."""

    def keys_values(self, columns: NDArray[np.int64]) -> KeysValues:
        """Keys and values of columns (path, then chunk) of the latest push."""

    def slots(self, n_rows: int, length: int, n_tokens: int) -> Slots:
        """Room for rows of up to ``length`` tokens each, and ``n_tokens`` in all."""


class Slots(Protocol):
    """Rows under way."""

    @property
    def n_free(self) -> int:
        """How many rows more are welcome."""

    @property
    def n_free_tokens(self) -> int:
        """How many tokens more can be held, those to come included."""

    def has_room(self, row: Begun) -> bool:
        """Whether a row more can be held; the first always is."""

    def add(self, row: Begun) -> None:
        """Let a row begin."""

    def order(self) -> list[int]:
        """Names of the rows in the order in which the next step takes and gives them."""

    def step(self, ids: list[int], positions: list[int]) -> Tensor:
        """Push one token per row, in the latest order; logits, shape (n, vocabulary)."""

    def remove(self, key: int, *, is_dirty: bool) -> None:
        """End a row; ``is_dirty`` where its numbers were not finite."""


class FusedTree:
    """A tree over our own forward pass.

    Keys and values lie in one buffer per layer that grows as needed; a chunk is written behind the
    path above it.
    """

    name = "packed trie, fused pass"
    longest: int | None = None
    # Smaller chunks waste less attention on branches that cannot see one another; below 128 the
    # products get slow. Logits of 64 rows stay in the cache between product and softmax.
    chunk_size = 192
    head_rows = 64
    shares_stems = True

    def __init__(self, network: Network, adapter: str | None) -> None:
        model = network.model
        self.body = FusedBody(model, adapter)
        head = model.get_output_embeddings()
        self._head = Product(effective_weight(head, adapter), getattr(head, "bias", None))
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._kept: Tensor | None = None
        self._n_path = 0
        self.can_generate = False

    def begin(self) -> None:
        self._kept = None
        self._n_path = 0

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        self._keep(len(chunk.path))
        n = chunk.stop - chunk.start
        start, stop = self._n_path, self._n_path + n
        n_columns = padded(stop)
        self._reserve(n_columns)
        visible = torch.from_numpy(is_visible(trie, chunk))
        mask = torch.full((n, n_columns), float("-inf"))
        mask[:, :stop].masked_fill_(visible, 0)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._keys[layer], self._values[layer]
            keys[:, start:stop] = k.transpose(0, 1)
            values[:, start:stop] = v.transpose(0, 1)
            keys[:, stop:n_columns] = values[:, stop:n_columns] = 0  # no row sees what was there
            return attended(q, keys[:, :n_columns], values[:, :n_columns], mask)

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

    def slots(self, n_rows: int, length: int, n_tokens: int) -> Slots:
        return Cascade(self.body, self.head, n_rows, n_tokens)

    def _keep(self, n_path: int) -> None:
        """Move the columns that the chunk before left over to the front."""
        # Along one path nothing moves.
        if self._kept is not None and n_path and int(self._kept[-1]) != n_path - 1:
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


class MaskedSlots:
    """Slots over a transformers decoder, through a cache that writes at a place of each row's."""

    def __init__(self, tree: MaskedTree, n_rows: int, length: int) -> None:
        self._rows = -(-n_rows // _ROW_STEP) * _ROW_STEP
        self._n_rows = n_rows
        self._n_tokens = n_rows * length
        self._length = length
        self.device = tree.network.device
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._columns = torch.arange(length, device=self.device)
        self._tree = tree
        self._order: list[int] = []

    def _reserve(self, like: KeysValues) -> None:
        """Take room for all rows, of the heads and widths that the first one shows."""
        # Zeros, for what lies behind a row's end is masked but still multiplied.
        self.keys, self.values = (
            [
                part[n].new_zeros((self._rows, len(part[n]), self._length, part[n].shape[2]))
                for part in like
            ]
            for n in range(2)
        )

    @property
    def n_free(self) -> int:
        return self._n_rows - len(self._order)

    @property
    def n_free_tokens(self) -> int:
        return self._n_tokens  # a free row has room for any

    def has_room(self, row: Begun) -> bool:
        return self.n_free > 0

    def add(self, row: Begun) -> None:
        if not self.keys:
            self._reserve(row.own)
        slot = len(self._order)
        self._order.append(row.key)
        for number, (keys, values) in enumerate(row.own):
            self.keys[number][slot, :, : keys.shape[1]] = keys
            self.values[number][slot, :, : values.shape[1]] = values

    def remove(self, key: int, *, is_dirty: bool) -> None:
        slot = self._order.index(key)
        last_key = self._order.pop()
        last = len(self._order)
        if slot != last:
            self._order[slot] = last_key
        for buffer in (*self.keys, *self.values):
            if slot != last:
                buffer[slot] = buffer[last]
            if is_dirty:
                buffer[last] = 0

    def order(self) -> list[int]:
        return list(self._order)

    def visible(self, positions: Tensor, stop: int, window: int | None = None) -> Tensor:
        """Which columns each row may attend to, shape (rows, stop)."""
        columns = self._columns[:stop]
        seen = columns <= positions[:, None]
        if window is not None:
            seen &= positions[:, None] - columns < window
        return seen

    def write(self, layer: int, rows: Tensor, positions: Tensor, k: Tensor, v: Tensor) -> None:
        """Keep keys and values of one token per row, each of shape (rows, heads, width)."""
        self.keys[layer][rows, :, positions] = k
        self.values[layer][rows, :, positions] = v

    def step(self, ids: list[int], positions: list[int]) -> Tensor:
        # Few different sizes: products are set up per size.
        n_more = min(-len(ids) % _ROW_STEP, self._rows - len(ids))
        tokens = torch.tensor(ids + [0] * n_more, device=self.device)
        places = torch.tensor(positions + [0] * n_more, device=self.device)
        stop = max(positions) + 1
        output = self._tree.network.body(
            input_ids=tokens[:, None],
            position_ids=places[:, None],
            attention_mask=self._tree.masks(
                lambda window: self.visible(places, stop, window)[:, None, None]
            ),
            past_key_values=_slot_cache(self, places, stop),
            use_cache=True,
        )
        return self._tree.head(output.last_hidden_state[: len(ids), 0])


def _slot_cache(slots: MaskedSlots, places: Tensor, stop: int) -> Any:
    """What a transformers decoder takes for a cache, for one step."""
    from transformers import DynamicCache

    n = len(places)
    rows = torch.arange(n, device=places.device)

    class SlotCache(DynamicCache):  # type: ignore[misc]
        def update(
            self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
        ) -> tuple[Tensor, Tensor]:
            slots.write(layer_idx, rows, places, key_states[:, :, 0], value_states[:, :, 0])
            return slots.keys[layer_idx][:n, :, :stop], slots.values[layer_idx][:n, :, :stop]

        def get_seq_length(self, *_: Any, **__: Any) -> int:
            return stop - 1

    return SlotCache()


class MaskedTree:
    """A tree over a transformers decoder that accepts a 4D mask, explicit positions and a cache."""

    name = "packed trie"
    shares_stems = False

    def __init__(self, network: Network, window: int | None) -> None:
        self.network = network
        self.can_generate = False
        config = network.model.config.get_text_config()
        self.chunk_size = 256 if network.device == "cpu" else 2048
        self.head_rows = head_rows(network)
        self._is_eager = network.model.config._attn_implementation == "eager"
        types = set(getattr(config, "layer_types", None) or ())
        # Chunked attention sees less than a plain mask once a text is longer than a chunk.
        self.longest: int | None = None
        if "chunked_attention" in types:
            self.longest = config.attention_chunk_size
        self.window = window
        # Models with one kind of layer take one mask; mixed ones take a mask per kind.
        self._kinds = sorted(types) if len(types) > 1 else []
        self._is_sliding = window is not None and types <= {"sliding_attention"}
        self._cache: Any = None
        self._kept: NDArray[np.int64] | None = None

    @classmethod
    def like(cls, checked: tuple[int | None, bool], network: Network) -> MaskedTree:
        """A tree over weights of an architecture whose window and slots were found by trying."""
        tree = cls(network, checked[0])
        tree.can_generate = checked[1]
        return tree

    def begin(self) -> None:
        from transformers import DynamicCache

        # Built without the config, so that sliding layers keep everything; the mask slides.
        self._cache = DynamicCache()
        self._kept = None

    def push(self, trie: Trie, chunk: Chunk) -> Tensor:
        device = self.network.device
        if self._kept is not None:
            index = torch.from_numpy(self._kept).to(device)
            for layer in self._cache.layers:
                layer.keys = layer.keys.index_select(2, index)
                layer.values = layer.values.index_select(2, index)
        ids = torch.from_numpy(trie.tokens[chunk.start : chunk.stop])[None].to(device)
        depth = torch.from_numpy(trie.depth[chunk.start : chunk.stop])[None].to(device)
        output = self.network.body(
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
        return self.network.head(hidden)

    def keys_values(self, columns: NDArray[np.int64]) -> KeysValues:
        index = torch.from_numpy(columns).to(self.network.device)
        return [
            (layer.keys[0][:, index], layer.values[0][:, index]) for layer in self._cache.layers
        ]

    def slots(self, n_rows: int, length: int, n_tokens: int) -> Slots:
        # A row has room for the longest, whatever it needs.
        n_rows = max(1, min(n_rows, n_tokens // length))
        return MaskedSlots(self, n_rows, length)

    def _masks(self, trie: Trie, chunk: Chunk) -> Any:
        device = self.network.device
        return self.masks(
            lambda window: torch.from_numpy(is_visible(trie, chunk, window)).to(device)[None, None]
        )

    def masks(self, visible: Callable[[int | None], Tensor]) -> Any:
        """The mask, or one per kind of layer, that the decoder takes; ``visible`` makes it."""
        if self._kinds:
            return {
                kind: self._mask(visible(self.window if kind == "sliding_attention" else None))
                for kind in self._kinds
            }
        return self._mask(visible(self.window if self._is_sliding else None))

    def _mask(self, visible: Tensor) -> Tensor:
        if not self._is_eager:
            return visible
        # Eager attention adds its mask: a bool mask would raise nothing and be silently wrong.
        dtype = self.network.model.dtype
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
    with network.shallow() as is_shallow:
        found = _find_masked(network, n_tokens)
    return _find_masked(network, n_tokens) if found is None and is_shallow else found


def _find_masked(network: Network, n_tokens: int) -> MaskedTree | None:
    try:
        window = sliding_window(network)
        if window is not None and not _slides_right(network, n_tokens):
            return None
        masked = MaskedTree(network, window)
        if _is_right(masked, network, n_tokens):
            masked.begin()  # what the check has left behind is of fewer layers
            return masked
    except (ValueError, AttributeError, RuntimeError, TypeError, KeyError, IndexError):
        pass  # architectures refuse a tree in many ways; the padded path runs them all
    return None


@contextlib.contextmanager
def narrowed(network: Network) -> Iterator[None]:
    """Let sliding layers see four positions only, so that a short probe goes beyond them."""
    config = network.model.config.get_text_config()
    window = config.sliding_window
    config.sliding_window = _NARROW
    try:
        yield
    finally:
        config.sliding_window = window


@torch.inference_mode()
def sliding_window(network: Network) -> int | None:
    """The window that the model's layers obey, found by trying: many configs name one in vain."""
    window = getattr(network.model.config.get_text_config(), "sliding_window", None)
    if not window:
        return None
    ids = torch.arange(3 * _NARROW, device=network.device)[None]
    wide = network.logits(ids)
    with narrowed(network):
        narrow = network.logits(ids)
    return None if torch.equal(wide, narrow) else int(window)


def _slides_right(network: Network, n_tokens: int) -> bool:
    with narrowed(network):
        return _is_right(MaskedTree(network, _NARROW), network, n_tokens)


@torch.inference_mode()
def _is_right(tree: Tree, network: Network, n_tokens: int) -> bool:
    """Hold a branching tree of 64 tokens against plain forwards of its paths.

    Few different numbers of rows (16, 24 and 32), for oneDNN keeps half a megabyte for each and matrix.
    """
    draw = np.random.default_rng(0)
    stem = draw.integers(0, n_tokens, 8).tolist()
    twig = [*stem, *draw.integers(0, n_tokens, 12).tolist()]
    paths = [
        [*stem, *draw.integers(0, n_tokens, 8).tolist()],
        [*twig, *draw.integers(0, n_tokens, 4).tolist()],
        [*twig[:-4], *draw.integers(0, n_tokens, 16).tolist()],
        draw.integers(0, n_tokens, 16).tolist(),
    ]
    paths = [path[: tree.longest] for path in paths]
    trie = build_trie(paths)
    tree.begin()
    found = torch.cat([tree.push(trie, chunk) for chunk in chunks(trie, _CHECK_CHUNK)])
    latest: dict[int, Tensor] = {}
    seen = 0
    # Logits of one path at a time: of a large vocabulary they are what a check holds most of.
    for path, leaf in sorted(zip(paths, trie.leaf.tolist(), strict=True), key=lambda one: one[1]):
        ids = torch.tensor([path], device=network.device)
        hidden = network.hidden(ids, None, use_cache=False).last_hidden_state[0]
        # What paths share at the front is looked at once.
        nodes = trie.path(leaf)
        first = max(0, min(int(np.searchsorted(nodes, seen)), len(nodes) - 2))
        rows = torch.from_numpy(nodes[first:]).to(found.device)
        expected = network.head(hidden[first:])
        if not _is_near(tree.head(found[rows]), expected, network):
            return False
        latest[leaf] = expected[-2:].clone()
        seen = leaf + 1
    right = [latest[leaf] for leaf in trie.leaf.tolist()]
    try:
        tree.can_generate = _has_right_slots(tree, paths, right, len(stem), network)
    except (ValueError, AttributeError, RuntimeError, TypeError, KeyError, IndexError):
        tree.can_generate = False
    return True


def _has_right_slots(
    tree: Tree, paths: list[list[int]], right: list[Tensor], n_shared: int, network: Network
) -> bool:
    """Let rows of different lengths grow by a few tokens and hold them against plain forwards."""
    longest = max(map(len, paths)) + 1
    slots = tree.slots(len(paths), longest, len(paths) * longest)
    trie = build_trie([path[:-2] for path in paths])
    tree.begin()
    (chunk,) = chunks(trie, trie.n_nodes)
    tree.push(trie, chunk)
    for key, path in enumerate(paths):
        columns = columns_of(trie, chunk, int(trie.leaf[key]))
        n_stem = n_shared if tree.shares_stems and path[:n_shared] == paths[0][:n_shared] else 0
        stem, own = np.split(columns, [n_stem])
        slots.add(
            Begun(
                key=key,
                stem_key=0 if n_stem else None,
                stem=tree.keys_values(stem),
                own=tree.keys_values(own),
                n_more=2,
            )
        )
    slots.order()
    slots.remove(0, is_dirty=False)
    for back in (2, 1):
        under_way = slots.order()
        ids = [paths[key][-back] for key in under_way]
        logits = slots.step(ids, [len(paths[key]) - back for key in under_way])
        for row, key in zip(logits, under_way, strict=True):
            if not _is_near(row[None], right[key][-back, None], network):
                return False
    return True


def _is_near(rows: Tensor, right: Tensor, network: Network) -> bool:
    """Whether logits are those of a plain forward, of the same shape."""
    return is_near(rows, right, _CHECKED if network.is_exact else _CHECKED_HALF)
