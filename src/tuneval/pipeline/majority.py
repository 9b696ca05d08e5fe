"""Counts labels for the variant that gives every case the commonest one.

Not for: deciding whether there is such a variant (``plan/without_head.py``).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from tuneval.checks.training_file import read_training
from tuneval.engine import Backend
from tuneval.engine.majority import WithMajority
from tuneval.plan.resolve import Plan
from tuneval.types import Case, CaseSet

Complete = Callable[[Backend], Backend]
"""Makes a backend that answers as the majority variant, too."""


def begin(plan: Plan) -> tuple[Plan, Complete]:
    """Count labels: the plan with a note on what was counted, and what is put before the backend.

    Nothing changes where the plan has no such variant.
    """
    own = next((one for one in plan.variants if one.kind == "majority"), None)
    if own is None:
        return plan, lambda backend: backend
    training = read_training(plan)
    decisive = next((one for one in plan.case_sets if one.is_decisive), plan.case_sets[0])
    counted = training or decisive
    labels = counts_of(counted, decisive.labels or ())
    for others in plan.case_sets:  # sets with other labels have a commonest one of their own
        for label, n in counts_of(others, others.labels or ()).items():
            labels.setdefault(label, n)
    several = _several(plan.case_sets, training)
    number = _mean(counted.cases) if not labels else None
    where = (
        f"counted in {training.source}"
        if training is not None
        else f"counted in the test cases of {decisive.name} themselves (no --train-data): no constant "
        "answer can be right more often"
    )
    if decisive.task == "multilabel":
        said = several[decisive.labels or ()]
        where = where.replace("can be right more often", "has a higher F1 (micro)")
        note = f"{own.name}: answers {said} to every case, {where}"
    elif number is not None:
        note = f"{own.name}: answers {number} to every case, the mean; {where}"
    else:
        told_of = {label: labels[label] for label in decisive.labels or labels}
        top = max(told_of, key=lambda label: told_of[label], default="")
        total = sum(told_of.values())
        share = f"{told_of.get(top, 0) / max(1, total):.1%}"
        note = f'{own.name}: answers "{top}" to every case ({share} of {total:,}), {where}'
    told = replace(plan, notes=tuple(dict.fromkeys((*plan.notes, note))))
    return told, lambda backend: WithMajority(backend, labels, number, several)


_PARTS: Mapping[str, Callable[[str], list[str]]] = {"tag": str.split, "multilabel": json.loads}
"""Tasks whose references hold several labels -> how these are told apart."""


def counts_of(cases: CaseSet, labels: Sequence[str]) -> dict[str, int]:
    """Label -> cases that have it, in the order of ``labels``; changed twins are no cases of their own.

    Of references that are tags, one a word, the words are counted; of lists of labels, each label.
    """
    counts: Counter[str] = Counter()
    for case in cases.cases:
        if case.origin is None and case.references:
            said = case.references[0]
            counts.update(_PARTS[cases.task](said) if cases.task in _PARTS else [said])
    known = {label: counts[label] for label in labels}
    return known if labels else ({} if cases.task == "regression" else dict(counts.most_common()))


def _several(case_sets: Sequence[CaseSet], training: CaseSet | None) -> dict[tuple[str, ...], str]:
    """Label set -> the constant set of labels with the highest F1 (micro), as a JSON list."""
    known = training if training is not None and training.task == "multilabel" else None
    return {
        cases.labels or (): json.dumps(
            best_constant(known or cases, cases.labels or ()), ensure_ascii=False
        )
        for cases in case_sets
        if cases.task == "multilabel"
    }


def best_constant(cases: CaseSet, labels: Sequence[str]) -> list[str]:
    """The labels that, given to every case, have the highest F1 (micro): the commonest, so many as help."""
    own = [case for case in cases.cases if case.origin is None and case.references]
    counts = Counter(label for case in own for label in json.loads(case.references[0]))
    ordered = sorted(labels, key=lambda label: -counts[label])
    right = list(itertools.accumulate(counts[label] for label in ordered))
    total = sum(counts.values())
    scores = [2 * n / (k * len(own) + total) for k, n in enumerate(right, 1)]
    best = scores.index(max(scores)) + 1 if total else 0
    return [label for label in labels if label in ordered[:best]]


def _mean(cases: Sequence[Case]) -> str | None:
    """The mean of references that are numbers, as text; None where one is not."""
    try:
        return f"{fmean(float(case.references[0]) for case in cases if case.origin is None):.9g}"
    except (ValueError, IndexError):
        return None
