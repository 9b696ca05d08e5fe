"""Scores windows of token ids: log-probability of each scored token, and whether it was likeliest.

Not for: text, or summing windows into responses (``backend.py``).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tuneval.engine.hf.passes.padded import WindowScore, finite, score_padded, targets_of
from tuneval.engine.hf.passes.prefix import score_branches
from tuneval.engine.hf.passes.schedule import Chunk, Trie, build_trie, chunks
from tuneval.engine.hf.passes.tree import Tree
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.network import Network

_SMALLEST_CHUNK = 16


def score(
    network: Network,
    tree: Tree | None,
    windows: Sequence[Window],
    *,
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
    can_expand: bool = False,
) -> Iterator[tuple[int, WindowScore]]:
    """Score windows through the packed trie; else by prefix expansion; else in padded batches.

    What runs together is planned over all windows; those in ``known`` are not yielded.

    Yields
    ------
    int, WindowScore
        Index into ``windows`` and its score, in no particular order.
    """
    if tree is None and can_expand:
        yield from _score_expanded(network, windows, token_budget, max_rows, known)
        return
    if tree is None:
        yield from score_padded(
            network, windows, token_budget=token_budget, max_rows=max_rows, known=known
        )
        return
    longest = tree.longest or sys.maxsize
    too_long = [index for index, window in enumerate(windows) if len(window.ids) - 1 > longest]
    left = [index for index, window in enumerate(windows) if len(window.ids) - 1 <= longest]
    apart: list[int] = []
    size = min(tree.chunk_size, max(16, token_budget))
    while left and size >= _SMALLEST_CHUNK:
        done: set[int] = set()
        try:
            told = {place for place, index in enumerate(left) if index in known}
            done |= told
            for place, result in score_tree(
                tree, [windows[index] for index in left], size, known=told
            ):
                done.add(place)
                if result.problem is None:
                    yield left[place], result
                else:  # a masked column that is not finite still spoils its neighbours' sums
                    apart.append(left[place])
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
            memory.release(network.device)
            size //= 2
        left = [index for place, index in enumerate(left) if place not in done]
    rest = [*too_long, *left, *apart]
    padded = score_padded(
        network,
        [windows[index] for index in rest],
        token_budget=token_budget,
        max_rows=max_rows,
        known={place for place, index in enumerate(rest) if index in known},
    )
    for place, result in padded:
        yield rest[place], result


def _score_expanded(
    network: Network,
    windows: Sequence[Window],
    token_budget: int,
    max_rows: int,
    known: Collection[int],
) -> Iterator[tuple[int, WindowScore]]:
    """Score by prefix expansion; where memory runs out, what is left in padded batches."""
    left = set(range(len(windows)))
    limits = {"token_budget": token_budget, "max_rows": max_rows}
    try:
        for index, result in score_branches(network, windows, **limits, known=known):
            left.discard(index)
            yield index, result
        return
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        memory.release(network.device)
    rest = sorted(left)
    done = {place for place, index in enumerate(rest) if index in known}
    for place, result in score_padded(
        network, [windows[index] for index in rest], **limits, known=done
    ):
        yield rest[place], result


def score_tree(
    tree: Tree, windows: Sequence[Window], size: int, *, known: Collection[int] = ()
) -> Iterator[tuple[int, WindowScore]]:
    """Score windows in one prefix tree, each distinct token pushed once.

    The tree is that of all windows. Of those in ``known`` nothing is yielded, and chunks that no
    other window needs are not pushed; the others hold the same nodes as ever, so the same bits.

    Yields
    ------
    int, WindowScore
        Index into ``windows`` and its score, as soon as its last token has been pushed.
    """
    trie = _trie_of(windows)
    nodes, targets, starts = _targets(trie, windows)
    by_node = np.argsort(nodes, kind="stable")
    sorted_nodes = nodes[by_node]
    by_leaf = np.argsort(trie.leaf, kind="stable")
    logprobs = np.empty(len(nodes), dtype=np.float32)
    greedy = np.empty(len(nodes), dtype=bool)
    finished = 0
    tree.begin()
    for chunk in chunks(trie, size, _missing_nodes(nodes, starts, known)):
        started = time.perf_counter()
        low, high = np.searchsorted(sorted_nodes, [chunk.start, chunk.stop])
        chosen = by_node[low:high]
        logprobs[chosen], greedy[chosen] = _score_chunk(
            tree, trie, chunk, nodes[chosen] - chunk.start, targets[chosen]
        )
        last = int(np.searchsorted(trie.leaf[by_leaf], chunk.stop))
        ready = by_leaf[finished:last].tolist()
        finished = last
        seconds = (time.perf_counter() - started) / max(1, len(ready))
        for index in ready:
            if index in known:
                continue
            span = slice(starts[index], starts[index + 1])
            yield index, finite(logprobs[span].tolist(), bool(greedy[span].all()), seconds)


def _trie_of(windows: Sequence[Window]) -> Trie:
    """The tree of all that windows put in; those that differ in their last token put in the same."""
    inputs: dict[tuple[int, ...], int] = {}
    places = [inputs.setdefault(window.ids[:-1], len(inputs)) for window in windows]
    trie = build_trie(list(inputs))
    return replace(trie, leaf=trie.leaf[np.array(places, dtype=np.int64)])


def _missing_nodes(
    nodes: NDArray[np.int64], starts: NDArray[np.int64], known: Collection[int]
) -> NDArray[np.int64] | None:
    """Scored nodes of the windows that are not known; None where all are missing."""
    if not known:
        return None
    is_missing = np.array([index not in known for index in range(len(starts) - 1)], dtype=bool)
    missing: NDArray[np.int64] = nodes[np.repeat(is_missing, np.diff(starts))]
    return missing


def _targets(
    trie: Trie, windows: Sequence[Window]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Node and token of every scored token, window by window, and where each window starts."""
    counts = np.array([window.n_scored for window in windows], dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)))
    nodes = np.empty(starts[-1], dtype=np.int64)
    node, place, left = trie.leaf.copy(), starts[1:] - 1, counts.copy()
    rows = np.flatnonzero(left > 0)
    while len(rows):  # one token up every window's path at a time
        nodes[place[rows]] = node[rows]
        node[rows] = trie.parent[node[rows]]
        place[rows] -= 1
        left[rows] -= 1
        rows = rows[left[rows] > 0]
    scored = [window.ids[len(window.ids) - window.n_scored :] for window in windows]
    targets = np.fromiter(itertools.chain.from_iterable(scored), np.int64, count=int(starts[-1]))
    return nodes, targets, starts


@torch.inference_mode()
def _score_chunk(
    tree: Tree,
    trie: Trie,
    chunk: Chunk,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Push a chunk and score its targets; ``rows`` are sorted and may repeat."""
    hidden = tree.push(trie, chunk)
    wanted, row_of = np.unique(rows, return_inverse=True)
    if len(wanted) < len(hidden):
        hidden = hidden[torch.from_numpy(wanted).to(hidden.device)]
    logprobs, greedy = targets_of(
        tree.head,
        hidden,
        torch.from_numpy(row_of).to(hidden.device),
        torch.from_numpy(targets).to(hidden.device),
        tree.head_rows,
    )
    return logprobs.cpu().numpy(), greedy.cpu().numpy()
