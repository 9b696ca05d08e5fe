"""Scores windows in padded batches, and gives the log-probabilities of targets from hidden rows.

What every way of scoring windows stands on. Not for: sharing beginnings (``loglikelihood.py``,
``prefix.py``).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuneval.engine.hf.passes.schedule import padded_batches
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.network import Network

HEAD_ROWS = 256
"""Most rows of logits held at once."""
_HEAD_BYTES = 14 * 2**20
"""Bytes that they may take on CPU: C libraries hand out larger ones page by page, each time anew."""
_FEWEST_ROWS = 16
"""Fewer rows would make the head wait for its weights."""
_CACHED = 600_000
"""Float32 numbers that stay in the cache of a core."""


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
            network.head,
            states,
            inverse,
            torch.tensor(targets, device=network.device),
            head_rows(network),
        )
    else:
        logits = network.logits(ids, mask)[wanted[0], wanted[1]]
        logprobs, greedy = from_logits(
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
    logprobs = torch.empty(len(targets), device=row_of.device)
    greedy = torch.empty(len(targets), dtype=torch.bool, device=row_of.device)
    for first, chosen in _blocks(row_of, len(states), n_rows):
        logprobs[chosen], greedy[chosen] = from_logits(
            head(states[first : first + n_rows]), row_of[chosen] - first, targets[chosen]
        )
    return logprobs, greedy


def _blocks(row_of: Tensor, n: int, size: int) -> Iterator[tuple[int, Tensor]]:
    """First row of each block of ``size`` of the ``n`` rows, and the places of its targets."""
    order = torch.argsort(row_of, stable=True)
    bounds = torch.arange(0, n + size, size, device=row_of.device)
    cuts = torch.searchsorted(row_of[order], bounds).tolist()
    for block, (low, high) in enumerate(itertools.pairwise(cuts)):
        if low < high:
            yield block * size, order[low:high]


def head_rows(network: Network) -> int:
    """Rows of logits to hold at once: on CPU fewer where the vocabulary is large."""
    if network.device != "cpu":
        return HEAD_ROWS
    weight = network.model.get_output_embeddings().weight
    n_bytes = len(weight) * network.model.dtype.itemsize
    return max(_FEWEST_ROWS, min(HEAD_ROWS, int(_HEAD_BYTES // n_bytes)))


def from_logits(logits: Tensor, row_of: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of targets, and whether each is the first of the likeliest tokens.

    Logits of any dtype; all that is made of them is float32. On CPU a few rows at a time go through one
    buffer, which stays in the cache: with a vocabulary of 150,000 a row costs 0.09 ms so and 0.6 ms in
    arrays of all rows, for which the system hands out fresh pages each time (measured).
    """
    if logits.device.type != "cpu":
        logits = logits.float()
        return _targets_of_rows(logits, row_of, targets, torch.empty_like(logits))
    logprobs = torch.empty(len(targets))
    greedy = torch.empty(len(targets), dtype=torch.bool)
    size = min(len(logits), max(1, _CACHED // logits.shape[1]))
    buffer = torch.empty(size, logits.shape[1])
    for first, chosen in _blocks(row_of, len(logits), size):
        rows = buffer[: min(size, len(logits) - first)]
        rows.copy_(logits[first : first + size])
        logprobs[chosen], greedy[chosen] = _targets_of_rows(
            rows, row_of[chosen] - first, targets[chosen], rows
        )
    return logprobs, greedy


def _targets_of_rows(
    logits: Tensor, row_of: Tensor, targets: Tensor, out: Tensor
) -> tuple[Tensor, Tensor]:
    """What ``from_logits`` gives, of float32 rows; their log-probabilities are written to ``out``.

    On CPU ``log_softmax`` takes a third of the time of ``logsumexp``, and ``amax`` a tenth of that
    of ``argmax`` (measured), so ties alone are looked at closely.
    """
    top = logits.amax(dim=-1)[row_of]
    is_best = logits[row_of, targets] == top
    best = torch.nonzero(is_best)[:, 0]
    is_best[best] = logits[row_of[best]].argmax(dim=-1) == targets[best]
    torch.log_softmax(logits, dim=-1, out=out)
    return out[row_of, targets], is_best
