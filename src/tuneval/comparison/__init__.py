"""Rows -> Score, Comparison, Verdict: numpy in, records out. Knows no metric by name, no files.

The names of ``__all__`` are imported when first used, because scipy costs start-up time.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuneval.types import StatisticKind, Unit

if TYPE_CHECKING:
    from tuneval.comparison.multiplicity import adjust
    from tuneval.comparison.overfitting import gap_sentence, judge_training_log
    from tuneval.comparison.paired import compare
    from tuneval.comparison.robustness import judge_robustness
    from tuneval.comparison.scoring import score
    from tuneval.comparison.seeds import compare_recipe, score_recipe
    from tuneval.comparison.verdict import decide

__all__ = [
    "TRAINING_GAP",
    "RankStatistic",
    "Settings",
    "Statistic",
    "adjust",
    "compare",
    "compare_recipe",
    "decide",
    "gap_sentence",
    "judge_robustness",
    "judge_training_log",
    "score",
    "score_recipe",
]

TRAINING_GAP = "train - test"
"""Slice of a variant's comparison with itself: training cases against test cases."""

_HOMES = {
    "adjust": "multiplicity",
    "compare": "paired",
    "compare_recipe": "seeds",
    "decide": "verdict",
    "gap_sentence": "overfitting",
    "judge_robustness": "robustness",
    "judge_training_log": "overfitting",
    "score": "scoring",
    "score_recipe": "seeds",
}


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
    """How uncertainty is computed. ``margin_points`` is the margin of equivalence, in points."""

    confidence: float = 0.95
    resamples: int = 10_000
    resampling_seed: int = 0
    margin_points: float = 2.0


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
