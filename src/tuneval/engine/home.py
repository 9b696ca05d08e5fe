"""Where tuneval keeps what outlives a run: answers, hashes of weights.

Not for: the folder of a run (``runs/``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """``$TUNEVAL_HOME``, by default ``tuneval`` in the user's cache folder."""
    given = os.environ.get("TUNEVAL_HOME")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tuneval"
