"""One started sandbox, seen from outside: its pipes, how it ended, and how it is ended.

Not for deciding what the ending means (``trial.py``) nor for how it is built (the backends).
"""

# Paths below /proc are read many times a second, as text.
# ruff: noqa: PTH116, PTH123, PTH208

from __future__ import annotations

import contextlib
import functools
import json
import marshal
import os
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneval.sandbox.inside import warden
from tuneval.sandbox.inside.runner import SETTINGS_FD

GRACE_SECONDS = 5.0
"""How long a killed sandbox may take to be gone before it is given up on."""
BOOT = """\
import marshal, os, sys
def take(size):
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part: sys.exit("tuneval: no settings came")
        data += part
    return data
inside = sys.modules["inside"] = type(sys)("inside")
inside.__path__ = []
for name, code in marshal.loads(take(int.from_bytes(take(4), "big"))):
    module = sys.modules["inside." + name] = type(sys)("inside." + name)
    module.__package__ = "inside"
    setattr(inside, name, module)
    exec(code, module.__dict__)
inside.runner.main()
"""
"""Loads our own runner from standard input, as the package ``inside``: nothing of ours need be
readable inside, and nothing is compiled for each sandbox anew."""
INSIDE = Path(__file__).parent / "inside"
PYTHON_FLAGS = ("-I", "-S", "-B", "-X", "utf8")

assert SETTINGS_FD == 0, "settings go to standard input"


@dataclass
class Launch:
    """How a backend wants a sandbox started.

    ``settings`` are the backend's part of the runner's settings. ``inherited`` are descriptors that
    the process gets, closed here afterwards. ``status`` is where lines of JSON about the process
    come from (None: the engine tells by its exit status alone). ``control``: closing it ends the
    sandbox. ``end`` is called to end it where neither does.
    """

    command: Sequence[str]
    settings: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    inherited: list[int] = field(default_factory=list)
    status: int | None = None
    control: int | None = None
    folder: str | None = None
    end: Callable[[], None] | None = None
    is_relayed: bool = False


@dataclass
class Ending:
    """How a sandbox ended. ``code`` is the program's exit code (128 + n for signal n), None if the
    program was never started or was ended from here."""

    code: int | None
    cpu_seconds: float


class Box:
    """A started sandbox. ``close`` must be called, always."""

    def __init__(self, launch: Launch, settings: dict[str, Any], pipes: Sequence[int]) -> None:
        self.launch = launch
        self.process: subprocess.Popen[bytes]
        self.is_guarded = launch.control is not None
        self.code: int | None = None
        self.cpu_seconds = 0.0
        self.is_gone = False
        self._child: int | None = None
        self._status = b""
        started = False
        try:
            self.process = subprocess.Popen(
                launch.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if launch.is_relayed else subprocess.STDOUT,
                env=launch.environment,
                pass_fds=[*launch.inherited, *pipes],
                start_new_session=True,
                close_fds=True,
            )
            started = True
        finally:
            for fd in launch.inherited:
                os.close(fd)
            if not started:
                self._close_own()
        self.to_write = bytearray(_code({**settings, **launch.settings}, launch.is_relayed))
        assert self.process.stdin and self.process.stdout
        self.stdin = self.process.stdin.fileno()
        self.stdout = self.process.stdout.fileno()
        self.stderr = self.process.stderr.fileno() if self.process.stderr else None
        for end in (self.stdin, self.stdout, self.stderr, launch.status):
            if end is not None:
                os.set_blocking(end, False)

    def write(self) -> bool:
        """Write what is due; True while there is more. A closed pipe ends it quietly."""
        try:
            del self.to_write[: os.write(self.stdin, self.to_write[: 1 << 16])]
        except BlockingIOError:
            return True
        except OSError:
            self.to_write.clear()
        return bool(self.to_write)

    def read_status(self) -> bool:
        """Read lines about the process; False at the end of them (the sandbox has ended)."""
        assert self.launch.status is not None
        try:
            data = os.read(self.launch.status, 4096)
        except BlockingIOError:
            return True
        self._status += data
        *lines, self._status = self._status.split(b"\n")
        for line in lines:
            self._take_status(line)
        return bool(data)

    def _take_status(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
        except ValueError:
            return
        if "child-pid" in fields:
            self._child = int(fields["child-pid"])
        if "exit-code" in fields:
            self.code = int(fields["exit-code"])

    def root(self) -> int:
        """Process below which all processes of the sandbox are found, those orphaned included."""
        return self._child if self._child and not self.is_guarded else self.process.pid

    def memory_bytes(self) -> int:
        """Memory that the sandbox's processes hold together; 0 where the system does not say."""
        return _memory(self.processes())

    def processes(self) -> list[int]:
        """All processes of the sandbox, its guard excluded."""
        found, waiting = [], [self.root()]
        while waiting:
            below = warden.children(waiting.pop())
            found += below
            waiting += below
        return found if self.is_guarded else [self.root(), *found]

    def look_at_cpu(self) -> None:
        """Take note of the CPU time used so far: bubblewrap does not pass it on when it ends."""
        used = sum(_cpu_seconds(pid) for pid in self.processes())
        self.cpu_seconds = max(self.cpu_seconds, used)

    def stored_bytes(self) -> int:
        """Bytes in the work folder and in files removed from it but still open."""
        return 0 if self.launch.folder is None else _stored(self.launch.folder, self.processes())

    def close(self) -> Ending:
        """End the sandbox, wait until no process of it is left, and free everything."""
        if not self.is_gone:
            self.is_gone = True
            self.look_at_cpu()
            guard = None if self.is_guarded else _pidfd(self._child)
            self._end(guard)
            self._wait(guard)
            self._close_own()
        return Ending(self.code, self.cpu_seconds)

    def _end(self, guard: int | None) -> None:
        if self.launch.end is not None:
            self.launch.end()
        if self.launch.control is not None:
            os.close(self.launch.control)
            self.launch.control = None
        elif guard is not None:
            _signal(guard)
        else:
            self.process.kill()

    def _wait(self, guard: int | None) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        pause = 0.0005
        while not self.has_ended():
            if time.monotonic() > deadline:
                self.process.kill()
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        if self.launch.status is not None:
            while self.read_status() and time.monotonic() < deadline:
                time.sleep(0.001)
        if guard is not None:
            # The first process of the pid namespace ends after all others in it.
            select.select([guard], [], [], max(0.0, deadline - time.monotonic()))
            os.close(guard)

    def has_ended(self) -> bool:
        """Has the started process ended? Takes its exit status and CPU time if so."""
        try:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = max(self.cpu_seconds, usage.ru_utime + usage.ru_stime)
        if self.launch.status is None:
            code = self.process.returncode
            self.code = 128 - code if code < 0 else code
        return True

    def _close_own(self) -> None:
        process = getattr(self, "process", None)
        for stream in (process.stdin, process.stdout, process.stderr) if process else ():
            if stream:
                try:
                    stream.close()
                except OSError:
                    continue
        for fd in (self.launch.status, self.launch.control):
            if fd is not None:
                os.close(fd)
        self.launch.status = self.launch.control = None
        if self.launch.folder is not None and os.path.lexists(self.launch.folder):
            warden.remove_tree(self.launch.folder)


def _code(settings: dict[str, Any], is_foreign: bool) -> bytes:
    """What a sandbox reads first: the modules that its role needs, then its settings."""
    roles = ["candidate"] if settings["role"] == "candidate" else ["grader"]
    if settings.get("grading") == "inproc":
        roles.insert(0, "candidate")
    names = ("wire", "confine", *(["warden"] if settings.get("warden") else []), *roles, "runner")
    body = json.dumps(settings, separators=(",", ":")).encode("ascii")
    bundle = _bundle(names, is_foreign)
    return b"".join(len(part).to_bytes(4, "big") + part for part in (bundle, body))


@functools.cache
def _bundle(names: tuple[str, ...], is_foreign: bool) -> bytes:
    """Our modules as code objects, or as text for another Python, whose code may differ."""
    modules = []
    for name in names:
        source = (INSIDE / f"{name}.py").read_text(encoding="utf-8")
        compiled = compile(source, f"<inside {name}>", "exec", dont_inherit=True)
        modules.append((name, source if is_foreign else compiled))
    return marshal.dumps(modules, 2 if is_foreign else marshal.version)


def _pidfd(pid: int | None) -> int | None:
    if pid is None or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _signal(guard: int) -> None:
    with contextlib.suppress(OSError):
        signal.pidfd_send_signal(guard, signal.SIGKILL)


MAX_MAPPINGS_TEXT = 256 << 10


def _memory(processes: Sequence[int]) -> int:
    """Bytes that are private to each of ``processes``, and the size of what they share, once.

    Shared memory counts whether or not a process has touched it: another that did may be gone.
    """
    shared: dict[str, int] = {}
    return sum(_private_memory(pid, shared) for pid in processes) + sum(shared.values())


def _private_memory(pid: int, shared: dict[str, int]) -> int:
    """Private bytes of a process; adds to ``shared`` its shared mappings, the largest of each kept.

    A process whose mappings cannot be read, or are too many, counts with all of its addresses.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as numbers:
            size, resident, of_files = map(int, numbers.read().split()[:3])
    except (OSError, ValueError):
        return 0
    try:
        with open(f"/proc/{pid}/maps", "rb") as lines:
            text = lines.read(MAX_MAPPINGS_TEXT)
    except PermissionError:
        return size * page
    except OSError:
        return 0  # it has ended
    if len(text) == MAX_MAPPINGS_TEXT:
        return size * page
    own: dict[str, int] = {}
    for line in text.decode("ascii", "replace").splitlines():
        addresses, rights, _, device, inode, *_ = line.split()
        if rights.endswith("s"):
            start, _, end = addresses.partition("-")
            name = f"{device} {inode}"
            own[name] = own.get(name, 0) + int(end, 16) - int(start, 16)
    for name, length in own.items():
        shared[name] = max(shared.get(name, 0), length)
    return (resident - of_files) * page


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as line:
            ticks = line.read().rpartition(")")[2].split()[11:15]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


MAX_ENTRIES = 2000
_FULL = 1 << 62
"""Bytes of a folder that cannot be looked into: a program hides nothing by making it so."""


def _stored(folder: str, processes: Sequence[int]) -> int:
    """Sum of the blocks of all files below ``folder`` or open in ``processes`` on its device.

    Looking is bounded: a folder with more than ``MAX_ENTRIES`` entries, one that is closed, and one
    whose path is too long count as full.
    """
    try:
        device = os.lstat(folder).st_dev
    except OSError:
        return 0
    blocks: dict[int, int] = {}
    waiting = [folder]
    n_seen = 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    n_seen += 1
                    if n_seen > MAX_ENTRIES:
                        return _FULL
                    facts = entry.stat(follow_symlinks=False)
                    blocks[facts.st_ino] = facts.st_blocks * 512
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError:
            return _FULL
    for pid in processes:
        blocks.update(_removed_files(pid, device))
    return sum(blocks.values())


def _removed_files(pid: int, device: int) -> dict[int, int]:
    """Inode -> bytes of files that no folder shows and that a process has open or mapped."""
    found: dict[int, int] = {}
    tables = [f"/proc/{pid}/task/{task}/fd" for task in _names(f"/proc/{pid}/task")]
    for folder in (*tables, f"/proc/{pid}/map_files"):
        names = _names(folder)
        if len(names) > MAX_ENTRIES:
            found[0] = _FULL
        for name in names[:MAX_ENTRIES]:
            try:
                facts = os.stat(f"{folder}/{name}")
            except OSError:
                continue  # closed meanwhile
            if facts.st_dev == device and facts.st_nlink == 0:
                found[facts.st_ino] = facts.st_blocks * 512
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
