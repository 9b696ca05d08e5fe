"""Tell files, folders, hub ids and rows in memory apart, and load whichever it is."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tuneval.data import hub, llama_factory
from tuneval.data.formats import (
    READERS,
    TEXT,
    Table,
    from_rows,
    kind,
    listed,
    quote,
    read_file,
    read_text,
)
from tuneval.errors import DataError, gather


def load(source: object, name: str | None, split: str) -> Table:
    """Load the rows of ``source``; see `tuneval.data.read.read` for what it may be.

    Raises
    ------
    DataError
        There is no such file, it cannot be read, or it holds nothing.
    """
    table = _load(source, name, split)
    if not table.rows:
        if table.faults:
            n = len(table.faults)
            faults = [f"{table.unit} {fault.place}: {fault.text}" for fault in table.faults]
            headline = f"{table.file}: {n} of {n} {table.unit}s cannot be read."
            raise DataError(gather(headline, faults, f"Mend the {table.unit}s."))
        raise DataError(f"{table.file} is empty: it holds no case.\nGive a file with cases.")
    return table


def _load(source: object, name: str | None, split: str) -> Table:
    if hub.is_dataset(source):
        return hub.from_dataset(source, name or "dataset", name or "dataset", split)
    if isinstance(source, str | os.PathLike):
        return _from_path(os.fspath(source), split)
    if isinstance(source, Mapping | bytes) or not isinstance(source, Iterable):
        raise DataError(
            f"cases cannot be read from {kind(source)}.\n"
            "Give a path, a list of dictionaries, or a datasets.Dataset."
        )
    return from_rows(list(source), name or "rows")


def _from_path(source: str | bytes, split: str) -> Table:
    text = os.fsdecode(source)
    path = Path(text).expanduser()
    if path.is_file():
        is_text = path.name.lower().removesuffix(".gz").endswith(TEXT)
        table = read_text(path) if is_text else read_file(path)
        llama_factory.rename(table, path)
        return table
    if path.is_dir():
        if hub.is_saved(path):
            return hub.read_saved(path, split)
        raise DataError(_directory(path))
    if path.exists():
        raise DataError(f"{quote(text)} is neither a file nor a directory.")
    if hub.is_hub_id(text) and not _is_meant_as_path(path):
        return hub.read_hub(text, split)
    raise DataError(_missing(text, path))


def _is_meant_as_path(path: Path) -> bool:
    endings = {ending.lower() for ending in path.suffixes}
    return path.parent.is_dir() or bool(endings & {*READERS, TEXT, ".gz"})


def _readable(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    return [n for n in names if set(Path(n.lower()).suffixes) & READERS.keys()]


def _directory(folder: Path) -> str:
    files = _readable(folder)
    inside = (
        f"one of its files: {listed(files)}" if files else "a file; this one holds no data file"
    )
    return f"{quote(folder, 200)} is a directory. Give {inside}."


def _missing(text: str, path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {quote(text, 200)}: its directory {quote(folder, 200)} does not exist."
    near = difflib.get_close_matches(path.name, [e.name for e in folder.iterdir()], n=1, cutoff=0.6)
    if near:
        return (
            f"there is no file {quote(text, 200)} (did you mean {quote(folder / near[0], 200)}?)."
        )
    files = _readable(folder)
    known = f" Data files there: {listed(files)}." if files else ""
    return f"there is no file {quote(text, 200)}.{known}{_hub_route(text)}"


def _hub_route(text: str) -> str:
    """A bare name may be meant as a data set of the hub, which is asked for with its owner."""
    if not hub.is_name(text):
        return ""
    return (
        f"\nA data set of the hub is named with its owner (--data OWNER/{text}, with a configuration "
        f"OWNER/{text.partition(':')[0]}:NAME, and --split); it needs pip install 'tuneval[hub]'."
    )
