"""The guard of a sandbox without a pid namespace: it outlives the program and ends all of it.

It runs no foreign code. It starts the confined process, says on the status pipe how that ended, and
when it ends or the evaluator lets go of the control pipe (or dies), kills all that is left and
removes the work folder.
"""

# pathlib and contextlib would cost each sandbox some milliseconds.
# ruff: noqa: PTH106, PTH123, PTH208, SIM105

from __future__ import annotations

import os
import select

from . import confine

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from typing import Any

_KILL = 9


def watch(settings: dict[str, Any]) -> None:
    """Start the role in a child and guard it. Returns in the child only."""
    control, status, folder = settings["control"], settings["status"], settings["folder"]
    confine.become_subreaper()
    marked = mark(folder)
    child = os.fork()
    if child == 0:
        os.close(marked)
        os.close(control)
        os.close(status)
        os.setsid()
        os.chdir(folder)
        return
    for fd in (*settings.get("channel", ()), settings.get("verdict"), 1, 2):
        if fd is not None:
            os.close(fd)
    _say(status, {"child-pid": child})
    code = _wait(child, control)
    _end_all(child)
    remove_tree(folder)
    if code is not None:
        _say(status, {"exit-code": code})
    os._exit(0)


def mark(folder: str, how: int | None = None) -> int:
    """Mark a folder as in use, until the returned descriptor is closed or this process is gone.

    Raises
    ------
    OSError
        It is no folder that we may read, or (``how`` given) it is marked already.
    """
    import fcntl

    descriptor = os.open(folder, _DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if how is None else how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _wait(child: int, control: int) -> int | None:
    """Wait for the child or for the evaluator to let go; returns the child's exit code or None."""
    # macOS has no descriptors of processes; there the child is looked at now and then.
    guard = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    while True:
        code = _exit_code(child)
        if code is not None:
            return code
        watched = [control] if guard is None else [control, guard]
        ready, _, _ = select.select(watched, [], [], 0.02 if guard is None else None)
        if control in ready:
            return None


def _exit_code(child: int) -> int | None:
    """Exit code of the child if it has ended (128 + n for signal n).

    Where the system can, the child stays a zombie: as long as it does, its process group cannot be
    another's, and one signal to the group is safe.
    """
    if not hasattr(os, "waitid"):
        pid, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if pid else None
        return 128 - code if code is not None and code < 0 else code
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


def _end_all(child: int) -> None:
    """Kill the child's process group, then whatever else was left to this process, until none is."""
    try:
        os.killpg(child, _KILL)
    except (ProcessLookupError, PermissionError):
        pass
    while True:
        for pid in children(os.getpid()):
            try:
                os.kill(pid, _KILL)
            except OSError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children(pid: int) -> list[int]:
    """Direct children of a process; empty where the system does not list them."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as names:
                found += map(int, names.read().split())
    except (OSError, ValueError):
        pass
    return found


def remove_tree(folder: str) -> None:
    """Remove a folder whatever its modes and depth, following no link; never raises.

    One descriptor goes down and up again by "..", so neither recursion, open files nor path length
    grow with the depth that a program chose. Nothing may run in the folder any more.
    """
    try:
        _empty(os.open(folder, _DIRECTORY))
        os.rmdir(folder)
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


_DIRECTORY = os.O_RDONLY
for _name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"):
    _DIRECTORY |= getattr(os, _name, 0)


def _empty(here: int) -> None:
    """Remove all that stands in the folder with descriptor ``here``, and close that."""
    names: list[str] = []
    waiting: list[list[str]] = []
    try:
        waiting.append(_unlink_files(here))
        while waiting[-1] or names:
            if waiting[-1]:
                name = waiting[-1].pop()
                os.chmod(name, 0o700, dir_fd=here)
                here = _move(here, name)
                names.append(name)
                waiting.append(_unlink_files(here))
            else:
                here = _move(here, "..")
                os.rmdir(names.pop(), dir_fd=here)
                waiting.pop()
    finally:
        os.close(here)


def _move(here: int, name: str) -> int:
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return there


def _unlink_files(here: int) -> list[str]:
    """Remove the files of a folder; returns the names of the folders in it."""
    folders = []
    with os.scandir(here) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=here)
    return folders


def _say(status: int, line: dict[str, int]) -> None:
    try:
        os.write(status, str(line).replace("'", '"').encode() + b"\n")
    except OSError:
        pass
