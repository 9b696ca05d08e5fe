"""How likely training texts are to each variant, beside test texts and beside the base model.

The texts are inputs with what is expected for them; those that stand in both files take no part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuneval import tasks
from tuneval.assess.measure import Predictions
from tuneval.checks import Scene
from tuneval.checks.training_file import read_training
from tuneval.comparison.beyond.memorisation import (
    Likelihoods,
    Memorisation,
    judge_memorisation,
    memorisation_sentence,
)
from tuneval.data.overlap import find_overlap, text_of
from tuneval.data.select import take
from tuneval.plan.resolve import Plan
from tuneval.types import READS_TEXTS, Case, CaseSet, Finding, FindingLevel, arms

MOST_TEXTS = 200
FEWEST_TEXTS = 30


@dataclass(frozen=True, slots=True)
class LearntByHeart:
    """A fixed random sample of training texts and of test texts, as cases of plain text."""

    training: CaseSet
    test: CaseSet
    source: str

    @classmethod
    def begin(cls, plan: Plan) -> LearntByHeart | None:
        """Sample both files. None where a base model is missing or the files are too small."""
        training, tested = read_training(plan), plan.case_sets[0]
        base = next((one for one in plan.variants if one.name == plan.baseline), None)
        if training is None or base is None or base.head in READS_TEXTS:
            return None
        test = _sample(replace(tested, name=f"{tested.name} (test texts)"))
        shared = find_overlap(map(text_of, training.cases), [text_of(case) for case in test.cases])
        leaked = {one.case_id for one in shared} | {one.training_id for one in shared}
        training, test = (
            _texts(cases, leaked)
            for cases in (
                _sample(replace(training, name=f"{tested.name} (training texts)")),
                test,
            )
        )
        if min(len(training.cases), len(test.cases)) < FEWEST_TEXTS:
            return None
        return cls(training, test, Path(str(plan.spec.train_data)).name)

    def look(self, scene: Scene) -> Iterator[Finding]:
        """Ask every variant for the likelihood of every token; judge each arm's seeds apart."""
        task = tasks.build("language_model", token_logprobs=True, prompt_style="text")
        # A head over labels gives no text a likelihood.
        readers = [one for one in scene.plan.variants if one.head not in READS_TEXTS]
        asked = scene.ask([self.training, self.test], readers, task)
        sides = (asked[self.training.name], asked[self.test.name])
        base = scene.plan.baseline
        for arm, members in arms(readers).items():
            if arm == base:
                continue
            for member in members:
                found = self._judge(sides, base, member.name)
                if found is not None:
                    yield self._finding(scene, member.name, found)

    def _judge(
        self, sides: tuple[Predictions, Predictions], base: str, name: str
    ) -> Memorisation | None:
        """None where the two cut texts into different tokens, or too few could be scored."""
        pairs = []
        for side in sides:
            both = [
                (mine.token_logprobs, its.token_logprobs)
                for mine, its in zip(side[name], side[base], strict=True)
                if mine.token_logprobs and its.token_logprobs
            ]
            if len(both) < FEWEST_TEXTS or any(len(a) != len(b) for a, b in both):
                return None
            pairs.append(both)
        tuned, base_ = (
            tuple(Likelihoods(tuple(pair[which] for pair in both)) for both in pairs)
            for which in (0, 1)
        )
        return judge_memorisation((tuned[0], tuned[1]), (base_[0], base_[1]))

    def _finding(self, scene: Scene, name: str, found: Memorisation) -> Finding:
        level: FindingLevel = (
            "warning" if found.is_memorised else "clear" if found.is_free else "unclear"
        )
        return Finding(
            kind="memorisation",
            variant=name,
            case_set=scene.plan.case_sets[0].name,
            subject=self.source,
            level=level,
            sentence=memorisation_sentence(name, found),
            values={
                "gap_nats": found.gap,
                "low": found.low,
                "high": found.high,
                "auroc": found.auroc,
                "auroc_base": found.auroc_base,
            },
            columns={
                "gap, nats per token": "nats",
                "low": "nats",
                "high": "nats",
                "AUROC of Min-20%": "number",
                "base": "number",
                "training texts": "count",
                "test texts": "count",
            },
            rows=(
                (
                    found.gap,
                    found.low,
                    found.high,
                    found.auroc,
                    found.auroc_base,
                    len(self.training.cases),
                    len(self.test.cases),
                ),
            ),
        )


def _sample(cases: CaseSet) -> CaseSet:
    """A fixed random sample of the cases that are no perturbed twins."""
    originals = tuple(case for case in cases.cases if case.origin is None)
    return take(replace(cases, cases=originals), min(MOST_TEXTS, len(originals)))


def _texts(cases: CaseSet, left_out: set[str]) -> CaseSet:
    """Inputs and what is expected for them as plain text, without some."""
    kept = tuple(_text(case) for case in cases.cases if case.id not in left_out)
    return replace(cases, task="language_model", labels=None, cases=kept)


def _text(case: Case) -> Case:
    one = text_of(case)
    words: Sequence[str] = [part for part in (one.text, one.reference) if part]
    return Case(case.id, {"text": "\n".join(words)})
