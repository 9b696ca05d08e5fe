"""The filter line by line, users for sandboxes, and the removal of hostile folders."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tuneval.sandbox import backend
from tuneval.sandbox.inside import seccomp
from tuneval.sandbox.inside.warden import remove_tree

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


def _verdict(program: bytes, call: int, *arguments: int, architecture: int) -> int:
    """What the kernel would do: a small interpreter of the lines that the filter uses."""
    words = [
        a for n in (*arguments, *[0] * (6 - len(arguments))) for a in (n & 0xFFFFFFFF, n >> 32)
    ]
    data = struct.pack("=IIQ12I", call, architecture, 0, *words)
    lines = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        code, yes, no, k = lines[at]
        at += 1
        if code == 0x06:
            return k
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, k)
        else:
            test = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += yes if test else no


CALLS = [
    ("read", 0, 63, (), ALLOW),
    ("openat", 257, 56, (), ALLOW),
    ("socketpair, Unix", 53, 199, (1,), ALLOW),
    ("socketpair, internet", 53, 199, (2,), EPERM),
    ("socketpair, TIPC", 53, 199, (30,), EPERM),
    ("send to the partner", 44, 206, (3, 0x7F00_0000_1000, 1, 0, 0, 0), ALLOW),
    ("send to an address", 44, 206, (3, 0x7F00_0000_1000, 1, 0, 0x7F00_0000_2000, 110), EPERM),
    ("send to a low address", 44, 206, (3, 0, 1, 0, 0x2000, 110), EPERM),
    ("send to a round address", 44, 206, (3, 0, 1, 0, 0x7F00_0000_0000, 110), EPERM),
    ("sendmsg", 46, 211, (3, 0x7F00_0000_1000, 0), EPERM),
    ("sendmmsg", 307, 269, (3, 0x7F00_0000_1000, 1, 0), EPERM),
    ("connect", 42, 203, (3,), EPERM),
    ("bind", 49, 200, (3,), EPERM),
    ("memfd_create", 319, 279, (), EPERM),
    ("memfd_secret", 447, 447, (), EPERM),
    ("inotify_add_watch", 254, 27, (), EPERM),
    ("prctl, a name", 157, 167, (15,), ALLOW),
    ("prctl, hide from the evaluator", 157, 167, (4, 0), EPERM),
    ("setresuid", 117, 147, (), ALLOW),
    ("socket", 41, 198, (), EPERM),
    ("ptrace", 101, 117, (), EPERM),
    ("mount", 165, 40, (), EPERM),
    ("unshare", 272, 97, (), EPERM),
    ("shmget", 29, 194, (), EPERM),
    ("mq_open", 240, 180, (), EPERM),
    ("keyctl", 250, 219, (), EPERM),
    ("bpf", 321, 280, (), EPERM),
    ("io_uring_setup", 425, 425, (), EPERM),
    ("clone3", 435, 435, (), ENOSYS),
    ("clone, a thread", 56, 220, (0x3D0F00,), ALLOW),
    ("clone, a process", 56, 220, (17,), ALLOW),
    ("clone, a user namespace", 56, 220, (0x10000000 | 17,), EPERM),
    ("clone, a network namespace", 56, 220, (0x40000000,), EPERM),
    ("ioctl, a size", 16, 29, (0, 0x5413), ALLOW),
    ("ioctl, terminal input", 16, 29, (0, 0x5412), EPERM),
    ("ioctl, console input", 16, 29, (0, 0x541C), EPERM),
    ("prlimit, own", 302, 261, (0,), ALLOW),
    ("prlimit, another's", 302, 261, (1234,), EPERM),
]


@pytest.mark.parametrize(
    ("x86", "arm", "arguments", "verdict"), [pytest.param(*c[1:], id=c[0]) for c in CALLS]
)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter(machine: str, x86: int, arm: int, arguments: tuple[int, ...], verdict: int) -> None:
    program = seccomp.program(machine, has_pid_namespace=True, has_own_uid=True)
    assert program is not None
    call, architecture = (x86, X86) if machine == "x86_64" else (arm, ARM)
    assert _verdict(program, call, *arguments, architecture=architecture) == verdict


@pytest.mark.parametrize(
    ("call", "has_namespace", "has_uid", "verdict"),
    [
        (112, True, True, ALLOW),
        (112, False, True, EPERM),
        (90, False, True, ALLOW),
        (90, False, False, EPERM),
        (141, False, False, EPERM),
    ],
    ids=["setsid", "setsid, no namespace", "chmod, own user", "chmod", "setpriority"],
)
def test_filter_makes_up_for_what_is_missing(
    call: int, has_namespace: bool, has_uid: bool, verdict: int
) -> None:
    program = seccomp.program("x86_64", has_pid_namespace=has_namespace, has_own_uid=has_uid)
    assert program is not None
    assert _verdict(program, call, architecture=X86) == verdict


def test_foreign_calls_kill() -> None:
    program = seccomp.program("x86_64", has_pid_namespace=True, has_own_uid=True)
    assert program is not None
    assert _verdict(program, 39, architecture=0x40000003) == KILL
    assert _verdict(program, 0x40000000 + 39, architecture=X86) == KILL


def test_no_table_no_filter() -> None:
    assert seccomp.program("riscv64", has_pid_namespace=True, has_own_uid=True) is None


@pytest.mark.parametrize(
    ("user", "last", "expected"),
    [(0, (1 << 32) - 2, True), (0, 65_535, True), (0, 0, False), (1000, (1 << 32) - 2, False)],
    ids=["root", "root of a rootless container", "root alone", "ordinary"],
)
def test_users_for_sandboxes(
    user: int, last: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(backend, "_last_user", lambda: last)
    assert backend.is_privileged() is expected
    users = [backend.own_user(role, slot) for slot in (0, 31) for role in backend.ROLES]
    if not expected:
        assert users == [None] * 4
        return
    assert len(set(users)) == 4
    assert all(user is not None and 40_000 < user <= last for user in users)


def test_hostile_folder_is_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = tmp_path / "work"
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    (inner / "up").symlink_to("..")
    (inner / "f\n\udcff").write_text("x")
    here = os.open(folder, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("deep" * 5, dir_fd=here)
        below = os.open("deep" * 5, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    inner.chmod(0)
    (folder / "a").chmod(0)
    remove_tree(str(folder))
    assert not folder.exists()
    assert (outside / "kept").read_text() == "x"


def test_removing_what_is_not_there_is_quiet(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "absent"))
