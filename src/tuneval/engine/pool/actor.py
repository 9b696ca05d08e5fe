"""Workers as actors of a Ray cluster: their end, inside the actor, and the driver's.

The lines are those that ``process.py`` sends through pipes. Not for: finding the cluster
(``cluster.py``).
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tuneval.engine.pool.member import Seat
from tuneval.engine.pool.worker import Worker

NICENESS = "RAY_worker_niceness"
"""Ray nices its workers to 15, behind everything else on the node; ours are the node's work."""

NEVER_RAN = "The actor never ran"
"""Ray's words for an actor whose node died, or was taken by others, before it began."""


class Outlet:
    """What a worker writes to; gathered until the driver asks for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._is_closed = False

    def write(self, text: bytes) -> None:
        """Keep a line; nothing once it is closed, for nobody would take it."""
        with self._changed:
            if self._is_closed:
                return
            self._lines.append(text)
            self._changed.notify_all()

    def flush(self) -> None:
        """Nothing to do: a line is kept at once."""

    def close(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self) -> bytes:
        """All lines since the last call; waits for the first. Empty: nothing more comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_closed)
            lines, self._lines = self._lines, []
            return b"".join(lines)


class Desk:
    """What an actor is: a worker at work in a thread, and two methods that carry its lines.

    ``where`` says in words where that is. Knows nothing of Ray.
    """

    def __init__(self, where: Callable[[], str]) -> None:
        self._where = where
        self._inlet: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outlet = Outlet()
        threading.Thread(target=self._work, daemon=True).start()

    def tell(self, text: bytes) -> None:
        """Hand the worker one line."""
        self._inlet.put(text)

    def hear(self) -> bytes:
        """What the worker said since the last call, as soon as there is something."""
        return self._outlet.take()

    def _work(self) -> None:
        try:
            Worker(iter(self._inlet.get, None), self._outlet, self._where()).run()
        finally:
            self._outlet.close()


def node() -> str:
    """The node of the actor that asks, by the names that people and Ray have for it."""
    import ray

    where = ray.get_runtime_context().get_node_id()
    return f"node {platform.node()} ({ray.util.get_node_ip_address()}, {where[:8]})"


@dataclass(frozen=True, slots=True)
class Demand:
    """What one worker asks of a node; ``memory`` in bytes, 0: it does not say."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0

    def __str__(self) -> str:
        cards = f" and {self.gpus:g} GPU" if self.gpus else ""
        memory = f" and {self.memory / 2**30:.1f} GiB" if self.memory else ""
        return f"{self.cpus:g} CPU{cards}{memory}"


class Actor:
    """One worker on some node: an actor that is never restarted, and ends with its driver."""

    def __init__(self, seat: Seat, demand: Demand) -> None:
        import ray

        self._ray = ray
        self._end = ""
        self.has_run = True
        environment = {**seat.environment(), NICENESS: os.environ.get(NICENESS, "0")}
        if not demand.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        made: Any = ray.remote(concurrency_groups={"tell": 1, "hear": 1})(Desk)
        self._handle = made.options(
            num_cpus=demand.cpus,
            num_gpus=demand.gpus,
            memory=demand.memory or None,
            max_restarts=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": environment},
        ).remote(node)

    def send(self, text: bytes) -> None:
        """Call ``tell``, and wait until it has it, which keeps lines in their order."""
        try:
            self._ray.get(self._handle.tell.options(concurrency_group="tell").remote(text))
        except self._ray.exceptions.RayError as error:
            raise OSError("the actor is gone") from error

    def receive(self) -> Iterator[bytes]:
        """Call ``hear`` again and again."""
        hear = self._handle.hear.options(concurrency_group="hear")
        while True:
            try:
                text = self._ray.get(hear.remote())
            except Exception as error:  # noqa: BLE001 - an error of its start has any class
                self._end = _cause(error)
                self.has_run = NEVER_RAN not in str(error)
                return
            if not text:
                self._end = "it stopped"
                return
            yield from text.splitlines(keepends=True)

    def kill(self) -> None:
        """End the actor: one that is only let go of may be kept alive by a call under way."""
        with contextlib.suppress(Exception):  # the cluster itself may be gone
            self._ray.kill(self._handle, no_restart=True)

    def how_it_ended(self) -> str:
        """What Ray says of it."""
        return self._end

    def close(self) -> None:
        """An actor that has stopped still holds its place until it is killed."""
        self.kill()


def _cause(error: BaseException) -> str:
    """The one line that tells of Ray's many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(NEVER_RAN)]
    return (told[-1] if told else type(error).__name__)[:300]
