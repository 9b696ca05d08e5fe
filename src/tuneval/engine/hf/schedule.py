"""Decides what is run together: lengths and ids in, batches out. Holds no torch.

Not for: running anything. A plan is plain data that can be tested anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence


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
