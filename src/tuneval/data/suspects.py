"""What reads without fault and is still suspicious: sentences for the user."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from tuneval.data.fields import strings_in
from tuneval.data.formats import Table, quote
from tuneval.data.labels import LabelSet
from tuneval.data.layouts import Draft
from tuneval.data.names import folded
from tuneval.data.values import columns_of, values_of

LONG = 200_000
"""Characters from which an input is mentioned: beyond the context of nearly every model."""
_SPLITS = ("split", "subset", "partition", "datasplit")
_LOOK_ALIKE = str.maketrans(
    "асеорухіјѕһԁԛԝвкмнтαβεικνορτυχ",
    "aceopyxijshdqwbkmhtabeiknoptux",
)
"""Cyrillic and Greek small letters -> the Latin ones that they look like, small or as capitals."""


def notes(table: Table, drafts: Sequence[Draft], known: LabelSet | None) -> Iterable[str]:
    """Inputs of great length, one text under two labels, labels that look alike."""
    long = [(d.row.place, n) for d in drafts if (n := _length(d.reading.inputs)) >= LONG]
    if long:
        place, n = long[0]
        cases = f"{len(long)} case{'s' * (len(long) > 1)}"
        yield (
            f"{cases} of {LONG:,} characters or more (first: {table.unit} {place}, {n:,}): what "
            "does not fit into a model's context is cut."
        )
    yield from _several_splits(table)
    if known is not None:
        yield from _two_labels(table, drafts)
        yield from look_alikes(known.names)


def _several_splits(table: Table) -> Iterable[str]:
    """Rows of the training part in a file that holds several parts."""
    for column in columns_of(table.rows):
        if folded(column) not in _SPLITS:
            continue
        counts = Counter(str(value).casefold() for value in values_of(table.rows, column) if value)
        n = sum(counts[name] for name in ("train", "training"))
        if n and len(counts) > 1:
            yield (
                f"{n} of {len(table.rows)} {table.unit}s are of the training part by their "
                f"{quote(column)}, and all are read: a score on what was trained on says little. Keep "
                f"the other {table.unit}s in a file of their own, or see both with --group {column}."
            )


def _length(inputs: dict[str, object]) -> int:
    return sum(len(text) for text in strings_in(list(inputs.values())))


def _two_labels(table: Table, drafts: Sequence[Draft]) -> Iterable[str]:
    first: dict[tuple[tuple[str, object], ...], Draft] = {}
    found = []
    for draft in drafts:
        before = first.setdefault(tuple(draft.reading.inputs.items()), draft)
        if before.references != draft.references:
            found.append((before, draft))
    if found:
        one, other = found[0]
        where = " and ".join(
            f"{table.unit} {d.row.place} ({quote(d.references[0])})" for d in (one, other)
        )
        yield (
            f"The same text has two labels in {len(found)} case{'s' * (len(found) > 1)} (first: "
            f"{where}): no answer can be right in both."
        )


def look_alikes(labels: Sequence[str]) -> Iterable[str]:
    """Labels with letters of two alphabets, and pairs of labels that look the same."""
    for label in labels:
        scripts = {unicodedata.name(c, "?").split()[0] for c in label if c.isalpha()}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK"}:
            strange = [c for c in label if unicodedata.name(c, "?").startswith(("CYR", "GREEK"))]
            yield (
                f"Label {quote(label)} mixes alphabets: {quote(strange[0])} is "
                f"{unicodedata.name(strange[0])}, which looks like a Latin letter."
            )
    first: dict[str, str] = {}
    for label in labels:
        if (before := first.setdefault(_looks(label), label)) != label:
            yield f"Labels {quote(before)} and {quote(label)} look alike, letter by letter."


def _looks(label: str) -> str:
    bare = label.strip().rstrip(".,;:!") or label
    return unicodedata.normalize("NFKC", bare).casefold().translate(_LOOK_ALIKE)
