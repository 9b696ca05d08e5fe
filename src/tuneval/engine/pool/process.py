"""Workers as processes of this machine, spoken to through pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from tuneval.engine.pool.member import Seat

MODULE = "tuneval.engine.pool.worker"
START_SECONDS = 60.0


class Process:
    """One worker. Its standard output and error are kept for its last words alone.

    ``command`` and ``environment``: of another program that speaks so, by default ours; the number of the
    pipe that it answers on is its last word.
    """

    has_run = True

    def __init__(
        self,
        seat: Seat,
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._inlet, outlet = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*(command or (sys.executable, "-m", MODULE)), str(outlet)],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(outlet,),
                start_new_session=True,  # Ctrl-C is the driver's to handle
                env=environment
                or {**os.environ, **seat.environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        finally:
            os.close(outlet)
        if seat.cores:
            with contextlib.suppress(OSError, AttributeError):  # no such call on macOS
                os.sched_setaffinity(self._process.pid, seat.cores)

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def send(self, text: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def receive(self) -> Iterator[bytes]:
        """Read its pipe, which is closed when it ends."""
        with os.fdopen(self._inlet, "rb") as source:
            yield from source

    def kill(self) -> None:
        """Send SIGKILL to it and to what it has started: they are a group of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Signal or status, and the last line that it wrote."""
        code = self._process.wait()
        how = f"killed by signal {-code}" if code < 0 else f"ended with status {code}"
        if code == -signal.SIGKILL:
            how += ", as where the machine runs out of memory"
        tail = self._tail()
        return f"{how}: {tail}" if tail else how

    def close(self) -> None:
        """Wait for its end."""
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what it never read
            self._process.stdin.close()
        self._log.close()

    def _tail(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""


class Processes:
    """Starts a process a seat."""

    start_seconds = START_SECONDS

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = tuple(seats)

    def seats(self) -> Sequence[Seat]:
        """Those that were given."""
        return self._seats

    def start(self, seat: Seat) -> Process:
        """Start one."""
        return Process(seat)

    def advice(self) -> str:
        """Fewer of them, or none."""
        return "Give fewer (--workers), or leave --workers away to see the models load in this process."

    def close(self) -> None:
        """Nothing is held."""


def seats(
    n: int, *, cards: Sequence[str] = (), cores: Sequence[int] = (), threads: int = 1
) -> list[Seat]:
    """Places for ``n`` workers: a card each, else cores of their own where there are enough."""
    if cards:
        return [Seat(number, card=cards[number % len(cards)]) for number in range(n)]
    if len(cores) < n * threads:
        return [Seat(number, threads=threads) for number in range(n)]
    return [
        Seat(number, cores=tuple(cores[number * threads : (number + 1) * threads]), threads=threads)
        for number in range(n)
    ]
