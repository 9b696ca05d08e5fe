"""Where the shared real data lies; a test that needs it skips with its reason when it is absent."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).parents[2] / "shared"))
DATA = SHARED / "data"


def shared_path(*parts: str) -> Path:
    """Path below the shared data folder; skips the calling test if it is not on this machine."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"shared data not here: {path} (set TUNEVAL_SHARED)")
    return path


def shared_rows(*parts: str) -> list[dict[str, Any]]:
    """Rows of a shared JSON Lines file, gzipped or not."""
    path = shared_path(*parts)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
        return [json.loads(line) for line in lines]


def shared_json(*parts: str) -> Any:
    """Content of a shared JSON file."""
    return json.loads(shared_path(*parts).read_text(encoding="utf-8"))


def shared_figures(*parts: str, of: Sequence[str]) -> Any:
    """What a shared JSON file says under these keys; skips where it is not known for these rows."""
    found = shared_json(*parts)
    for key in of:
        if key not in found:
            pytest.skip(f'{"/".join(parts)} has no figures of "{key}" for these rows')
        found = found[key]
    return found
