"""Runs that end badly, in processes of their own (sandbox_and_faults B2, rows 1, 5 and 8)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.crash_worker import VARIANT, Dying, requests
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.types import Response

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(os.name != "posix", reason="kill -9 and file limits are POSIX"),
]
WORKER = Path(__file__).with_name("crash_worker.py")
N = len(requests())


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def resume(folder: Path) -> tuple[dict[str, Response], int, list[str]]:
    """Go on in this process: answers, how many were asked, warnings."""
    backend = Dying("never", 0)
    with Journal(folder) as journal:
        answers = answer(backend, VARIANT, requests(), journal)
    return answers, len(backend.asked), journal.warnings


@pytest.mark.parametrize("stored", [0, 1, 7, 16, N - 1])
def test_fault_1_kill_9_costs_only_what_was_not_stored(tmp_path: Path, stored: int) -> None:
    unbroken, asked, _ = resume(tmp_path / "unbroken")
    assert asked == N

    killed = start(tmp_path / "broken", "kill-after", str(stored))
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL

    answers, asked, warnings = resume(tmp_path / "broken")
    assert asked == N - stored
    assert repr(answers) == repr(unbroken)
    assert warnings == []


def test_fault_5_a_disk_that_fills_up(tmp_path: Path) -> None:
    full = start(tmp_path / "full", "file-limit", "3000")
    said, _ = full.communicate(timeout=60)
    assert full.returncode == 2
    assert said.startswith(f'the journal of answers cannot be used at "{tmp_path}/full/')
    assert "File too large" in said
    assert "Answers recorded so far are safe." in said

    answers, asked, warnings = resume(tmp_path / "full")
    assert 0 < asked < N
    assert repr(answers) == repr(resume(tmp_path / "unbroken")[0])
    assert len(warnings) == 1 and "1 answer was cut off" in warnings[0]
    assert resume(tmp_path / "full")[1:] == (0, [])


def test_fault_8_two_runs_on_one_store(tmp_path: Path) -> None:
    both = [start(tmp_path / "shared", "slow") for _ in range(2)]
    for one in both:
        said, errors = one.communicate(timeout=60)
        assert (one.returncode, said.strip(), errors) == (0, str(N), "")

    answers, asked, warnings = resume(tmp_path / "shared")
    assert (asked, warnings) == (0, [])
    assert repr(answers) == repr(resume(tmp_path / "unbroken")[0])
    shards = list((tmp_path / "shared").glob("*/*.jsonl"))
    assert 1 <= len(shards) <= 2
    assert sum(len(shard.read_bytes().splitlines()) for shard in shards) <= 2 * N
