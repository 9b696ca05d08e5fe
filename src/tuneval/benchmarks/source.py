"""Where a benchmark's rows lie: in a folder (the hub's layout or the original one), or on the hub.

Not for: what a row means, which is each benchmark's own matter.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneval.benchmarks import Facts, Place
from tuneval.data import hub
from tuneval.data.formats import listed, quote, read_file
from tuneval.errors import DataError, gather

ENV = "TUNEVAL_BENCHMARK_DATA"
ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Row:
    """One record and where it stands, so that what it lacks can be said."""

    where: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The field's value; DataError names the row and the fields that it has."""
        if name not in self.fields:
            raise DataError(
                f"{self.where}: no field {quote(name)} (found {listed(self.fields)}).\n"
                "Is this the published file? See docs/benchmarks.md for what is looked for."
            )
        return self.fields[name]

    def text(self, name: str) -> str:
        """The field as text."""
        return str(self[name])

    def index(self, name: str, n: int) -> int:
        """The field as a place among ``n`` labels or choices."""
        value = self[name]
        try:
            place = int(value)
        except (TypeError, ValueError):
            place = -1
        if not 0 <= place < n:
            raise DataError(
                f"{self.where}: {name} is {quote(value)}, expected a number from 0 to {n - 1}."
            )
        return place


def place_of(folder: str | None, *, offline: bool = False) -> Place:
    """The folder that was named, else that of the environment.

    Raises
    ------
    DataError
        There is no such folder.
    """
    named = folder or os.environ.get(ENV)
    if not named:
        return Place(None, offline)
    path = Path(named).expanduser()
    if not path.is_dir():
        what = "--benchmark-data" if folder else ENV
        raise DataError(f"{what} {quote(named, 200)}: there is no such folder.")
    return Place(path, offline)


def usual(split: str, config: str = "") -> tuple[str, ...]:
    """Where a snapshot of the hub keeps a split: names to look for, the first that is there wins."""
    heads = (f"{config}/", f"{config}/data/", "", "data/") if config else ("", "data/")
    return tuple(
        f"{head}{split}{rest}"
        for head in heads
        for rest in ("-*.parquet", ".parquet", "/*.parquet", *ENDINGS)
    )


def find(place: Place, facts: Facts, names: Sequence[str]) -> list[Path]:
    """Files of the first of ``names`` that is there, sorted; none where nothing is.

    Parameters
    ----------
    names : sequence of str
        Glob patterns below the benchmark's folder.
    """
    for home in _homes(place, facts):
        for name in names:
            found = sorted(path for path in home.glob(name) if path.is_file())
            if found:
                return found
    return []


def rows(
    place: Place,
    facts: Facts,
    split: str,
    also: Sequence[str] = (),
    *,
    config: str | None = None,
) -> list[Row]:
    """Read a split from the folder, else from the hub.

    Parameters
    ----------
    also : sequence of str
        Names of the original distribution's files, looked for after the hub's.

    Raises
    ------
    DataError
        It is in neither; the message says what to download and how. Or rows cannot be read.
    """
    config = facts.config if config is None else config
    files = find(place, facts, (*usual(split, config), *also))
    return rows_of(files) if files else from_hub(place, facts, split, config)


def rows_of(files: Iterable[Path]) -> list[Row]:
    """Rows of tables (JSON Lines, JSON, CSV, TSV, Parquet), one after the other."""
    found: list[Row] = []
    for path in files:
        table = read_file(path)
        if table.faults:
            faults = [f"{table.unit} {fault.place}: {fault.text}" for fault in table.faults]
            raise DataError(gather(f"{path}: {len(faults)} rows cannot be read.", faults))
        found += [Row(f"{path}, {table.unit} {row.place}", row.fields) for row in table.rows]
    return found


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Lines of a plain text file, gzipped or not, without their ends."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding=encoding, newline="\n") as lines:
            for line in lines:
                yield line.removesuffix("\n").removesuffix("\r")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from None


def from_hub(place: Place, facts: Facts, split: str, config: str) -> list[Row]:
    """Read a split from the hub (or its cache).

    Raises
    ------
    DataError
        One line: why not, what to download and how.
    """
    if not facts.hub:
        raise DataError(_how_to_get(place, facts, split, "it is not there"))
    if place.offline:
        # Its cache may hold it all the same; the variable is set before the package is imported.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        found = hub.read_split(facts.hub, config or None, split, facts.revision)
    except DataError as error:
        raise DataError(_how_to_get(place, facts, split, str(error))) from None
    where = f"{facts.hub}{config and f':{config}'}, {split}"
    return [Row(f"{where}, row {n}", fields) for n, fields in enumerate(found, 1)]


OUR_OWN = "made by rule, part of tuneval"


def is_here(place: Place, facts: Facts) -> str:
    """Where the rows that are asked lie on this machine; "" where they do not. Reads none of them."""
    if facts.is_our_own:
        return OUR_OWN
    name, _, subset = facts.name.partition(":")
    shared = () if place.folder is None else (place.folder, place.folder / name)
    for home in _homes(place, facts):
        # A folder that all parts share does not say whether this part is in it.
        if home not in (
            shared if subset and facts.folders and name not in facts.folders else shared[:1]
        ):
            return str(home)
    if not facts.hub:
        return ""
    cached = facts.hub.replace("/", "___").lower()
    for folder in (_cache("datasets") / cached, _cache("hub") / _snapshot_name(facts)):
        if folder.is_dir():
            return f"cache of the hub ({folder.name})"
    return ""


def origin(place: Place, facts: Facts) -> str:
    """Where the rows come from, for reports."""
    if facts.is_our_own:
        return OUR_OWN
    homes = _homes(place, facts)
    return str(homes[0] if homes else facts.hub or place.folder or "nowhere")


def _homes(place: Place, facts: Facts) -> list[Path]:
    """Folders that may be the benchmark's, the likeliest first; the user's own folder last."""
    if place.folder is None:
        return []
    name, _, subset = facts.name.partition(":")
    hub_names = (facts.hub, facts.hub.rpartition("/")[2], facts.hub.replace("/", "___"))
    names = (name, *(hub_names if facts.hub else ()), *facts.folders)
    named = [place.folder / one for one in dict.fromkeys(names)]
    if facts.hub:
        named += sorted((place.folder / _snapshot_name(facts) / "snapshots").glob("*"))
    inside = [folder / subset for folder in named] if subset else []
    return [folder for folder in (*inside, *named, place.folder) if folder.is_dir()]


def _snapshot_name(facts: Facts) -> str:
    return f"datasets--{facts.hub.replace('/', '--')}"


def _cache(kind: str) -> Path:
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / kind
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "huggingface" / kind


def _how_to_get(place: Place, facts: Facts, split: str, why: str) -> str:
    where = f" in {quote(place.folder, 200)}" if place.folder else " here"
    name = facts.name.partition(":")[0]
    first = why.strip().splitlines()[0].rstrip(".")
    get = facts.get or f"hf download {facts.hub} --repo-type dataset --local-dir DIR/{name}"
    return (
        f'benchmark "{facts.name}", split {split}: no rows{where}, and not from the hub ({first}). '
        f"Get them with: {get}; then --benchmark-data DIR"
    )
