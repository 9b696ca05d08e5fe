"""The reward that a tuned model has learnt: plain arithmetic beside what is reported."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tuneval.comparison.beyond.implicit_reward import rewarded, sentence


def test_share_and_margin_with_their_intervals() -> None:
    margins = np.random.default_rng(5).normal(0.4, 1.0, 80)
    found = rewarded(margins, [str(n) for n in range(80)])
    low, high = stats.t.interval(0.95, 79, margins.mean(), stats.sem(margins))
    assert found.accuracy == pytest.approx((margins > 0).mean())
    assert found.margin == pytest.approx(margins.mean())
    assert found.margin_interval == pytest.approx((low, high))
    assert "lora raised the chosen answer" in sentence(found, "lora", "base")


def test_pairs_of_one_cluster_count_together() -> None:
    margins = np.repeat(np.random.default_rng(5).normal(0.4, 1.0, 20), 4)
    alone = rewarded(margins, [str(n) for n in range(80)])
    together = rewarded(margins, [str(n // 4) for n in range(80)])
    width = [high - low for low, high in (alone.margin_interval, together.margin_interval)]
    assert width[1] > 1.8 * width[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_all_right_and_none_right_are_not_certain(sign: int) -> None:
    exact = stats.binomtest(20 if sign > 0 else 0, 20).proportion_ci(0.95, "exact")
    found = rewarded(np.full(20, 0.5 * sign), [str(n) for n in range(20)])
    assert found.accuracy_interval == pytest.approx((exact.low, exact.high))
