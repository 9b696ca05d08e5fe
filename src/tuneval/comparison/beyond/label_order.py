"""Were the labels of a head taken for one another? Answers that are right under another order say so.

Not for: which output is called what (``engine/hf/weights/labels.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

LEVEL = 1e-6
"""No honest classifier is so much better under another order; one whose order was swapped always is."""


@dataclass(frozen=True, slots=True)
class SwappedLabels:
    """The order under which most answers are right, where that is far more than as they stand.

    ``order`` maps what was answered to what it means then, labels that change alone; ``p_value`` is
    corrected for all orders that change as many.
    """

    order: dict[str, str]
    n_right: int
    n_right_then: int
    n_cases: int
    p_value: float


def find_swapped(counts: NDArray[np.int64], labels: Sequence[str]) -> SwappedLabels | None:
    """Look for another order of the labels; None where none fits far better.

    The order is that of most right answers (an assignment problem). Among the answers that are right
    under exactly one of the two orders, each is as likely under either if the order is right or the
    answers are chance: a binomial test, times the number of orders that change as many labels.

    Parameters
    ----------
    counts : ndarray, shape (n_labels, n_labels)
        Cases by reference (rows) and answer (columns).
    """
    rows, columns = linear_sum_assignment(counts, maximize=True)
    moved = [
        (int(row), int(column)) for row, column in zip(rows, columns, strict=True) if row != column
    ]
    right, then = int(np.trace(counts)), int(counts[rows, columns].sum())
    if not moved or then <= right:
        return None
    gained = sum(int(counts[row, column]) for row, column in moved)
    lost = sum(int(counts[column, column]) for _, column in moved)
    n, m = len(labels), len(moved)
    orders = math.lgamma(n + 1) - math.lgamma(n - m + 1)
    p_value = math.exp(min(0.0, float(binom.logsf(gained - 1, gained + lost, 0.5)) + orders))
    if p_value >= LEVEL:
        return None
    return SwappedLabels(
        order={labels[column]: labels[row] for row, column in moved},
        n_right=right,
        n_right_then=then,
        n_cases=int(counts.sum()),
        p_value=p_value,
    )


def swapped_sentence(arm: str, found: SwappedLabels) -> str:
    """What to say of it."""
    pairs = [f'"{said}" for "{meant}"' for said, meant in found.order.items()]
    more = f" and {len(pairs) - 4} more" if len(pairs) > 4 else ""
    return (
        f"{arm} answers as if its labels stood in another order: {', '.join(pairs[:4])}{more}. As they "
        f"stand {found.n_right} of {found.n_cases} are right, in that order {found.n_right_then}. Check "
        "id2label of its config.json, or --head-labels."
    )
