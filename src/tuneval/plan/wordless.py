"""Refuses cases that ask for words where a variant has none to give: a head over labels.

Not for: labels that a head does not have, which ``engine/hf/weights/labels.py`` finds by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuneval.data.labels import class_text
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.labels import HeadLabels, folded
from tuneval.errors import VariantError
from tuneval.plan.spec import RunSpec
from tuneval.plan.tags import heads_of
from tuneval.types import CaseSet, Variant

OF_WORDS = ("generate", "extract", "tool_call", "complete_code")
"""Tasks whose answers are written."""


def check(
    case_sets: Sequence[CaseSet],
    variants: Sequence[Variant],
    folders: Mapping[str, ModelFolder],
    spec: RunSpec,
) -> None:
    """Hold the tasks of a run against the heads of its variants.

    A head answers with the name of its likeliest label, which is an answer only where all references are
    names of its labels.

    Raises
    ------
    VariantError
        A task asks for words, and the references are others than a head's labels.
    """
    heads = heads_of("classification", variants, folders, spec)
    for cases in case_sets:
        if cases.task in OF_WORDS:
            for name, head in heads.items():
                _check(cases, name, head, variants)


def _check(cases: CaseSet, name: str, head: HeadLabels, variants: Sequence[Variant]) -> None:
    known = {folded(one) for one in head.names} if head.kind == "one" and head.are_named else set()
    other = next(
        (
            text
            for case in cases.cases
            for text in case.references
            if folded(class_text(text)) not in known
        ),
        None,
    )
    if known and other is None:
        return
    writing = [one.name for one in variants if one.head in ("causal", "seq2seq")]
    leave = (
        f"Compare {', '.join(writing)} alone on it" if writing else "Compare a language model on it"
    )
    raise VariantError(
        f'"{name}" has a head over labels and writes no words, and {cases.name} asks for them (task '
        f'{cases.task}; it expects "{(other or "")[:60]}").\n{leave}, or give "{name}" a file with labels '
        "(--task classify)."
    )
