"""One worker: says what it is, builds a backend, answers units, beats while it lives.

A process of this machine is started by ``process.py`` as ``python -m tuneval.engine.pool.worker FD``;
messages come on stdin and go to the file descriptor, since libraries write what they like to stdout.
It ends with its driver. Inside an actor of Ray, ``actor.py`` hands messages over.
"""

from __future__ import annotations

import os
import platform
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any, Protocol

from tuneval.engine import Backend
from tuneval.engine.hf.weights import fingerprint
from tuneval.engine.pool import wire
from tuneval.errors import TunevalError
from tuneval.version import __version__

BEAT_SECONDS = 0.5


class Sink(Protocol):
    """Where a worker writes its lines; OSError once nobody reads them."""

    def write(self, text: bytes, /) -> object:
        """Take one line."""

    def flush(self) -> None:
        """Have it on its way."""


class Worker:
    """Reads messages in one thread, beats in another, works in the caller's.

    Parameters
    ----------
    source : iterable of bytes
        Lines of the driver; its end is the driver's.
    sink : Sink
        Takes lines for the driver.
    place : str
        Where it is, in words; empty on the driver's machine.
    leave : callable
        Ends the process, whatever is under way, where the driver is gone.
    """

    def __init__(
        self,
        source: Iterable[bytes],
        sink: Sink,
        place: str = "",
        leave: Callable[[int], Any] = os._exit,
    ) -> None:
        self._place = place
        self._source = source
        self._sink = sink
        self._leave = leave
        self._lock = threading.Lock()
        self._has_stopped = threading.Event()
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._backend: Backend | None = None

    def run(self) -> None:
        """Work until the driver says stop or is gone."""
        self._say({"is": "here", "place": self._place, **greeting()})
        for act in (self._listen, self._beat):
            threading.Thread(target=act, daemon=True).start()
        acts: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "build": self._build,
            "prepare": self._prepare,
            "answer": self._answer,
        }
        while True:
            message = self._inbox.get()
            if message["do"] == "stop":
                self._has_stopped.set()
                return
            try:
                acts[message["do"]](message)
            except TunevalError as error:
                self._say({"is": "error", "kind": type(error).__name__, "text": str(error)})
            except Exception as error:  # noqa: BLE001 - the driver decides what it is
                if _is_out_of_memory(error):
                    # The driver ends this worker: a fresh one begins with all of the memory.
                    self._say({"is": "memory", "text": str(error)[:500]})
                else:
                    self._say({"is": "bug", "text": traceback.format_exc()})

    def _build(self, message: Mapping[str, Any]) -> None:
        module, _, name = message["place"].partition(":")
        made = getattr(import_module(module), name)
        record = getattr(made, "Options", None)
        options = message["options"]
        self._backend = made(record(**options)) if record else made(**options)
        self._say({"is": "built", "card": _card()})

    def _prepare(self, message: Mapping[str, Any]) -> None:
        assert self._backend is not None
        if message["hashes"]:
            fingerprint.learn(message["hashes"])
        variants = [wire.variant_of(one) for one in message["variants"]]
        facts = self._backend.prepare(variants)
        tell = getattr(self._backend, "ingredients", None)
        self._say(
            {
                "is": "prepared",
                "facts": {name: asdict(one) for name, one in facts.items()},
                "ingredients": {one.name: dict(tell(one)) for one in variants} if tell else {},
            }
        )

    def _answer(self, message: Mapping[str, Any]) -> None:
        assert self._backend is not None
        unit = message["unit"]
        known = frozenset(message["known"])
        requests = wire.requests_of(message["requests"])
        for response in self._backend.answer(wire.variant_of(message["variant"]), requests, known):
            self._say(
                {"is": "response", "unit": unit, "response": wire.response_to_plain(response)}
            )
        self._say({"is": "done", "unit": unit})

    def _listen(self) -> None:
        for text in self._source:
            self._inbox.put(wire.read(text))
        self._leave(0)  # the driver is gone: nobody waits for what is under way

    def _beat(self) -> None:
        while not self._has_stopped.wait(BEAT_SECONDS):
            self._say({"is": "alive"})

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            with self._lock:
                self._sink.write(wire.line(message))
                self._sink.flush()
        except OSError:
            self._leave(0)


def greeting() -> dict[str, Any]:
    """What a process is, and the versions that can change a number."""
    return {
        "pid": os.getpid(),
        "niceness": os.nice(0) if hasattr(os, "nice") else 0,
        "versions": {
            "Python": platform.python_version(),
            "tuneval": __version__,
            **fingerprint.versions("safetensors", "numpy"),
        },
    }


def _card() -> str:
    """Name of what computes here: numbers of unlike cards differ."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return "cpu"


def _is_out_of_memory(error: BaseException) -> bool:
    from tuneval.engine.hf.weights.memory import is_out_of_memory
    from tuneval.errors import OutOfMemory

    return isinstance(error, OutOfMemory) or is_out_of_memory(error)


def main() -> None:
    """Work for the driver that started this process."""
    with os.fdopen(int(sys.argv[1]), "wb") as sink:
        Worker(sys.stdin.buffer, sink).run()
        sink.flush()
        os._exit(0)  # threads of libraries need not be waited for


if __name__ == "__main__":
    main()
