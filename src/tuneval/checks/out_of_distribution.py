"""Texts that no label fits (--ood FILE): does the highest label probability give them away?

Asks every variant the task of the first classified case set on those texts; the arithmetic is
``comparison.detection``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuneval import tasks
from tuneval.assess.measure import Predictions, answered, is_missing
from tuneval.checks import Scene
from tuneval.comparison.beyond.detection import (
    FEWEST_TO_JUDGE,
    Detection,
    detection_sentence,
    judge_detection,
)
from tuneval.comparison.estimate.slices import cluster_codes, clusters_of
from tuneval.data.read import read
from tuneval.data.source import load
from tuneval.errors import ConfigError, DataError
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec
from tuneval.types import CaseSet, Finding, arms

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OutOfDistribution:
    """The texts of every file, and the name of the case set whose task they are asked with."""

    within: str
    outside: tuple[CaseSet, ...]

    @classmethod
    def begin(cls, plan: Plan) -> OutOfDistribution | None:
        """Read the texts.

        Raises
        ------
        ConfigError
            No case set of the run has label probabilities.
        DataError
            A file cannot be read, or lacks a column that the prompt needs.
        """
        if not plan.spec.ood:
            return None
        described, cases = _classified(plan)
        task = _task(plan, described, cases)
        taken = {one.name for one in plan.case_sets}
        outside = []
        for file in plan.spec.ood:
            found = _read(file, described, cases)
            name = f"{found.name} (out of scope)"
            while name in taken:
                name += "'"
            taken.add(name)
            for case in found.cases:
                task.ask(case)  # a column that the prompt names and the file lacks
            outside.append(replace(found, name=name))
        return cls(cases.name, tuple(outside))

    def look(self, scene: Scene) -> Iterator[Finding]:
        """Ask all variants, and hold what they say against their answers to the test cases."""
        variants = scene.plan.variants
        cases = next(one for one in scene.plan.case_sets if one.name == self.within)
        asked = scene.ask(self.outside, variants, scene.tasks[self.within])
        positions = answered(cases, scene.predictions[self.within])["all"]
        chosen = [cases.cases[position] for position in positions]
        inside = _confidences(scene, scene.predictions[self.within], positions)
        for texts in self.outside:
            own = asked[texts.name]
            kept = [
                position
                for position in range(len(texts.cases))
                if not any(is_missing(own[variant.name][position]) for variant in variants)
            ]
            if not kept or not positions:
                yield _nothing(texts, cases)
                continue
            outside = _confidences(scene, own, kept)
            found = judge_detection(
                {arm: (inside[arm], outside[arm]) for arm in inside},
                scene.settings,
                key=f"{cases.name}/{texts.name}",
                baseline=scene.plan.baseline,
                codes=cluster_codes(clusters_of(chosen), len(chosen)),
            )
            for arm, one in found.items():
                yield _finding(arm, one, texts, cases, scene.plan.baseline)


def _classified(plan: Plan) -> tuple[CasesSpec, CaseSet]:
    """The first case set whose labels get probabilities."""
    for described, cases in zip(plan.spec.cases, plan.case_sets, strict=True):
        is_wanted = cases.task == "classify" and cases.is_decisive
        if is_wanted and _task(plan, described, cases).has_probabilities:
            return described, cases
    found = ", ".join(f"{cases.name}: {cases.task}" for cases in plan.case_sets)
    raise ConfigError(
        f"--ood needs label probabilities, and no test set of this run has them ({found}).\n"
        "Give test cases with labels (--task classify), scored by likelihood (not --scoring "
        "generate)."
    )


def _task(plan: Plan, described: CasesSpec, cases: CaseSet) -> tasks.Task:
    """The case set's task, but for its examples: made before any model, to see what it asks."""
    options = {**plan.spec.task_options.get(cases.task, {}), **described.options}
    if described.template is not None:
        options["template"] = described.template
    return tasks.build(cases.task, labels=cases.labels, **options)


def _read(file: str, described: CasesSpec, cases: CaseSet) -> CaseSet:
    """The texts of a file, laid out like the test cases; labels are neither needed nor read."""
    table = load(file, None, described.split)
    if table.faults:
        first = table.faults[0]
        raise DataError(
            f"{table.file}: {len(table.faults)} {table.unit}s cannot be read.\n"
            f"    {table.unit} {first.place}: {first.text}\n"
            f"Mend the {table.unit}s: --ood has no --skip-bad-rows."
        )
    text = cases.columns.get("input", "text")
    label = cases.columns.get("reference", "label")
    if text == label:
        raise ConfigError(
            f'--ood: the label of {cases.name} is a turn of its column "{text}", so that texts '
            "without a label cannot be laid out like it. Give test cases with a column of texts and "
            "one of labels."
        )
    names = sorted({column for row in table.rows for column in row.fields})
    lacking = [row for row in table.rows if row.fields.get(text) in (None, "")]
    if lacking:
        where = f", {table.unit} {lacking[0].place}" if text in names else ""
        raise DataError(
            f'{table.file}{where}: no text in "{text}", the column of the texts of {cases.name} '
            f"(found {_quoted(names)}).\n"
            f'Call the column with the out-of-scope texts "{text}".'
        )
    labels = cases.labels or ()
    rows = [{**row.fields, label: labels[0]} for row in table.rows]  # the layout wants one
    found = read(
        rows,
        name=Path(table.file).name.partition(".")[0],
        columns=described.columns,
        task=cases.task,
        labels=labels,
        allow_duplicate_ids=True,
    )
    bare = tuple(replace(case, references=(), groups={}) for case in found.cases)
    return replace(found, cases=bare, source=Path(table.source).name, sha256=table.sha256)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "no rows"


def _confidences(scene: Scene, predictions: Predictions, positions: list[int]) -> dict[str, Scores]:
    """Arm -> highest label probability of each text, shape (n_seeds, n)."""
    return {
        arm: np.array(
            [
                [
                    max(
                        (
                            predictions[member.name][position].label_probabilities or {"": 0.0}
                        ).values()
                    )
                    for position in positions
                ]
                for member in members
            ]
        )
        for arm, members in arms(scene.plan.variants).items()
    }


def _nothing(texts: CaseSet, cases: CaseSet) -> Finding:
    return Finding(
        kind="out of distribution",
        variant="",
        case_set=cases.name,
        subject=texts.source,
        level="unclear",
        sentence=f"No text of {texts.source} was answered by every variant.",
    )


def _finding(arm: str, found: Detection, texts: CaseSet, cases: CaseSet, baseline: str) -> Finding:
    values: Mapping[str, float | None] = {
        "auroc": found.auroc,
        "auroc_low": found.interval[0],
        "auroc_high": found.interval[1],
        "fpr95": found.fpr95,
        "n_inside": float(found.n_inside),
        "n_outside": float(found.n_outside),
        "difference": found.difference,
        "difference_low": found.difference_interval and found.difference_interval[0],
        "difference_high": found.difference_interval and found.difference_interval[1],
    }
    return Finding(
        kind="out of distribution",
        variant=arm,
        case_set=cases.name,
        subject=texts.source,
        level="note" if found.n_outside >= FEWEST_TO_JUDGE else "unclear",
        sentence=detection_sentence(arm, found, texts=texts.source, baseline=baseline),
        values={name: value for name, value in values.items() if value is not None},
        columns={
            "test cases kept": "share",
            "threshold": "share",
            "out-of-scope texts that pass": "share",
        },
        rows=tuple((one.kept, one.threshold, one.passed) for one in found.passing),
    )
