"""A RunResult as every report looks at it: arms, pairs and slices in reading order.

Finds and orders records; makes no number.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tuneval.report import wording
from tuneval.types import (
    CaseSet,
    Comparison,
    Gate,
    GateOutcome,
    RunResult,
    Score,
    Variant,
    VariantFacts,
    VariantKind,
    Verdict,
    arms,
)

OVERALL = "all"
MOST_PAIR_COLUMNS = 3
ANSWERS = ("checkpoints",)
"""Findings that answer what a run was made for: they stand before its verdicts."""


SCORED = frozenset({"predictions", "samples"})
"""Keys of a spec by which outputs were scored that existed already."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One column of the report: a variant, or the training seeds of one recipe."""

    name: str
    kind: VariantKind
    variants: tuple[Variant, ...]

    @property
    def title(self) -> str:
        """Name, with the number of training seeds where there are several."""
        seeds = len(self.variants)
        return f"{self.name} ({seeds} seeds)" if seeds > 1 else self.name


@dataclass(frozen=True)
class View:
    """Records of ``result`` by what a reader asks for."""

    result: RunResult
    arms: tuple[Arm, ...] = ()
    _scores: dict[tuple[str, str, str, str], Score] = field(default_factory=dict)
    _comparisons: dict[tuple[str, str, str, str, str], Comparison] = field(default_factory=dict)

    @classmethod
    def of(cls, result: RunResult) -> View:
        """Index the records of ``result``."""
        compared = [variant for variant in result.variants if variant.kind != "judge"]
        rows = arms(compared)
        # A recipe of one adapter may be spoken of by the adapter's name.
        alias = {group[0].name: name for name, group in rows.items() if len(group) == 1}
        comparisons = {}
        for c in result.comparisons:
            pair = (alias.get(c.baseline, c.baseline), alias.get(c.candidate, c.candidate))
            comparisons[c.case_set, c.metric, c.slice, *pair] = c
        return cls(
            result,
            tuple(Arm(name, group[0].kind, group) for name, group in rows.items()),
            {(s.case_set, s.metric, s.slice, s.variant): s for s in result.scores},
            comparisons,
        )

    def score(self, case_set: str, metric: str, arm: Arm, slice_: str = OVERALL) -> Score | None:
        """The arm's score: that of the recipe, else of its first variant that has one."""
        for name in (arm.name, *(variant.name for variant in arm.variants)):
            found = self._scores.get((case_set, metric, slice_, name))
            if found is not None:
                return found
        return None

    def comparison(
        self, case_set: str, metric: str, pair: tuple[str, str], slice_: str = OVERALL
    ) -> Comparison | None:
        """The comparison of ``pair`` (baseline, candidate)."""
        return self._comparisons.get((case_set, metric, slice_, *pair))

    def metrics(self, case_set: str) -> list[str]:
        """Metrics of a case set, its primary one first; of two names of one number the first."""
        found = dict.fromkeys(
            score.metric
            for score in self.result.scores
            if score.case_set == case_set and score.slice == OVERALL
        )
        primary = self.primary(case_set)
        for kept, other in wording.SAME_NUMBERS:
            if {kept, other} <= found.keys() and self._are_equal(case_set, kept, other):
                del found[kept if other == primary else other]
        return sorted(found, key=lambda metric: metric != primary)

    def _are_equal(self, case_set: str, one: str, other: str) -> bool:
        pairs = [
            (self.score(case_set, one, arm), self.score(case_set, other, arm)) for arm in self.arms
        ]
        return all(a is not None and b is not None and a.value == b.value for a, b in pairs)

    def primary(self, case_set: str) -> str:
        """Primary metric of a case set."""
        return self.result.primary_metrics.get(case_set, "")

    def slices(self, case_set: str) -> Iterator[str]:
        """Slices of the primary metric other than "all", in order of appearance."""
        primary = self.primary(case_set)
        yield from dict.fromkeys(
            score.slice
            for score in self.result.scores
            if score.case_set == case_set and score.metric == primary and score.slice != OVERALL
        )

    def groups(self, case_set: str) -> dict[str, list[str]]:
        """Attribute -> its slices ("writer" -> ["writer=fluent", "writer=learner"])."""
        found: dict[str, list[str]] = {}
        for name in self.slices(case_set):
            if "=" in name:
                found.setdefault(name.partition("=")[0], []).append(name)
        return found

    def lowest_groups(self, case_set: str) -> list[str]:
        """Of each attribute the group on which the leading arm does worst."""
        metric, arm = self.primary(case_set), self.leading
        found = []
        for names in self.groups(case_set).values():
            scores = [s for name in names if arm and (s := self.score(case_set, metric, arm, name))]
            worst = min if all(score.higher_is_better for score in scores) else max
            if scores:
                found.append(worst(scores, key=lambda score: score.value).slice)
        return found

    def perturbations(self, case_set: str) -> list[str]:
        """Slices of changed inputs: those that are no group."""
        return [name for name in self.slices(case_set) if "=" not in name]

    def pairs(self, case_set: str) -> list[tuple[str, str]]:
        """Compared pairs (baseline, candidate): adapter with base, adapter with full, the rest."""
        kinds = {arm.name: arm.kind for arm in self.arms}
        kinds |= {variant.name: variant.kind for variant in self.result.variants}
        order = [{"base", "adapter"}, {"adapter", "full"}, {"base", "full"}]

        def rank(pair: tuple[str, str]) -> int:
            sides = {kinds.get(name, "") for name in pair}
            return order.index(sides) if sides in order else len(order)

        found = dict.fromkeys(
            (baseline, candidate)
            for name, _, slice_, baseline, candidate in self._comparisons
            if name == case_set and slice_ == OVERALL and baseline != candidate
        )
        return sorted(found, key=rank)

    def shown_pairs(self, case_set: str) -> list[tuple[str, str]]:
        """Pairs that get a column of their own; none where there would be too many.

        Seeds of one recipe have no columns, since their recipe has one.
        """
        names = {arm.name for arm in self.arms}
        shown = [pair for pair in self.pairs(case_set) if names.issuperset(pair)]
        return shown if len(shown) <= MOST_PAIR_COLUMNS else []

    def change(self, case_set: str, arm: Arm, slice_: str) -> Comparison | None:
        """The arm compared with itself: its primary metric on changed inputs minus on clean ones."""
        for name in (arm.name, *(variant.name for variant in arm.variants)):
            found = self.comparison(case_set, self.primary(case_set), (name, name), slice_)
            if found is not None:
                return found
        return None

    def baseline_comparison(
        self, case_set: str, metric: str, arm: Arm, slice_: str = OVERALL
    ) -> Comparison | None:
        """The arm compared with the first base arm."""
        base = self.base
        if base is None or base.name == arm.name:
            return None
        return self.comparison(case_set, metric, (base.name, arm.name), slice_)

    @property
    def base(self) -> Arm | None:
        """The base model's arm; where it has no trained head, the commonest label's."""
        for kind in ("base", "majority"):
            if found := next((arm for arm in self.arms if arm.kind == kind), None):
                return found
        return None

    @property
    def leading(self) -> Arm | None:
        """The arm that the report speaks of first: the first adapter, else the last arm."""
        adapters = [arm for arm in self.arms if arm.kind == "adapter"]
        return adapters[0] if adapters else self.arms[-1] if self.arms else None

    def facts(self, arm: Arm) -> VariantFacts | None:
        """Facts of the arm's first variant."""
        names = {variant.name for variant in arm.variants}
        return next((fact for fact in self.result.facts if fact.variant in names), None)

    def slice_note(self, case_set: str, slice_: str) -> str:
        """What happened to the leading arm on the slice, in few words."""
        arm, metric = self.leading, self.primary(case_set)
        if arm is None:
            return ""
        change = self.change(case_set, arm, slice_)
        if change is not None and "ratio" in change.details:
            return f"{change.details['ratio']:.0%} of clean"
        if change is not None and change.note:
            return change.note
        score = self.score(case_set, metric, arm, slice_)
        return score.note if score else ""

    def case_count(self) -> int:
        """Original cases of all case sets, perturbed twins left out."""
        asked = [
            one for one in self.result.case_sets if one.task != "judge"
        ]  # others were seen before
        return sum(len(originals(case_set)) for case_set in asked)

    def headline(self) -> str:
        """The decision, or INCOMPLETE in its place."""
        return self.result.headline if self.result.is_complete else "INCOMPLETE"

    def messages(self) -> list[tuple[str, str]]:
        """(mark, sentence): gates, answers, what each verdict says first, warnings, what else it says.

        A sentence is said once, with the names of those that it is about where there are several.
        None of an unfinished run: what half of the cases show is not what the run shows.
        """
        if not self.result.is_complete:
            return []
        verdicts = self.result.verdicts
        said: dict[str, tuple[str, list[str]]] = {
            one.sentence: (wording.SIGNS[one.level], [])
            for one in self.result.findings
            if one.kind in ANSWERS
        }
        for rank in ("first", "ranking", "warnings", "further"):
            if rank == "ranking":
                ranked = [one for one in self.result.findings if one.kind == "ranking"]
                said |= {one.sentence: ("=", [one.variant]) for one in ranked}
                corrected = [one for one in self.result.findings if one.kind == "corrected"]
                said |= {one.sentence: (wording.SIGNS[one.level], []) for one in corrected}
                continue
            for verdict in verdicts:
                sentences = {
                    "first": verdict.reasons[:1],
                    "warnings": verdict.warnings,
                    "further": verdict.reasons[1:],
                }[rank]
                sign = {"first": wording.mark(verdict), "warnings": "!", "further": "?"}[rank]
                for sentence in sentences:
                    about = said.setdefault(sentence, (sign, []))[1]
                    if self._about(verdict) not in about:
                        about.append(self._about(verdict))
        for found in self.result.findings:
            if found.kind == "judges":
                said.setdefault(found.sentence, (wording.SIGNS[found.level], []))
        if not verdicts:  # scores without a pair still have warnings
            for found in self.result.findings:
                if found.level == "warning":
                    said.setdefault(found.sentence, ("!", [found.variant]))
        about_data = {one.sentence for one in self.result.findings if not one.variant}
        is_plain = len({name for _, names in said.values() for name in names if name}) <= 1
        gates = [(_GATE_MARKS[gate.outcome], gate_line(gate)) for gate in self.result.gates]
        return gates + [
            (
                sign,
                sentence
                if is_plain or not about or sentence in about_data or _names_itself(sentence, about)
                else f"{', '.join(about)}: {sentence}",
            )
            for sentence, (sign, about) in said.items()
        ]

    def _about(self, verdict: Verdict) -> str:
        """The tuned side; an adapter where it is held against a full fine-tune."""
        kinds = {arm.name: arm.kind for arm in self.arms}
        if kinds.get(verdict.baseline) == "adapter":
            n_fulls = sum(kind == "full" for kind in kinds.values())
            return (
                verdict.baseline if n_fulls == 1 else f"{verdict.baseline} and {verdict.candidate}"
            )
        return verdict.candidate

    def resume_command(self) -> str:
        """What to type to finish an unfinished run; empty where only the words that began it are
        known to the user: scoring leaves no ``run.yaml``."""
        if not SCORED.isdisjoint(self.result.spec):
            return ""
        folder = self.result.output_dir or "RUN_DIR"
        return f"tuneval run {shlex.quote(folder.rstrip('/') + '/run.yaml')}"


_GATE_MARKS: dict[GateOutcome, str] = {"passed": "+", "failed": "!", "cannot tell": "?"}


def gate_line(gate: Gate) -> str:
    """The outcome of a gate as a sentence."""
    return f'gate "{gate.name}" {gate.outcome}: {gate.sentence}'


def _names_itself(sentence: str, about: Sequence[str]) -> bool:
    """Does the sentence begin with the name of what it is about?"""
    return len(about) == 1 and sentence.casefold().startswith(about[0].casefold())


def originals(case_set: CaseSet) -> list[str]:
    """Ids of the cases that are no perturbed twins."""
    return [case.id for case in case_set.cases if case.origin is None]


def chosen(signs: Sequence[str], heights: Sequence[int], most: int) -> list[int]:
    """Which messages fit into ``most`` lines, in their order: where not all do, warnings keep half
    of the lines, and one line is left to say how many there are besides."""
    if sum(heights) <= most:
        return list(range(len(heights)))
    room = most - 1
    warnings = [index for index, sign in enumerate(signs) if sign == "!"]
    others = [index for index, sign in enumerate(signs) if sign != "!"]
    kept: list[int] = []
    for kind, limit in ((others, room - room // 2 if warnings else room), (warnings, room)):
        for index in kind:
            if sum(heights[k] for k in kept) + heights[index] > limit:
                break
            kept.append(index)
    return sorted(kept)


def worst_first(score: Score | None) -> float:
    """Key for sorting scores, the worst first and what is missing last."""
    if score is None or math.isnan(score.value):
        return math.inf
    return score.value if score.higher_is_better else -score.value
