"""What n cases can show."""

from __future__ import annotations

import numpy as np
import pytest

from tuneval.comparison.estimate import power


@pytest.mark.parametrize(
    ("n", "discordant", "points"),
    [(100, 0.05, 6.0), (200, 0.1, 6.1), (500, 0.2, 5.6), (1000, 0.3, 4.8), (14_042, 0.2, 1.1)],
)
def test_power_table(n, discordant, points):
    assert round(100 * power.detectable(n, discordant), 1) == points


@pytest.mark.parametrize(
    ("delta", "discordant", "n"),
    [(0.02, 0.1, 1955), (0.02, 0.2, 3917), (0.05, 0.1, 307), (0.05, 0.2, 621), (0, 0.1, np.inf)],
)
def test_cases_needed(delta, discordant, n):
    assert power.cases_for(delta, discordant) == n


@pytest.mark.parametrize(
    ("margin", "discordant", "gap", "n"),
    [
        (0.02, 0.1, 0, 2141),
        (0.02, 0.2, 0, 4282),
        (0.05, 0.1, 0, 343),
        (0.05, 0.2, 0, 686),
        (0.02, 0.1, 0.01, 6183),
        (0.02, 0.1, 0.02, np.inf),
    ],
)
def test_cases_for_equivalence(margin, discordant, gap, n):
    assert power.cases_for_equivalence(margin, discordant, true_gap=gap) == n


def test_cases_for_a_mean():
    assert power.cases_for_mean(0.05, 0.25) == 785
    assert power.cases_for_mean(0, 0.25) == np.inf
