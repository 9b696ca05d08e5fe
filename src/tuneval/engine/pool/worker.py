"""The process of one worker: builds a backend, answers units, beats while it lives.

Started by ``member.py`` as ``python -m tuneval.engine.pool.worker FD``; messages come on stdin and go
to the file descriptor, since libraries write what they like to stdout. Ends with its driver.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any, BinaryIO

from tuneval.engine import Backend
from tuneval.engine.pool import wire
from tuneval.errors import TunevalError

BEAT_SECONDS = 0.5
EXIT_MEMORY = 77
"""Status of a worker that ran out of memory: a fresh one begins with all of it."""


class Worker:
    """Reads messages in one thread, beats in another, works in the main one."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._backend: Backend | None = None

    def run(self) -> None:
        """Work until the driver says stop or is gone."""
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
                return
            try:
                acts[message["do"]](message)
            except TunevalError as error:
                self._say({"is": "error", "kind": type(error).__name__, "text": str(error)})
            except Exception as error:  # noqa: BLE001 - the driver decides what it is
                if _is_out_of_memory(error):
                    self._say({"is": "memory", "text": str(error)[:500]})
                    os._exit(EXIT_MEMORY)
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
            from tuneval.engine.hf.weights import fingerprint

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
        os._exit(0)  # the driver is gone: nobody waits for what is under way

    def _beat(self) -> None:
        while True:
            self._say({"is": "alive"})
            time.sleep(BEAT_SECONDS)

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            with self._lock:
                self._sink.write(wire.line(message))
                self._sink.flush()
        except OSError:
            os._exit(0)


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
