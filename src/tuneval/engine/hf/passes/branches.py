"""Decides which shared beginnings are computed once where a model takes no packed tree.

Token ids in, a plan out; holds no torch. Not for: running it (``prefix.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile

MIN_SAVED = 32
"""Tokens that a shared beginning must save to be worth a forward of its own."""


@dataclass(slots=True)
class Branch:
    """A beginning that several sequences share, pushed once on top of the one above it.

    Attributes
    ----------
    above : int
        Index of the branch below which it stands, -1 for none.
    start, stop : int
        Positions of its tokens; those before ``start`` belong to the branches above.
    ids : tuple of int
        Its tokens.
    rows : list of int
        Sequences whose remaining tokens, from ``stop`` on, are pushed as rows of a batch.
    """

    above: int
    start: int
    stop: int
    ids: tuple[int, ...]
    rows: list[int] = field(default_factory=list)


def plan_branches(
    sequences: Sequence[tuple[int, ...]], *, min_saved: int = MIN_SAVED
) -> list[Branch]:
    """Find the beginnings that are worth sharing.

    Returns
    -------
    list of Branch
        Depth first. The first one is empty: its rows share nothing. Each sequence is a row of
        exactly one branch, and the tokens of the branches above it, then its own from ``stop`` on,
        spell it.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    root = Branch(-1, 0, 0, ())
    found = [root]
    # (sequences that agree up to a position at least, the branch that they stand below)
    waiting = [(order, 0)] if order else []
    while waiting:
        group, above = waiting.pop()
        first, last = sequences[group[0]], sequences[group[-1]]
        stop = _n_common(first, last)  # of all, since they are sorted
        owner = above
        if (stop - found[above].stop) * (len(group) - 1) >= min_saved:
            owner = len(found)
            start = found[above].stop
            found.append(Branch(above, start, stop, first[start:stop]))
        found[owner].rows += [index for index in group if len(sequences[index]) == stop]
        longer = [index for index in group if len(sequences[index]) > stop]
        forks = [list(same) for _, same in groupby(longer, key=lambda i: sequences[i][stop])]
        found[owner].rows += [same[0] for same in forks if len(same) == 1]
        # Last in, first out: a branch's own forks come before its neighbours.
        waiting += [(same, owner) for same in reversed(forks) if len(same) > 1]
    return found


def n_pushed(sequences: Sequence[tuple[int, ...]], branches: Sequence[Branch]) -> int:
    """Tokens that go through the model for a plan, padding not counted."""
    tails = sum(len(sequences[row]) - b.stop for b in branches for row in b.rows)
    return tails + sum(len(branch.ids) for branch in branches)


def _n_common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return sum(1 for _ in same)
