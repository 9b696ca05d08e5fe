"""Scores windows of token ids: log-probability of each scored token, and whether it was likeliest.

Not for: text, or summing windows into responses (``backend.py``).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuneval.engine.hf.passes.schedule import Chunk, Trie, build_trie, chunks, padded_batches
from tuneval.engine.hf.passes.tree import Tree
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.loading import Network

HEAD_ROWS = 256
"""Rows of logits held at once: with a vocabulary of 150,000 they are 150 MB in float32."""


_SMALLEST_CHUNK = 16


@dataclass(frozen=True, slots=True)
class WindowScore:
    """``logprobs`` of the scored tokens in nats; ``problem`` says why there are none."""

    logprobs: tuple[float, ...] = ()
    is_greedy: bool = True
    seconds: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Input:
    """Distinct ids that go through the model, and the windows that want rows of them."""

    ids: tuple[int, ...]
    windows: tuple[int, ...]
    n_rows: int


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
    from tuneval.engine.hf.passes.prefix import score_branches

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


def score_padded(
    network: Network,
    windows: Sequence[Window],
    *,
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
) -> Iterator[tuple[int, WindowScore]]:
    """Score windows in batches of similar length, padded on the right.

    Right padding cannot touch a causal model's earlier positions, so no pad token is needed.
    Batches are planned over all windows, and those in ``known`` are not yielded, so that a window's
    bits do not depend on what was done before.

    Yields
    ------
    int, WindowScore
        Index into ``windows`` and its score, in no particular order.
    """
    inputs = _distinct(windows)
    if network.own_forward is not None or not network.can_pad:
        max_rows = 1
    lengths = [len(item.ids) for item in inputs]
    for index, window in enumerate(windows):
        if window.n_scored == 0 and index not in known:
            yield index, WindowScore()
    for batch in padded_batches(lengths, token_budget=token_budget, max_rows=max_rows):
        chosen = [inputs[index] for index in batch]
        if all(window in known for item in chosen for window in item.windows):
            continue
        for index, score in _halving(network, chosen, windows):
            if index not in known:
                yield index, score


def _distinct(windows: Sequence[Window]) -> list[_Input]:
    """Windows that differ in their last token alone share one pass."""
    wanted: dict[tuple[int, ...], list[int]] = {}
    for index, window in enumerate(windows):
        if window.n_scored > 0:
            wanted.setdefault(window.ids[:-1], []).append(index)
    return [
        _Input(ids, tuple(indices), max(windows[index].n_scored for index in indices))
        for ids, indices in wanted.items()
    ]


def _halving(
    network: Network, batch: list[_Input], windows: Sequence[Window]
) -> Iterator[tuple[int, WindowScore]]:
    """Score a batch; where memory runs out, each half of it; at one row, say so and go on."""
    started = time.perf_counter()
    try:
        scored = _score_batch(network, batch, windows)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        scored = None
    if scored is not None:
        seconds = (time.perf_counter() - started) / max(1, len(scored))
        for index, (logprobs, is_greedy) in scored:
            yield index, finite(logprobs, is_greedy, seconds)
        return
    memory.release(network.device)
    if len(batch) == 1:
        problem = f"out of memory: a sequence of {len(batch[0].ids)} tokens does not fit"
        yield from ((index, WindowScore(problem=problem)) for index in batch[0].windows)
        return
    middle = len(batch) // 2
    yield from _halving(network, batch[:middle], windows)
    yield from _halving(network, batch[middle:], windows)


def finite(logprobs: list[float], is_greedy: bool, seconds: float) -> WindowScore:
    """The score of a window, or the problem that its numbers are not finite."""
    if all(abs(value) < float("inf") for value in logprobs):  # False for nan too
        return WindowScore(tuple(logprobs), is_greedy, seconds)
    return WindowScore(
        seconds=seconds, problem="nonfinite: the model's logits are not finite for this request"
    )


@torch.inference_mode()
def _score_batch(
    network: Network, batch: list[_Input], windows: Sequence[Window]
) -> list[tuple[int, tuple[list[float], bool]]]:
    width = max(len(item.ids) for item in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(batch):
        ids[row, : len(item.ids)] = torch.tensor(item.ids)
        mask[row, : len(item.ids)] = 1
    ids, mask = ids.to(network.device), mask.to(network.device)
    # Targets: (row, position, token) of every scored token of every window.
    rows: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    owners: list[tuple[int, int]] = []
    for row, item in enumerate(batch):
        for index in item.windows:
            n = windows[index].n_scored
            rows += [row] * n
            positions += range(len(item.ids) - n, len(item.ids))
            targets += windows[index].ids[-n:]
            owners.append((index, n))
    places = torch.tensor([rows, positions], device=network.device)
    wanted, inverse = torch.unique(places, dim=1, return_inverse=True)
    if network.is_split and network.own_forward is None:
        states = network.hidden(ids, mask, use_cache=False).last_hidden_state
        states = states[wanted[0], wanted[1]]
        logprobs, greedy = targets_of(
            network.head, states, inverse, torch.tensor(targets, device=network.device), HEAD_ROWS
        )
    else:
        logits = network.logits(ids, mask)[wanted[0], wanted[1]]
        logprobs, greedy = _from_logits(
            logits, inverse, torch.tensor(targets, device=network.device)
        )
    values, is_best = logprobs.tolist(), greedy.tolist()
    scored = []
    start = 0
    for index, n in owners:
        scored.append((index, (values[start : start + n], all(is_best[start : start + n]))))
        start += n
    return scored


def targets_of(
    head: Callable[[Tensor], Tensor],
    states: Tensor,
    row_of: Tensor,
    targets: Tensor,
    n_rows: int,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of targets and whether each is the likeliest, from hidden rows.

    Parameters
    ----------
    states : Tensor, shape (n_states, width)
    row_of, targets : Tensor, shape (n_targets,)
        Hidden row and token id of each target.
    n_rows : int
        Rows of logits held at once.

    Returns
    -------
    Tensor, Tensor, shape (n_targets,)
        float32 nats, and bool.
    """
    order = torch.argsort(row_of)
    bounds = torch.arange(0, len(states) + n_rows, n_rows, device=row_of.device)
    cuts = torch.searchsorted(row_of[order], bounds).tolist()
    logprobs = torch.empty(len(targets), device=row_of.device)
    greedy = torch.empty(len(targets), dtype=torch.bool, device=row_of.device)
    for block, (low, high) in enumerate(itertools.pairwise(cuts)):
        if low == high:
            continue
        first = block * n_rows
        logits = head(states[first : first + n_rows])
        chosen = order[low:high]
        logprobs[chosen], greedy[chosen] = _from_logits(
            logits, row_of[chosen] - first, targets[chosen]
        )
    return logprobs, greedy


def _from_logits(logits: Tensor, row_of: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of targets, and whether each is the first of the likeliest tokens.

    On CPU ``log_softmax`` takes a third of the time of ``logsumexp``, and ``amax`` a tenth of that
    of ``argmax`` (measured), so ties alone are looked at closely.
    """
    top = logits.amax(dim=-1)[row_of]
    is_best = logits[row_of, targets] == top
    logprobs = logits.log_softmax(dim=-1)[row_of, targets]
    best = torch.nonzero(is_best)[:, 0]
    is_best[best] = logits[row_of[best]].argmax(dim=-1) == targets[best]
    return logprobs, is_best
