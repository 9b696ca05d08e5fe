"""Scores windows by prefix expansion: a shared beginning is computed once, endings are batch rows.

For models that take no packed tree (their positions come from the place in a row, as with ALiBi),
but do take keys and values of earlier tokens. Not for: planning (``branches.py``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuneval.engine.hf.passes.branches import MIN_SAVED, Branch, plan_branches
from tuneval.engine.hf.passes.padded import (
    WindowScore,
    finite,
    head_rows,
    score_padded,
    targets_of,
)
from tuneval.engine.hf.passes.schedule import padded_batches
from tuneval.engine.hf.passes.tree import narrowed, sliding_window
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.weights.network import Network

NAME = "prefix expansion"
_KEPT_TOKENS = 16
"""Tokens of keys and values that are held for each token of the budget."""
_CHECKED, _CHECKED_NARROW = 3e-5, 2e-2

KeysValues = list[tuple[Tensor, Tensor]]


@dataclass(slots=True)
class _Scores:
    """Scored tokens of all windows as they come in."""

    windows: Sequence[Window]
    logprobs: list[list[float]] = field(init=False)
    is_greedy: list[bool] = field(init=False)
    n_left: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.logprobs = [[0.0] * window.n_scored for window in self.windows]
        self.is_greedy = [True] * len(self.windows)
        self.n_left = [window.n_scored for window in self.windows]

    def put(
        self, wanted: Sequence[tuple[int, int]], logprobs: Sequence[float], greedy: Sequence[bool]
    ) -> list[int]:
        """Enter scores of (window, number of the scored token); windows that are complete now."""
        complete = []
        for (window, number), logprob, is_best in zip(wanted, logprobs, greedy, strict=True):
            self.logprobs[window][number] = logprob
            self.is_greedy[window] &= is_best
            self.n_left[window] -= 1
            if not self.n_left[window]:
                complete.append(window)
        return complete

    def result(self, window: int, seconds: float) -> WindowScore:
        return finite(self.logprobs[window], self.is_greedy[window], seconds)


def score_branches(
    network: Network,
    windows: Sequence[Window],
    *,
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
    min_saved: int = MIN_SAVED,
) -> Iterator[tuple[int, WindowScore]]:
    """Score windows, each shared beginning pushed once.

    What runs together is planned over all windows; those in ``known`` are not yielded, and what
    nothing else needs is not pushed.

    Yields
    ------
    int, WindowScore
        Index into ``windows`` and its score, in no particular order.
    """
    scored = [index for index, window in enumerate(windows) if window.n_scored > 0]
    for index, window in enumerate(windows):
        if window.n_scored == 0 and index not in known:
            yield index, WindowScore()
    inputs = list(dict.fromkeys(windows[index].ids[:-1] for index in scored))
    place = {ids: number for number, ids in enumerate(inputs)}
    owners: list[list[int]] = [[] for _ in inputs]
    for index in scored:
        owners[place[windows[index].ids[:-1]]].append(index)
    run = _Run(network, inputs, owners, windows, known)
    branches = plan_branches(inputs, min_saved=min_saved)
    needed = run.needed(branches)
    path: list[tuple[int, KeysValues]] = []
    for number, branch in enumerate(branches):
        if not needed[number]:
            continue
        while path and path[-1][0] != branch.above:
            path.pop()
        above = path[-1][1] if path else []
        if branch.ids:
            above = yield from run.push_branch(branches, number, above)
        path.append((number, above))
        rows = [row for row in branch.rows if len(inputs[row]) > branch.stop]
        lengths = [len(inputs[row]) - branch.stop for row in rows]
        longest = branch.stop + max(lengths, default=0)
        n_kept = max(1, token_budget * _KEPT_TOKENS // max(1, longest))
        for batch in padded_batches(
            lengths, token_budget=token_budget, max_rows=min(max_rows, n_kept)
        ):
            chosen = [rows[index] for index in batch]
            if run.is_wanted(chosen):
                yield from run.push_rows(branch, chosen, above)


class _Run:
    """One pass over a plan."""

    def __init__(
        self,
        network: Network,
        inputs: Sequence[tuple[int, ...]],
        owners: Sequence[Sequence[int]],
        windows: Sequence[Window],
        known: Collection[int],
    ) -> None:
        self.network = network
        self.inputs = inputs
        self.owners = owners
        self.windows = windows
        self.known = known
        self.scores = _Scores(windows)

    def is_wanted(self, rows: Sequence[int]) -> bool:
        """Whether any window of some inputs is still to be answered."""
        return any(window not in self.known for row in rows for window in self.owners[row])

    def needed(self, branches: Sequence[Branch]) -> list[bool]:
        """Branches with a row that is wanted, and all above them."""
        needed = [self.is_wanted(branch.rows) for branch in branches]
        for number in range(len(branches) - 1, 0, -1):  # what is above stands before
            needed[branches[number].above] |= needed[number]
        return needed

    def push_branch(
        self, branches: Sequence[Branch], number: int, above: KeysValues
    ) -> Generator[tuple[int, WindowScore], None, KeysValues]:
        """Push a shared beginning, score what is scored within it, return its keys and values."""
        branch = branches[number]
        started = time.perf_counter()
        below = _below(branches, number)
        places = [
            (window, token, position - branch.start)
            for row in below
            for window, token, position in self._scored(row)
            if branch.start <= position < branch.stop
        ]
        with torch.inference_mode():
            hidden, kept = self._forward([branch.ids], branch.start, above)
            complete = self._enter(hidden[0], places)
        yield from self._finished(complete, started)
        return kept

    def push_rows(
        self, branch: Branch, rows: Sequence[int], above: KeysValues
    ) -> Iterator[tuple[int, WindowScore]]:
        """Push what is left of some inputs as the rows of a batch."""
        started = time.perf_counter()
        tails = [self.inputs[row][branch.stop :] for row in rows]
        width = max(map(len, tails))
        places = [
            (window, token, line * width + position - branch.stop)
            for line, row in enumerate(rows)
            for window, token, position in self._scored(row)
            if position >= branch.stop
        ]
        with torch.inference_mode():
            hidden, _ = self._forward(tails, branch.stop, above)
            complete = self._enter(hidden.flatten(0, 1), places)
        yield from self._finished(complete, started)

    def _scored(self, row: int) -> Iterator[tuple[int, int, int]]:
        """(window, number of its scored token, position of the input token before it)."""
        for window in self.owners[row]:
            n = self.windows[window].n_scored
            first = len(self.inputs[row]) - n
            yield from ((window, token, first + token) for token in range(n))

    def _forward(
        self, lines: Sequence[tuple[int, ...]], start: int, above: KeysValues
    ) -> tuple[Tensor, KeysValues]:
        """Hidden states (rows, width, hidden) of lines that follow the same kept tokens.

        Lines are filled up on the right, which no earlier position of a causal model can see.
        """
        from transformers import DynamicCache

        network = self.network
        width = max(map(len, lines))
        ids = torch.zeros((len(lines), width), dtype=torch.long)
        for number, line in enumerate(lines):
            ids[number, : len(line)] = torch.tensor(line)
        # Built without the config, so that sliding layers keep everything; their mask slides.
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(above):
            cache.update(_repeated(keys, len(lines)), _repeated(values, len(lines)), layer)
        options: dict[str, Any] = {}
        if network.takes_positions:
            options["position_ids"] = torch.arange(start, start + width, device=network.device)[
                None
            ].expand(len(lines), -1)
        output = network.hidden(
            ids.to(network.device),
            torch.ones((len(lines), start + width), dtype=torch.long, device=network.device),
            past_key_values=cache,
            use_cache=True,
            **options,
        )
        kept = [(layer.keys, layer.values) for layer in output.past_key_values.layers]
        return output.last_hidden_state, kept

    def _enter(self, hidden: Tensor, places: Sequence[tuple[int, int, int]]) -> list[int]:
        """Score (window, number of the token, row of ``hidden``)."""
        if not places:
            return []
        rows = np.array([row for _, _, row in places])
        wanted, row_of = np.unique(rows, return_inverse=True)
        targets = [
            self.windows[window].ids[token - self.windows[window].n_scored]
            for window, token, _ in places
        ]
        device = hidden.device
        logprobs, greedy = targets_of(
            self.network.head,
            hidden[torch.from_numpy(wanted).to(device)],
            torch.from_numpy(row_of).to(device),
            torch.tensor(targets, device=device),
            head_rows(self.network),
        )
        tokens = [(window, token) for window, token, _ in places]
        return self.scores.put(tokens, logprobs.tolist(), greedy.tolist())

    def _finished(
        self, complete: Sequence[int], started: float
    ) -> Iterator[tuple[int, WindowScore]]:
        seconds = (time.perf_counter() - started) / max(1, len(complete))
        for window in complete:
            if window not in self.known:
                yield window, self.scores.result(window, seconds)


def _repeated(kept: Tensor, n: int) -> Tensor:
    return kept.expand(n, *kept.shape[1:])


def _below(branches: Sequence[Branch], number: int) -> list[int]:
    """Rows of a branch and of all branches below it."""
    inside = {number}
    rows = list(branches[number].rows)
    for other in range(number + 1, len(branches)):
        if branches[other].above not in inside:
            break  # depth first: what follows stands beside it
        inside.add(other)
        rows += branches[other].rows
    return rows


# -------------------------------------------------------------------------------- is it right


def can_expand(network: Network, n_tokens: int) -> bool:
    """Whether prefix expansion gives the model's own numbers, found by trying.

    Parameters
    ----------
    n_tokens : int
        Size of the vocabulary to draw the check's tokens from.
    """
    if network.own_forward is not None or not network.is_split:
        return False
    types = getattr(network.model.config.get_text_config(), "layer_types", None) or ()
    if "chunked_attention" in types:  # what lies beyond a chunk cannot be tried on short texts
        return False
    try:
        window = sliding_window(network)
        with narrowed(network) if window is not None else contextlib.nullcontext():
            return _is_right(network, n_tokens)
    except (ValueError, AttributeError, RuntimeError, TypeError, KeyError, IndexError):
        return False  # caches of other kinds refuse in many ways; padded batches run them all


def _is_right(network: Network, n_tokens: int) -> bool:
    """Hold windows that branch twice against padded batches of one row."""
    draw = np.random.default_rng(0)

    def some(n: int) -> list[int]:
        return [int(token) for token in draw.integers(0, n_tokens, n)]

    stem = some(12)
    twig = [*stem, *some(9)]
    texts = [stem + some(7), [*twig, *some(5)], [*twig, *some(1)], [*twig[:-2], *some(8)], some(6)]
    windows = [Window(tuple(text), len(text) - 1) for text in texts]
    found = dict(score_branches(network, windows, token_budget=1 << 20, max_rows=8, min_saved=4))
    right = dict(score_padded(network, windows, token_budget=1 << 20, max_rows=1))
    with torch.inference_mode():
        logits = network.logits(torch.tensor([texts[0]], device=network.device))
    scale = float(logits.abs().max().clamp(min=1.0))
    bound = (_CHECKED if network.is_exact else _CHECKED_NARROW) * scale
    return all(
        found[index].problem is None
        and len(found[index].logprobs) == len(right[index].logprobs)
        and max(
            abs(a - b) for a, b in zip(found[index].logprobs, right[index].logprobs, strict=True)
        )
        <= bound
        for index in range(len(windows))
    )
