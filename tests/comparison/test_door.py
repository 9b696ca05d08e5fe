"""What the room offers by name, and how quickly."""

from __future__ import annotations

import pytest


def test_nothing_heavy_is_imported_before_it_is_used():
    import subprocess
    import sys

    code = (
        "import sys, tuneval.comparison as c; "
        "assert not any(m.startswith('scipy') for m in sys.modules); c.score; "
        "assert 'scipy.stats' not in sys.modules; assert 'torch' not in sys.modules"
    )
    path = [*sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_name_of_the_room():
    import tuneval.comparison as room

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = room.nothing
