"""Decides what is run together: token ids in, a plan out. Holds no torch.

A plan is plain data that can be tested anywhere. Not for: running anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def padded_batches(lengths: Sequence[int], *, token_budget: int, max_rows: int) -> list[list[int]]:
    """Group rows of similar length, longest first, so that too large a batch shows at once.

    Returns
    -------
    list of list of int
        Indices into ``lengths``, each exactly once. A batch holds at most ``max_rows`` rows, and at
        most ``token_budget`` tokens, padding included, unless a single row is longer than that.
    """
    batches: list[list[int]] = []
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    width = 0
    for index in order:
        is_full = batches and (
            len(batches[-1]) >= max_rows or (len(batches[-1]) + 1) * width > token_budget
        )
        if not batches or is_full:
            batches.append([])
            width = max(1, lengths[index])
        batches[-1].append(index)
    return batches


@dataclass(frozen=True, slots=True)
class Trie:
    """Every distinct prefix of some sequences once, laid out depth first.

    Attributes
    ----------
    tokens, depth, parent, end : int64 arrays, shape (n_nodes,)
        Token id; position in its sequence; parent node (-1 at a root); last descendant. Node ``c``
        is an ancestor of node ``r``, or the node itself, iff ``c <= r <= end[c]``.
    leaf : int64 array, shape (n_sequences,)
        Node of the last token of each given sequence.
    """

    tokens: Numbers
    depth: Numbers
    parent: Numbers
    end: Numbers
    leaf: Numbers

    @property
    def n_nodes(self) -> int:
        """Number of distinct prefixes: no exact engine pushes fewer tokens."""
        return len(self.tokens)

    def path(self, node: int) -> Numbers:
        """Nodes from the root down to ``node``."""
        nodes = np.empty(int(self.depth[node]) + 1, dtype=np.int64) if node >= 0 else _none()
        for place in range(len(nodes) - 1, -1, -1):
            nodes[place] = node
            node = int(self.parent[node])
        return nodes

    def last(self, leaf: int, n: int) -> Numbers:
        """The last ``n`` nodes of the path that ends at ``leaf``, from the top down."""
        nodes = np.empty(n, dtype=np.int64)
        for place in range(n - 1, -1, -1):
            nodes[place] = leaf
            leaf = int(self.parent[leaf])
        return nodes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Nodes ``start`` to ``stop`` of a trie, and the path above them.

    ``path`` are the nodes of the kept keys and values (the ancestors of ``start``); ``kept`` are
    the columns, counted over path and chunk together, that the next chunk still needs.
    """

    start: int
    stop: int
    path: Numbers
    kept: Numbers


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """Lay out sequences of token ids as a prefix tree.

    Sequences are sorted; what neighbours share at the front becomes one path.
    """
    # Big-endian bytes sort as token lists do, and are read in place.
    keys = [np.asarray(ids, dtype=">i4").tobytes() for ids in sequences]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    common = [0, *(_n_shared(_ids(keys[a]), _ids(keys[b])) for a, b in itertools.pairwise(order))]
    n_nodes = sum(map(len, keys)) // 4 - sum(common)
    longest = max(map(len, keys), default=0) // 4
    tokens, depth, parent, end = (np.empty(n_nodes, dtype=np.int64) for _ in range(4))
    leaf = np.full(len(keys), -1, dtype=np.int64)
    path = np.full(longest + 1, -1, dtype=np.int64)
    n_before = n = 0
    for index, shared in zip(order, common, strict=False):
        ids = _ids(keys[index])
        # What hung below the fork is complete now.
        end[path[shared:n_before]] = n - 1
        fresh = len(ids) - shared
        if fresh:
            places = np.arange(n, n + fresh)
            tokens[places] = ids[shared:]
            depth[places] = np.arange(shared, len(ids))
            parent[places] = np.concatenate(([path[shared - 1] if shared else -1], places[:-1]))
            path[shared : len(ids)] = places
            n += fresh
        if len(ids):
            leaf[index] = path[len(ids) - 1]
        n_before = len(ids)
    end[path[:n_before]] = n - 1
    return Trie(tokens, depth, parent, end, leaf)


def _ids(key: bytes) -> NDArray[np.signedinteger]:
    return np.frombuffer(key, dtype=">i4")


def _none() -> Numbers:
    return np.empty(0, dtype=np.int64)


def _n_shared(a: NDArray[np.signedinteger], b: NDArray[np.signedinteger]) -> int:
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


def chunks(trie: Trie, size: int, wanted: Numbers | None = None) -> Iterator[Chunk]:
    """Cut a trie into runs of at most ``size`` nodes, each node in exactly one.

    Parameters
    ----------
    wanted : int64 array, optional
        Nodes whose rows are needed. Chunks that hold none of them, and no ancestor of a chunk that
        does, are left out; the others are cut as if none were.
    """
    starts = _needed_starts(trie, size, wanted)
    path = _none()
    for start, following in zip(starts, [*starts, trie.n_nodes][1:], strict=True):
        stop = min(start + size, trie.n_nodes)
        columns = np.concatenate([path, np.arange(start, stop)])
        # Ancestors of the next chunk's first node: exactly those columns whose subtree goes on.
        kept = np.flatnonzero(trie.end[columns] >= following)
        yield Chunk(start, stop, path, kept)
        path = columns[kept]


def _needed_starts(trie: Trie, size: int, wanted: Numbers | None) -> list[int]:
    """First nodes of the chunks to be run, in order."""
    if wanted is None:
        return list(range(0, trie.n_nodes, size))
    needed = {int(number) for number in np.unique(wanted // size)}
    # From the last to the first: an ancestor always stands before what hangs below it.
    for number in range(max(needed, default=-1), -1, -1):
        if number in needed:
            above = trie.path(int(trie.parent[number * size]))
            needed |= {int(other) for other in np.unique(above // size)}
    return [number * size for number in sorted(needed)]


def columns_of(trie: Trie, chunk: Chunk, leaf: int) -> Numbers:
    """Columns (path, then chunk) of the whole path down to a node of the chunk."""
    nodes = trie.path(leaf)
    above = np.searchsorted(chunk.path, nodes)
    return np.where(nodes < chunk.start, above, len(chunk.path) + nodes - chunk.start)


def is_visible(trie: Trie, chunk: Chunk, window: int | None = None) -> NDArray[np.bool_]:
    """Which columns (path, then chunk) each row of a chunk may attend to.

    ``window``: number of latest positions that a sliding layer sees, None for all.

    Returns
    -------
    bool array, shape (n_rows, n_path + n_rows)
    """
    columns = np.concatenate([chunk.path, np.arange(chunk.start, chunk.stop)])
    rows = np.arange(chunk.start, chunk.stop)[:, None]
    visible: NDArray[np.bool_] = (columns <= rows) & (rows <= trie.end[columns])
    if window is not None:
        visible &= trie.depth[rows] - trie.depth[columns] < window
    return visible
