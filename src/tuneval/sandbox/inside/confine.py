"""What a process does to itself before foreign code: limits, user, Landlock, system call filter.

Not for namespaces (bubblewrap and container engines make those). Plain ``ctypes``, no dependency.
"""

# pathlib and contextlib would cost each sandbox some milliseconds.
# ruff: noqa: PTH112, PTH116, PTH118, PTH120, PTH208

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_NO_NEW_PRIVS, _SET_SECCOMP, _SET_CHILD_SUBREAPER, _FILTER = 38, 22, 36, 2

_EXECUTE, _WRITE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ_FILE | _TRUNCATE | _IOCTL
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class ConfinementError(Exception):
    """A layer of the sandbox could not be put on."""


def apply(settings: dict[str, Any]) -> None:
    """Confine this process for good, as ``settings`` (made by a backend) say.

    Keys: ``limits`` (name of RLIMIT -> [soft, hard]), ``uid`` (to drop to), ``landlock`` (paths to
    ``read``, to ``list`` and to ``write``), ``seccomp`` (bytes of the filter as hexadecimal text) and ``shares_uid``
    (other processes of this user are not part of the sandbox).

    Raises
    ------
    ConfinementError
        Some layer failed; nothing foreign may run.
    """
    try:
        _apply(settings)
    except (OSError, ValueError) as error:
        raise ConfinementError(str(error)) from error


def _apply(settings: dict[str, Any]) -> None:
    paths, calls, uid = settings.get("landlock"), settings.get("seccomp"), settings.get("uid")
    if paths or calls:
        prctl(_NO_NEW_PRIVS, 1)
    # Paths are opened as the first user: below a closed home the second one could not.
    ruleset = None if paths is None else _ruleset(paths)
    library = os.open(_library(), os.O_PATH) if uid is not None and ruleset is not None else None
    limits = dict(settings["limits"])
    if settings.get("shares_uid"):
        # The kernel counts all processes of a user: those that run already must not count.
        limits["RLIMIT_NPROC"] = [n + _tasks_of_user() for n in limits["RLIMIT_NPROC"]]
    set_limits(limits)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if library is not None:
        _reach_library(library)
    if ruleset is not None:
        _syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    if calls:
        _install(bytes.fromhex(calls))


def set_limits(limits: dict[str, list[int]]) -> None:
    """Set each RLIMIT that this system knows; a hard limit already lower stays."""
    import resource

    for name, (soft, hard) in limits.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        ceiling = resource.getrlimit(number)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)  # noqa: PLW2901
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError):
            # macOS refuses some of them; there the limits are best effort and documented so.
            if sys.platform != "darwin":
                raise


def prctl(option: int, argument: int) -> None:
    """Call ``prctl(option, argument)``."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def become_subreaper() -> None:
    """Adopt orphans among the descendants; Linux only, elsewhere nothing happens."""
    if sys.platform == "linux":
        prctl(_SET_CHILD_SUBREAPER, 1)


def landlock_abi() -> int:
    """Version of Landlock in the running kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        return _syscall(_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def _syscall(number: int, *arguments: Any) -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"system call {number}: {os.strerror(error)}")
    return result


def _ruleset(paths: dict[str, list[str]]) -> int:
    """Landlock ruleset of the newest form this kernel knows; returns its descriptor."""
    import ctypes
    import struct

    abi = landlock_abi()
    if abi < 1:
        raise OSError("the kernel has no Landlock")
    last_right = 12 + (abi >= 2) + (abi >= 3) + (abi >= 5)
    files = (1 << (last_right + 1)) - 1
    words = [files]
    if abi >= 4:
        words.append(3)  # bind and connect TCP
    if abi >= 6:
        words.append(3)  # abstract Unix sockets and signals
    attributes = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words))
    ruleset = _syscall(_CREATE_RULESET, attributes, len(words) * 8, 0)
    rules = [(path, _EXECUTE | _READ_FILE | _READ_DIR) for path in paths["read"]]
    rules += [(path, _READ_DIR) for path in paths["list"]]
    # Not to be executed: a program that may not be read hides what it holds from the evaluator.
    rules += [(path, files & ~_EXECUTE) for path in paths["write"]]
    rules += [(path, _READ_FILE | _WRITE | _TRUNCATE) for path in _DEVICES]
    for path, rights in rules:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a dangling link, or a device that a container lacks
        kept = rights & files if os.path.isdir(path) else rights & files & _FILE_RIGHTS
        rule = ctypes.create_string_buffer(struct.pack("=Qi", kept, descriptor))
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        os.close(descriptor)
    return ruleset


def _tasks_of_user() -> int:
    user, count = os.getuid(), 0
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def _library() -> str:
    return os.path.dirname(os.__file__)


def _reach_library(descriptor: int) -> None:
    """Import the standard library through a descriptor if the new user cannot reach its path.

    An interpreter below a home folder of mode 0700 is common (pyenv, conda); the folder itself is
    readable, only the way to it is closed.
    """
    library = _library()
    if os.access(os.path.join(library, "os.py"), os.R_OK):
        os.close(descriptor)
        return
    os.set_inheritable(descriptor, True)
    through = f"/proc/self/fd/{descriptor}"

    def reroute(paths: Iterable[str]) -> list[str]:
        return [through + p.removeprefix(library) if p.startswith(library) else p for p in paths]

    sys.path[:] = reroute(sys.path)
    for module in list(sys.modules.values()):
        if isinstance(getattr(module, "__path__", None), list):
            module.__path__ = reroute(module.__path__)
    sys.path_importer_cache.clear()


def _install(calls: bytes) -> None:
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(calls) // 8, calls)
    if libc.prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp: " + os.strerror(ctypes.get_errno()))
