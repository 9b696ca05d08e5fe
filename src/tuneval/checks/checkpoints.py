"""Checkpoints of one training: the curve of the test score, the best, and which one to believe.

With ``--validation`` one is chosen there and only that one is judged on the test cases; the arithmetic is
``comparison.beyond.checkpoints``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval.assess.assess import Assessment
from tuneval.assess.measure import answered, measure
from tuneval.checks import Scene
from tuneval.comparison.beyond.checkpoints import (
    CheckpointCurve,
    curve_sentence,
    judge_checkpoints,
    score_text,
)
from tuneval.comparison.wording import gain
from tuneval.data.read import read
from tuneval.data.training_record import checkpoint_of
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.plan.arms import training_runs
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Comparison, Finding, Measurement, Score, Variant

KIND = "checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of every training, and the cases to choose among them."""

    runs: Mapping[str, Sequence[Variant]]
    validation: CaseSet | None = None

    @classmethod
    def begin(cls, plan: Plan) -> Checkpoints | None:
        """Read the validation file, if one is given.

        Raises
        ------
        ConfigError, DataError
            There is nothing to choose among, the file is a test file, or it cannot be read like one.
        """
        runs = {run: own for run, own in training_runs(plan.variants).items() if len(own) > 1}
        file = plan.spec.validation
        if file is None:
            return cls(runs) if runs else None
        if not runs:
            raise ConfigError(
                f'--validation "{file}" chooses among checkpoints of one training, and there are none.\n'
                "Give several: --adapter 'DIR/checkpoint-*'"
            )
        return cls(runs, _read_validation(plan, file))

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding for each training and case set; what was not chosen is no longer judged."""
        decisive = [cases for cases in scene.measured if not cases.is_guard]
        for run, members in self.runs.items():
            chosen = self._choose(scene, members)
            for cases in decisive:
                yield _about(scene, cases, run, members, chosen)
            if chosen:
                others = {one.name for one in members} - {chosen.variant}
                for assessment in scene.assessments.values():
                    _demote(assessment, others)

    def _choose(self, scene: Scene, members: Sequence[Variant]) -> Score | None:
        """The best on the validation cases, the earliest on a tie."""
        if self.validation is None:
            return None
        first = scene.plan.case_sets[0]
        metric = scene.metrics[first.name][0]
        asked = scene.ask([self.validation], members, scene.tasks[first.name])[self.validation.name]
        positions = answered(self.validation, asked)["all"]
        curve = judge_checkpoints(
            [measure(metric, self.validation, asked[one.name], one, positions) for one in members],
            metric,
            scene.settings,
            case_set=self.validation.name,
        )
        return curve.scores[curve.best]


def _read_validation(plan: Plan, file: str) -> CaseSet:
    described, cases = plan.spec.cases[0], plan.case_sets[0]
    if cases.are_prompts_alone:
        raise ConfigError(
            f'--validation "{file}" chooses by the metric of {cases.name}, and prompts alone have none.\n'
            "Give test cases with references, or leave it out."
        )
    found = read(
        file,
        columns=described.columns if described.benchmark is None else {},
        task=cases.task,
        labels=described.labels or cases.labels,
    )
    if found.sha256 and found.sha256 in {one.sha256 for one in plan.case_sets}:
        raise ConfigError(
            f'--validation "{file}" holds the test cases themselves: chosen there, the score is too kind.\n'
            "Give cases of their own, or leave it out: then the choice is paid for."
        )
    return replace(found, name=f"{found.name} (validation)")


def _about(
    scene: Scene, cases: CaseSet, run: str, members: Sequence[Variant], chosen: Score | None
) -> Finding:
    metric = scene.metrics[cases.name][0]
    measured = scene.assessments[cases.name].measured["all"]
    curve = judge_checkpoints(
        [measured[one.name] for one in members],
        metric,
        scene.settings,
        case_set=cases.name,
        clusters=_clusters(cases, measured[members[0].name]),
    )
    steps = [one.step or 0 for one in members]
    unit = _unit(members[0])
    text = curve_sentence(curve, steps, unit, metric.name, is_picked=chosen is None)
    if chosen is not None:
        text = f"{_chosen_text(scene, cases, members, chosen, unit)} There {text}"
    last = curve.against_best[-1]
    return Finding(
        kind=KIND,
        variant="",
        case_set=cases.name,
        subject=run,
        level="unclear" if sum(curve.is_told) < len(members) - 1 else "clear",
        sentence=f"{run}: {text}",
        values={
            "best": float(steps[curve.best]),
            "n_checkpoints": float(len(members)),
            "last_against_best": 0.0 if last is None else last.difference,
        },
        columns={
            unit: "count",
            metric.name: metric.unit,
            "low": metric.unit,
            "high": metric.unit,
            "against the best": "text",
        },
        rows=tuple(_row(step, n, curve) for n, step in enumerate(steps)),
    )


def _row(step: int, n: int, curve: CheckpointCurve) -> tuple[str | int | float | None, ...]:
    one, against = curve.scores[n], curve.against_best[n]
    low, high = (one.interval.low, one.interval.high) if one.interval else (None, None)
    value = one.value if one.value == one.value else None
    return step, value, low, high, "the best" if against is None else _against(against)


def _against(one: Comparison) -> str:
    g = gain(one)
    told = "worse" if g.high < 0 else "cannot be told"
    span = f" ({g.scale.signed(g.low)} to {g.scale.signed(g.high)})" if g.has_interval else ""
    return f"{told}: {g.scale.signed(g.value)}{span}"


def _chosen_text(
    scene: Scene, cases: CaseSet, members: Sequence[Variant], chosen: Score, unit: str
) -> str:
    step = next(one.step for one in members if one.name == chosen.variant)
    metric: Metric = scene.metrics[cases.name][0]
    test = next(
        one
        for one in scene.assessments[cases.name].scores
        if (one.variant, one.metric, one.slice) == (chosen.variant, metric.name, "all")
    )
    return (
        f"{unit} {step} was chosen on {chosen.n_cases} validation cases among {len(members)} checkpoints "
        f"and alone is judged: {metric.name} {score_text(test)} on the test cases."
    )


def _demote(assessment: Assessment, others: set[str]) -> None:
    left = [one for one in assessment.confirmatory if {one.baseline, one.candidate} & others]
    assessment.confirmatory = [one for one in assessment.confirmatory if one not in left]
    assessment.exploratory += left


def _clusters(cases: CaseSet, measured: Measurement) -> list[str] | None:
    """Cluster ids of the measured cases, or None if every case stands for itself."""
    by_id = {case.id: case.cluster or case.id for case in cases.cases}
    ids = [by_id[one] for one in measured.case_ids]
    return ids if len(set(ids)) < len(ids) else None


def _unit(one: Variant) -> str:
    place = checkpoint_of(one.adapter or one.model)
    return place.unit if place else "step"
