"""What the hostile programs aim at: a yard with a canary, listeners and a victim, all of the test's
own making."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneval.errors import SandboxError
from tuneval.sandbox import SandboxBackend, probe
from tuneval.sandbox.backend import MAX_WORKERS, first_user
from tuneval.sandbox.box import BOOT
from tuneval.sandbox.folders import WORK_PREFIX

_PROBED: dict[str, SandboxBackend | str] = {}


def probed(name: str) -> SandboxBackend:
    """The backend called ``name``, probed once; skips the test, with the reason, if it fails."""
    if name not in _PROBED:
        try:
            _PROBED[name] = probe(name)
        except SandboxError as error:
            _PROBED[name] = str(error)
    found = _PROBED[name]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def best() -> SandboxBackend:
    """The best backend here that is at least "medium"."""
    return probed("auto")


@pytest.fixture(params=["bwrap", "landlock"])
def each(request: pytest.FixtureRequest) -> SandboxBackend:
    """Every backend whose confinement the suite can test."""
    return probed(request.param)


class Yard:
    """Targets, and what became of them."""

    CANARY = "canary\n"

    def __init__(self, folder: Path) -> None:
        self.mark = secrets.token_hex(8)
        self.secret = f"secret-{secrets.token_hex(8)}"
        folder.chmod(0o777)
        self.folder = folder
        self.canary = folder / "canary"
        self.secret_file = folder / "secret"
        self.secret_file.write_text(self.secret, encoding="ascii")
        self.secret_file.chmod(0o644)
        (folder / "link").symlink_to("canary")
        self.restore()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix_path = folder / "socket"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.unix_path))
        self.unix_path.chmod(0o777)
        self.unix.listen()
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0tuneval-{self.mark}")
        self.abstract.listen()
        self.datagram_path = folder / "datagram"
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(str(self.datagram_path))
        self.datagram_path.chmod(0o777)
        self.listeners = (self.tcp, self.udp, self.unix, self.abstract, self.datagram)
        for listener in self.listeners:
            listener.setblocking(False)
        self.victim = subprocess.Popen(["sleep", "600"])
        os.environ["TUNEVAL_TEST_SECRET"] = self.secret

    def restore(self) -> None:
        """Put the canary back."""
        self.canary.write_text(self.CANARY, encoding="ascii")
        self.canary.chmod(0o666)

    def fill(self, text: str) -> str:
        """Fill in the placeholders of the corpus."""
        values = {
            "CANARY": self.canary,
            "CANARY_DIR": self.folder,
            "SECRET_FILE": self.secret_file,
            "TCP_PORT": self.tcp.getsockname()[1],
            "UDP_PORT": self.udp.getsockname()[1],
            "UNIX_SOCK": self.unix_path,
            "UNIX_DATAGRAM": self.datagram_path,
            "ABSTRACT_SOCK": f"tuneval-{self.mark}",
            "VICTIM_PID": self.victim.pid,
            "MARK": self.mark,
            "MARK_HEX": self.mark,
            "MARK_NUM": int(self.mark[:7], 16),
        }
        for name, value in values.items():
            text = text.replace("{{" + name + "}}", str(value))
        return text

    def damage(self) -> list[str]:
        """Everything that a program reached or left; empty if it was contained."""
        found = []
        if not self.canary.exists() or self.canary.read_text(encoding="ascii") != self.CANARY:
            found.append("the canary changed")
        elif self.canary.stat().st_mode & 0o777 != 0o666:
            found.append("the canary's mode changed")
        if self.victim.poll() is not None:
            found.append("the victim died")
        found += [f"{listener.type} was reached" for listener in self.listeners if _heard(listener)]
        found += [f"left {path}" for path in self._left_files()]
        found += [f"process {line}" for line in _left_processes()]
        return found

    def _left_files(self) -> list[Path]:
        places = (
            tempfile.gettempdir(),
            "/tmp",
            "/var/tmp",
            "/dev/shm",
            ".",
            Path.home(),
            sys.prefix,
        )
        return [
            path
            for place in dict.fromkeys(map(Path, places))
            for path in place.iterdir()
            if self.mark in path.name or _is_own_sandbox_folder(path)
        ]

    def close(self) -> None:
        """Take everything down."""
        self.victim.kill()
        self.victim.wait()
        for listener in self.listeners:
            listener.close()
        del os.environ["TUNEVAL_TEST_SECRET"]


def _is_own_sandbox_folder(path: Path) -> bool:
    """A work folder of this process (its users) or, for an ordinary user, of this user."""
    if not path.name.startswith(WORK_PREFIX):
        return False
    owner = path.lstat().st_uid
    return owner in _own_users() or (os.geteuid() != 0 and owner == os.geteuid())


def _own_users() -> range:
    first = first_user()
    return range(first, first + 2 * MAX_WORKERS)


def _left_processes() -> list[str]:
    """Processes of sandboxes of this process: by their users, or orphans by their command line."""
    deadline = time.monotonic() + 1.0
    while left := [line for entry in Path("/proc").iterdir() if (line := _sandbox_process(entry))]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def _sandbox_process(entry: Path) -> str:
    if not entry.name.isdigit():
        return ""
    try:
        owner = entry.stat().st_uid
        words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return ""
    is_sandbox = BOOT in words or "bwrap" in words
    if owner in _own_users() or (is_sandbox and parent == os.getpid()):
        return f"{entry.name}: {words[:80]}"
    return ""


def _heard(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(16)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A fresh yard; its folder can be reached by every user."""
    with tempfile.TemporaryDirectory(prefix="tuneval-yard-") as folder:
        made = Yard(Path(folder))
        try:
            yield made
        finally:
            made.close()


def program_of(row: dict[str, Any], source: str) -> Any:
    """A row of the corpus as a program."""
    from tuneval.sandbox import Program

    return Program(source, (row["test"],), row["entry_point"], prompt=row["prompt"])
