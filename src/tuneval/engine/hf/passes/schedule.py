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


# ------------------------------------------------------------------------- rows that are under way

_STEM = 128
"""What a shared beginning costs by itself, in keys that could be read meanwhile."""
_READ, _SHELF = 5, 3300
"""What reading a key from memory costs, and starting on another shelf; one product of a query with
a key that is at hand is 1."""


def stems(trie: Trie, n_rows: Sequence[int], most: int) -> Numbers:
    """How many tokens at the front of each sequence are kept once for all rows that share them.

    A row reads one shared beginning at most. Chosen are those that spare most reading: at each
    fork, either what lies above it is shared by all rows below, or they share longer beginnings
    among fewer.

    Parameters
    ----------
    n_rows : sequence of int
        How many rows go on from each sequence of the trie.
    most : int
        Most rows that are under way together: more of them read the beginning once each time.

    Returns
    -------
    int64 array, shape (n_sequences,)
        0 where a row keeps all keys of its own.
    """
    nodes, places = np.unique(trie.leaf, return_inverse=True)
    below = np.zeros(len(nodes), dtype=np.int64)
    np.add.at(below, places, np.asarray(n_rows, dtype=np.int64))
    forks = _forks(trie, nodes)
    # Parents stand before what hangs below them, so one pass backwards and one forwards do.
    order = sorted(forks)
    rows = dict.fromkeys(order, 0) | dict(zip(nodes.tolist(), below.tolist(), strict=True))
    best = dict.fromkeys(order, 0)
    is_shared = dict.fromkeys(order, False)
    for node in reversed(order):
        n_reads = -(-rows[node] // most)
        spared = (int(trie.depth[node]) + 1) * (rows[node] - n_reads) - _STEM
        # Rows that end here, above longer ones, share nothing with those unless this is taken.
        if spared > best[node]:
            best[node], is_shared[node] = spared, True
        above = forks[node]
        if above >= 0:
            best[above] += best[node]
            rows[above] += rows[node]
    shared: dict[int, int] = {-1: 0}
    for node in order:
        above = shared[forks[node]]
        shared[node] = above or (int(trie.depth[node]) + 1 if is_shared[node] else 0)
    found = np.array([shared[node] for node in nodes.tolist()], dtype=np.int64)
    return found[places] if len(nodes) else _none()


def _forks(trie: Trie, nodes: Numbers) -> dict[int, int]:
    """The given nodes and those where paths to them part, each with the next of them above it."""
    numbers = np.arange(trie.n_nodes)
    run = np.maximum.accumulate(np.where(trie.parent == numbers - 1, 0, numbers))
    above: dict[int, int] = {}
    open_: list[int] = []  # the forks on the path down to the latest node
    for node in nodes[nodes >= 0].tolist():
        last = -1
        while open_ and trie.end[open_[-1]] < node:
            last = open_.pop()
        fork = _meeting(trie, run, last, node)
        if fork >= 0 and (not open_ or open_[-1] != fork):
            above[fork] = open_[-1] if open_ else -1
            above[last] = fork
            open_.append(fork)
        above[node] = open_[-1] if open_ else -1
        open_.append(node)
    return above


def _meeting(trie: Trie, run: Numbers, a: int, b: int) -> int:
    """The last node on both paths, for ``a`` before ``b`` and not above it; -1 if there is none.

    ``run``: for each node the first one of the unforked stretch that it lies on or ends.
    """
    while a >= 0:
        start = int(run[a])
        if trie.end[start] >= b:
            inside = np.searchsorted(-trie.end[start : a + 1], -b, side="right")
            return start + int(inside) - 1
        a = int(trie.parent[start])
    return -1


def shelves(lengths: Sequence[int], readers: Sequence[int]) -> list[list[int]]:
    """Group sequences of keys of similar length, each group padded to its longest.

    The cheapest way to cut the sequences, sorted by length, into groups: padding costs time, and
    so does each group.

    Parameters
    ----------
    lengths, readers : sequences of int
        Length of each sequence of keys, and how many rows read it.

    Returns
    -------
    list of list of int
        Places in ``lengths``, each exactly once, longest first.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    longest = np.array([lengths[place] for place in order], dtype=np.int64)
    read = np.array([readers[place] for place in order], dtype=np.int64)
    # costs[n]: the least cost of the first n; a group begins at its longest.
    costs = np.zeros(len(order) + 1, dtype=np.int64)
    begins = np.zeros(len(order) + 1, dtype=np.int64)
    for n in range(1, len(order) + 1):
        most = np.maximum.accumulate(read[:n][::-1])[::-1]
        group = np.arange(n, 0, -1) * longest[:n] * (_READ + most) + _SHELF
        total = costs[:n] + group
        begins[n] = int(total.argmin())
        costs[n] = total[begins[n]]
    groups: list[list[int]] = []
    n = len(order)
    while n:
        groups.append(order[int(begins[n]) : n])
        n = int(begins[n])
    return groups[::-1]
