"""Rows -> Score, Comparison, Verdict: numpy in, records out. Knows no metric by name, no files.

The names of ``__all__`` are imported when first used, because scipy costs start-up time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuneval.comparison.statistic import TRAINING_GAP, RankStatistic, Settings, Statistic

if TYPE_CHECKING:
    from tuneval.comparison.beyond.overfitting import gap_sentence, judge_training_log
    from tuneval.comparison.beyond.robustness import judge_robustness
    from tuneval.comparison.decision.verdict import decide
    from tuneval.comparison.estimate.multiplicity import adjust
    from tuneval.comparison.estimate.paired import compare
    from tuneval.comparison.estimate.scoring import score
    from tuneval.comparison.estimate.seeds import compare_recipe, score_recipe

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

_HOMES = {
    "adjust": "estimate.multiplicity",
    "compare": "estimate.paired",
    "compare_recipe": "estimate.seeds",
    "decide": "decision.verdict",
    "gap_sentence": "beyond.overfitting",
    "judge_robustness": "beyond.robustness",
    "judge_training_log": "beyond.overfitting",
    "score": "estimate.scoring",
    "score_recipe": "estimate.seeds",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
