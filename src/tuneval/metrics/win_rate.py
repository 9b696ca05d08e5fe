"""How often a judge prefers the candidate. Not for: controlling for length, Bradley-Terry, which
exist only between variants (comparison)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuneval.errors import MetricError
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, Unit

OUTCOMES = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}


class WinRate(Mean):
    """Share of cases in which the candidate is preferred; a tie is half, a soft verdict a share.

    Parameters
    ----------
    judged : str, optional
        By whom, how and against what: part of the signature.

    Notes
    -----
    The prediction is the judge's: its label is "candidate", "baseline" or "tie"; where it has
    ``label_probabilities``, the candidate's share of candidate and baseline counts instead.

    References
    ----------
    Dubois et al. (2024), Length-controlled AlpacaEval, arXiv:2404.04475 (the raw win rate).
    """

    name = "win_rate"
    unit: Unit = "share"
    higher_is_better = True
    needs: tuple[str, ...] = ("label",)
    reference = "alpaca_eval win_rate"

    def __init__(self, *, judged: str = "") -> None:
        self.judged = judged

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (win, 1), the win from 0 to 1; zeros where the judge gave no verdict.

        Raises
        ------
        MetricError
            A label that is no verdict, or a prediction with neither label nor problem.
        """
        return rows(map(self._row, cases, predictions), 2)

    def _row(self, case: Case, prediction: Prediction) -> tuple[float, float]:
        share = self._share(prediction)
        if share is not None:
            return share, 1.0
        if prediction.label in OUTCOMES:
            return OUTCOMES[prediction.label], 1.0
        if prediction.problem is None:
            raise MetricError(
                f'metric "{self.name}": the verdict on case "{case.id}" is '
                f'"{prediction.label}" and must be one of {", ".join(OUTCOMES)}.'
            )
        return 0.0, 0.0

    def _share(self, prediction: Prediction) -> float | None:
        """The candidate's share of a soft verdict."""
        shares = prediction.label_probabilities or {}
        decided = shares.get("candidate", 0.0) + shares.get("baseline", 0.0)
        return shares.get("candidate", 0.0) / decided if decided > 0 else None

    def signature(self) -> str:
        """What a tie and a missing verdict are, and who judged."""
        return "|".join(filter(None, ["tie:half|missing:left out", self.judged]))


class DiscreteWinRate(WinRate):
    """Wins and half the ties among the cases, however sure the judge was.

    References
    ----------
    Dubois et al. (2024), Length-controlled AlpacaEval, arXiv:2404.04475 (the discrete win rate).
    """

    name = "discrete_win_rate"
    reference = "alpaca_eval discrete_win_rate"

    def _share(self, prediction: Prediction) -> float | None:
        """A soft verdict counts as what it leans to."""
        share = super()._share(prediction)
        return None if share is None else 0.5 if share == 0.5 else float(share > 0.5)


def win_of_preference(preference: float) -> float | None:
    """Win of the candidate in AlpacaEval's coding: 1 the baseline, 2 the candidate, 0 or 1.5 a tie.

    Values between are soft verdicts; None where the number is missing (nan).

    Raises
    ------
    MetricError
        A number outside the coding.
    """
    if math.isnan(preference):
        return None
    if preference == 0:
        return 0.5
    if not 1 <= preference <= 2:
        raise MetricError(
            f'a preference is "{preference}" and must be 0 (a tie) or from 1 (the baseline) to 2 '
            "(the candidate)."
        )
    return preference - 1
