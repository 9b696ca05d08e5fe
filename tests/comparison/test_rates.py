"""Every sentence keeps its error rate (make test-slow)."""

from __future__ import annotations

import pytest

from comparison.rates import RATES


@pytest.mark.slow
@pytest.mark.parametrize("name", RATES)
def test_rate(name):
    one = RATES[name]
    assert one.low <= one.figure() <= one.high, one.what
