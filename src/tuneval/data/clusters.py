"""Which cases belong together: named by a column, or because their inputs are equal.

Cases of one cluster are resampled together. Not for: what is done with clusters (comparison).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tuneval.data.formats import Row, listed
from tuneval.data.output_columns import PREDICTION_COLUMNS, REFERENCE_COLUMNS
from tuneval.data.values import columns_of, values_of
from tuneval.types import Case

FEWEST_CLUSTERS = 10
"""A column of fewer values is a group rather than a cluster."""

NAMES = frozenset((
    "annotator", "article", "author", "cluster", "context", "conversation", "dialog", "dialogue",
    "doc", "document", "image", "page", "paragraph", "passage", "patient", "session", "speaker",
    "story", "template", "thread", "title", "user", "video",
))  # fmt: skip
"""What brings several cases, as columns call it ("doc_id", "userId", "passage")."""

INPUTS = frozenset((
    "article", "choices", "context", "document", "hypothesis", "input", "inputs", "instruction",
    "messages", "options", "passage", "premise", "prompt", "query", "question", "sentence",
    "sentence1", "sentence2", "source", "src", "text",
))  # fmt: skip
"""Columns of a file of references that hold what was asked."""

EQUAL = "equal-"
"""How clusters of equal inputs are called."""


def distinct(cases: Sequence[Case]) -> list[Case]:
    """Of cases with equal inputs only the first."""
    seen: set[str] = set()
    kept = []
    for case in cases:
        if case.cluster is None or not case.cluster.startswith(EQUAL):
            kept.append(case)
        elif case.cluster not in seen:
            seen.add(case.cluster)
            kept.append(case)
    return kept


def asked_in(fields: Mapping[str, object]) -> dict[str, object]:
    """What a row of references says of the question; {} where it holds ids and answers only.

    A sentence under another name belongs to the question, too, unless it is called an answer: rows
    that differ in it are no copies.
    """
    asked = {name: value for name, value in fields.items() if name.casefold() in INPUTS}
    if not asked:
        return {}
    answers = {*REFERENCE_COLUMNS, *PREDICTION_COLUMNS}
    more = {
        name: value
        for name, value in fields.items()
        if isinstance(value, str) and " " in value.strip() and name.casefold() not in answers
    }
    return {**asked, **more}


def equal_inputs(
    cases: Sequence[Case], asked: Sequence[Mapping[str, object]]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Put cases with equal inputs into one cluster; returns the cases and a note where there are any.

    A case that has a cluster keeps it. ``asked`` holds what each case asks; where that is empty
    nothing is known of it, and the case stands alone.
    """
    keys = [
        _digest(question) if question and case.cluster is None else None
        for case, question in zip(cases, asked, strict=True)
    ]
    sizes = Counter(key for key in keys if key is not None)
    n_repeats = sum(size - 1 for size in sizes.values())
    if not n_repeats:
        return tuple(cases), ()
    clustered = tuple(
        replace(case, cluster=f"{EQUAL}{key}") if key is not None and sizes[key] > 1 else case
        for case, key in zip(cases, keys, strict=True)
    )
    return clustered, (
        f"{len(cases) - n_repeats} distinct inputs among {len(cases)} rows: equal inputs count as "
        "one.",
    )


def _digest(question: Mapping[str, object]) -> str:
    content = json.dumps(question, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def cluster_notes(rows: Sequence[Row], taken: Collection[str]) -> tuple[str, ...]:
    """Offer columns that look like clusters: a name of such things, values that repeat."""
    offered = [
        column
        for column in columns_of(rows)
        if column not in taken
        and _bare(column) in NAMES
        and FEWEST_CLUSTERS <= len(set(values_of(rows, column)) - {None}) < len(rows)
    ]
    if not offered:
        return ()
    flags = " ".join(f"--cluster {column}" for column in offered)
    return (
        f"Cases that share a value of {listed(offered)} may not be independent; to count them "
        f"together: {flags}.",
    )


def _bare(column: str) -> str:
    """ "doc_id", "docId", "document name" -> "doc", "doc", "document"."""
    name = column.casefold().replace("-", "_").replace(" ", "_")
    for ending in ("_id", "_name", "_key", "_no", "id"):
        name = name.removesuffix(ending)
    return name
