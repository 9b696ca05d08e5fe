"""Where the words go when nobody reads them, and what an end that is not our fault says."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tuneval.api import progress
from tuneval.cli import main
from tuneval.cli.main import exit_code

TUNEVAL = f"{sys.executable} -m tuneval"


def shell(line: str) -> tuple[int, str]:
    """Exit code of the first command of a pipe, and what stderr got."""
    words = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.fault
@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("{} list metrics | true", 0, ""),
        ("{} list metrics >&-", 0, ""),
        ("{} list metrics >&- 2>&-", 0, ""),
        ("{} list nothing 2>&-", 2, ""),
        pytest.param(
            "{} list metrics > /dev/full",
            2,
            'tuneval: "standard output": No space left on device.\n'
            "What was answered is kept: once that is mended, the same command goes on from there.\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full"),
        ),
    ],
)
def test_fault_5_nobody_reads(line: str, code: int, said: str) -> None:
    assert shell(line.format(TUNEVAL)) == (code, said)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory for this run on this machine.\nGive --dtype"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "base/config.json"),
            '"base/config.json": No such file or directory.\nWhat was answered is kept',
        ),
    ],
)
def test_what_lies_with_the_machine_is_no_bug_of_ours(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(main, "app", fail)
    assert exit_code(["list", "metrics"]) == 2
    assert capsys.readouterr().err.startswith(f"tuneval: {said}")


@pytest.mark.parametrize(
    ("arrivals", "said"),
    [
        ([(50.0, 1, 0)], "base: 1/64"),
        ([(1.0, 40, 40), (50.0, 1, 0)], "base: 41/64"),
        ([(50.0, 1, 0), (54.0, 8, 0), (60.0, 12, 0)], "base: 21/64, 2/s, about 22 s left"),
        ([(0.0, 1, 0), (90.0, 9, 0)], "base: 10/64, 10 s each, about 540 s left"),
        ([(0.0, 1, 0), (20.0, 99, 0)], "base: 100/64, 5/s, about 0 s left"),
    ],
)
def test_no_guess_at_what_is_left(
    arrivals: list[tuple[float, int, int]],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines = progress.Lines()
    lines.begin("base", 64)
    for clock[0], n, n_reused in arrivals:
        lines.advance(n, n_reused=n_reused)
    assert capsys.readouterr().err.splitlines()[-1] == said
