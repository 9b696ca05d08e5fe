"""The driver's side of one worker: its process, what it is sent, what it says, whether it lives.

Not for: who works on what (``backend.py``).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.engine.pool import wire

MODULE = "tuneval.engine.pool.worker"
ENDED = {"is": "ended"}
PARTING_SECONDS = 5.0

Said = tuple["Member", Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a worker sits: a card of its own, or some processor cores."""

    number: int
    card: str | None = None
    cores: tuple[int, ...] = ()
    threads: int = 1

    def environment(self) -> dict[str, str]:
        """What has to stand there before torch is imported."""
        if self.card is not None:
            return {"CUDA_VISIBLE_DEVICES": self.card}
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return dict.fromkeys(names, str(self.threads))


class Member:
    """A worker's process. What it says is put on ``heard`` by a thread, its end included.

    ``command`` and ``environment``: of another program that speaks so, by default ours; the number of the
    pipe that it answers on is its last word.
    """

    def __init__(
        self,
        seat: Seat,
        heard: queue.SimpleQueue[Said],
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.seat = seat
        self.card = ""
        self.is_ready = False
        self.last_heard = time.monotonic()
        self.last_words = ""
        self._heard = heard
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
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
        self._threads = [
            threading.Thread(target=act, daemon=True) for act in (self._listen, self._talk)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Have a message sent; never waits, for a stopped process reads nothing."""
        self._outbox.put(wire.line(message))

    def kill(self) -> None:
        """End the process at once, and what it has started: they are a group of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        """Signal or status, and the last words that it wrote."""
        code = self._process.wait()
        if self.last_words:
            return self.last_words
        how = f"killed by signal {-code}" if code < 0 else f"ended with status {code}"
        if code == -signal.SIGKILL:
            how += ", as where the machine runs out of memory"
        tail = self._tail()
        return f"{how}: {tail}" if tail else how

    def part(self, *, at_once: bool = False) -> None:
        """Let the process end, and wait for it."""
        if at_once:
            self.kill()
        self.send({"do": "stop"})
        self._outbox.put(None)
        try:
            self._process.wait(PARTING_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(PARTING_SECONDS)
        self._log.close()

    def _listen(self) -> None:
        with os.fdopen(self._inlet, "rb") as source:
            for text in source:
                self.last_heard = time.monotonic()
                try:
                    message = wire.read(text)
                except ValueError:  # cut off by its end
                    break
                if message["is"] != "alive":
                    self._heard.put((self, message))
        self._heard.put((self, ENDED))

    def _talk(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._process.stdin as sink:
            while (text := self._outbox.get()) is not None:
                sink.write(text)
                sink.flush()

    def _tail(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""


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
