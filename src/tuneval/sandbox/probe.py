"""Choose a backend by trying it: a tiny program runs through the whole path and must compute, and
must not reach a socket, a file or a process of ours. That a tool is installed proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuneval.errors import ConfigError, SandboxError
from tuneval.registry import unknown
from tuneval.sandbox import trial
from tuneval.sandbox.backend import MAX_WORKERS, Level, SandboxBackend, interpreter
from tuneval.sandbox.folders import BAIT_PREFIX, remove_abandoned
from tuneval.sandbox.inside import warden
from tuneval.sandbox.program import Limits, Program

LIMITS = Limits(cpu_seconds=5, wall_seconds=30.0)
CONTAINER_LIMITS = Limits(cpu_seconds=5, wall_seconds=90.0)
"""The first start may have to unpack the image."""

PROBE = """\
import os, socket

def probe(act, value):
    try:
        if act == "add":
            return value + 1
        if act == "connect":
            socket.create_connection(("127.0.0.1", value), 2).close()
        elif act == "read":
            return open(value).read()
        elif act == "write":
            open(value, "w").write("written")
        elif act == "signal":
            os.kill(value, 0)
            return open("/proc/%d/cmdline" % value, "rb").read() or "seen"
        return "done"
    except OSError:
        return None
"""


@dataclass(frozen=True, slots=True)
class BackendReport:
    """What ``survey`` found about one backend. ``reason`` and ``remedy`` are empty if it works;
    ``gaps`` is what it does not hold."""

    name: str
    level: Level
    works: bool
    reason: str = ""
    remedy: str = ""
    gaps: tuple[str, ...] = ()


REMEDIES = {
    "bwrap": "install bubblewrap 0.8 or newer; on Ubuntu 24.04 or newer allow it user namespaces by an "
    "AppArmor profile with `userns`; inside a container use `--security-opt seccomp=unconfined` or "
    "the landlock backend",
    "container": "install docker or podman and name an image with Python 3.11 or newer (--sandbox-image)",
    "landlock": "use Linux 6.12 or newer with Landlock enabled (`lsm=landlock,...` at boot), or ask for "
    "the weak form by --sandbox landlock",
    "seatbelt": "use macOS, or bubblewrap or a container on other systems",
    "none": "give --allow-unsandboxed-code on the command line, and not as root: programs that a model "
    "wrote then run with your rights",
}


def backends(image: str | None = None) -> dict[str, Callable[[], SandboxBackend]]:
    """Makers of all backends, best first."""
    from tuneval.sandbox.bubblewrap import Bubblewrap
    from tuneval.sandbox.container import Container
    from tuneval.sandbox.guarded import Landlock, Seatbelt, Unconfined

    return {
        "bwrap": Bubblewrap,
        "container": lambda: Container(image),
        "landlock": Landlock,
        "seatbelt": Seatbelt,
        "none": Unconfined,
    }


def probe(
    wanted: str = "auto", *, allow_unsandboxed_code: bool = False, image: str | None = None
) -> SandboxBackend:
    """Find a sandbox that works here.

    Parameters
    ----------
    wanted : {"auto", "bwrap", "container", "landlock", "seatbelt", "none"}
        "auto" takes the first one of level "strong" or "medium" that works; a weaker one must be
        asked for by name.
    allow_unsandboxed_code : bool
        Permission for "none". Never taken from a file or the environment, and never enough for root.
    image : str, optional
        Image for "container".

    Raises
    ------
    SandboxError
        None works; the message lists each one tried, why it does not, and what would help.
    ConfigError
        No such backend.
    """
    makers = backends(image)
    if wanted not in ("auto", *makers):
        raise ConfigError(f"--sandbox: {unknown(wanted, ['auto', *makers])}")
    if wanted == "none":
        return _unconfined(makers["none"], allow_unsandboxed_code)
    names = [name for name in makers if name != "none"] if wanted == "auto" else [wanted]
    tried = []
    for name in names:
        backend = makers[name]()
        try:
            if wanted == "auto" and backend.level not in ("strong", "medium"):
                raise SandboxError(f'only level "{backend.level}" here')
            check(backend)
        except SandboxError as error:
            tried.append(f"{name}: {error}. Remedy: {REMEDIES[name]}.")
        else:
            return backend
    raise SandboxError(
        "no working sandbox for programs that a model wrote; nothing was run.\n"
        + "\n".join(f"    {line}" for line in tried)
    )


def _unconfined(make: Callable[[], SandboxBackend], is_allowed: bool) -> SandboxBackend:
    if not is_allowed:
        raise SandboxError(
            '--sandbox none runs programs that a model wrote with your rights. Remedy: choose "auto", or '
            "give --allow-unsandboxed-code as well."
        )
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise SandboxError(
            "--sandbox none is refused for root: a program that a model wrote would own this machine. "
            "Remedy: run as an ordinary user, or use a sandbox."
        )
    backend = make()
    check(backend)
    return backend


def survey(image: str | None = None) -> list[BackendReport]:
    """Try every backend except "none" and say which work here, best first."""
    reports = []
    for name, make in backends(image).items():
        if name == "none":
            continue
        backend = make()
        try:
            check(backend)
        except SandboxError as error:
            reports.append(BackendReport(name, backend.level, False, str(error), REMEDIES[name]))
        else:
            reports.append(BackendReport(name, backend.level, True, gaps=backend.gaps))
    return reports


def check(backend: SandboxBackend) -> None:
    """Run the probe program in ``backend``.

    Raises
    ------
    SandboxError
        It does not run, or reaches what it must not; the message is one line without a full stop.
    """
    limits = CONTAINER_LIMITS if backend.name == "container" else LIMITS
    with contextlib.ExitStack() as stack:
        tests = ["assert probe('add', 1) == 2, 'it cannot compute'"]
        if backend.level != "none":
            tests += stack.enter_context(_bait())
        outcome = trial.judge(
            Program(PROBE, tuple(tests), "probe", kind="assertions"),
            backend,
            limits,
            slot=MAX_WORKERS - 1,
        )
    if outcome.is_passed:
        return
    if outcome.outcome == "wrong_answer":
        raise SandboxError(f"it does not confine: a program {outcome.detail}")
    raise SandboxError(_first_line(outcome.detail) + _hint(outcome.detail))


def _first_line(detail: str) -> str:
    line = detail.strip().splitlines()[0] if detail.strip() else "it gave no verdict"
    return line.rstrip(".")


def _hint(detail: str) -> str:
    """Why an interpreter that runs here may not run there."""
    names = ("No such file", "Permission denied", "encodings", "init_fs_encoding", "execvp")
    if any(name in detail for name in names):
        return (
            f'; the interpreter "{interpreter()}" and the folders above it must be readable for the user '
            "that runs it"
        )
    return ""


@contextlib.contextmanager
def _bait() -> Iterator[list[str]]:
    """Things that a confined program must not reach, and assertions that it does not."""
    remove_abandoned()
    with (
        tempfile.TemporaryDirectory(prefix=BAIT_PREFIX) as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(os.close, warden.mark(folder))
        Path(folder).chmod(0o777)
        canary, outside = Path(folder, "canary"), Path(folder, "written")
        canary.write_text("canary", encoding="ascii")
        canary.chmod(0o666)
        port = listener.getsockname()[1]
        yield [
            f"assert probe('connect', {port}) is None, 'could open a socket to this machine'",
            f"assert probe('read', {str(canary)!r}) is None, 'could read a file outside'",
            f"assert probe('write', {str(outside)!r}) is None, 'could write a file outside'",
            f"assert probe('write', {str(canary)!r}) is None, 'could change a file outside'",
            f"assert probe('signal', {os.getpid()}) is None, 'could see the process of the evaluator'",
        ]
