"""What is expected, in the form that a task compares: labels by name, lists of them, tags, numbers.

Not for: which task that is, which ``read`` decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from tuneval.data.choose import Choice
from tuneval.data.fields import json_of
from tuneval.data.formats import Fault, Table, quote
from tuneval.data.labels import Given, LabelSet, are_json, class_text, label_set
from tuneval.data.layouts import Draft
from tuneval.data.several import listed, seem_listed
from tuneval.errors import DataError

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


def as_asked(
    table: Table, drafts: list[Draft], task: str, labels: Given, found: Choice
) -> tuple[list[Draft], list[Fault], LabelSet | None]:
    """References in the form that a task compares, those that have no such form as faults, and the labels."""
    column = found.match.reference or ""
    declared = table.label_names.get(column)
    if task in ("extract", "tool_call"):
        return drafts, _no_json(drafts, task), None
    if task == "regression":
        return (*_as_numbers(drafts), None)
    if not drafts or task not in ("multilabel", "classify", "tag"):
        return drafts, [], None
    if task == "multilabel":
        return _several_labels(drafts, labels, declared, column)
    if task == "tag":
        raw = [tag for draft in drafts for tag in draft.references[0].split()]
        _refuse_hidden(table, raw)
        known = label_set(raw, labels, declared, column)
        return (*_tag(drafts, known), known)
    raw = [class_text(draft.reading.references[0]) for draft in drafts]
    _refuse_hidden(table, raw)
    if found.task is None and labels is None:
        _refuse_lists_in_text(table, raw, column)
    known = label_set(raw, labels or found.names, declared, column)
    return (*_label(drafts, known), known)


def _label(drafts: Sequence[Draft], known: LabelSet) -> tuple[list[Draft], list[Fault]]:
    """Replace raw labels by names; those outside the set become faults."""
    good, faults = [], []
    for draft in drafts:
        fault = _no_class(draft.reading.references, known)
        if fault:
            faults.append(Fault(draft.row.place, fault))
        else:
            raw = class_text(draft.reading.references[0])
            good.append(draft._replace(references=(known.by_raw[raw],)))
    return good, faults


def _several_labels(
    drafts: Sequence[Draft], labels: Given, declared: Sequence[str] | None, column: str
) -> tuple[list[Draft], list[Fault], LabelSet]:
    """Lists of raw labels as lists of names, in the order of the set; the rest become faults."""
    sets = [listed(draft.references[0]) for draft in drafts]
    known = label_set([one for own in sets for one in own], labels, declared, column)
    good, faults = [], []
    for draft, own in zip(drafts, sets, strict=True):
        fault = next((text for one in own if (text := known.fault(one))), None)
        if fault:
            faults.append(Fault(draft.row.place, fault))
            continue
        names = {known.by_raw[one] for one in own}
        good.append(draft._replace(references=(json_of([n for n in known.names if n in names]),)))
    return good, faults, known


def _no_json(drafts: Sequence[Draft], task: str) -> list[Fault]:
    """References that are no object or array."""
    return [
        Fault(draft.row.place, f"{quote(text)} is no JSON object or list, and the task is {task}")
        for draft in drafts
        for text in draft.references
        if not are_json([(text,)])
    ]


def _as_numbers(drafts: Sequence[Draft]) -> tuple[list[Draft], list[Fault]]:
    """References as plain numbers, since the metrics compare numbers: "1,500" is 1500, and "7%" is 7 where
    all of them are shares of a hundred. The rest become faults."""
    are_percent = all(text.rstrip().endswith("%") for one in drafts for text in one.references)
    good, faults = [], []
    for draft in drafts:
        found = [
            _number(text.removesuffix("%") if are_percent else text) for text in draft.references
        ]
        if None in found:
            text = draft.references[found.index(None)]
            said = f"{quote(text)} is no number, and the task is regression"
            faults.append(Fault(draft.row.place, said))
        else:
            good.append(draft._replace(references=tuple(str(one) for one in found)))
    return good, faults


def _number(text: str) -> str | None:
    """A finite number as text that Python reads, None of any other text."""
    bare = text.strip()
    bare = bare.replace(",", "") if _THOUSANDS.fullmatch(bare) else bare
    try:
        return bare if isfinite(float(bare)) else None
    except ValueError:
        return None


def _tag(drafts: Sequence[Draft], known: LabelSet) -> tuple[list[Draft], list[Fault]]:
    """Replace raw tags by names; those outside the set become faults."""
    good, faults = [], []
    for draft in drafts:
        raw = draft.references[0].split()
        wrong = [fault for tag in raw if (fault := known.fault(tag))]
        if wrong:
            faults.append(Fault(draft.row.place, wrong[0].replace("label", "tag", 1)))
        else:
            tags = " ".join(known.by_raw[tag] for tag in raw)
            good.append(draft._replace(references=(tags,)))
    return good, faults


def _refuse_lists_in_text(table: Table, raw: Sequence[str], column: str) -> None:
    if (text := seem_listed(raw)) is not None:
        raise DataError(
            f"{table.file} fits two tasks: {quote(column)} holds one class a row, or lists of labels "
            f"({quote(text)}).\nSay --task classify or --task multilabel."
        )


def _no_class(references: Sequence[object], known: LabelSet) -> str | None:
    value = references[0]
    if len(references) > 1:
        return f"{len(references)} references, expected one class"
    if isinstance(value, float) and value % 1:
        return f"label {quote(value)} is a number with a fraction, expected a class"
    return known.fault(class_text(value))


def _refuse_hidden(table: Table, raw: Sequence[str]) -> None:
    if raw and set(raw) == {"-1"}:
        raise DataError(
            f'{table.file}: every label is "-1", as in test splits whose labels are kept back.\n'
            "Use a split with labels, for instance --split validation."
        )
