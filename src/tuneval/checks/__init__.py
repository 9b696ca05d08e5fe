"""Questions beyond the test score: brittle, unfair, contaminated, overconfident, learnt by heart?

Each check is a short corridor of its own: it reads its files before any model is loaded, asks the
variants more if it must, and ends in Findings. The arithmetic is ``comparison``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuneval import registry
from tuneval.assess.assess import Assessment
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.comparison.estimate.multiplicity import ALPHA
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.tasks import Task
from tuneval.types import CaseSet, Finding, Variant


class Ask(Protocol):
    """Ask variants more: case set name -> variant name -> predictions in the order of the cases.

    Answers are remembered like all others. Names of case sets must be new to the run.
    """

    def __call__(
        self, case_sets: Sequence[CaseSet], variants: Sequence[Variant], task: Task
    ) -> dict[str, Predictions]: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A run whose cases are all answered and assessed. Mappings are keyed by case set name.

    A check may add scores and explored comparisons to ``assessments``.
    """

    plan: Plan
    tasks: Mapping[str, Task]
    metrics: Mapping[str, Sequence[Metric]]
    settings: Settings
    predictions: Mapping[str, Predictions]
    assessments: Mapping[str, Assessment]
    ask: Ask
    alpha: float = ALPHA
    """The share of the 5% of a run that the warnings of each tested check may use."""

    @property
    def measured(self) -> tuple[CaseSet, ...]:
        """The case sets that have a metric: all but prompts alone, which a judge compares later."""
        return tuple(cases for cases in self.plan.case_sets if self.metrics[cases.name])


class Check(Protocol):
    """One question. Made before any model is loaded, so that a wrong file stops the run in time.

    A check whose warnings rest on a test says ``is_tested = True`` and holds them, over all arms and
    kinds, at ``scene.alpha`` (Holm); its findings carry ``values["p_adjusted"]``.
    """

    @classmethod
    def begin(cls, plan: Plan) -> Check | None:
        """Read what the check needs; None where the run does not call for it.

        Raises
        ------
        TunevalError
            A file of the check cannot be used.
        """

    def look(self, scene: Scene) -> Iterable[Finding]:
        """Look at a finished run and say what was found."""


CHECKS = {
    "average": "tuneval.checks.average:WholeBenchmark",
    "cuts": "tuneval.checks.cuts:Cuts",
    "answers": "tuneval.checks.answers:Answers",
    "label order": "tuneval.checks.label_order:LabelOrder",
    "robustness": "tuneval.checks.robustness:Robustness",
    "counterfactual": "tuneval.checks.counterfactual:Counterfactual",
    "contamination": "tuneval.checks.contamination:Contamination",
    "memorisation": "tuneval.checks.memorisation:LearntByHeart",
    "checkpoints": "tuneval.checks.checkpoints:Checkpoints",
    "implicit reward": "tuneval.checks.implicit_reward:ImplicitReward",
    "training gap": "tuneval.checks.training_gap:TrainingGap",
    "groups": "tuneval.checks.groups:Groups",
    "slices": "tuneval.checks.slices:Slices",
    "guards": "tuneval.checks.guards:Guards",
    "refusals": "tuneval.checks.refusals:Refusals",
    "calibration": "tuneval.checks.calibration:CalibrationCheck",
    "out of distribution": "tuneval.checks.out_of_distribution:OutOfDistribution",
}


def names() -> list[str]:
    """All checks in the order of the table, then those of other packages."""
    return list(dict.fromkeys([*CHECKS, *registry.names(CHECKS, room="checks")]))


def begin_one(name: str, plan: Plan) -> Check | None:
    """Make one check if the run calls for it. Raises TunevalError if its files cannot be used."""
    check: Check | None = registry.load(CHECKS, name, room="checks").begin(plan)
    return check


def share_of_alpha(begun: Sequence[Check], *, has_curves: bool = False) -> float:
    """What each kind of warning may use of the 5% of a run: equal shares for the checks that test,
    and for loss curves where there are any."""
    n_tested = sum(getattr(one, "is_tested", False) for one in begun) + has_curves
    return float(ALPHA / max(n_tested, 1))


def begin(plan: Plan) -> tuple[Check, ...]:
    """Make every check that the run calls for."""
    made = (begin_one(name, plan) for name in names())
    return tuple(check for check in made if check is not None)
