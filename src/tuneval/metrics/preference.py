"""Whether the chosen answer is likelier than the rejected one, and by how much.

The implicit reward of a tuned model is beta times the difference of its log-likelihood to that of the
model it was tuned from: the difference of ``preference_margin`` between the two is, up to beta, the
margin of that reward.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, StatisticKind, Unit

CHOSEN, REJECTED = "chosen", "rejected"
"""Keys of ``Prediction.values``: (log-likelihood in nats, tokens) of either answer."""


class _Margins(Mean):
    """Common to all: the log-likelihood of the chosen answer less that of the rejected one."""

    name: str
    higher_is_better = True
    needs: tuple[str, ...] = ("values",)
    is_per_token = False
    is_sign = False

    def check(self) -> None:
        """Nothing can be missing."""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (margin in nats, or whether it is above 0; 1); (0, 0) where a problem left none.

        Raises
        ------
        MetricError
            A prediction without likelihoods of both and without problem.
        """
        return rows((self._row(case, one) for case, one in zip(cases, predictions, strict=True)), 2)

    def _row(self, case: Case, prediction: Prediction) -> tuple[float, float]:
        if prediction.problem is not None:
            return 0.0, 0.0
        if not prediction.values.keys() >= {CHOSEN, REJECTED}:
            raise fields.missing(self.name, case, "values")
        sides = [prediction.values[key] for key in (CHOSEN, REJECTED)]
        chosen, rejected = (
            nats / max(n_tokens, 1) if self.is_per_token else nats for nats, n_tokens in sides
        )
        margin = chosen - rejected
        return (float(margin > 0) if self.is_sign else margin), 1.0

    def signature(self) -> str:
        """Whether length counts."""
        return f"normalised:{'per token' if self.is_per_token else 'no'}"


class PreferenceAccuracy(_Margins):
    """Share of pairs whose chosen answer is likelier than the rejected one; a tie is wrong.

    References
    ----------
    TRL DPOTrainer, rewards/accuracies, without a reference model.
    """

    name = "preference_accuracy"
    unit: Unit = "share"
    statistic: StatisticKind = "proportion"
    reference = "TRL rewards/accuracies without reference model"
    is_sign = True


class PreferenceMargin(_Margins):
    """Log-likelihood of the chosen answer less that of the rejected one, in nats.

    References
    ----------
    TRL DPOTrainer, logps/chosen less logps/rejected.
    """

    name = "preference_margin"
    unit: Unit = "nats"
    statistic: StatisticKind = "mean"
    reference = "TRL logps/chosen less logps/rejected"


class PreferenceAccuracyPerToken(PreferenceAccuracy):
    """As preference_accuracy, each log-likelihood divided by its tokens, so that length counts less.

    References
    ----------
    Meng et al. (2024), SimPO: simple preference optimization with a reference-free reward.
    """

    name = "preference_accuracy_per_token"
    reference = "SimPO's reward accuracy"
    is_per_token = True


class PreferenceMarginPerToken(PreferenceMargin):
    """As preference_margin, in nats per token of each answer.

    References
    ----------
    Meng et al. (2024), SimPO: simple preference optimization with a reference-free reward.
    """

    name = "preference_margin_per_token"
    reference = "SimPO's reward margin over beta"
    is_per_token = True
