"""What every way of confining a program offers, and what they share: limits, users, interpreter.

Not for choosing one (``probe.py``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal, Protocol

from tuneval.sandbox.box import BOOT, PYTHON_FLAGS, Launch
from tuneval.sandbox.program import Limits

Level = Literal["strong", "medium", "weak", "none"]
Role = Literal["candidate", "grader"]
ROLES: tuple[Role, Role] = ("candidate", "grader")
GRADER_CPU_SECONDS = 5
"""What the grader may use beyond the program's limit."""
MEMORY_IS_WATCHED = (
    "memory of all processes: summed every 0.1 s, so a fast program is over the limit for a moment; "
    "buffers of pipes and sockets are not counted"
)
FILES_ARE_WATCHED = (
    "temporary space: counted every 0.1 s, so a fast program is over the limit for a moment"
)
OPEN_FILES_HIDE = (
    "temporary space: files that were removed and are still open are not counted (the evaluator may "
    "not look into the program's processes; as root it takes CAP_SYS_PTRACE)"
)
MAPPED_FILES_HIDE = (
    "temporary space: files that were removed and are mapped but not open are not counted (it takes "
    "root with CAP_SYS_ADMIN)"
)
NAMES_ARE_SEEN = (
    "names outside: whether a path or a process number exists, where a link leads, and a file's size, "
    "owner, times and attributes can be seen; contents and lists of folders cannot"
)
SIGNALS_PASS = "other processes of the same user: they can be sent signals"
CALLS_PASS = "system calls: there is no filter for this kind of processor"
LIMITS_ARE_LOOSE = "memory and number of processes: as far as the system enforces them"
NOTHING_IS_HELD = "files, network and processes: a program has the rights of the user"
_SYS_PTRACE, _SYS_ADMIN = 19, 21
USER_BASE = 1_200_000_000
FEWEST_USERS = 60_000
MAX_WORKERS = 32
"""One more than ever run: the last slot is the probe's."""


class SandboxBackend(Protocol):
    """One way of confining a program.

    ``level`` is what it gives: "strong" (own root, no network, own process numbers), "medium" (one
    of them by another means), "weak", "none". ``gaps`` names, one text each, what a program can do
    all the same; everything else that ``docs/sandbox.md`` lists holds.
    """

    name: str
    level: Level
    gaps: tuple[str, ...]

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Say how to start one sandbox. ``slot`` is the worker's number: no two sandboxes that run
        at the same time have the same slot and role.

        Raises
        ------
        SandboxError, OSError
            It cannot even be tried here.
        """
        ...


def interpreter() -> Path:
    """The Python that runs this, outside any virtual environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(base).resolve()


def python_command(python: str) -> list[str]:
    """Start the runner with nothing but the standard library."""
    return [python, *PYTHON_FLAGS, "-c", BOOT]


def environment(folder: str) -> dict[str, str]:
    """The whole environment inside: nothing of the user's, everything that could vary fixed."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def resource_limits(role: Role, limits: Limits) -> dict[str, list[int]]:
    """RLIMIT name -> [soft, hard]. CPU: the soft limit can be told from others, the hard one acts
    on a program that ignores the signal."""
    cpu = limits.cpu_seconds + (GRADER_CPU_SECONDS if role == "grader" else 0)
    return {
        "RLIMIT_CPU": [cpu, cpu + 1],
        "RLIMIT_AS": [limits.address_space_bytes] * 2,
        "RLIMIT_NPROC": [limits.processes] * 2,
        "RLIMIT_FSIZE": [limits.file_bytes] * 2,
        "RLIMIT_NOFILE": [limits.open_files] * 2,
        "RLIMIT_CORE": [0, 0],
    }


def own_user(role: Role, slot: int) -> int | None:
    """A user of its own for this sandbox, if we are root and may give it one; else None.

    No two evaluators on a machine, slots or roles share one, so limits per user hold and no program
    can reach another's processes.
    """
    return first_user() + 2 * slot + ROLES.index(role) if is_privileged() else None


def is_privileged() -> bool:
    """Are we root with other users at hand? Root of a user namespace may be the only user in it."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and _last_user() >= FEWEST_USERS


def watch_gaps() -> tuple[str, ...]:
    """What a watch over processes and a folder cannot hold, with the rights that we have."""
    can_look = not is_privileged() or _has_capability(_SYS_PTRACE)
    can_follow = can_look and _has_capability(_SYS_ADMIN)
    return (
        MEMORY_IS_WATCHED,
        FILES_ARE_WATCHED,
        *([] if can_look else [OPEN_FILES_HIDE]),
        *([] if can_follow else [MAPPED_FILES_HIDE]),
    )


def _has_capability(number: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        return bool(int(status.split("CapEff:")[1].split()[0], 16) >> number & 1)
    except (OSError, IndexError, ValueError):
        return False


def first_user() -> int:
    """First of the users that this process gives to sandboxes, within what is mapped here."""
    count, last = 2 * MAX_WORKERS, _last_user()
    wanted = USER_BASE + (os.getpid() % (1 << 22)) * count
    return wanted if wanted + count <= last else last - count * (1 + os.getpid() % 256)


def _last_user() -> int:
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
        return max(int(start) + int(n) - 1 for start, _, n in map(str.split, lines))
    except (OSError, ValueError):
        return (1 << 32) - 2


def confinement(role: Role, limits: Limits, **parts: Any) -> dict[str, Any]:
    """The runner's settings for ``inside.confine``."""
    return {"role": role, "confinement": {"limits": resource_limits(role, limits), **parts}}
