"""The second lap: a judge compares each variant's texts with one opponent's, in both orders.

Its verdicts are assessed like any other predictions. Not for: asking the variants, and what the
verdicts say beyond the win rate (``judged``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval import metrics
from tuneval.assess.assess import assess
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.engine import Backend
from tuneval.engine.address import written
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
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
from tuneval.types import Case, Prediction, Progress, Variant

METRICS = ("win_rate", "discrete_win_rate")

TIE = {"candidate": 0.5, "baseline": 0.5}


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge that is ready. ``opponents``: case set -> whose answers the others are compared with;
    ``difficulty``: case set -> case id -> AlpacaEval's difficulty, where it was given."""

    spec: JudgeSpec
    judge: Variant
    backend: Backend
    task: Judge
    opponents: Mapping[str, str]
    difficulty: Mapping[str, Mapping[str, float]]

    @property
    def title(self) -> str:
        """The judge in words."""
        place = written(self.spec.base_url) if self.spec.base_url else "the server"
        return f'"{self.spec.model}"' + (f" at {place}" if self.spec.backend == "openai" else "")

    def signature(self) -> str:
        """All that can change a verdict."""
        return f"{self.task.signature()}|model:{self.spec.model}|temperature:0"

    def notes(self) -> tuple[str, ...]:
        """Who judges what, for whoever reads the report."""
        how = (
            "probabilities of the letters A and B"
            if self.task.has_probabilities
            else "a letter that it writes"
        )
        against = "; ".join(
            f"{name} against {'the references' if one == REFERENCE else one}"
            for name, one in self.opponents.items()
        )
        return (
            f"judge: {self.title}, both orders, by {how}, temperature 0, "
            f"prompt {self.task.prompt_hash}; {against}",
        )

    def look(
        self,
        plan: Plan,
        predictions: Mapping[str, Predictions],
        journal: Journal,
        progress: Progress,
        settings: Settings,
    ) -> Judged:
        """Ask the judge everything in one go, and assess its verdicts set by set."""
        laps = [
            Questions.of(cases, predictions[cases.name], plan, self.opponents[cases.name])
            for cases in plan.case_sets
            if cases.name in self.opponents
        ]
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
        found = Judged()
        for number, one in enumerate(laps):
            verdicts = {
                variant: [
                    self.task.read(case, [answers[r.id] for r in asked[number, variant, case.id]])
                    for case in cases
                ]
                for variant, cases in one.of_variant.items()
            }
            self._assess(found, one, verdicts, plan, settings)
        found.findings += [
            *self_preference(self.spec, plan),
            effort(
                every,
                answers,
                n_reused=journal.n_reused - reused,
                n_attempts=getattr(getattr(self.backend, "retry", None), "n_attempts", None),
                price=self.spec.price,
            ),
        ]
        return found

    def close(self) -> None:
        """Let go of the judge."""
        self.backend.close()

    def _assess(
        self,
        found: Judged,
        one: Questions,
        verdicts: Mapping[str, Sequence[Prediction]],
        plan: Plan,
        settings: Settings,
    ) -> None:
        """Add one judged case set: scores, comparisons, position bias, strengths."""
        name, cases = one.judged.name, one.judged
        told = {variant.name: list(verdicts.get(variant.name, ())) for variant in plan.variants}
        if one.opponent in told:  # an answer is as good as itself
            told[one.opponent] = [_tie(case) for case in cases.cases]
        judged = f"against:{one.opponent}|{self.signature()}"
        chosen = [metrics.build(metric, judged=judged) for metric in METRICS]
        if not self.task.has_probabilities:
            chosen = chosen[:1]  # verdicts without shares are discrete already
        assessment = assess(cases, chosen, told, plan.variants, plan.baseline, settings)
        rate, bias = position_bias(one, verdicts, told, plan.variants)
        for comparisons in (assessment.confirmatory, assessment.exploratory):
            comparisons[:] = [
                replace(c, details={**c.details, "position_bias": rate}) for c in comparisons
            ]
        difficulty = self.difficulty.get(one.name)
        assessment.scores += length_controlled(one, told, plan.variants, difficulty, judged)
        found.case_sets.append(cases)
        found.predictions[name] = told
        found.assessments[name] = assessment
        found.primary_metrics[name] = chosen[0].name
        if one.opponent == REFERENCE:
            found.replaced.append(one.name)
        found.findings += [bias, *strengths(one, told, plan.variants, settings)]


def _tie(case: Case) -> Prediction:
    return Prediction(case.id, text="tie", label="tie", label_probabilities=TIE)
