"""Test cases that occur in the training file, and every arm's score without them.

Which cases those are is ``data.overlap``'s; the scores are those of two more slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from tuneval.assess.assess import add_slice
from tuneval.checks import Scene
from tuneval.checks.training_file import read_training
from tuneval.data.overlap import KINDS, Overlap, find_overlap, text_of
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding, arms

WITH, WITHOUT = "overlap=leaked", "overlap=clean"
INVALID_SHARE = 0.05
MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Contamination:
    """Overlaps by case set name; ``file`` is the name of the training file."""

    file: str
    n_rows: int
    overlaps: Mapping[str, tuple[Overlap, ...]]

    @classmethod
    def begin(cls, plan: Plan) -> Contamination | None:
        """Read the training file the way the first test file was read, and compare.

        Perturbed twins are left out: their originals speak for them.
        """
        training = read_training(plan)
        if training is None:
            return None
        rows = [text_of(case) for case in training.cases]
        return cls(
            Path(str(plan.spec.train_data)).name,
            len(rows),
            {
                cases.name: find_overlap(
                    rows, [text_of(case) for case in cases.cases if case.origin is None]
                )
                for cases in plan.case_sets
            },
        )

    def look(self, scene: Scene) -> Iterator[Finding]:
        """Say what leaked; where something did, add the scores with and without it."""
        for cases in scene.plan.case_sets:
            found = self.overlaps[cases.name]
            yield self._finding(cases, found)
            leaked = {one.case_id for one in found if one.kind != "run of words"}
            if leaked and cases in scene.measured:
                yield from self._scores(scene, cases, leaked)

    def _finding(self, cases: CaseSet, found: Sequence[Overlap]) -> Finding:
        n_cases = sum(case.origin is None for case in cases.cases)
        counts: Counter[str] = Counter(one.kind for one in found)
        n_copies = counts["exact"] + counts["near"]
        n_same = sum(one.has_reference for one in found if one.kind == "exact")
        is_invalid = cases.is_decisive and n_copies > INVALID_SHARE * n_cases
        return Finding(
            kind="contamination",
            variant="",
            case_set=cases.name,
            subject=self.file,
            level="warning" if n_copies else "unclear" if found else "clear",
            sentence=_sentence(cases.name, n_cases, counts, n_same),
            values={
                "cases": n_cases,
                "training_rows": self.n_rows,
                "exact": counts["exact"],
                "exact_with_reference": n_same,
                "near": counts["near"],
                "run_of_words": counts["run of words"],
                "share": n_copies / n_cases if n_cases else 0.0,
            },
            columns={"case": "text", "found": "text", "in": "text", "alike": "share"},
            rows=tuple(
                (one.case_id, one.kind, one.training_id, one.similarity)
                for one in sorted(found, key=lambda one: KINDS.index(one.kind))[:MOST_ROWS]
            ),
            flag="INVALID" if is_invalid else "",
        )

    def _scores(self, scene: Scene, cases: CaseSet, leaked: set[str]) -> Iterator[Finding]:
        """Two slices for every arm, and what the leak is worth to it."""
        assessment = scene.assessments[cases.name]
        metric = scene.metrics[cases.name][0]
        originals = [at for at, case in enumerate(cases.cases) if case.origin is None]
        inside = [at for at in originals if cases.cases[at].id in leaked]
        for name, positions in (
            (WITHOUT, [at for at in originals if at not in set(inside)]),
            (WITH, inside),
        ):
            add_slice(
                assessment,
                name,
                positions,
                cases,
                metric,
                scene.predictions[cases.name],
                scene.plan.variants,
                scene.plan.baseline,
                scene.settings,
            )
        scores = {
            (one.variant, one.slice): one
            for one in assessment.scores
            if one.metric == metric.name and one.case_set == cases.name
        }
        for arm in arms(scene.plan.variants):
            whole, rest, only = (scores[arm, name] for name in ("all", WITHOUT, WITH))
            yield Finding(
                kind="contamination",
                variant=arm,
                case_set=cases.name,
                subject=self.file,
                level="note",
                sentence="",
                values={"all": whole.value, "without": rest.value, "only": only.value},
                columns={
                    "metric": "text",
                    "all cases": metric.unit,
                    "without the leaked": metric.unit,
                    "leaked only": metric.unit,
                    "leaked cases": "count",
                },
                rows=(
                    (
                        metric.name,
                        *(_defined(one.value) for one in (whole, rest, only)),
                        only.n_cases,
                    ),
                ),
            )


def _defined(value: float) -> float | None:
    return None if isnan(value) else value


def _sentence(name: str, n_cases: int, counts: Mapping[str, int], n_same: int) -> str:
    n_copies = counts["exact"] + counts["near"]
    runs = counts["run of words"]
    if not n_copies and not runs:
        return f"No case of {name} occurs in the training file: no copy, no near copy, no long run of words."
    shared = (
        f"{runs} {'more share' if n_copies else f'of the {n_cases} cases of {name} share'} a long "
        "run of words with it, as turns of phrase do."
    )
    if not n_copies:
        return shared
    share = n_copies / n_cases
    text = (
        f"{n_copies} of {n_cases} cases of {name} ({share:.1%}) occur in the training file: "
        f"{counts['exact']} word for word ({n_same} with the same reference), {counts['near']} nearly."
    )
    return f"{text} {shared[0].upper()}{shared[1:]}" if runs else text
