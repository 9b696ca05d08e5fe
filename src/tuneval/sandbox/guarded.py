"""Confinement without namespaces, each sandbox under a warden: Landlock, macOS, and none at all."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tuneval.errors import SandboxError
from tuneval.sandbox import backend
from tuneval.sandbox.backend import Level, Role
from tuneval.sandbox.box import Launch
from tuneval.sandbox.folders import work_folder
from tuneval.sandbox.inside import confine, seccomp
from tuneval.sandbox.program import Limits

ABI_WITH_SIGNALS = 6
"""Landlock since Linux 6.12: signals and abstract sockets stay inside."""


class Landlock:
    """Level "medium" from Linux 6.12 on, "weak" before. Needs no privilege and no package, and
    works inside default containers."""

    name = "landlock"

    def __init__(self) -> None:
        self._abi = confine.landlock_abi()
        is_root = backend.is_privileged()
        calls = seccomp.here(has_pid_namespace=False, has_own_uid=is_root)
        self._calls = None if calls is None else calls.hex()
        self._paths = _readable()
        is_complete = self._abi >= ABI_WITH_SIGNALS and calls is not None
        self.level: Level = "medium" if is_complete else "weak"
        self.gaps: tuple[str, ...] = (
            *backend.watch_gaps(),
            backend.NAMES_ARE_SEEN,
            *([] if self._abi >= ABI_WITH_SIGNALS or is_root else [backend.SIGNALS_PASS]),
            *([] if calls is not None else [backend.CALLS_PASS]),
        )

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Start one sandbox whose runner confines itself."""
        if self._abi < 1:
            raise SandboxError("the kernel has no Landlock (Linux 5.13 or newer, enabled at boot)")
        uid = backend.own_user(role, slot)
        folder = work_folder(uid)
        paths = {**self._paths, "write": [folder]}
        return _guard(
            backend.python_command(str(backend.interpreter())),
            backend.confinement(
                role, limits, uid=uid, landlock=paths, seccomp=self._calls, shares_uid=uid is None
            ),
            folder,
        )


class Seatbelt:
    """Level "medium": macOS ``sandbox-exec``, which its vendor calls deprecated and has not
    replaced. Limits of memory and processes are best effort there."""

    name = "seatbelt"
    level: Level = "medium"
    gaps: tuple[str, ...] = (
        backend.LIMITS_ARE_LOOSE,
        backend.FILES_ARE_WATCHED,
        backend.OPEN_FILES_HIDE,
        backend.MAPPED_FILES_HIDE,
        backend.NAMES_ARE_SEEN,
    )

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Start one sandbox below ``sandbox-exec`` with a profile for its work folder."""
        program = shutil.which("sandbox-exec") if sys.platform == "darwin" else None
        if program is None:
            raise SandboxError('there is no "sandbox-exec" (macOS only)')
        folder = str(Path(work_folder(None)).resolve())
        python = backend.python_command(str(backend.interpreter()))
        return _guard(
            [program, "-p", _profile(folder), *python],
            backend.confinement(role, limits, shares_uid=True),
            folder,
        )


class Unconfined:
    """Level "none": limits, a process of its own and a clean environment, nothing else.

    Only ``probe`` makes one, and only with the explicit permission.
    """

    name = "none"
    level: Level = "none"
    gaps: tuple[str, ...] = (backend.NOTHING_IS_HELD,)

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Start one process with limits."""
        folder = work_folder(None)
        python = backend.python_command(str(backend.interpreter()))
        return _guard(python, backend.confinement(role, limits, shares_uid=True), folder)


def _guard(command: list[str], settings: dict[str, Any], folder: str) -> Launch:
    control_reader, control_writer = os.pipe()
    status_reader, status_writer = os.pipe()
    settings |= {
        "warden": True,
        "control": control_reader,
        "status": status_writer,
        "folder": folder,
    }
    return Launch(
        command,
        settings,
        environment=backend.environment(folder),
        inherited=[control_reader, status_writer],
        status=status_reader,
        control=control_writer,
        folder=folder,
    )


def _readable() -> dict[str, list[str]]:
    """What a program may list and what it may read: interpreter, standard library and the system's
    libraries, but no installed package (one may hold benchmark data)."""
    prefix = Path(sys.base_prefix).resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    shared = [str(path) for path in (prefix / "lib").glob("*.so*")]
    read = [str(backend.interpreter()), *shared, "/etc/ld.so.cache"]
    listed = [str(library)]
    for folder in dict.fromkeys((library, *(Path(p).resolve() for p in _SYSTEM_LIBRARIES))):
        if folder.is_dir():
            read += [str(path) for path in folder.iterdir() if not _holds_packages(path)]
    return {"read": read, "list": listed}


_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")


def _holds_packages(path: Path) -> bool:
    return path.name in ("site-packages", "dist-packages") or path.name.startswith("python")


def _profile(folder: str) -> str:
    home = str(Path.home())
    reads = "".join(f' (subpath "{path}")' for path in (sys.base_prefix, folder))
    return (
        "(version 1)(allow default)(deny network*)(deny process-info* (target others))"
        "(deny signal (target others))(deny mach-lookup)(deny ipc-posix*)"
        f'(deny file-write*)(allow file-write* (subpath "{folder}") (literal "/dev/null"))'
        f'(deny file-read* (subpath "{home}") (subpath "/private/var/folders")'
        f' (subpath "/private/tmp"))(allow file-read*{reads})'
    )
