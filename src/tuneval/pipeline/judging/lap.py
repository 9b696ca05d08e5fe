"""The second lap: judges compare each variant's texts with one opponent's, in both orders.

Their verdicts are assessed like any other predictions. Not for: asking the variants, and what the
verdicts say beyond the win rate (``judged``, ``panel``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval import metrics
from tuneval.assess.assess import Assessment, assess
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.engine import Backend
from tuneval.engine.address import written
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.metrics import Metric
from tuneval.pipeline.judging import panel
from tuneval.pipeline.judging.judged import (
    Judged,
    effort,
    length_controlled,
    position_bias,
    self_preference,
    strengths,
)
from tuneval.pipeline.judging.questions import REFERENCE, Questions
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import JudgeSpec
from tuneval.tasks.judge import Judge
from tuneval.types import Case, CaseSet, Finding, Prediction, Progress, Variant

METRICS = ("win_rate", "discrete_win_rate")

TIE = {"candidate": 0.5, "baseline": 0.5}

Verdicts = Mapping[str, Sequence[Prediction]]
"""Variant -> what a judge said of it, in the order of the cases."""


@dataclass(frozen=True, slots=True)
class Judging:
    """One judge that is ready. ``name`` tells it from the others."""

    name: str
    spec: JudgeSpec
    judge: Variant
    backend: Backend
    task: Judge

    @property
    def title(self) -> str:
        """The judge in words."""
        place = written(self.spec.base_url) if self.spec.base_url else "the server"
        return f'"{self.spec.model}"' + (f" at {place}" if self.spec.backend == "openai" else "")

    def signature(self) -> str:
        """All that can change a verdict."""
        return f"{self.task.signature()}|model:{self.spec.model}|temperature:0"

    def note(self, against: str) -> str:
        """Who judges what, for whoever reads the report."""
        how = (
            "probabilities of the letters A and B"
            if self.task.has_probabilities
            else "a letter that it writes"
        )
        return (
            f"judge: {self.title}, both orders, by {how}, temperature 0, "
            f"prompt {self.task.prompt_hash}; {against}"
        )

    def ask(
        self, laps: Sequence[Questions], journal: Journal, progress: Progress, *, called: str
    ) -> tuple[list[Verdicts], Finding]:
        """Ask everything in one go; the verdicts of each lap, and what they took."""
        asked = {
            (number, variant, case.id): tuple(
                replace(request, id=f"{number}/{variant}/{request.id}")
                for request in self.task.ask(case)
            )
            for number, one in enumerate(laps)
            for variant, cases in one.of_variant.items()
            for case in cases
        }
        every = [request for of_case in asked.values() for request in of_case]
        reused = journal.n_reused
        answers = answer(self.backend, self.judge, every, journal, progress)
        verdicts: list[Verdicts] = [
            {
                variant: [
                    self.task.read(case, [answers[r.id] for r in asked[number, variant, case.id]])
                    for case in cases
                ]
                for variant, cases in one.of_variant.items()
            }
            for number, one in enumerate(laps)
        ]
        return verdicts, effort(
            every,
            answers,
            judge=called,
            n_reused=journal.n_reused - reused,
            n_attempts=getattr(getattr(self.backend, "retry", None), "n_attempts", None),
            price=self.spec.price,
        )

    def metrics(self, judged: str) -> list[Metric]:
        """The win rate; verdicts without shares are discrete already."""
        names = METRICS if self.task.has_probabilities else METRICS[:1]
        return [metrics.build(name, judged=judged) for name in names]


@dataclass(frozen=True, slots=True)
class Panel:
    """One judge or several. ``opponents``: case set -> whose answers the others are compared with;
    ``difficulty``: case set -> case id -> AlpacaEval's difficulty, where it was given."""

    judges: tuple[Judging, ...]
    opponents: Mapping[str, str]
    difficulty: Mapping[str, Mapping[str, float]]

    def signature(self) -> str:
        """All that can change a verdict of any of them."""
        return "||".join(one.signature() for one in self.judges)

    def notes(self) -> tuple[str, ...]:
        """Who judges what, a line a judge."""
        against = "; ".join(
            f"{name} against {'the references' if one == REFERENCE else one}"
            for name, one in self.opponents.items()
        )
        return tuple(one.note(against) for one in self.judges)

    def look(
        self,
        plan: Plan,
        predictions: Mapping[str, Predictions],
        journal: Journal,
        progress: Progress,
        settings: Settings,
    ) -> Judged:
        """Ask every judge, one after the other, and assess the verdicts set by set."""
        laps = [
            Questions.of(cases, predictions[cases.name], plan, self.opponents[cases.name])
            for cases in plan.case_sets
            if cases.name in self.opponents
        ]
        found, said, efforts = Judged(), [], []
        for judge in self.judges:
            called = "The judge" if len(self.judges) == 1 else f"The judge {judge.name}"
            verdicts, took = judge.ask(laps, journal, progress, called=called)
            judge.backend.close()  # its memory is the next one's
            said.append(verdicts)
            efforts.append(took)
        for number, one in enumerate(laps):
            own = {j.name: v[number] for j, v in zip(self.judges, said, strict=True)}
            scene = _Scene(self, one, plan, settings, found)
            scene.of_one(own) if len(self.judges) == 1 else scene.of_several(own)
            if one.opponent == REFERENCE:
                found.replaced.append(one.name)
        found.findings += [*self_preference(self.judges, plan), *efforts]
        return found

    def close(self) -> None:
        """Let go of the judges."""
        for one in self.judges:
            one.backend.close()


@dataclass(frozen=True, slots=True)
class _Scene:
    """One judged case set on its way into ``found``."""

    panel: Panel
    one: Questions
    plan: Plan
    settings: Settings
    found: Judged

    def of_one(self, said: Mapping[str, Verdicts]) -> None:
        """Scores, comparisons, position bias and strengths of the only judge."""
        (verdicts,) = said.values()
        (judge,) = self.panel.judges
        cases = self.one.judged
        told, bias = self._told(cases, verdicts)
        signature = f"against:{self.one.opponent}|{judge.signature()}"
        self._decides(cases, told, judge.metrics(signature), signature, bias)

    def of_several(self, said: Mapping[str, Verdicts]) -> None:
        """The mean of the judges decides; each of them is shown beside it."""
        each: dict[str, Assessment] = {}
        shown, biases = [], []
        for judge in self.panel.judges:
            own = self.one.by(judge.name)
            told, bias = self._told(own, said[judge.name])
            biases.append(bias)
            signature = f"against:{self.one.opponent}|{judge.signature()}"
            each[judge.name] = self._assessed(own, told, judge.metrics(signature)[:1], bias)
            shown.append((own, told, each[judge.name]))
        cases = self.one.judged
        mean = {
            variant: [
                panel.mean_of({judge: own[variant][n] for judge, own in said.items()})
                for n in range(len(cases.cases))
            ]
            for variant in self.one.of_variant
        }
        told = self._with_ties(cases, mean)
        signature = (
            f"against:{self.one.opponent}|mean of {len(each)} judges|{self.panel.signature()}"
        )
        chosen = [metrics.build(METRICS[0], judged=signature)]
        assessment = self._decides(cases, told, chosen, signature, max(biases))
        for one in shown:
            self.found.add(*one, METRICS[0])
        self.found.findings += [
            panel.agreement(cases, said, self.one.opponent, self.settings),
            *panel.directions(cases, assessment, each),
        ]

    def _told(
        self, cases: CaseSet, verdicts: Verdicts
    ) -> tuple[dict[str, list[Prediction]], float]:
        """A judge's verdicts under the ids of these cases, and how far it is led by the order."""
        own = {
            variant: [
                replace(verdict, case_id=case.id)
                for case, verdict in zip(cases.cases, of_variant, strict=True)
            ]
            for variant, of_variant in verdicts.items()
        }
        told = self._with_ties(cases, own)
        rate, finding = position_bias(cases, self.one.opponent, verdicts, told, self.plan.variants)
        self.found.findings.append(finding)
        return told, rate

    def _with_ties(self, cases: CaseSet, verdicts: Verdicts) -> dict[str, list[Prediction]]:
        """The verdicts of every variant; an answer is as good as itself."""
        told = {one.name: list(verdicts.get(one.name, ())) for one in self.plan.variants}
        if self.one.opponent in told:
            told[self.one.opponent] = [_tie(case) for case in cases.cases]
        return told

    def _assessed(
        self, cases: CaseSet, told: Predictions, chosen: Sequence[Metric], bias: float
    ) -> Assessment:
        plan = self.plan
        found = assess(cases, chosen, told, plan.variants, plan.baseline, self.settings)
        # The opponent's own rate is 50 by definition: nothing of it was measured.
        found.scores[:] = [
            replace(s, interval=None) if s.variant == self.one.opponent else s for s in found.scores
        ]
        for comparisons in (found.confirmatory, found.exploratory):
            comparisons[:] = [
                replace(c, details={**c.details, "position_bias": bias}) for c in comparisons
            ]
        return found

    def _decides(
        self,
        cases: CaseSet,
        told: Predictions,
        chosen: Sequence[Metric],
        signature: str,
        bias: float,
    ) -> Assessment:
        """Add the case set that a verdict rests on."""
        assessment = self._assessed(cases, told, chosen, bias)
        variants, difficulty = self.plan.variants, self.panel.difficulty.get(self.one.name)
        assessment.scores += length_controlled(self.one, told, variants, difficulty, signature)
        self.found.add(cases, told, assessment, chosen[0].name)
        self.found.findings += strengths(self.one, told, variants, self.settings)
        return assessment


def _tie(case: Case) -> Prediction:
    return Prediction(case.id, text="tie", label="tie", label_probabilities=TIE)
