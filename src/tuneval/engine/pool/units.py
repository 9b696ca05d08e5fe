"""Cuts requests into units of work: what shares a beginning stays together.

Units hang on the requests alone, never on who works on them, so that what is computed together, and
with it every last bit, is the same for any number of workers. Needs no tokenizer: characters stand
for tokens. Not for: asking anything.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tuneval.types import Request

MOST_UNITS = 48
"""Enough for a dozen workers that take the next one as they come free."""
LARGEST_LOSS = 0.04
"""Share of its smaller side that a cut may make be read twice."""
DOMINANT, LARGEST_LOSS_OF_DOMINANT = 1 / 12, 0.2
"""A unit that is so much of everything would hold all others up: to cut it may cost more."""
CHARACTERS_PER_TOKEN = 4
DRAWN = 4
"""What a drawn token costs, in tokens that are read."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Requests that are answered together. ``cost`` is in characters that a model has to read."""

    requests: tuple[Request, ...]
    cost: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests of one prompt. ``own``: the cost of what is not the prompt's."""

    text: str
    requests: tuple[Request, ...]
    own: int


def cut(requests: Sequence[Request], most: int = MOST_UNITS) -> list[Unit]:
    """Cut requests into units, dearest first.

    The dearest unit is cut in two as long as there are fewer than ``most``: at the shallowest fork
    of its prefix tree that leaves each side a third of it, if there is one. A cut that makes more than
    ``LARGEST_LOSS`` of its smaller side be read twice is not made, unless the unit is dominant.

    Returns
    -------
    list of Unit
        Every request is in exactly one; requests of one prompt are in the same.
    """
    groups = _groups(requests)
    if not groups:
        return []
    # shared[n]: characters that group n has in common with the one before it.
    shared = [0] + [_n_common(a.text, b.text) for a, b in itertools.pairwise(groups)]
    fresh = [len(one.text) - n + one.own for one, n in zip(groups, shared, strict=True)]
    sums = [0]
    for cost in fresh:
        sums.append(sums[-1] + cost)

    def cost_of(start: int, stop: int) -> int:
        return sums[stop] - sums[start] + shared[start]

    open_ = [(-cost_of(0, len(groups)), 0, len(groups))]
    done: list[tuple[int, int, int]] = []
    while open_ and len(open_) + len(done) < most:
        cost, start, stop = heapq.heappop(open_)
        is_dominant = -cost > DOMINANT * sums[-1]
        limit = LARGEST_LOSS_OF_DOMINANT if is_dominant else LARGEST_LOSS
        place = _best_cut(start, stop, sums, shared, limit=limit)
        if place is None:
            done.append((cost, start, stop))
            continue
        for part in ((start, place), (place, stop)):
            heapq.heappush(open_, (-cost_of(*part), *part))
    order = sorted([*done, *open_])
    return [
        Unit(tuple(one for group in groups[start:stop] for one in group.requests), -cost)
        for cost, start, stop in order
    ]


def shares(units: Sequence[Unit], n: int) -> list[list[Unit]]:
    """Deal units out to ``n`` that work apart: each goes to whom has least to do.

    Returns
    -------
    list of list of Unit
        The same for everybody who asks, so that nobody needs to be told.
    """
    dealt: list[list[Unit]] = [[] for _ in range(n)]
    loads = [0] * n
    for unit in units:
        least = min(range(n), key=lambda number: (loads[number], number))
        dealt[least].append(unit)
        loads[least] += unit.cost
    return dealt


def loss(units: Sequence[Unit], requests: Sequence[Request]) -> float:
    """Share of what a model has to read that is read again because of the cuts."""
    whole = sum(unit.cost for unit in cut(requests, most=1))
    return sum(unit.cost for unit in units) / whole - 1 if whole else 0.0


def _best_cut(
    start: int, stop: int, sums: Sequence[int], shared: Sequence[int], *, limit: float
) -> int | None:
    """The place between two groups where least is read twice; the more even of equal ones."""
    total = sums[stop] - sums[start]
    best: tuple[bool, float, int] | None = None
    for place in range(start + 1, stop):
        left = sums[place] - sums[start]
        smaller = min(left, total - left)
        if shared[place] > limit * smaller:
            continue
        # A hundredth of unevenness weighs as much as a thousandth that is read twice.
        price = shared[place] + 0.1 * (total / 2 - smaller)
        found = (smaller * 3 < total, price, place)
        best = found if best is None else min(best, found)
    return None if best is None else best[2]


def _groups(requests: Sequence[Request]) -> list[_Group]:
    """Requests by prompt, in the order of their texts; each group in the order of asking."""
    by_text: dict[str, list[Request]] = {}
    for request in requests:
        by_text.setdefault(_text(request), []).append(request)
    return [
        _Group(text, tuple(same), sum(map(_own_cost, same)))
        for text, same in sorted(by_text.items())
    ]


def _text(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "\0".join(f"{turn.role}\1{turn.content}" for turn in request.prompt)


def _own_cost(request: Request) -> int:
    if request.decoding is None:
        return len(request.continuation or "")
    drawn = request.decoding.max_tokens * request.decoding.n_completions
    return drawn * DRAWN * CHARACTERS_PER_TOKEN


def _n_common(a: str, b: str) -> int:
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    low, high = 0, n  # the first `low` are the same, the first `high` are not
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
