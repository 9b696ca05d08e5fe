"""How far the limits of time are stretched."""

from __future__ import annotations

import pytest

from tuneval.sandbox import Limits
from tuneval.sandbox.pace import MAX_FACTOR, REFERENCE_SECONDS, cpu_factor, factor_of


@pytest.mark.parametrize(
    ("times", "factor"),
    [(0.2, 1.0), (1.0, 1.0), (1.01, 1.1), (2.5, 2.5), (100.0, MAX_FACTOR)],
    ids=["faster", "as fast", "a little slower", "slower", "without end"],
)
def test_factor(times: float, factor: float) -> None:
    assert factor_of(times * REFERENCE_SECONDS) == factor


def test_measured_once() -> None:
    assert 1.0 <= cpu_factor() <= MAX_FACTOR
    assert cpu_factor() == cpu_factor()


def test_stretched_limits_are_never_shorter() -> None:
    limits = Limits(cpu_seconds=5, wall_seconds=20.0)
    assert limits.stretched(1.0) == limits
    longer = limits.stretched(1.1)
    assert (longer.cpu_seconds, longer.wall_seconds) == (6, 22.0)
    assert longer.memory_bytes == limits.memory_bytes
