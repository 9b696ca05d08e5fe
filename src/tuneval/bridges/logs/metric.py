"""A metric whose rows stand in another tool's log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tuneval.bridges.lm_eval.metric import SUMS, number_of
from tuneval.bridges.logs import MEAN, Logged
from tuneval.types import Case, Prediction, StatisticKind, Unit

Floats = NDArray[np.float64]

LOWER = ("brier", "cer", "error", "latency", "loss", "nll", "perplexity", "ppl", "ter", "wer")
"""Words in a name that say that less is better, where the log does not."""


def is_higher_better(name: str, logged: Logged) -> bool:
    """Which way is better: as the log says, else by the words of the name."""
    if logged.higher_is_better is not None:
        return logged.higher_is_better
    words = name.casefold().replace("-", "_").replace("/", "_").replace(",", "_").split("_")
    return not any(word in LOWER for word in words)


class LoggedMetric:
    """Reads ``Prediction.values``; computes nothing for a case.

    Parameters
    ----------
    rows : iterable of tuple of float
        Those of all systems: values that are all 0 or 1 are compared as proportions, and a mean of
        values from 0 to 1 is printed as a share.
    tool : str
        Whose number it is.
    """

    uses_labels = False
    needs: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        logged: Logged,
        rows: Iterable[tuple[float, ...]],
        *,
        tool: str,
        higher_is_better: bool,
    ) -> None:
        self.name = name
        self.aggregation = logged.aggregation
        self.higher_is_better = higher_is_better
        self.tool = tool
        values = {row[0] for row in rows if row[1:] == (1.0,)}
        is_mean = self.aggregation == MEAN
        is_share = is_mean and higher_is_better and all(0 <= one <= 1 for one in values)
        sums = SUMS[self.aggregation]
        self.unit: Unit = "share" if is_share else sums.unit
        self.statistic: StatisticKind = (
            "proportion" if is_mean and values <= {0.0, 1.0} else sums.statistic
        )

    def check(self) -> None:
        """Nothing is needed: the values are there."""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """The row of each case; zeros where the log has none."""
        nothing = (0.0,) * SUMS[self.aggregation].width
        rows = [one.values.get(self.name, nothing) for one in predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, len(nothing))

    def from_totals(self, totals: Floats) -> Floats:
        """The tool's own aggregation, from sums."""
        return number_of(self.aggregation, totals)

    def signature(self) -> str:
        """Whose number it is."""
        return f"{self.tool}|{self.name}|{self.aggregation}"
