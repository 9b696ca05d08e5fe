"""Confinement by bubblewrap: own root from a few read-only binds, no network, own namespaces."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from tuneval.errors import SandboxError
from tuneval.sandbox import backend
from tuneval.sandbox.backend import Level, Role
from tuneval.sandbox.box import Launch
from tuneval.sandbox.inside import seccomp
from tuneval.sandbox.program import Limits

_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64")
_FOREIGN_PACKAGES = ("site-packages", "dist-packages")


class Bubblewrap:
    """Level "strong". Root and ordinary users get the same confinement by different means."""

    name = "bwrap"

    def __init__(self) -> None:
        self.level: Level = "strong"
        self._program = shutil.which("bwrap")
        self._binds = _interpreter_binds(backend.interpreter())
        is_root = backend.is_privileged()
        self._calls = seccomp.here(has_pid_namespace=True, has_own_uid=True)
        self.gaps: tuple[str, ...] = (backend.MEMORY_IS_WATCHED,)
        if self._calls is None:
            self.level = "medium"
            self.gaps += (backend.CALLS_PASS,)
        # Root needs no user namespace, and must not take one: a user inside would be root outside,
        # and the kernel does not count root's processes.
        self._privilege = (
            ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            if is_root
            else ["--unshare-user", "--disable-userns"]
        )

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Start one sandbox with pipes for bubblewrap's status and for the system call filter."""
        if self._program is None:
            raise SandboxError('"bwrap" is not installed')
        binds, python = self._binds
        reader, writer = os.pipe()
        inherited = [writer]
        filtering: list[str] = []
        if self._calls is not None:
            filter_reader, filter_writer = os.pipe()
            os.write(filter_writer, self._calls)
            os.close(filter_writer)
            inherited.append(filter_reader)
            filtering = ["--seccomp", str(filter_reader)]
        command = [
            self._program,
            *("--die-with-parent", "--new-session", "--clearenv"),
            *_flags("--setenv", backend.environment("/tmp").items()),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
            *("--unshare-cgroup-try", "--hostname", "sandbox"),
            *self._privilege,
            *binds,
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(limits.temporary_bytes), "--tmpfs", "/tmp"),
            *("--perms", "1777", "--size", str(limits.shared_memory_bytes)),
            *("--tmpfs", "/dev/shm", "--chdir", "/tmp", "--remount-ro", "/"),
            *("--json-status-fd", str(writer), *filtering, "--"),
            *backend.python_command(python),
        ]
        uid = backend.own_user(role, slot)
        settings = backend.confinement(role, limits, uid=uid)
        return Launch(command, settings, inherited=inherited, status=reader)


def _flags(flag: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for pair in pairs for word in (flag, *pair)]


def _interpreter_binds(python: Path) -> tuple[list[str], str]:
    """Arguments that show the interpreter and its library.

    Installed packages are covered by empty folders, and nothing of the user's data or sources is
    bound: a bound folder with benchmark data would hand the answers to the program.
    """
    prefix = Path(sys.base_prefix).resolve()
    words: list[str] = []
    for system in map(Path, _SYSTEM_LIBRARIES):
        if system.is_symlink():
            words += ["--symlink", str(system.readlink()), str(system)]
        elif system.is_dir():
            words += [*_parents(str(system)), "--ro-bind", str(system), str(system)]
    if prefix == Path("/usr"):
        inner = "/usr"
    else:
        inner = "/py"
        words += [*_parents("/py/lib"), "--ro-bind", str(prefix / "lib"), "/py/lib"]
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            words += ["--setenv", "LD_LIBRARY_PATH", "/py/lib"]
    program = f"{inner}/bin/{python.name}"
    words += [*_parents(program), "--ro-bind", str(python), program]
    words += _covers(prefix, inner)
    return words, program


def _covers(prefix: Path, inner: str) -> list[str]:
    """Empty folders over installed packages, the system's own interpreter's included."""
    libraries = [(prefix / "lib", f"{inner}/lib"), (Path("/usr/lib"), "/usr/lib")]
    covered = {
        f"{shown}/{folder.relative_to(library)}"
        for library, shown in libraries
        for name in _FOREIGN_PACKAGES
        for folder in library.glob(f"python*/{name}")
        if folder.is_dir() and not folder.is_symlink()
    }
    return [word for path in sorted(covered) for word in ("--perms", "0755", "--tmpfs", path)]


def _parents(path: str) -> list[str]:
    """Folders above ``path``, readable: those that bubblewrap makes by itself get mode 0700."""
    folders = [str(parent) for parent in reversed(Path(path).parents) if str(parent) != "/"]
    return [word for folder in folders for word in ("--perms", "0755", "--dir", folder)]
