"""What did not fit: prompts cut to the context, answers cut at the token limit.

A cut is never silent. It warns where it may have cost the arm at least one case in twenty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tuneval.checks import Scene
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, Prediction, Variant, arms

WARN_FROM = 0.05
"""Share of an arm's answers from which what was cut may move its score."""
CUT = "length"


@dataclass(frozen=True, slots=True)
class Cuts:
    """Every case set; changed copies of cases are left to the check on changed inputs."""

    @classmethod
    def begin(cls, plan: Plan) -> Cuts:
        """Every run calls for it; it reads nothing."""
        return cls()

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding per arm and kind of cut, none where nothing was cut."""
        for cases in scene.plan.case_sets:
            for arm, members in arms(scene.plan.variants).items():
                told = _told(cases, members, scene)
                yield from _of_prompts(arm, cases, told)
                yield from _of_answers(arm, cases, told)


@dataclass(frozen=True, slots=True)
class _Told:
    """One answer of one training seed. ``score`` is None where there is none."""

    prediction: Prediction
    score: float | None


def _told(cases: CaseSet, members: Sequence[Variant], scene: Scene) -> list[_Told]:
    predictions = scene.predictions[cases.name]
    scores = scene.assessments[cases.name].case_scores
    return [
        _Told(prediction, score)
        for member in members
        for case, prediction, score in zip(
            cases.cases, predictions[member.name], scores[member.name], strict=True
        )
        if case.origin is None
    ]


def _of_prompts(arm: str, cases: CaseSet, told: Sequence[_Told]) -> Iterator[Finding]:
    cut = [one for one in told if one.prediction.is_truncated]
    if not cut:
        return
    yield Finding(
        kind="cuts",
        variant=arm,
        case_set=cases.name,
        subject="prompts",
        level="warning" if len(cut) >= WARN_FROM * len(told) else "note",
        sentence=f"{arm}: {_counted(len(cut), len(told), 'prompt')} cut to fit the context"
        f"{_wrong(cut, told)}. The middle of long messages is left out: see the prompts of its cases.",
        values={"n_cut": len(cut), "n": len(told), **_values(cut, told)},
    )


def _of_answers(arm: str, cases: CaseSet, told: Sequence[_Told]) -> Iterator[Finding]:
    cut = [one for one in told if CUT in one.prediction.finish_reasons]
    if not cut:
        return
    n_lost = len(cut) - sum(one.score == 1 for one in cut)  # what is right needed no more
    yield Finding(
        kind="cuts",
        variant=arm,
        case_set=cases.name,
        subject="answers",
        level="warning" if n_lost >= WARN_FROM * len(told) else "note",
        sentence=f"{arm}: {_counted(len(cut), len(told), 'answer')} cut at the token limit"
        f"{_wrong(cut, told)}. --max-tokens gives more room, --stop ends what goes on.",
        values={"n_cut": len(cut), "n": len(told), **_values(cut, told)},
    )


def _counted(n: int, n_all: int, noun: str) -> str:
    return f"{n:,} of {n_all:,} {noun}s {'was' if n == 1 else 'were'}"


def _values(cut: Sequence[_Told], told: Sequence[_Told]) -> dict[str, float]:
    return {"n_wrong": sum(one.score == 0 for one in cut)} if _is_right_or_wrong(told) else {}


def _wrong(cut: Sequence[_Told], told: Sequence[_Told]) -> str:
    """How many of the cut ones are wrong, where an answer is right or wrong."""
    if not _is_right_or_wrong(told):
        return ""
    n = sum(one.score == 0 for one in cut)
    return f"; {n / len(cut):.0%} of those cut are wrong"


def _is_right_or_wrong(told: Sequence[_Told]) -> bool:
    scores = [one.score for one in told if one.score is not None]
    return bool(scores) and all(one in (0, 1) for one in scores)
