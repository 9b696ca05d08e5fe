"""Any table with one number an item: ``--value COLUMN``, joined by ``--id COLUMN`` or by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneval.bridges.logs import Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number
from tuneval.data.clusters import asked_in
from tuneval.data.formats import READERS, Row, Table, quote, read_file
from tuneval.data.labels import as_text
from tuneval.errors import DataError, gather
from tuneval.registry import unknown

_IDS = ("id", "_id", "item_id", "case_id", "doc_id", "sample_id", "question_id")
_TRUTH = {"true": 1.0, "false": 0.0}


class ValueTable:
    """JSON Lines, JSON, CSV, TSV or Parquet."""

    has_systems = False

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """The file itself, where a column was named."""
        endings = {ending.lower() for ending in place.suffixes}
        is_table = place.is_file() and bool(endings & READERS.keys())
        return (place,) if is_table and wanted.value is not None else ()

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log; every row needs a number."""
        table = read_file(files[0])
        value = _column(table, str(wanted.value))
        key = _id_column(table, wanted.id)
        faults = [f"{table.unit} {one.place}: {one.text}" for one in table.faults]
        numbers = {row.place: _number(row.fields.get(value)) for row in table.rows}
        faults += [
            f"{table.unit} {row.place}: {quote(row.fields.get(value))} in {quote(value)} is no number"
            for row in table.rows
            if numbers[row.place] is None
        ]
        ids = [
            as_text(row.fields.get(key)) if key else str(n) for n, row in enumerate(table.rows, 1)
        ]
        faults += [f"id {quote(one)} stands {n} times" for one, n in Counter(ids).items() if n > 1]
        if faults or not table.rows:
            raise DataError(gather(f"{table.file} cannot be used.", faults or ["it is empty"]))
        items = (
            _item(id_, row, value, numbers[row.place])
            for id_, row in zip(ids, table.rows, strict=True)
        )
        return (TaskLog("table", "items", table.file, tuple(items), {value: Logged()}),)


def _item(id_: str, row: Row, value: str, number: float | None) -> Item:
    asked: Mapping[str, object] = asked_in({k: v for k, v in row.fields.items() if k != value})
    return Item(
        id=id_,
        values={} if number is None else {value: (number, 1.0)},
        asked="\n".join(str(one) for one in asked.values()),
        fields={name: one for name, one in row.fields.items() if name != value},
    )


def _number(value: object) -> float | None:
    if isinstance(value, str):
        if value.strip().casefold() in _TRUTH:
            return _TRUTH[value.strip().casefold()]
        try:
            value = float(value)
        except ValueError:
            return None
    return as_number(value)


def _column(table: Table, name: str) -> str:
    present = list(dict.fromkeys(column for row in table.rows for column in row.fields))
    if name not in present:
        raise DataError(f"{table.file}: column: {unknown(name, present)}.")
    return name


def _id_column(table: Table, asked: str | None) -> str | None:
    if asked is not None:
        return _column(table, asked)
    first = table.rows[0].fields if table.rows else {}
    return next((name for name in first if name.casefold() in _IDS), None)
