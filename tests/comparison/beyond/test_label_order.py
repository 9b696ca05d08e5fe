"""Labels that were taken for one another are noticed; weak and confused classifiers are left alone."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binom

from tuneval.comparison.beyond.label_order import LEVEL, find_swapped

LABELS = ("a", "b", "c", "d")


def counts(n: int, order: tuple[int, ...], share_right: float, seed: int = 0) -> np.ndarray:
    """Cases whose answer is ``order`` of the reference, or anything."""
    random = np.random.default_rng(seed)
    table = np.zeros((len(order), len(order)), dtype=np.int64)
    for reference in random.integers(len(order), size=n):
        is_right = random.random() < share_right
        answer = order[reference] if is_right else random.integers(len(order))
        table[reference, answer] += 1
    return table


@pytest.mark.parametrize(
    ("order", "share_right", "n", "found"),
    [
        ((1, 0, 2, 3), 0.8, 200, {"b": "a", "a": "b"}),
        ((1, 2, 3, 0), 0.5, 200, {"b": "a", "c": "b", "d": "c", "a": "d"}),
        ((0, 1, 2, 3), 0.8, 200, None),
        ((0, 1, 2, 3), 0.0, 2000, None),  # chance
        ((1, 0, 2, 3), 0.8, 12, None),  # too few cases to say so
    ],
)
def test_found(order: tuple[int, ...], share_right: float, n: int, found: object) -> None:
    swapped = find_swapped(counts(n, order, share_right), LABELS)
    assert (None if swapped is None else swapped.order) == found


def test_the_order_is_the_best_of_all() -> None:
    table = counts(300, (2, 0, 1, 3), 0.6, seed=3)
    best = max(permutations(range(4)), key=lambda order: sum(table[k, order[k]] for k in range(4)))
    swapped = find_swapped(table, LABELS)
    assert swapped is not None
    assert swapped.n_right_then == sum(table[k, best[k]] for k in range(4))
    gained = sum(table[k, best[k]] for k in range(4) if best[k] != k)
    lost = sum(table[k, k] for k in range(4) if best[k] != k)
    assert swapped.p_value == pytest.approx(
        float(binom.sf(gained - 1, gained + lost, 0.5)) * 24, rel=1e-9
    )


def test_chance_never_alarms() -> None:
    """Answers that know nothing, of a few labels and of many."""
    random = np.random.default_rng(1)
    for n_labels in (2, 3, 20, 77):
        for _ in range(50):
            table = random.poisson(3, size=(n_labels, n_labels))
            assert find_swapped(table, [str(k) for k in range(n_labels)]) is None
    assert LEVEL < 1e-3
