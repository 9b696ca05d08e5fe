"""Hashes the contents of files, large ones once per machine and not once per process.

What is remembered goes by path, size, time of change, inode and by blocks sampled from the file, so
that one put in its place with the same size and time is noticed. Files of the hub's cache that are
named by their hash are not read. Not for: what is made of the hashes (``fingerprint.py``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

_LARGE = 32 * 2**20
"""Bytes from which on a hash is worth remembering."""
_N_BLOCKS, _BLOCK = 256, 4096
_MOST = 2000
_VERSION = 1
_BLOB = re.compile(r"[0-9a-f]{64}")
KNOWN: dict[str, str] = {}
"""Key -> content hash, of this process."""
_AHEAD: dict[Path, Future[str]] = {}
"""Files that a thread reads already."""


def begin(files: Iterable[Path], memory: Path | None) -> None:
    """Have a thread hash files meanwhile; ``of_file`` waits for it, and raises what went wrong.

    Hashing holds no lock of the interpreter, so imports and loading go on beside it. A run that ends
    before it is done does not wait for it.
    """
    fresh: dict[Path, Future[str]] = {file: Future() for file in files if file not in _AHEAD}
    _AHEAD.update(fresh)
    Thread(target=_hash_all, args=(fresh, memory), daemon=True).start()


def _hash_all(files: Mapping[Path, Future[str]], memory: Path | None) -> None:
    for file, found in files.items():
        try:
            found.set_result(_of_file(file, memory))
        except Exception as error:  # noqa: BLE001 - raised where the hash is asked for
            found.set_exception(error)


def of_file(file: Path, memory: Path | None) -> str:
    """SHA-256 of a file's contents.

    Parameters
    ----------
    memory : Path or None
        File with the hashes of large files on this machine; None remembers within the process only.
    """
    begun = _AHEAD.pop(file, None)
    if begun is not None:
        begun.result()  # known from now on, unless the file has changed since
    return _of_file(file, memory)


def _of_file(file: Path, memory: Path | None) -> str:
    real = file.resolve()
    state = real.stat()
    if real.parent.name == "blobs" and _BLOB.fullmatch(real.name) and state.st_size >= _LARGE:
        return real.name  # the hub names its large files so, and checks them on arrival
    key = (
        f"{real}|{state.st_size}|{state.st_mtime_ns}|{state.st_ino}|{_sample(real, state.st_size)}"
    )
    if key in KNOWN:
        return KNOWN[key]
    is_kept = memory is not None and state.st_size >= _LARGE
    found = _remembered(memory).get(key) if is_kept and memory is not None else None
    if found is None:
        with real.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if is_kept and memory is not None:
            _remember(memory, key, found)
    KNOWN[key] = found
    return found


def _sample(file: Path, size: int) -> str:
    """Hash of blocks spread over a file, the first and the last among them; of all of a small one."""
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        if size <= _N_BLOCKS * _BLOCK:
            digest.update(stream.read())
        else:
            for number in range(_N_BLOCKS):
                stream.seek((size - _BLOCK) * number // (_N_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


def _remembered(memory: Path) -> dict[str, str]:
    """What stands in the file; nothing where it is absent, damaged or of another version."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        hashes = content["hashes"] if content["version"] == _VERSION else {}
        return {
            str(key): value
            for key, value in hashes.items()
            if isinstance(value, str) and _BLOB.fullmatch(value)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _remember(memory: Path, key: str, found: str) -> None:
    """Add a hash; the file is replaced as a whole, and one that cannot be written costs time only."""
    hashes = _remembered(memory)
    # Of a file only the latest state is of use.
    name = key.partition("|")[0] + "|"
    hashes = {other: value for other, value in hashes.items() if not other.startswith(name)}
    hashes[key] = found
    latest = dict(list(hashes.items())[-_MOST:])
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=memory.parent, prefix=memory.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump({"version": _VERSION, "hashes": latest}, stream)
            Path(name).replace(memory)
        except OSError:
            Path(name).unlink(missing_ok=True)
