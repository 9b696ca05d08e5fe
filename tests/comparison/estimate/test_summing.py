"""Sums without zeros are the same sums."""

import numpy as np
import pytest

from tuneval.comparison.estimate.resampling import SPARSE, summing


@pytest.mark.parametrize("share", [0.0, SPARSE / 5, 0.5])
def test_sums_of_whole_numbers_are_equal_to_the_bit(share: float) -> None:
    rng = np.random.default_rng(3)
    kinds = (rng.random((90, 200)) < share).astype(float)
    weights = rng.integers(0, 4, size=(150, 90)).astype(float)
    assert np.array_equal(summing(kinds)(weights), weights @ kinds)
