"""Which tool wrote what lies at a place, and its logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tuneval import registry
from tuneval.bridges.logs import LOGS, Reader, TaskLog, Wanted
from tuneval.errors import DataError


def read_logs(text: str, wanted: Wanted) -> tuple[TaskLog, ...]:
    """Read "PLACE" or "PLACE:SYSTEM"; a place that has a colon in its own name wins.

    Raises
    ------
    DataError
        Nothing lies there, or nothing that a reader knows.
    """
    head, colon, system = text.rpartition(":")
    place = Path(text).expanduser()
    if not place.exists() and colon and Path(head).expanduser().exists():
        place, wanted = Path(head).expanduser(), replace(wanted, system=system)
    if not place.exists():
        raise DataError(f'--logs: there is no file or folder "{text}".')
    for name in LOGS if wanted.value is None else ("table",):
        reader: Reader = registry.load(LOGS, name, room="logs")()
        files = reader.find(place, wanted)
        if not files:
            continue
        if wanted.system is not None and not reader.has_systems:
            raise DataError(
                f'--logs: "{place.name}" is of one system; leave ":{wanted.system}" out.'
            )
        try:
            return reader.read(files, wanted)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f'--logs: "{text}" looks like a log of {name}, but a part of it is missing or of another '
                f"form ({type(error).__name__}: {error}).\nWas it cut off, or edited?"
            ) from error
    raise DataError(
        f'--logs: "{text}" holds no log that can be read (known: {", ".join(LOGS)}).\n'
        "For any table with one number an item, name its column: --value COLUMN."
    )
