"""The driver's side of one worker: what it is sent, what it says, whether it lives.

How a worker is started, spoken to and ended is a ``Launcher``'s: ``process.py`` on this machine,
``actor.py`` on the nodes of a Ray cluster. Not for: who works on what (``backend.py``).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tuneval.engine.pool import wire

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


class Link(Protocol):
    """What holds one worker that was started, and carries the lines of both sides.

    Attributes
    ----------
    has_run : bool
        False where it ended before anything ran: its place was lost, and the worker is not to blame.
    """

    has_run: bool

    def send(self, text: bytes) -> None:
        """Hand over one line; waits as long as the worker reads nothing. OSError where it is gone."""

    def receive(self) -> Iterator[bytes]:
        """What the worker says, line by line, until it ends, however it does."""

    def kill(self) -> None:
        """End the worker at once, whatever it does; nothing where it has ended."""

    def how_it_ended(self) -> str:
        """Why ``receive`` came to its end, in words."""

    def close(self) -> None:
        """Give back what a worker that was killed or has ended still holds."""


class Launcher(Protocol):
    """Starts workers.

    Attributes
    ----------
    start_seconds : float
        A worker that has not said a word for so long after it was started is no longer waited for.
    """

    start_seconds: float

    def seats(self) -> Sequence[Seat]:
        """Where workers are to sit, one each.

        Raises
        ------
        BackendUnavailable
            What they are to sit on cannot be reached.
        """

    def start(self, seat: Seat) -> Link:
        """Start a worker, and wait for nothing."""

    def advice(self) -> str:
        """Where workers do not come: what was asked for, what there is, what to do."""

    def close(self) -> None:
        """Let go of what workers sat on."""


class Member:
    """A worker. What it says is put on ``heard`` by a thread, its end included.

    Attributes
    ----------
    has_come : bool
        It has said what it is, and is of the same kind as the driver.
    place : str
        Where it is, in words; empty on this machine.
    """

    def __init__(self, seat: Seat, link: Link, heard: queue.SimpleQueue[Said]) -> None:
        self.seat = seat
        self.pid = 0
        self.place = ""
        self.card = ""
        self.has_come = False
        self.is_ready = False
        self.last_heard = time.monotonic()
        self._last_words = ""
        self._link = link
        self._heard = heard
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=act, daemon=True) for act in (self._listen, self._talk)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Have a message sent; never waits, for a stopped worker reads nothing."""
        self._outbox.put(wire.line(message))

    @property
    def has_run(self) -> bool:
        """Whether there was a worker at all, and not only a place for it that was lost."""
        return self.has_come or self._link.has_run

    def end(self, why: str) -> None:
        """End the worker; its end is heard like any other."""
        self._last_words = why
        self._link.kill()

    def how_it_ended(self) -> str:
        """Why it was ended, or what its link knows."""
        return self._last_words or self._link.how_it_ended()

    def kill(self) -> None:
        """End the worker at once."""
        self._link.kill()

    def part(self, *, at_once: bool = False) -> None:
        """Let the worker end, and wait for it."""
        if at_once:
            self._link.kill()
        self.send({"do": "stop"})
        self._outbox.put(None)
        listening, talking = self._threads
        listening.join(PARTING_SECONDS)
        self._link.kill()
        for thread in (listening, talking):
            thread.join(PARTING_SECONDS)
        self._link.close()

    def _listen(self) -> None:
        for text in self._link.receive():
            self.last_heard = time.monotonic()
            try:
                message = wire.read(text)
            except ValueError:  # cut off by its end
                break
            if message["is"] != "alive":
                self._heard.put((self, message))
        self._heard.put((self, ENDED))

    def _talk(self) -> None:
        with contextlib.suppress(OSError):
            while (text := self._outbox.get()) is not None:
                self._link.send(text)
