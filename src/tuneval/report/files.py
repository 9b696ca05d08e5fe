"""Write a file so that a reader sees the old text or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tuneval.report.escape import well_formed


def replace_file(path: str | os.PathLike[str], text: str) -> Path:
    """Put ``text`` (UTF-8, line ends as given) in the place of ``path``, durably.

    The temporary file lies in the same folder, so that the rename cannot cross file systems; file
    and folder are both flushed to the disk. Folders above are made where missing.

    Raises
    ------
    OSError
        As the file system says it; then the old file is untouched and no temporary file remains.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        _replace(path, text)
    return path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have what the file system refuses name the file that it is about; a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)
        raise


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left half-written; only for who alone writes in the folder."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(well_formed(text))
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a report is read by colleagues, as umask allows.
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:  # an interrupt, too, must leave no half-written file behind
        Path(temporary).unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _umask() -> int:
    # There is no way to read it without setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
