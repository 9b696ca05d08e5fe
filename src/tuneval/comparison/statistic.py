"""What the statistics need: of a metric its number from sums, and how uncertainty is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuneval.types import StatisticKind, Unit

TRAINING_GAP = "train - test"
"""Slice of a variant's comparison with itself: training cases against test cases."""


class Statistic(Protocol):
    """What comparison needs of a metric: the corridor hands over the metric itself."""

    name: str
    unit: Unit
    higher_is_better: bool
    statistic: StatisticKind

    def from_totals(self, totals: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def signature(self) -> str: ...


@runtime_checkable
class RankStatistic(Protocol):
    """What a metric of kind "ranks" offers besides: its number from all rows, not from sums."""

    def from_rows(self, rows: NDArray[np.float64]) -> float: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How uncertainty is computed.

    ``margin_points`` is the margin of equivalence, in points. ``n_case_sets``: on how many case sets
    the run makes claims. ``closeness_claims``: how many claims of closeness share one error rate
    ("is within 2 points" of every adapter, or "did not change" of every arm). ``difference_claims``:
    the same for claims of a difference ("improved", "is ahead of").
    """

    confidence: float = 0.95
    resamples: int = 10_000
    resampling_seed: int = 0
    margin_points: float = 2.0
    n_case_sets: int = 1
    closeness_claims: int = 1
    difference_claims: int = 1

    @property
    def bound_confidence(self) -> float:
        """Of the two-sided interval whose ends are the one-sided bounds of a claim of closeness."""
        return 1 - 2 * (1 - self.confidence) / self.closeness_claims

    @property
    def shared_confidence(self) -> float:
        """Of one of the intervals that hold for all claims of a difference at once (Bonferroni)."""
        return 1 - (1 - self.confidence) / self.difference_claims
