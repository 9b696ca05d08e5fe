"""Choose some of the cases: a fixed random subset, examples to show before the question."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from tuneval.errors import ConfigError, DataError
from tuneval.types import Case, CaseSet, Message

_SHOWN = ("text", "messages", "instruction", "input", "prompt", "context", "question", "choices", "article")  # fmt: skip


def take(case_set: CaseSet, limit: int | float | None, *, strata: str | None = None) -> CaseSet:
    """Keep a fixed random subset, in file order.

    A file is often sorted by label or source, so its first rows stand for nothing; a subset drawn
    anew each time would make two runs differ. Each case therefore has a fixed rank, the hash of its
    line number, and the lowest ranks stay: the same file gives the same subset everywhere, and a
    larger limit only adds cases, so that answers in the journal are used again.

    Parameters
    ----------
    limit : int, float or None
        An int is a number of cases, a float in (0, 1] a share of them; None keeps all.
    strata : str or None
        A group whose values keep their proportions (subjects of a benchmark), to within one case.

    Raises
    ------
    ConfigError
        The limit is not positive, or a share above 1.
    """
    n_all = len(case_set.cases)
    n = _count(limit, n_all)
    if n >= n_all:
        return case_set
    ranked = sorted(case_set.cases, key=lambda case: _rank("take", _place(case)))
    if strata is not None:
        ranked = _in_proportion(ranked, strata)
    chosen = {case.id for case in ranked[:n]}
    evenly = f", in proportion to {strata}" if strata else ""
    note = f"{n} of {n_all} cases, a fixed random choice{evenly} (--limit {limit})."
    return replace(
        case_set,
        cases=tuple(case for case in case_set.cases if case.id in chosen),
        notes=(*case_set.notes, note),
    )


def _in_proportion(ranked: Sequence[Case], strata: str) -> list[Case]:
    """Deal the strata out evenly: any number from the front holds each in proportion to its size."""
    of_stratum: dict[str, list[Case]] = {}
    for case in ranked:
        of_stratum.setdefault(case.groups.get(strata, ""), []).append(case)
    dealt = [
        ((place + 0.5) / len(own), name, case)
        for name, own in of_stratum.items()
        for place, case in enumerate(own)
    ]
    return [case for _, _, case in sorted(dealt, key=lambda one: one[:2])]


def _count(limit: int | float | None, n_all: int) -> int:
    if limit is None:
        return n_all
    if isinstance(limit, float) and 0 < limit <= 1:
        return max(1, round(limit * n_all))
    if limit <= 0 or limit != int(limit):
        raise ConfigError(
            f'limit "{limit}" is neither a number of cases nor a share above 0 and up to 1.0.'
        )
    return int(limit)


def _place(case: Case) -> str:
    """Line or number within the file: a renamed file keeps its subset."""
    return case.id.rpartition(":")[2]


def _rank(*parts: object) -> bytes:
    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest()


def few_shot(
    pool: Sequence[Case],
    k: int,
    selection_seed: int,
    *,
    labels: Sequence[str] | None = None,
    test: Sequence[Case] = (),
) -> tuple[Case, ...]:
    """Choose ``k`` examples to show before the question.

    Parameters
    ----------
    pool : sequence of Case
        Where they come from: the training file.
    labels : sequence of str or None
        For classification: as many examples of each label as k allows (numbers differ by at most
        one while the pool lasts).
    test : sequence of Case
        Cases to be asked; a case of the pool with the same input is never chosen.

    Raises
    ------
    DataError
        The pool holds fewer than ``k`` cases that are not in the test set.
    """
    asked = {_input_key(case) for case in test}
    distinct = {_input_key(case): case for case in reversed(pool) if case.references}
    wanted = None if labels is None else set(labels)
    free = [
        case
        for key, case in distinct.items()
        if key not in asked and (wanted is None or case.references[0] in wanted)
    ]
    if len(free) < k:
        raise DataError(
            f"{k} examples are wanted, but only {len(free)} of {len(pool)} cases can be shown: "
            "the others have no (known) reference, repeat one another, or are asked themselves.\n"
            "Give a training file, or a smaller --few-shot."
        )

    def rank(case: Case) -> bytes:
        return _rank("few_shot", selection_seed, _input_key(case))

    free.sort(key=rank)
    chosen = free[:k] if labels is None else _balanced(free, k, labels, selection_seed)
    return tuple(sorted(chosen, key=lambda case: _rank("order", selection_seed, _input_key(case))))


def _balanced(
    ranked: Sequence[Case], k: int, labels: Sequence[str], selection_seed: int
) -> list[Case]:
    """Deal one case of each label in turn; which labels come first is the seed's choice."""
    turn = sorted(labels, key=lambda label: _rank("label", selection_seed, label))
    of_label = {label: [c for c in ranked if c.references[0] == label] for label in turn}
    n_rounds = max((len(cases) for cases in of_label.values()), default=0)
    dealt = [
        of_label[label][n] for n in range(n_rounds) for label in turn if n < len(of_label[label])
    ]
    return dealt[:k]


def _input_key(case: Case) -> str:
    """The input alone, blind to case and spaces: near-identical copies count as the same."""
    shown = [_flat(case.inputs[key]) for key in _SHOWN if key in case.inputs]
    return "\x1f".join(shown)


def _flat(value: object) -> str:
    if isinstance(value, tuple):
        return "\x1e".join(_flat(part) for part in value)
    if isinstance(value, Message):
        return f"{value.role}\x1d{_flat(value.content)}"
    return re.sub(r"\s+", " ", str(value)).strip().casefold()
