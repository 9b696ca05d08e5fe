"""Which layout a table has. Stops, naming both, where two readings are possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from shlex import quote as quoted
from typing import NamedTuple

from tuneval.data import prompts_alone, unread
from tuneval.data.fields import are_lists
from tuneval.data.formats import Row, Table, listed, quote
from tuneval.data.layouts import LAYOUTS, Layout, Match, match
from tuneval.data.names import LABELS, REFERENCES, has_name
from tuneval.data.values import columns_of, values_of
from tuneval.errors import DataError

FEW = 5
"""Fewer cases than these show nothing about repetition: a column called "label" is believed."""


class Choice(NamedTuple):
    """``task`` is None where the references decide it; ``names``: raw label -> name, where another
    column names the numbers; ``twins``: columns that hold what the reference holds."""

    match: Match
    task: str | None
    names: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


def choose(
    table: Table,
    explicit: Mapping[str, str],
    task: str,
    *,
    has_labels: bool,
    templated: Collection[str] = (),
    grouped: Collection[str] = (),
    asks: bool = True,
    is_judged: bool = False,
) -> Choice:
    """Find the one layout that the table fits.

    Parameters
    ----------
    templated, grouped : collection of str
        Columns that the user's own prompt or groups name: nobody need ask about these.
    asks : bool
        Where several readings are possible: raise, or take the first.
    is_judged : bool
        A judge compares what is answered: prompts alone will do.

    Raises
    ------
    DataError
        None fits, several do, the task cannot be asked of the one that fits, or a column that the
        reading leaves out may be part of what is asked or expected.
    """
    usual = _usual_columns(table.rows)
    present = [*usual, *(c for c in explicit.values() if c not in usual)]
    if is_judged and task in ("auto", "generate"):
        prompts = prompts_alone.alone(table, present, explicit, grouped)
        if prompts is not None:
            _refuse_rivals(table, prompts)
            return Choice(prompts, "generate")
    found = match(present, explicit)
    if not found:
        raise DataError(_no_layout(table, usual, explicit))
    asked = _asked(table, found, task)
    referenced = _without_equals(table, [m for m in asked if m.layout.reference])
    if len(referenced) > 1 and asks:
        raise DataError(_two_readings(table, referenced))
    chosen = (referenced or asked)[0]
    if not asks:
        return Choice(chosen, None if task == "auto" else task)
    if chosen.layout.reference is None:
        if task == "auto":
            unread.refuse_reference(table, chosen.columns["text"], explicit, grouped)
        return Choice(chosen, None if task == "auto" else task)
    names = None
    notes: tuple[str, ...] = ()
    has_lists = are_lists(table.rows, chosen.reference or "")
    if chosen.layout.reference == "label" and "reference" not in explicit and not has_lists:
        chosen, names, notes = _label_column(table, chosen)
        if task != "regression":
            unread.refuse_numbers(table, chosen.columns["label"])
        if task == "auto" and not has_labels and names is None:
            _refuse_unrepeated(table, chosen)
    chosen = _without_twins(table, chosen)
    _refuse_rivals(table, chosen)
    if task == "auto":
        unread.refuse_reference_beside(table, chosen, explicit)
    twins = _reference_twins(table, chosen, {*explicit.values(), *grouped})
    unread.refuse_question_beside(table, chosen, explicit, {*templated}, {*grouped, *twins})
    if twins:
        same = f"{listed([chosen.reference, *twins])} hold the same: {quote(chosen.reference)} is read."
        notes = (*notes, same)
    return Choice(chosen, None if task == "auto" else task, names, notes, twins)


def _usual_columns(rows: Sequence[Row]) -> list[str]:
    """Columns of at least half of the rows: a stray row must not decide the layout."""
    counts = Counter(column for row in rows for column in row.fields)
    return [column for column in columns_of(rows) if 2 * counts[column] >= len(rows)]


def _asked(table: Table, found: list[Match], task: str) -> list[Match]:
    """The matches of which this task can be asked; those that are for it first of all."""
    if task == "auto":
        return found
    asked = [m for m in found if m.layout.tasks[0] == task]
    asked = asked or [m for m in found if task in m.layout.tasks]
    if asked:
        return asked
    first = found[0].layout
    needs = [m for m in LAYOUTS if task == m.tasks[0] and all(m.needs.values())]
    remedy = f"It needs columns such as {_needs(needs[0])}." if needs else "Leave --task out."
    if not needs and first.reference is None:
        remedy = "Name the column of what is expected, too: --reference COLUMN."
    if task == "generate":
        remedy += f"\n{prompts_alone.HINT}"
    raise DataError(
        f"{table.file}: task {quote(task)} cannot be asked of {first.name} "
        f"(columns {listed(found[0].columns.values())}).\n{remedy}"
    )


def _needs(layout: Layout) -> str:
    return listed(
        key if has_name(tiers, key) else tiers[0][0] for key, tiers in layout.needs.items() if tiers
    )


def _n_values(table: Table, column: str) -> int:
    return len(set(values_of(table.rows, column)) - {None})


def _two_readings(table: Table, matches: Sequence[Match]) -> str:
    readings = []
    for m in matches:
        column = m.reference or ""
        if m.layout.tasks[0] == "classify":
            readings.append(f"{quote(column)} as class ({_n_values(table, column)} values)")
        elif m.layout.tasks[0] == "generate":
            readings.append(f"{quote(column)} as text")
        else:
            readings.append(f"{quote(column)} as {m.layout.name}")
    tasks = list(dict.fromkeys(m.layout.tasks[0] for m in matches))
    columns = list(dict.fromkeys(m.reference for m in matches))
    if len(tasks) == len(matches):
        flags = [f"--task {task}" for task in tasks]
    elif len(columns) == len(matches):
        flags = [f"--reference {quoted(column or '')}" for column in columns]
    else:
        flags = [f"--input {quoted(m.columns[m.layout.input])}" for m in matches]
    number = {2: "two", 3: "three"}.get(len(matches), str(len(matches)))
    what = "tasks" if len(tasks) == len(matches) else "layouts"
    return f"{table.file} fits {number} {what}: {' or '.join(readings)}.\nSay {' or '.join(flags)}."


def _label_column(
    table: Table, chosen: Match
) -> tuple[Match, Mapping[str, str] | None, tuple[str, ...]]:
    """Settle which column is the label, and whether another one names its numbers."""
    column = chosen.columns["label"]
    candidates = (column, *chosen.rivals.get("label", ()))
    if any(not _same_classes(table, column, other) for other in candidates[1:]):
        shown = " or ".join(f"{quote(c)} ({_n_values(table, c)} values)" for c in candidates)
        flags = " or ".join(f"--reference {quoted(c)}" for c in candidates)
        raise DataError(f"{table.file}: the label may be {shown}.\nSay {flags}.")
    numbered = [c for c in candidates if _is_numbered(table, c)]
    column = numbered[0] if numbered else candidates[0]
    rivals = {key: others for key, others in chosen.rivals.items() if key != "label"}
    chosen = chosen._replace(columns={**chosen.columns, "label": column}, rivals=rivals)
    if not numbered or column in table.label_names:
        return chosen, None, ()
    namers = [
        other
        for other in columns_of(table.rows)
        if other != column
        and has_name(LABELS, other)
        and not _is_numbered(table, other)
        and _same_classes(table, column, other)
    ]
    if not namers:
        return chosen, None, ()
    pairs = zip(values_of(table.rows, column), values_of(table.rows, namers[0]), strict=True)
    names = {a: b for a, b in pairs if a is not None and b is not None}
    note = f"The numbers in {quote(column)} are named by {quote(namers[0])}."
    return chosen, dict(sorted(names.items(), key=lambda pair: int(pair[0]))), (note,)


def _same_classes(table: Table, one: str, other: str) -> bool:
    mine, theirs = values_of(table.rows, one), values_of(table.rows, other)
    return len(set(zip(mine, theirs, strict=True))) == len(set(mine)) == len(set(theirs))


def _is_numbered(table: Table, column: str) -> bool:
    values = values_of(table.rows, column)
    return all(value is not None and value.removeprefix("-").isdecimal() for value in values)


def _refuse_unrepeated(table: Table, chosen: Match) -> None:
    """A column called "label" whose values hardly repeat: classes or answers?"""
    column = chosen.columns["label"]
    values = [value for value in values_of(table.rows, column) if value]
    if column in table.label_names or len(values) < FEW:
        return
    counts = Counter(values)
    if 2 * sum(n for n in counts.values() if n > 1) < len(values):
        raise DataError(
            f"{table.file} fits two tasks: {quote(column)} as class ({len(counts)} values in "
            f"{len(values)} cases) or as text.\nSay --task classify or --task generate."
        )


def _without_equals(table: Table, matches: Sequence[Match]) -> list[Match]:
    """Readings of the same input whose references hold the same in every row are one."""
    kept: list[Match] = []
    for one in matches:
        if not any(
            one.reference != other.reference
            and one.columns[one.layout.input] == other.columns[other.layout.input]
            and not _differ(table, one.reference or "", other.reference or "")
            for other in kept
        ):
            kept.append(one)
    return kept


def _reference_twins(table: Table, chosen: Match, named: Collection[str]) -> tuple[str, ...]:
    """Columns that are called like a reference and hold what it holds."""
    return tuple(
        column
        for column in columns_of(table.rows)
        if column not in chosen.used
        and column not in named
        and has_name((*REFERENCES, *LABELS), column)
        and not _differ(table, column, chosen.reference or "")
    )


def _without_twins(table: Table, chosen: Match) -> Match:
    """Rivals that hold the same in every row are none; those of neither input nor reference are
    columns that the reading leaves out."""
    rivals = {
        key: tuple(c for c in others if _differ(table, chosen.columns[key], c))
        for key, others in chosen.rivals.items()
        if key in (chosen.layout.input, chosen.layout.reference)
    }
    return chosen._replace(rivals={key: others for key, others in rivals.items() if others})


def _differ(table: Table, one: str, other: str) -> bool:
    return any(row.fields.get(one) != row.fields.get(other) for row in table.rows)


def _refuse_rivals(table: Table, chosen: Match) -> None:
    for key, others in chosen.rivals.items():
        candidates = (chosen.columns[key], *others)
        flag = "--reference" if key == chosen.layout.reference else "--input"
        flags = " or ".join(f"{flag} {quoted(column)}" for column in candidates)
        shown = " or ".join(quote(column) for column in candidates)
        raise DataError(f'{table.file}: "{key}" may be column {shown}.\nSay {flags}.')


def _no_layout(table: Table, present: Sequence[str], explicit: Mapping[str, str]) -> str:
    def n_found(layout: Layout) -> int:
        return sum(any(has_name(t[:1], c) for c in present) for t in layout.needs.values())

    nearest = max(LAYOUTS, key=n_found)
    lines = [f"{table.file}: its columns {listed(present)} are no layout that is known."]
    lines[0] += unread.numbers_hint(table)
    nested = [c for c in present if any(isinstance(row.fields.get(c), dict) for row in table.rows)]
    if nested and not explicit:
        lines.append(
            f"{quote(nested[0])} holds objects: write what stands in them into columns of its own."
        )
    elif n_found(nearest):
        lines.append(f"The nearest is {nearest.name}, which needs {_needs(nearest)}.")
    if explicit.keys() & {"input", "reference"}:
        missing = next(k for k in ("input", "reference") if k not in explicit)
        lines.append(f"Name the {missing}, too: --{missing} COLUMN.")
    else:
        lines.append("Name the columns: --input COLUMN --reference COLUMN.")
        if any(map(prompts_alone.is_prompt, present)):
            lines.append(prompts_alone.HINT)
    return "\n".join(lines)
