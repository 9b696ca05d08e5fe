"""Which columns of a file hold what was expected and what was answered, and such a value as a text.

A column that holds the references is never read as predictions: every answer would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuneval.data.fields import strings_in
from tuneval.data.formats import Row, Table, listed, quote
from tuneval.data.labels import MAX_FOUND_LABELS, as_text
from tuneval.data.names import ASIDES, TEXTS, has_name
from tuneval.data.values import is_low, values_of
from tuneval.errors import DataError
from tuneval.registry import unknown
from tuneval.types import Case, CaseSet

REFERENCE_COLUMNS = (
    "references",
    "reference",
    "answers",
    "answer",
    "expected_output",
    "expected_answer",
    "expected",
    "ground_truth",
    "gold_label",
    "gold",
    "ideal",
    "correct_answer",
    "label",
    "labels",
    "target",
    "summary",
    "highlights",
    "output",
    "completion",
    "response",
    "text",
)
PREDICTION_COLUMNS = (
    "prediction",
    "predictions",
    "predict",
    "predicted",
    "pred",
    "preds",
    "y_pred",
    "prediction_text",
    "predicted_label",
    "pred_label",
    "model_output",
    "model_answer",
    "model_response",
    "actual_output",
    "system_output",
    "generated_text",
    "generated",
    "generation",
    "generations",
    "hypothesis",
    "filtered_resps",
    "resps",
    "response",
    "responses",
    "outputs",
    "output",
    "completion",
    "completions",
    "answer",
    "summary",
    "label",
    "text",
)
"""In the order in which they are looked for; those that are names of references, too, are doubted."""

NEARLY_ALL = 0.99
"""A doubtful column that equals the references this often is a copy of them."""
_ANSWER_NAME = re.compile(r"(?:^|[_ -])(?:pred|prediction|predicted|generated|response|output)s?$")
_EITHER = ("output", "completion", "response")
"""Names for what was expected in one tool, and for what was answered in another."""


def reference_column(table: Table, asked: str | None) -> str:
    """The column of what was expected.

    Raises
    ------
    DataError
        None is known by its name, or two might be it.
    """
    present = _present(table)
    if asked is not None:
        return _asked(table, asked, present)
    by_name = {_key(name): name for name in reversed(present)}
    known = [by_name[_key(name)] for name in REFERENCE_COLUMNS if _key(name) in by_name]
    if not known:
        raise DataError(
            f"{table.file}: no column such as {listed(REFERENCE_COLUMNS[:3])} "
            f"(found {listed(present)}).\nName it: --references {table.file}:COLUMN"
        )
    either = [name for name in known if _key(name) in _EITHER]
    if known[0] in either and len(either) > 1:
        raise DataError(
            f"{table.file}: {listed(either)}: which was expected, and which was answered?\n"
            f"Name it: --references {table.file}:COLUMN"
        )
    rivals = [name for name in known[1:] if _is_expected(name) and _differ(table, known[0], name)]
    if rivals:
        flags = " or ".join(f"--references {table.file}:{name}" for name in (known[0], rivals[0]))
        raise DataError(
            f"{table.file}: {listed([known[0], *rivals])} may each hold what was expected, and "
            f"differ.\nSay {flags}."
        )
    return known[0]


def _is_expected(name: str) -> bool:
    """A name that only what was expected bears."""
    return _key(name) in REFERENCE_COLUMNS and _key(name) not in PREDICTION_COLUMNS


def _differ(table: Table, one: str, other: str) -> bool:
    """Do two columns hold something else, and not the same classes under other names?"""
    columns = [values_of(table.rows, name) for name in (one, other)]
    if all(is_low(values, MAX_FOUND_LABELS) for values in columns):
        return len(set(zip(*columns, strict=True))) > max(len(set(values)) for values in columns)
    return any(
        not set(strings_in(row.fields.get(one))) & set(strings_in(row.fields.get(other)))
        for row in table.rows
        if all(any(strings_in(row.fields.get(name))) for name in (one, other))
    )


def prediction_column(
    table: Table,
    pairs: Sequence[tuple[Case, Row]],
    cases: CaseSet,
    *,
    asked: str | None,
    system: str,
) -> str:
    """The column of what a system answered: by its name, or as the only one that holds labels.

    Parameters
    ----------
    pairs : sequence
        Each case with the row of the file that answers it.

    Raises
    ------
    DataError
        None is known, several might be it, or the one that is named holds the references.
    """
    present = _present(table)
    own = cases.columns.get("reference") if table.source == cases.source else None
    if asked is not None:
        if _asked(table, asked, present) == own:
            raise DataError(
                f"{table.file}: column {quote(asked)} holds the references; scored against "
                "themselves they are always right.\n"
                f"Name another: --predictions {table.file}:COLUMN (found {listed(present)})"
            )
        return asked
    free = [name for name in present if name != own]
    copies = {name for name in free if _is_copy(name, free, pairs, cases)}
    by_name = {_key(name): name for name in reversed(free) if name not in copies}
    if "premise" in by_name:
        by_name.pop("hypothesis", None)  # of an inference task: a part of the question
    for name in PREDICTION_COLUMNS[: PREDICTION_COLUMNS.index("answer")]:
        if _key(name) in by_name:
            return by_name[_key(name)]
    rest = list(by_name.values())
    for found in (
        [name for name in rest if _key(name) == _key(system) and _may_be(name, pairs, cases)],
        [name for name in rest if _ANSWER_NAME.search(name.casefold()) and not _is_gold(name)],
        [name for name in rest if _key(name) in _keys(PREDICTION_COLUMNS) and own is None],
        [name for name in rest if cases.labels and _may_be(name, pairs, cases)],
    ):
        if len(found) == 1:
            return found[0]
        if found and _key(found[0]) in _keys(PREDICTION_COLUMNS):
            return min(found, key=lambda name: _keys(PREDICTION_COLUMNS).index(_key(name)))
    raise DataError(_nothing_found(table, present, own, sorted(copies)))


def _nothing_found(
    table: Table, present: Sequence[str], own: str | None, copies: Sequence[str]
) -> str:
    held = [f"{quote(own)} holds the references"] if own is not None else []
    held += [f"{quote(name)} equals them in nearly all rows" for name in copies]
    told = f"; {', '.join(held)}" if held else ""
    return (
        f"{table.file}: no column such as {listed(PREDICTION_COLUMNS[:3])} "
        f"(found {listed(present)}{told}).\n"
        f"Name it: --predictions NAME={table.file}:COLUMN"
    )


def _is_copy(
    name: str, free: Sequence[str], pairs: Sequence[tuple[Case, Row]], cases: CaseSet
) -> bool:
    """Does a column whose name says nothing sure repeat the references?

    A file with nothing but ids and answers may be right everywhere.
    """
    if not _is_gold(name) or not pairs:
        return False
    same = sum(
        (said := text_of(row.fields.get(name))) is not None
        and said.strip() in {one.strip() for one in case.references}
        for case, row in pairs
    )
    if same < NEARLY_ALL * len(pairs):
        return False
    known = {*cases.columns.values(), *cases.cases[0].inputs, name}
    return _key(name) == _key(cases.columns.get("reference", "")) or any(
        other not in known and not has_name(ASIDES, other) for other in free
    )


def _may_be(name: str, pairs: Sequence[tuple[Case, Row]], cases: CaseSet) -> bool:
    """Could the values be answers: labels, most of them, or any text that is no known input?"""
    if cases.labels is None:
        return all(_key(name) not in _keys(tier) for tier in TEXTS)
    labels = {_key(label) for label in cases.labels}
    said = [text_of(row.fields.get(name)) for _, row in pairs]
    return 2 * sum(one is not None and _key(one) in labels for one in said) > len(said)


def _is_gold(name: str) -> bool:
    return _key(name) in _keys(REFERENCE_COLUMNS)


def _keys(names: Iterable[str]) -> list[str]:
    return [_key(name) for name in names]


def _key(name: str) -> str:
    """What two spellings of a name share: "Model Output", "model_output" and "modelOutput"."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _present(table: Table) -> list[str]:
    return list(dict.fromkeys(name for row in table.rows for name in row.fields))


def _asked(table: Table, asked: str, present: Sequence[str]) -> str:
    if asked not in present:
        raise DataError(f"{table.file}: column: {unknown(asked, present)}.")
    return asked


def text_of(value: Any) -> str | None:
    """An answer as other tools nest it: a list of drawn texts gives the first, a chat its last turn.

    Choices with their log-likelihoods (lm-eval) give the number of the likeliest.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return as_text(value)
    if isinstance(value, Mapping):
        keys = (
            "generated_text", "text", "content", "message", "choices", "body", "output_text", "label"
        )  # fmt: skip
        return next((text_of(value[key]) for key in keys if value.get(key) is not None), None)
    if not isinstance(value, list | tuple) or not value:
        return None
    if len(value) > 1 and all(_is_likelihood(one) for one in value):
        likelihoods = [float(one[0]) for one in value]
        return str(likelihoods.index(max(likelihoods)))
    is_chat = all(isinstance(one, Mapping) and "role" in one for one in value)
    return text_of(value[-1] if is_chat else value[0])


def _is_likelihood(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    try:
        float(value[0])
    except (TypeError, ValueError):
        return False
    return str(value[1]) in ("True", "False")
