"""Temporary folders outside: made, marked as in use, and removed when their owner was killed."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tuneval.sandbox.inside import warden

WORK_PREFIX = "tuneval-sandbox-"
BAIT_PREFIX = "tuneval-probe-"
YOUNG_SECONDS = 60.0
"""A folder may be a moment old before its owner marks it."""


def work_folder(uid: int | None) -> str:
    """Folder of one sandbox; its warden marks and removes it."""
    folder = tempfile.mkdtemp(prefix=WORK_PREFIX)
    if uid is not None:
        os.chown(folder, uid, uid)
    return folder


def remove_abandoned() -> None:
    """Remove the folders that killed runs have left; never raises for one that resists."""
    for path in Path(tempfile.gettempdir()).iterdir():
        if path.name.startswith((WORK_PREFIX, BAIT_PREFIX)) and _is_abandoned(path):
            warden.remove_tree(str(path))


def _is_abandoned(path: Path) -> bool:
    import fcntl

    try:
        folder = warden.mark(str(path), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # in use, another user's, or no folder
    try:
        facts = os.fstat(folder)
    finally:
        os.close(folder)
    is_ours = os.geteuid() in (0, facts.st_uid)
    return is_ours and time.time() - facts.st_mtime > YOUNG_SECONDS
