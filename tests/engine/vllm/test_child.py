from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tuneval.engine.vllm import child
from tuneval.engine.vllm.engine import PYTHON, Engine
from tuneval.errors import BackendUnavailable

FOLDER = str(Path(child.__file__).parent)
STARTS_ONE = """
import queue, subprocess, sys
sys.path.insert(0, sys.argv[1])
import child
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
child.listen(queue.SimpleQueue())
"""


def test_it_ends_with_the_driver_and_takes_along_what_it_has_started() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, FOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as one:
        assert one.stdin is not None and one.stdout is not None
        started = psutil.Process(int(one.stdout.readline()))
        one.stdin.close()  # as when the driver is killed
        one.wait(30)
        _, alive = psutil.wait_procs([started], timeout=30)
        assert all(left.status() == psutil.STATUS_ZOMBIE for left in alive)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_an_engine_that_does_not_start_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(PYTHON, raising=False)
    before = set(psutil.Process(os.getpid()).children())
    with pytest.raises(BackendUnavailable, match=r"did not start: ModuleNotFoundError: .*'vllm'\n"):
        Engine({"model": "none"}, {})
    assert set(psutil.Process(os.getpid()).children()) <= before
