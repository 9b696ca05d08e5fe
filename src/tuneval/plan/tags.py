"""The tags of a test file beside those of the heads that are to give them.

A file often holds numbers alone; the model that was trained on it knows their names. Not for: the labels of
whole texts, which ``engine/hf/weights/labels.py`` finds by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tuneval.engine.hf.weights.folder import ModelFolder, describe
from tuneval.engine.hf.weights.labels import HeadLabels, folded, labels_of
from tuneval.errors import ConfigError, VariantError
from tuneval.plan.spec import RunSpec
from tuneval.types import CaseSet, Head, Variant


def join(
    case_sets: Sequence[CaseSet],
    variants: Sequence[Variant],
    folders: Mapping[str, ModelFolder],
    spec: RunSpec,
) -> tuple[tuple[CaseSet, ...], list[str]]:
    """Case sets of tags in the names of the heads over words, where the files have numbers; notes.

    Raises
    ------
    ConfigError
        Two heads give the numbers of a file other names.
    VariantError
        A head cannot give a tag that a file expects, or nothing says which of its outputs that is.
    """
    if not any(cases.task == "tag" for cases in case_sets):
        return tuple(case_sets), []
    heads = heads_of("tokens", variants, folders, spec)
    notes: list[str] = []
    joined = []
    for cases in case_sets:
        found = cases
        if cases.task == "tag" and heads:
            found, told = _named(cases, heads)
            notes += told
            for name, head in heads.items():
                _check(found, name, head)
        joined.append(found)
    return tuple(joined), notes


def heads_of(
    kind: Head, variants: Sequence[Variant], folders: Mapping[str, ModelFolder], spec: RunSpec
) -> dict[str, HeadLabels]:
    """Name of a variant on disk that has such a head -> the labels of that."""
    heads = {}
    for one in variants:
        if one.head != kind or one.name not in folders:
            continue
        folder = folders[one.name]
        adapter = folder if one.adapter is not None else None
        model = folder if adapter is None else _base(one, variants, folders)
        heads[one.name] = labels_of(model, adapter, spec.backend.head_labels)
    return heads


def _base(
    one: Variant, variants: Sequence[Variant], folders: Mapping[str, ModelFolder]
) -> ModelFolder:
    known = (
        folders[other.name]
        for other in variants
        if other.adapter is None and other.model == one.model and other.name in folders
    )
    return next(known, None) or describe(one.model, offline=True, revision=one.revision)


def _named(cases: CaseSet, heads: Mapping[str, HeadLabels]) -> tuple[CaseSet, list[str]]:
    """The same cases with names for numbers, where some head has names."""
    labels = cases.labels or ()
    named = {name: head for name, head in heads.items() if head.are_named}
    if not named or not all(label.isdecimal() for label in labels):
        return cases, []
    owner, head = next(iter(named.items()))
    other = next((name for name, one in named.items() if one.names != head.names), None)
    if other is not None:
        raise ConfigError(
            f'{cases.name}: its tags are numbers, and "{owner}" and "{other}" give them other names.\n'
            "Name them: --labels 0=O,1=B-PER,..."
        )
    beyond = next((label for label in labels if int(label) >= len(head)), None)
    if beyond is not None:
        raise VariantError(
            f'"{owner}": its head has {len(head)} tags, and {cases.name} holds the number {beyond}.\n'
            "It was trained for another task, or the file counts otherwise: --labels 0=O,1=B-PER,..."
        )
    renamed = tuple(
        replace(
            case,
            references=tuple(
                " ".join(head.names[int(tag)] for tag in one.split()) for one in case.references
            ),
        )
        for case in cases.cases
    )
    note = (
        f'{cases.name}: the numbers of its tags are named as the head of "{owner}" names its outputs '
        f"(0 is {head.names[0]})"
    )
    return replace(cases, cases=renamed, labels=head.names), [note]


def _check(cases: CaseSet, name: str, head: HeadLabels) -> None:
    """Hold the tags of a file against those of a head; a head may know more of them."""
    labels = cases.labels or ()
    if not head.are_named:
        if len(head) < len(labels):
            raise VariantError(
                f'"{name}": its head has {len(head)} tags, {cases.name} has {len(labels)}.\n'
                "It was trained for another task."
            )
        if all(label.isdecimal() for label in labels):
            return
        raise VariantError(
            f'"{name}": nothing says which of its outputs is "{labels[0]}": they are called '
            f"{head.names[0]}, {head.names[1]}, ...\nName them in the order of training: --head-labels "
            f"{','.join(labels)} (this is the order of the file, not necessarily yours), or as id2label in "
            "the config.json of its base."
        )
    known = {folded(one) for one in head.names}
    used = {tag for case in cases.cases for one in case.references for tag in one.split()}
    lost = sorted(tag for tag in used if folded(tag) not in known)
    if lost:
        shown = ", ".join(head.names[:9]) + (", ..." if len(head) > 9 else "")
        raise VariantError(
            f'"{name}": its head has no tag "{lost[0]}" (it has {shown}).\nTags are found by name. Rename '
            "those of the file (--labels RAW=NAME,...), or those of the head in their order "
            "(--head-labels A,B,...)."
        )
