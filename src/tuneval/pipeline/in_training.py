"""A model that is being trained, asked the same cases again and again; nothing is written.

Not for: when to ask and what to do then, which is the caller's (``api/training.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneval import comparison
from tuneval.assess.measure import is_missing
from tuneval.comparison.beyond.checkpoints import (
    CheckpointCurve,
    curve_sentence,
    judge_checkpoints,
)
from tuneval.errors import ConfigError, DataError
from tuneval.metrics import Metric
from tuneval.pipeline.build import make_backend, settings_of
from tuneval.pipeline.run import tasks_and_metrics
from tuneval.plan.resolve import resolve
from tuneval.plan.spec import RunSpec
from tuneval.types import Case, Comparison, Measurement, Prediction, Request, Score

BASE, TUNED = "base", "tuned"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found at one step.

    Attributes
    ----------
    scores : tuple of Score
        One a metric, the first decides.
    against_base : Comparison or None
        None for the base itself.
    case_scores : mapping
        Case id -> value of the first metric; cases without an answer are left out.
    """

    step: int
    epoch: float | None
    seconds: float
    scores: tuple[Score, ...]
    against_base: Comparison | None
    case_scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of every metric, and which cases have no answer."""

    predictions: tuple[Prediction, ...]
    rows: Mapping[str, Measurement]

    @property
    def missing(self) -> frozenset[int]:
        return frozenset(n for n, one in enumerate(self.predictions) if is_missing(one))


class InTraining:
    """The cases, asked of a model in memory as often as wanted.

    Parameters
    ----------
    spec : RunSpec
        Variants ``BASE`` and ``TUNED``, one case set.
    models : mapping
        Both names -> (model, tokenizer). A PEFT model is its own base, adapters off.

    Raises
    ------
    TunevalError
        The cases cannot be read or asked, before the first step.
    """

    def __init__(self, spec: RunSpec, models: Mapping[str, Any]) -> None:
        self.spec, self.models = spec, models
        plan = resolve(spec, in_memory=models)
        asked, chosen = tasks_and_metrics(plan)
        if len(plan.case_sets) != 1:
            raise ConfigError("TrainerCallback: give one file of cases, or one list of rows.")
        self.cases = plan.case_sets[0]
        self.notes = plan.notes
        self.task = asked[self.cases.name]
        self.metrics: Sequence[Metric] = chosen[self.cases.name]
        self.settings = settings_of(spec)
        self.requests: dict[str, tuple[Request, ...]] = {
            case.id: self.task.ask(case) for case in self.cases.cases
        }
        self._variants = {one.name: one for one in plan.variants}
        self._seen: list[Asked] = []
        self._steps: list[int] = []
        self._base: Asked | None = None

    def ask(self, name: str) -> Asked:
        """Ask every case of the base or of the model as it is now.

        Raises
        ------
        TunevalError
            It cannot answer.
        """
        every = [request for of_case in self.requests.values() for request in of_case]
        backend = make_backend(self.spec, self.models)
        try:
            answers = {one.request_id: one for one in backend.answer(self._variants[name], every)}
        finally:
            backend.close()
        predictions = tuple(
            self.task.read(case, [answers[one.id] for one in self.requests[case.id]])
            for case in self.cases.cases
        )
        ids = tuple(case.id for case in self.cases.cases)
        return Asked(
            predictions,
            {
                metric.name: Measurement(
                    name, metric.name, ids, metric.per_case(self.cases.cases, predictions)
                )
                for metric in self.metrics
            },
        )

    def remember(self, asked: Asked, step: int, epoch: float | None, seconds: float) -> Evaluation:
        """Score what was asked; the first is the base, every other is held against it.

        Raises
        ------
        DataError
            No case has an answer.
        """
        kept = self._answered([asked, *([self._base] if self._base else [])])
        first = self.metrics[0]
        against = None
        if self._base is None:
            self._base = asked
        else:
            self._seen.append(asked)
            self._steps.append(step)
            against = comparison.compare(
                self._measured(self._base, first, kept),
                self._measured(asked, first, kept),
                first,
                self.settings,
                case_set=self.cases.name,
                clusters=self._clusters(kept),
            )
        scores = tuple(
            comparison.score(
                self._measured(asked, metric, kept),
                metric,
                self.settings,
                case_set=self.cases.name,
                clusters=self._clusters(kept),
            )
            for metric in self.metrics
        )
        return Evaluation(step, epoch, seconds, scores, against, self._values(asked, kept))

    def curve(self) -> CheckpointCurve | None:
        """Every step beside the best, with the selection paid for; None with fewer than two."""
        if len(self._seen) < 2:
            return None
        kept = self._answered(self._seen)
        first = self.metrics[0]
        return judge_checkpoints(
            [self._measured(one, first, kept) for one in self._seen],
            first,
            self.settings,
            case_set=self.cases.name,
            clusters=self._clusters(kept),
        )

    def sentence(self, curve: CheckpointCurve) -> str:
        """The best step, those that cannot be told from it, and the last."""
        name = self.metrics[0].name
        return curve_sentence(curve, self._steps, "step", name, is_picked=True)

    def _answered(self, asked: Sequence[Asked]) -> list[int]:
        missing = frozenset().union(*(one.missing for one in asked))
        kept = [n for n in range(len(self.cases.cases)) if n not in missing]
        if not kept:
            raise DataError(f"{self.cases.name}: no case could be answered.")
        return kept

    def _measured(self, asked: Asked, metric: Metric, kept: Sequence[int]) -> Measurement:
        whole = asked.rows[metric.name]
        ids = tuple(whole.case_ids[n] for n in kept)
        return replace(whole, case_ids=ids, rows=whole.rows[list(kept)])

    def _clusters(self, kept: Sequence[int]) -> list[str] | None:
        chosen: list[Case] = [self.cases.cases[n] for n in kept]
        ids = [one.cluster if one.cluster is not None else one.id for one in chosen]
        return ids if len(set(ids)) < len(ids) else None

    def _values(self, asked: Asked, kept: Sequence[int]) -> dict[str, float]:
        first = self.metrics[0]
        if first.statistic == "ranks":
            return {}
        values = first.from_totals(asked.rows[first.name].rows)
        return {self.cases.cases[n].id: float(values[n]) for n in kept}
