"""Several guards as one question: the arithmetic, and how often a loss is claimed where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tuneval.comparison.beyond.together import together


def test_one_set_is_a_paired_t_test() -> None:
    changes = np.random.default_rng(3).normal(-0.1, 1, 80)
    found = together([changes])
    assert found is not None
    reference = stats.ttest_1samp(changes, 0, alternative="less")
    assert found.p_loss == pytest.approx(float(reference.pvalue), abs=1e-12)
    interval = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_two_sets_of_one_size_are_welch() -> None:
    """The mean of two means is half of a difference whose second sample is mirrored."""
    dice = np.random.default_rng(4)
    a, b = dice.normal(0, 1, 50), dice.normal(0.2, 3, 90)
    found = together([a, b])
    assert found is not None
    reference = stats.ttest_ind(a, -b, equal_var=False, alternative="less")
    assert found.p_loss == pytest.approx(float(reference.pvalue), abs=1e-12)


def test_sets_count_the_same_whatever_their_size() -> None:
    found = together([np.full(10, -1.0), np.tile([0.0, 0.2], 500)])
    assert found is not None
    assert found.change == pytest.approx((-1 + 0.1) / 2)


@pytest.mark.parametrize("changes", [[], [np.zeros(1)], [np.zeros(9), np.zeros(0)]])
def test_too_little_is_nothing(changes: list[np.ndarray]) -> None:
    assert together(changes) is None


@pytest.mark.parametrize("n", [50, 400, 2_000])
def test_nothing_changed_in_n_cases_excludes_what_wilson_excludes(n: int) -> None:
    found = together([np.zeros(n)])
    assert found is not None
    assert (found.change, found.p_loss) == (0, 0.5)
    wilson = stats.binomtest(0, n).proportion_ci(0.90, method="wilson").high
    assert -found.worst == pytest.approx(wilson, rel=0.1)  # Student's t in place of the normal


@pytest.mark.parametrize(
    "sizes", [(50, 300, 400), (450, 541, 1319, 2000)], ids=["own", "published"]
)
@pytest.mark.parametrize("gained", [0.0, 0.03])
def test_a_loss_is_not_excluded_where_there_is_one(sizes: tuple[int, ...], gained: float) -> None:
    """1,000 suites that lost a point in each set: "a point is excluded" in at most 5% (with two standard
    errors, and the skew of losses without gains: 8%)."""
    dice = np.random.default_rng(6)
    chances = [0.01 + gained, gained, 0.99 - 2 * gained]
    excluded = 0
    for _ in range(1_000):
        found = together([dice.choice([-1.0, 1.0, 0.0], n, p=chances) for n in sizes])
        excluded += found is not None and found.worst > -0.01
    assert excluded <= 80


@pytest.mark.parametrize("discordant", [0.02, 0.1, 0.3])
def test_false_losses_and_power(discordant: float) -> None:
    """2,000 suites of 150, 300 and 400 cases: no loss is claimed in at most 5% (2 standard errors: 6%),
    a loss of 3 points on each is seen more often the fewer cases change."""
    dice = np.random.default_rng(5)

    def share_of_losses(loss: float) -> float:
        chances = [(discordant + loss) / 2, (discordant - loss) / 2]
        claimed = 0
        for _ in range(2000):
            sets = [
                dice.choice([-1.0, 1.0, 0.0], n, p=[*chances, 1 - discordant])
                for n in (150, 300, 400)
            ]
            found = together(sets)
            claimed += found is not None and found.p_loss < 0.05
        return claimed / 2000

    assert share_of_losses(0.0) <= 0.06
    if discordant > 0.02:
        assert share_of_losses(0.03) > (0.6 if discordant == 0.1 else 0.3)
