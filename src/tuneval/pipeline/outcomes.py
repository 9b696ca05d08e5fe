"""Outcomes of programs on disk, so that a resumed run repeats none.

One append-only file a process, a checksum a line; the key holds everything that can change an
outcome (``sandbox.outcome_key``). Knows nothing of models.
"""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path

from tuneval.report.files import naming
from tuneval.sandbox import Outcome


class OutcomeStore:
    """Remember outcomes below a folder; any number of processes may use it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Outcome] = {}
        for path in sorted(folder.glob("*.jsonl")):
            for key, outcome in _read(path):
                # Another machine, or a quiet hour, may have found out what was a timeout once.
                if self.known.get(key, outcome).outcome == "timeout" or key not in self.known:
                    self.known[key] = outcome
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"

    def record(self, key: str, outcome: Outcome) -> None:
        """Write one outcome; a failure of the sandbox is none and is tried again next time."""
        if not outcome.counts:
            return
        text = json.dumps({"key": key, "outcome": outcome.to_record()})
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        with naming(self._path), self._path.open("ab") as file:
            file.write(line)


def _read(path: Path) -> Iterator[tuple[str, Outcome]]:
    """Yield what is whole; a line that was cut off or damaged is run again."""
    for line in path.read_bytes().splitlines():
        checksum, _, text = line.partition(b" ")
        try:
            if int(checksum, 16) == zlib.crc32(text):
                content = json.loads(text)
                yield content["key"], Outcome.from_record(content["outcome"])
        except (ValueError, KeyError, TypeError):
            continue
