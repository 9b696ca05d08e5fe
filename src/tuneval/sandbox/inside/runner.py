"""The first code in a sandbox: read the settings, put the confinement on, play the role.

Not for judging: a candidate only answers calls, a grader only reports what it saw.
"""

from __future__ import annotations

import os
import sys

from . import confine, wire

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from typing import Any

SETTINGS_FD = 0


def main() -> None:
    """Play the role that the settings on standard input name; never returns."""
    settings = wire.read_frame(SETTINGS_FD)
    if settings.get("relayed"):
        _take_standard_streams(settings)
    else:
        _replace(SETTINGS_FD, os.O_RDONLY)
    if settings.get("warden"):
        from . import warden

        warden.watch(settings)
    play(settings)


def play(settings: dict[str, Any]) -> None:
    """Confine this process and do what its role asks; never returns."""
    candidate: Any = None
    grader: Any = None
    if settings["role"] == "candidate":
        from . import candidate
    else:
        from . import grader
    try:
        confine.apply(settings["confinement"])
    except confine.ConfinementError as error:
        # Nothing foreign has run yet, so this report cannot be a program's.
        report = settings["channel"][1] if candidate else settings["verdict"]
        wire.write_frame(report, {"setup": str(error)[:500]})
        os._exit(1)
    if candidate:
        candidate.serve(settings)
    else:
        grader.grade(settings)


def _replace(fd: int, mode: int) -> None:
    empty = os.open(os.devnull, mode)
    os.dup2(empty, fd)
    os.close(empty)


def _take_standard_streams(settings: dict[str, Any]) -> None:
    """A container engine passes on the standard streams only: frames in on 0, out on 1.

    A candidate's own output goes to 2; a grader's is dropped and its verdict goes to 2.
    """
    frames = [os.dup(0), os.dup(1)]
    settings["channel"] = frames
    _replace(0, os.O_RDONLY)
    if settings["role"] == "candidate":
        os.dup2(2, 1)
    else:
        settings["verdict"] = os.dup(2)
        _replace(1, os.O_WRONLY)
        _replace(2, os.O_WRONLY)
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
