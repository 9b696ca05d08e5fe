"""The cases that two runs both have, by what stands in them and not by their lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from tuneval.types import STANDARD_INPUTS, CaseSet, Prediction, RunResult


@dataclass(frozen=True, slots=True)
class Shared:
    """One case set of the second run, cut to what the first run has too.

    ``before`` and ``after`` are the positions of these cases in the flattened predictions of the
    runs; ``first`` and ``second`` the whole sets; ``n_relabelled`` cases have the same inputs and
    other references.
    """

    cases: CaseSet
    first: CaseSet
    second: CaseSet
    before: tuple[int, ...]
    after: tuple[int, ...]
    n_relabelled: int


def shared_cases(first: RunResult, second: RunResult) -> list[Shared]:
    """Match each case set of the second run with the one of the first that has most of its cases."""
    asked = STANDARD_INPUTS | set(re.findall(r"{(\w+)", repr((first.spec, second.spec))))
    found = []
    for number, cases in enumerate(second.case_sets):
        matches = [
            _match(one, cases, asked, _start(first, place), _start(second, number))
            for place, one in enumerate(first.case_sets)
            if one.task == cases.task
        ]
        best = max(
            matches,
            key=lambda one: (len(one.before), one.first.name == cases.name),
            default=None,
        )
        if best is not None and best.before:
            found.append(best)
    return found


def of_cases(
    predictions: Sequence[Prediction], positions: Sequence[int], cases: CaseSet
) -> list[Prediction]:
    """The answers to the shared cases, under the ids that they have now."""
    return [
        replace(predictions[position], case_id=case.id)
        for position, case in zip(positions, cases.cases, strict=True)
    ]


def _match(
    first: CaseSet, second: CaseSet, asked: frozenset[str], start: int, other_start: int
) -> Shared:
    is_same_file = bool(first.sha256) and first.sha256 == second.sha256
    keys = _keys(first, asked, by_line=is_same_file)
    place = {key: position for position, key in enumerate(keys) if key is not None}
    kept, before, after = [], [], []
    for position, key in enumerate(_keys(second, asked, by_line=is_same_file)):
        if key in place:
            kept.append(second.cases[position])
            before.append(start + place[key])
            after.append(other_start + position)
    ids = {case.id for case in kept}
    whole = [i for i, case in enumerate(kept) if case.origin is None or case.origin in ids]
    labels = first.labels and tuple(dict.fromkeys((*first.labels, *(second.labels or ()))))
    return Shared(
        replace(second, cases=tuple(kept[i] for i in whole), labels=labels),
        first,
        second,
        tuple(before[i] for i in whole),
        tuple(after[i] for i in whole),
        _n_relabelled(first, second, asked),
    )


def _keys(
    cases: CaseSet, asked: frozenset[str], *, by_line: bool = False, with_references: bool = True
) -> list[Hashable | None]:
    """What a case is known by; the second case with the same content is the second here and there.

    Outputs that came without inputs are known by their id, else by their line in the same file.
    """
    seen: Counter[Hashable] = Counter()
    keys: list[Hashable | None] = []
    for case in cases.cases:
        inputs = [(key, repr(case.inputs[key])) for key in sorted(asked & case.inputs.keys())]
        if not inputs and "id" in case.inputs:
            inputs = [("id", repr(case.inputs["id"]))]
        if not inputs and by_line:
            inputs = [("line", case.id)]
        if not inputs:
            keys.append(None)
            continue
        references = case.references if with_references else ()
        content = (tuple(inputs), references, case.perturbation)
        keys.append((content, seen[content]))
        seen[content] += 1
    return keys


def _n_relabelled(first: CaseSet, second: CaseSet, asked: frozenset[str]) -> int:
    """Cases whose inputs both have, with other references."""
    before, after = (
        replace(cases, cases=tuple(one for one in cases.cases if one.origin is None))
        for cases in (first, second)
    )
    n_asked, n_same = (
        len(
            set(_keys(before, asked, with_references=has))
            & set(_keys(after, asked, with_references=has)) - {None}
        )
        for has in (False, True)
    )
    return n_asked - n_same


def _start(result: RunResult, number: int) -> int:
    return sum(len(cases.cases) for cases in result.case_sets[:number])
