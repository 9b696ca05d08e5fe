"""Outputs that exist already -> references as Cases, and one text per case and system.

Reads what the field writes: JSON Lines and tables with a column, plain text with a line each, one
JSON object id -> text (SQuAD), the nested SQuAD file as references. Knows no metric.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tuneval.data.clusters import asked_in, cluster_notes, equal_inputs
from tuneval.data.fields import RowFault, is_structure, json_of, parsed
from tuneval.data.formats import READERS, Row, Table, listed, quote
from tuneval.data.labels import are_classes, as_text, class_text, label_set
from tuneval.data.layouts import CHATS
from tuneval.data.names import first_tier
from tuneval.data.output_columns import prediction_column, reference_column, text_of
from tuneval.data.prompts_alone import PROMPTS, asked_of
from tuneval.data.read import group_value, read
from tuneval.data.source import load
from tuneval.errors import DataError, gather
from tuneval.registry import unknown
from tuneval.types import PROMPTS_ALONE, Case, CaseSet

ID_COLUMNS = ("custom_id", "id", "_id")
SOMETIMES_IDS = ("doc_id",)
"""lm-evaluation-harness numbers cases so; elsewhere it names a document of several cases."""

STRUCTURED = ("extract", "tool_call", "multilabel")
"""Tasks whose references and answers are lists or objects."""

Answer = TypeVar("Answer")


class Source(NamedTuple):
    """A file, and the column of it to read ("answers.csv:base" names both)."""

    path: str
    column: str | None


def source_of(text: str) -> Source:
    """Split "FILE:COLUMN"; a file that has a colon in its own name wins."""
    path, colon, column = text.rpartition(":")
    if colon and not Path(text).exists() and Path(path).exists():
        return Source(path, column)
    return Source(text, None)


def read_references(
    text: str,
    *,
    task: str = "auto",
    groups: Sequence[str] = (),
    id_column: str | None = None,
    cluster: str | None = None,
) -> CaseSet:
    """Read what was expected: one or several references per case.

    Parameters
    ----------
    text : str
        "FILE" or "FILE:COLUMN". A list in the column means several references.
    task : str
        "classify", "generate" or "auto": classify if at most 50 short references repeat.
    cluster : str, optional
        Column of what brings several cases (a passage, a user); by default "context". Rows with
        equal inputs are one cluster.

    Raises
    ------
    DataError
        No such file or column, an empty file, rows without a reference (all are named).
    """
    source = source_of(text)
    table = _table(source.path)
    key = _id_column(table, id_column)
    named = {"reference": source.column, "cluster": cluster}
    if found := _of_structure(table, task, groups, {k: v for k, v in named.items() if v}):
        return replace(found, columns={**found.columns, **({"id": key} if key else {})})
    column = reference_column(table, source.column)
    if cluster is not None:
        _refuse_unknown(table, cluster)
    faults, cases, asked = [], [], []
    for row in table.rows:
        references = _texts(row.fields.get(column))
        if references is None:
            faults.append(f"{table.unit} {row.place}: no reference in {quote(column)}")
            continue
        known = {name: value for name, value in row.fields.items() if _is_scalar(value)}
        if key is not None:
            known["id"] = as_text(row.fields.get(key))
        asked.append(asked_in({k: v for k, v in row.fields.items() if k != column}))
        cases.append(
            Case(
                id=f"{table.file}:{row.place}",
                inputs={name: value for name, value in known.items() if name != column},
                references=references,
                groups={
                    name: value
                    for name in groups
                    if (value := group_value(row.fields, name)) is not None
                },
                cluster=_cluster(row, cluster),
            )
        )
    _refuse(table, faults)
    _refuse_twins(table, cases, key)
    bare = [tuple(one.strip() for one in case.references) for case in cases]
    chosen = task if task != "auto" else "classify" if are_classes(bare) else "generate"
    notes: tuple[str, ...] = ()
    if chosen == "classify":
        cases, notes = _one_spelling(cases, column)
    clustered, equal_notes = equal_inputs(cases, asked)
    has_clusters = any(case.cluster is not None for case in cases)
    offered = () if has_clusters else cluster_notes(table.rows, {column, key or "", *groups})
    labels = tuple(sorted({case.references[0] for case in cases if case.references}))
    return CaseSet(
        name=table.file,
        source=table.source,
        layout="outputs",
        task=chosen,
        cases=clustered,
        labels=labels if chosen == "classify" else None,
        columns={
            "reference": column,
            **({"id": key} if key else {}),
            **({"cluster": cluster} if cluster else {}),
        },
        sha256=table.sha256,
        notes=(*table.notes, *notes, *equal_notes, *offered),
    )


def read_prompts(
    text: str,
    *,
    groups: Sequence[str] = (),
    id_column: str | None = None,
    cluster: str | None = None,
) -> CaseSet:
    """Read what was asked, where nothing was expected: a column of prompts, or of conversations that end
    with the user, of "FILE" or "FILE:COLUMN". Other parameters as in ``read_references``.

    Raises
    ------
    DataError
        No such file or column, an empty file, rows without a prompt (all are named).
    """
    source = source_of(text)
    table = _table(source.path)
    present = list(table.rows[0].fields) if table.rows else []
    key = _id_column(table, id_column)
    column = source.column or next(iter(first_tier((*CHATS, *PROMPTS), present)), None)
    if column is None or column not in present:
        raise DataError(
            f"{table.file}: no column of prompts{'' if column is None else f' called {quote(column)}'} "
            f"(found {listed(present)}).\nName it: --prompts {table.file}:COLUMN"
        )
    _refuse_unknown(table, cluster)
    faults, cases, asked = [], [], []
    for row in table.rows:
        try:
            prompt = asked_of(row.fields, column)
        except RowFault as error:
            faults.append(f"{table.unit} {row.place}: {error}")
            continue
        asked.append(prompt)
        number = {} if key is None else {"id": as_text(row.fields.get(key))}
        of_row = {name: group_value(row.fields, name) for name in groups}
        cases.append(
            Case(
                id=f"{table.file}:{row.place}",
                inputs={**number, **prompt},
                groups={name: value for name, value in of_row.items() if value is not None},
                cluster=_cluster(row, cluster),
            )
        )
    _refuse(table, faults)
    _refuse_twins(table, cases, key)
    clustered, notes = equal_inputs(cases, asked)
    return CaseSet(
        name=table.file,
        source=table.source,
        layout=PROMPTS_ALONE[0],
        task="generate",
        cases=clustered,
        columns={"input": column, **({"id": key} if key else {})},
        sha256=table.sha256,
        notes=(*table.notes, f"prompts: {quote(column)} of {table.file}", *notes),
    )


def _of_structure(
    table: Table, task: str, groups: Sequence[str], columns: Mapping[str, str]
) -> CaseSet | None:
    """The cases of a file whose references are objects, calls of tools or sets of labels, read as a test
    file is; None where they are none of these."""
    is_meant = task in STRUCTURED
    values = [value for row in table.rows[:1] for value in row.fields.values()]
    if not is_meant and (
        task != "auto" or not any(isinstance(parsed(v), dict | list) for v in values)
    ):
        return None
    try:
        found = read(table.source, name=table.file, task=task, groups=groups, columns=columns)
    except DataError:
        if is_meant:
            raise
        return None
    return found if found.task in STRUCTURED else None


def _one_spelling(cases: Sequence[Case], column: str) -> tuple[list[Case], tuple[str, ...]]:
    """The cases with each label spelled one way, as the labels of a test file are, and what is said."""
    raw = [tuple(map(class_text, case.references)) for case in cases]
    known = label_set([text for texts in raw for text in texts], None, None, column)
    told = [
        replace(case, references=tuple(known.by_raw[text] for text in texts))
        for case, texts in zip(cases, raw, strict=True)
    ]
    return told, known.notes


class Outputs(NamedTuple):
    """What one system answered: case id -> text, and the column that it was read from, if any."""

    texts: Mapping[str, str]
    column: str | None = None


def read_predictions(
    text: str, cases: CaseSet, *, system: str = "", may_be_missing: bool = False
) -> Outputs:
    """Read the outputs of one system.

    Rows are joined with the references by their ``id`` column where both have one, otherwise by
    their order, and then there must be as many. Plain lines may begin with the id and a tab.

    Parameters
    ----------
    system : str
        A column of this name is taken where no other is known.
    may_be_missing : bool
        Ids without a prediction are left out instead of refused.

    Raises
    ------
    DataError
        Another number of rows, ids that are missing or unknown, rows without a prediction, or no
        column that can be told from the references.
    """
    source = source_of(text)
    mapping = _mapping(source.path)
    if mapping is not None:
        return Outputs(_joined(source.path, mapping, cases, may_be_missing))
    table = _table(source.path)
    mapping = _lines_with_ids(table, cases)
    if mapping is not None:
        return Outputs(_joined(source.path, mapping, cases, may_be_missing))
    _refuse(table, [])
    rows = _rows_of(source.path, table, cases, may_be_missing)
    pairs = [(case, rows[case.id]) for case in cases.cases if case.id in rows]
    column = prediction_column(table, pairs, cases, asked=source.column, system=system)
    spelled = _structured_text if cases.task in STRUCTURED else text_of
    texts = {case.id: spelled(row.fields.get(column)) for case, row in pairs}
    faults = [
        f"{table.unit} {row.place}: no prediction in {quote(column)}"
        for case, row in pairs
        if texts[case.id] is None
    ]
    _refuse(table, faults)
    return Outputs({case: one for case, one in texts.items() if one is not None}, column)


def _structured_text(value: Any) -> str | None:
    """An answer that is a list or an object, as JSON; no answer at all is an empty one."""
    if value is None or (isinstance(value, list | dict) and (not value or is_structure(value))):
        return "" if value is None else json_of(value)
    return json_of(value) if isinstance(value, list) else text_of(value)


def _rows_of(path: str, table: Table, cases: CaseSet, may_be_missing: bool) -> dict[str, Row]:
    """Case id -> its row, by ids or by order."""
    ids = _id_column(table, None)
    if ids is not None and "id" in cases.columns and table.source != cases.source:
        faults = []
        by_id: dict[str, Row] = {}
        for row in table.rows:
            key = as_text(row.fields.get(ids))
            if key in by_id:
                faults.append(f"{table.unit} {row.place}: id {quote(key)} stands twice")
            by_id[key] = row
        _refuse(table, faults)
        return _joined(path, by_id, cases, may_be_missing)
    if len(table.rows) != len(cases.cases):
        raise DataError(
            f"{table.file}: {len(table.rows)} predictions for {len(cases.cases)} references of "
            f'{cases.name}.\nGive both files an "id" column, or as many rows in the same order.'
        )
    return {case.id: row for case, row in zip(cases.cases, table.rows, strict=True)}


def _table(path: str) -> Table:
    """A file whose ending names no table holds one text a line, as translation sets do."""
    ending = Path(path.removesuffix(".gz")).suffix.lower()
    if Path(path).is_file() and ending not in READERS:
        return _plain_lines(Path(path))
    return load(path, None, "test")


def _plain_lines(path: Path) -> Table:
    """Read one text a line. The line break ends a text; everything else belongs to it."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as lines:
            texts = [line.removesuffix("\n").removesuffix("\r") for line in lines]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f'"{path}" cannot be read as text: {error}.') from None
    if not texts:
        raise DataError(f"{path.name} is empty.")
    table = Table(file=path.name, source=str(path), unit="line")
    table.rows += [Row(number, {"text": text}) for number, text in enumerate(texts, start=1)]
    return table


def _mapping(path: str) -> dict[str, str] | None:
    """One JSON object id -> text, as the SQuAD programs read it; None if it is another file."""
    if not path.removesuffix(".gz").endswith(".json") or not Path(path).is_file():
        return None
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, EOFError, ValueError):
        return None  # the reader of tables says what is wrong and where
    if isinstance(content, dict) and content and all(isinstance(v, str) for v in content.values()):
        return {str(key): str(value) for key, value in content.items()}
    return None


def _lines_with_ids(table: Table, cases: CaseSet) -> dict[str, str] | None:
    """ "ID<TAB>TEXT" on every line, the ids those of the cases, as CodeXGLUE's programs read them."""
    if "id" not in cases.columns or any(set(row.fields) != {"text"} for row in table.rows):
        return None
    ids = {str(case.inputs.get("id")) for case in cases.cases}
    found: dict[str, str] = {}
    for row in table.rows:
        cells = str(row.fields["text"]).split("\t")
        heads = ["\t".join(cells[:n]) for n in range(1, len(cells))]
        known = next((n for n, head in enumerate(heads, 1) if head in ids), None)
        if known is None:
            return None
        found["\t".join(cells[:known])] = "\t".join(cells[known:])
    return found


def _joined(
    path: str, by_id: Mapping[str, Answer], cases: CaseSet, may_be_missing: bool
) -> dict[str, Answer]:
    ids = {case.id: str(case.inputs.get("id", "")) for case in cases.cases}
    if not any(ids.values()):
        raise DataError(
            f'{path} goes by ids, and {cases.name} has no "id" column. Name it: --id COLUMN.'
        )
    missing = [id_ for id_ in ids.values() if id_ not in by_id]
    if missing and not (may_be_missing and len(missing) < len(ids)):
        raise DataError(
            gather(
                f"{path}: {len(missing)} of {len(ids)} ids of {cases.name} have no prediction.",
                [f"id {quote(id_)}" for id_ in missing],
                "Every system must answer the same cases.",
            )
        )
    return {case: by_id[id_] for case, id_ in ids.items() if id_ in by_id}


def _id_column(table: Table, asked: str | None) -> str | None:
    _refuse_unknown(table, asked)
    # A batch of OpenAI's has ids of its own beside those that it was asked with.
    present = sorted(table.rows[0].fields, key=lambda name: name.casefold() != ID_COLUMNS[0])
    return asked or next(
        (
            name
            for name in present
            if name.casefold() in ID_COLUMNS
            or (name.casefold() in SOMETIMES_IDS and _is_unique(table, name))
        ),
        None,
    )


def _is_unique(table: Table, column: str) -> bool:
    values = [as_text(row.fields.get(column)) for row in table.rows]
    return len(set(values)) == len(values)


def _refuse_unknown(table: Table, asked: str | None) -> None:
    present = list(table.rows[0].fields)
    if asked is not None and asked not in present:
        raise DataError(f"{table.file}: column: {unknown(asked, present)}.")


def _texts(value: Any) -> tuple[str, ...] | None:
    """One or several references; None where there is none. SQuAD's {"text": [...]} counts too."""
    if isinstance(value, Mapping):
        value = value.get("text")
    if isinstance(value, list | tuple):
        texts = [one.get("text") if isinstance(one, Mapping) else one for one in value]
        known = [_plain(one) for one in texts if isinstance(one, str | int | float | bool)]
        return tuple(dict.fromkeys(known)) if len(known) == len(texts) else None
    return (_plain(value),) if isinstance(value, str | int | float | bool) else None


def _plain(value: str | int | float | bool) -> str:
    """Texts stay as they are; numbers are spelled as labels are."""
    return value if isinstance(value, str) else as_text(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _cluster(row: Row, column: str | None) -> str | None:
    """Questions on one passage belong together, and whatever shares a value of the named column."""
    if column is not None:
        value = row.fields.get(column)
        return None if value is None else as_text(value)
    context = row.fields.get("context")
    return context if isinstance(context, str) else None


def _refuse(table: Table, faults: Sequence[str]) -> None:
    every = [*(f"{table.unit} {fault.place}: {fault.text}" for fault in table.faults), *faults]
    if every:
        n_all = len(table.rows) + len(table.faults)
        raise DataError(
            gather(f"{table.file}: {len(every)} of {n_all} rows cannot be read.", every)
        )


def _refuse_twins(table: Table, cases: Sequence[Case], key: str | None) -> None:
    seen: dict[str, str] = {}
    faults = []
    for case in cases if key is not None else ():
        id_ = str(case.inputs["id"])
        if id_ in seen:
            faults.append(f"{case.id}: id {quote(id_)} stands at {seen[id_]} already")
        seen.setdefault(id_, case.id)
    if faults:
        raise DataError(gather(f"{table.file}: {len(faults)} ids stand twice.", faults))
