"""The statistics keep what they promise over many made-up data sets (make test-slow)."""

from __future__ import annotations

import pytest

from comparison.simulation import SIMULATIONS


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulation(name):
    one = SIMULATIONS[name]
    assert one.low <= one.figure() <= one.high, one.what
