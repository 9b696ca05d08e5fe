"""A test file, a list of rows or a data set -> CaseSet; what is inferred is said in its notes.

Knows nothing of prompts and models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.data import choices, suspects, unread
from tuneval.data.called import NONE, TASK, task_of
from tuneval.data.choose import choose
from tuneval.data.clusters import cluster_notes, equal_inputs
from tuneval.data.expected import as_asked
from tuneval.data.fields import RowFault, is_structure, refuse_nul
from tuneval.data.formats import Fault, Row, Table, kind, listed, quote
from tuneval.data.labels import (
    Given,
    LabelSet,
    are_classes,
    are_json,
    as_text,
)
from tuneval.data.layouts import Draft, Match, Prepared
from tuneval.data.names import EXPECTED, LABELS, REFERENCES, folded, has_name
from tuneval.data.prompts_alone import HINT
from tuneval.data.select import take
from tuneval.data.source import load
from tuneval.data.structure import inputs_of, structure_notes, structure_of
from tuneval.data.values import columns_of, is_low, values_of
from tuneval.errors import ConfigError, DataError, gather
from tuneval.registry import unknown
from tuneval.types import COLUMN_NAMES, OWN, STANDARD_INPUTS, Case, CaseSet

STANDARD_KEYS = ("input", "reference", "id", "cluster", "group")


def read(
    source: Any,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    task: str = "auto",
    labels: Given = None,
    groups: Sequence[str] = (),
    limit: int | float | None = None,
    split: str = "test",
    skip_bad_rows: bool = False,
    allow_duplicate_ids: bool = False,
    template: str | None = None,
    asks: bool = True,
    is_judged: bool = False,
) -> CaseSet:
    """Read cases, infer columns, task and labels, and say in ``notes`` what was inferred.

    Parameters
    ----------
    source : path, hub id, sequence of dict or datasets.Dataset
        A .jsonl, .json, .csv, .tsv or .parquet file (.gz of each), a folder written by
        ``save_to_disk``, "owner/name" or "owner/name:configuration" on the hub, or rows in memory.
    name : str or None
        Name of the case set, and then also the beginning of its case ids; by default the file's.
    columns : mapping or None
        "input", "reference", "id", "cluster", "group" -> column. Wins over what would be inferred.
    task : str
        "auto" or a task's name. Auto: classify where a column of labels is recognised, or where at
        most 50 different, short references repeat; otherwise what the layout is for.
    labels : sequence, mapping or None
        The label set in order, or raw value -> label ({"0": "negative"}).
    groups : sequence of str
        Columns whose values become subgroups; "writer+channel" crosses two columns.
    limit : int, float or None
        Number or share of the cases to keep; see `tuneval.data.select.take`.
    split : str
        Which split of a data set that has several.
    skip_bad_rows : bool
        Leave out rows that cannot be read and list them in ``skipped``.
    allow_duplicate_ids : bool
        Accept an ``id`` column that repeats.
    template : str or None
        The user's own prompt: a column that it names is read.
    asks : bool
        Whether several possible readings are an error; if not, the first is taken, for callers to
        whom the texts alone matter.
    is_judged : bool
        There is a judge: a file of prompts without references is read, too.

    Raises
    ------
    DataError
        The source cannot be read, two readings are possible, or rows are faulty (all are named).
    """
    table = load(source, name, split)
    explicit = _explicit(table, columns or {}, groups)
    templated = [c for c in columns_of(table.rows) if f"{{{c}}}" in (template or "")]
    group_columns = tuple(dict.fromkeys((*groups, *_one(explicit.get("group")))))
    structure = structure_of(table)
    grouped = [*_parts(group_columns, table), *structure.values()]
    found = choose(
        table,
        explicit,
        task,
        has_labels=labels is not None,
        templated=templated,
        grouped=grouped,
        asks=asks,
        is_judged=is_judged,
    )
    if found.match.parts:
        table = choices.joined(table, found.match.parts)
    prepared = _prepared(table, found.match)
    drafts, faults, absent = _build(table, found.match, prepared, group_columns, structure)
    called = task_of(table.file, [draft.reading.calls for draft in drafts], found.task)
    drafts, wrong = _with_calls(drafts, called)
    faults += wrong
    is_extracted = called is None and _is_extracted(found.match, drafts, structure)
    inferred = called or ("extract" if is_extracted else prepared.task)
    task = found.task or inferred or _task(found.match, drafts, labels)
    drafts, wrong, known = as_asked(table, drafts, task, labels, found)
    faults += wrong
    if not allow_duplicate_ids:
        faults += _repeated(table, explicit.get("id", "id"), drafts)
    bad = {fault.place for fault in faults}
    if bad and not (skip_bad_rows and len(bad) < len(table.rows) + len(table.faults)):
        raise DataError(_report(table, faults, _nearest_column(found.match, absent)))
    drafts = [draft for draft in drafts if draft.row.place not in bad]
    clustered, equal_notes = equal_inputs(
        [
            _case(
                draft,
                name or table.file,
                found.match,
                explicit.get("cluster"),
                group_columns,
            )
            for draft in drafts
        ],
        [draft.reading.inputs for draft in drafts],
    )
    offered = _offered(drafts, found.match, group_columns, is_classes=task == "classify")
    case_set = CaseSet(
        name=name or _stem(table.file),
        source=table.source,
        layout=found.match.layout.name,
        task=task,
        cases=clustered,
        labels=known.names if known else None,
        columns={
            **_named(found.match),
            **{k: v for k, v in explicit.items() if k in STANDARD_KEYS},
        },
        offered_groups=offered,
        sha256=table.sha256,
        notes=(
            *table.notes,
            *_notes(found.match, task, drafts, known),
            *structure_notes(structure, found.match.used),
            *found.notes,
            *prepared.notes,
            *_group_notes(drafts, group_columns, offered),
            *_one(
                unread.unread_note(
                    [draft.row for draft in drafts],
                    found.match,
                    {*explicit.values(), *offered, *grouped, *found.twins},
                    templated,
                )
            ),
            *suspects.notes(table, drafts, known if task == "classify" else None),
            *equal_notes,
            *_cluster_notes(drafts, found.match, explicit, group_columns),
            *_one(_skip_note(table, len(bad))),
        ),
        skipped=tuple(_sentence(table, fault) for fault in sorted(faults)),
    )
    return take(case_set, limit)


def read_beside(
    source: Any,
    like: CaseSet,
    *,
    columns: Mapping[str, str],
    labels: Given,
    template: str | None,
    split: str = "test",
    allow_duplicate_ids: bool = False,
) -> CaseSet:
    """Read a file that goes with a test file, for its task and labels.

    Its columns are those that were named for the test file, or, where it lacks one of these, those
    of its own layout. Raises DataError.
    """
    present = columns_of(load(source, None, split).rows)
    return read(
        source,
        columns=columns if all(_known(c, present) in present for c in columns.values()) else {},
        task=like.task,
        labels=labels or like.labels,
        template=template,
        split=split,
        allow_duplicate_ids=allow_duplicate_ids,
    )


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _stem(file: str) -> str:
    return Path(file.removesuffix(".gz")).stem


def _explicit(table: Table, columns: Mapping[str, str], groups: Sequence[str]) -> dict[str, str]:
    """Check the columns that the user named; returns standard key -> column."""
    for key in columns:
        if key not in STANDARD_KEYS:
            raise ConfigError(f"columns: {unknown(key, STANDARD_KEYS)}")
    present = columns_of(table.rows)
    named = {key: _known(column, present) for key, column in columns.items()}
    for column in (*named.values(), *_parts(groups, table)):
        if table.rows and column not in present:
            raise DataError(f"{table.file}, columns: {unknown(column, present)}.")
    return named


def _known(column: str, present: Sequence[str]) -> str:
    """The column that is meant: case and blanks do not matter where only one can be."""
    same = [one for one in present if folded(one) == folded(column)]
    return same[0] if column not in present and len(same) == 1 else column


def _parts(groups: Sequence[str], table: Table) -> list[str]:
    present = columns_of(table.rows)
    return [part for name in groups for part in crossed(name, present)]


def crossed(group: str, present: Collection[str]) -> tuple[str, ...]:
    """The columns of "writer+channel"; a column that has a "+" in its own name is that column."""
    return (group,) if group in present else tuple(part.strip() for part in group.split("+"))


def group_value(fields: Mapping[str, object], group: str) -> str | None:
    """The group that a row belongs to; None where a column of it is empty."""
    found = [fields.get(column) for column in crossed(group, fields)]
    return None if None in found else "+".join(as_text(one) for one in found)


# ---- rows ----------------------------------------------------------------------------------------


def _prepared(table: Table, match: Match) -> Prepared:
    layout = match.layout
    return layout.prepare(table, match.columns) if layout.prepare else Prepared(layout.build, ())


def _build(
    table: Table,
    match: Match,
    prepared: Prepared,
    groups: Sequence[str],
    structure: Mapping[str, str],
) -> tuple[list[Draft], list[Fault], list[Row]]:
    """Read each row; returns the good ones, all faults, and the rows without a reference."""
    drafts: list[Draft] = []
    faults = list(table.faults)
    absent: list[Row] = []
    for row in table.rows:
        try:
            refuse_nul(row.fields)
            _refuse_lists(row, groups)
            own = prepared.build(row.fields, match.columns)
            reading = own._replace(inputs={**inputs_of(row.fields, structure), **own.inputs})
        except RowFault as error:
            faults.append(Fault(row.place, str(error)))
            if error.key == match.layout.reference:
                absent.append(row)
            continue
        texts = tuple(r if isinstance(r, str) else as_text(r) for r in reading.references)
        drafts.append(Draft(row, reading, texts))
    return _independent(drafts), faults, absent


def _refuse_lists(row: Row, groups: Sequence[str]) -> None:
    for part in (part for name in groups for part in crossed(name, row.fields)):
        if isinstance(value := row.fields.get(part), list | tuple | dict):
            raise RowFault(f"group {quote(part)} is {kind(value)}, expected one value")


def _independent(drafts: list[Draft]) -> list[Draft]:
    """Clusters of one case each are none."""
    clusters = [draft.reading.cluster for draft in drafts]
    if len(set(clusters)) < len(clusters):
        return drafts
    return [draft._replace(reading=draft.reading._replace(cluster=None)) for draft in drafts]


def _with_calls(drafts: Sequence[Draft], task: str | None) -> tuple[list[Draft], list[Fault]]:
    """Conversations with the calls of their last turn as references, where these are asked for: words mean
    that there are none. For other tasks, those that end in calls and say nothing are faults."""
    if task == TASK:
        calls = [draft.reading.calls for draft in drafts]
        return [
            draft if own is None else draft._replace(references=(own or NONE,))
            for draft, own in zip(drafts, calls, strict=True)
        ], []
    silent = "the assistant's answer calls a tool and says nothing: no text to compare"
    return list(drafts), [
        Fault(draft.row.place, silent)
        for draft in drafts
        if draft.reading.calls and not draft.references[0]
    ]


def _repeated(table: Table, column: str, drafts: Sequence[Draft]) -> list[Fault]:
    first: dict[str, int] = {}
    faults = []
    for row, _, _ in drafts:
        value = row.fields.get(column)
        if not isinstance(value, str | int):
            continue
        before = first.setdefault(str(value), row.place)
        if before != row.place:
            text = f"id {quote(value)} was already used in {table.unit} {before}"
            faults.append(Fault(row.place, text))
    return faults


def _sentence(table: Table, fault: Fault) -> str:
    return f"{table.unit} {fault.place}: {fault.text}"


def _report(table: Table, faults: Sequence[Fault], near: str | None) -> str:
    n_bad = len({fault.place for fault in faults})
    n_all = len(table.rows) + len(table.faults)
    give = f"Give --reference {near}, or mend" if near else "Mend"
    remedy = f"{give} the {table.unit}s; --skip-bad-rows goes on without them."
    if any("was already used" in fault.text for fault in faults):
        remedy += "\nIds that may repeat: --allow-duplicate-ids."
    if any('last turn is of "user"' in fault.text for fault in faults):
        remedy += f"\n{HINT}"
    return gather(
        f"{table.file}: {n_bad} of {n_all} {table.unit}s cannot be read.",
        [_sentence(table, fault) for fault in sorted(faults)],
        remedy,
    )


def _skip_note(table: Table, n_bad: int) -> str | None:
    n_all = len(table.rows) + len(table.faults)
    return f"{n_bad} of {n_all} {table.unit}s skipped: they cannot be read." if n_bad else None


def _nearest_column(match: Match, absent: Sequence[Row]) -> str | None:
    """Another column of the rows that lack a reference which bears a name for one."""
    key = match.layout.reference
    tiers = match.layout.needs.get(key, ()) if key else ()
    if key == match.layout.input:  # a chat
        tiers = (*LABELS, *REFERENCES)
    names = Counter(c for row in absent for c in row.fields if has_name(tiers, c))
    names.pop(match.reference or "", None)
    return names.most_common(1)[0][0] if names else None


def _case(
    draft: Draft, prefix: str, match: Match, cluster: str | None, groups: Sequence[str]
) -> Case:
    fields = draft.row.fields
    inputs, used = draft.reading.inputs, match.used
    own = {
        (f"{OWN}{column}" if column in STANDARD_INPUTS else column): value
        for column, value in ((c, _shown(v)) for c, v in fields.items())
        if column not in used and column not in inputs and value is not None
    }
    given = fields.get(cluster) if cluster else None
    return Case(
        id=f"{prefix}:{draft.row.place}",
        inputs={**inputs, **own, **_names_of(match, inputs)},
        references=draft.references,
        groups={g: value for g in groups if (value := group_value(fields, g)) is not None},
        cluster=draft.reading.cluster if given is None else as_text(given),
    )


def _shown(value: object) -> object:
    """What a prompt can show of a column: a scalar or a list of texts; None of anything else."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    return value if isinstance(value, str | int | float | bool) else None


def _names_of(match: Match, inputs: Mapping[str, object]) -> dict[str, object]:
    """Columns that stand in the inputs under a standard key, under which key each."""
    names = {
        column: key
        for key, column in match.columns.items()
        if key in inputs and column not in inputs and column != match.reference
    }
    return {COLUMN_NAMES: names} if names else {}


# ---- what was inferred ---------------------------------------------------------------------------


def _is_extracted(match: Match, drafts: Sequence[Draft], structure: Mapping[str, str]) -> bool:
    """Are the references objects of the file, or JSON beside a schema? Then their fields count."""
    if "extract" not in match.layout.tasks or not are_json([one.references for one in drafts]):
        return False
    column = match.reference or ""
    return "schema" in structure or all(is_structure(one.row.fields.get(column)) for one in drafts)


def _task(match: Match, drafts: Sequence[Draft], labels: Given) -> str:
    layout, references = match.layout, [draft.references for draft in drafts]
    if layout.decided_by_references:
        is_text = has_name(EXPECTED, match.reference or "") or not are_classes(references)
        return "classify" if labels is not None or not is_text else layout.tasks[0]
    if layout.tasks[0] == "classify" and labels is None and are_json(references):
        return "generate"
    if layout.tasks[0] == "classify" and not has_name(LABELS, match.reference or ""):
        # The user named the column, but not what it holds.
        return "classify" if labels is not None or are_classes(references) else "generate"
    return layout.tasks[0]


def _named(match: Match) -> dict[str, str]:
    """Standard keys "input" and "reference" -> the columns they came from, then the others."""
    layout = match.layout
    named = {"input": match.columns[layout.input]}
    if layout.reference:
        named["reference"] = match.columns[layout.reference]
    rest = {k: v for k, v in match.columns.items() if k not in (layout.input, layout.reference)}
    return {**{k: v for k, v in rest.items() if k not in named}, **named}


def _notes(
    match: Match, task: str, drafts: Sequence[Draft], known: LabelSet | None
) -> Iterable[str]:
    columns = _named(match)
    where = f"column {quote(columns['input'])}"
    made = {choices.MADE: "+".join(match.parts)} if match.parts else {}
    main = (match.layout.input, match.layout.reference)
    others = [made.get(c, c) for k, c in match.columns.items() if k not in main]
    if others:
        where += f" (with {listed(others)})"
    if columns.get("reference", columns["input"]) != columns["input"]:
        where += f" -> {quote(columns['reference'])}"
    yield f"Read as {match.layout.name}: {where}."
    if task == "tag" and known is not None:
        n = sum(len(draft.references[0].split()) for draft in drafts)
        yield f"Task tag: {n:,} words in {len(drafts)} cases, {len(known.names)} tags."
    elif known is not None and task == "multilabel":
        yield f"Task multilabel: {len(known.names)} labels in {len(drafts)} cases."
        yield from known.notes
    elif known is not None:
        n = len({draft.references for draft in drafts})
        yield f"Task classify: {n} label{'s' * (n != 1)} in {len(drafts)} cases."
        yield from known.notes
        if n == 1:
            yield "All cases have the same label; no classifier can be told from a constant."
    else:
        yield f"Task {task}."
        if task == TASK and not any("functions" in draft.reading.inputs for draft in drafts):
            yield "No tools stand beside the rows: nothing tells a model what it may call."
        references = [draft.references for draft in drafts]
        if task == "generate" and are_json(references):
            yield "The references are JSON; field by field: --task extract."
        if task == "generate" and are_classes(references):
            yield (
                f"{len(set(references))} short references repeat in {len(drafts)} cases; as classes: "
                "--task classify."
            )
    passages = {draft.reading.cluster for draft in drafts} - {None}
    if passages:
        yield f"Cases on one passage are resampled together ({len(passages)} passages)."


def _group_notes(
    drafts: Sequence[Draft], groups: Sequence[str], offered: Sequence[str]
) -> Iterable[str]:
    for column in groups:
        n = sum(group_value(draft.row.fields, column) is None for draft in drafts)
        if n:
            yield f"No value of group {quote(column)} in {n} of {len(drafts)} cases."
    if offered:
        flags = " ".join(f"--group {column}" for column in offered)
        yield f"Columns that could be groups: {listed(offered)} ({flags})."


def _cluster_notes(
    drafts: Sequence[Draft], match: Match, explicit: Mapping[str, str], groups: Sequence[str]
) -> tuple[str, ...]:
    """Nothing is offered where clusters are known: by a column, or by the passages of a layout."""
    if "cluster" in explicit or any(draft.reading.cluster is not None for draft in drafts):
        return ()
    rows = [draft.row for draft in drafts]
    return cluster_notes(rows, {*match.columns.values(), *groups})


def _offered(
    drafts: Sequence[Draft], match: Match, groups: Sequence[str], *, is_classes: bool
) -> tuple[str, ...]:
    """Columns of 2 to 20 repeating values that are not the label in other words."""
    rows = [draft.row for draft in drafts]
    present = columns_of(rows)
    taken = {*match.columns.values(), *(part for name in groups for part in crossed(name, present))}
    references = [draft.references for draft in drafts]
    return tuple(
        column
        for column in present
        if column not in taken
        and is_low(values := values_of(rows, column), 20)
        and not (is_classes and _pairs_up(values, references))
    )


def _pairs_up(values: Sequence[object], references: Sequence[object]) -> bool:
    pairs = set(zip(values, references, strict=True))
    return len(pairs) == len(set(values)) == len(set(references))
