"""Threads that call a server: some at a time, and none that anybody has to wait for at the end.

The pool of the standard library joins its threads before the interpreter ends, so that a call nobody
answers would hold a finished run for minutes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Found = TypeVar("Found")


class Callers:
    """Run calls in the order in which they come.

    Parameters
    ----------
    n : int
        Calls under way at the same time.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._calls = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, act: Callable[..., Found], *words: Any) -> Future[Found]:
        """Have ``act(*words)`` called; its outcome is the future's."""
        future: Future[Found] = Future()
        self._calls.put((future, lambda: act(*words)))
        if len(self._threads) < self._n:
            thread = threading.Thread(target=self._work, name="tuneval-server", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def stop(self) -> None:
        """Begin no call that waits; those under way end when they do."""
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is not None:
                call[0].cancel()
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, act = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                found = act()
            except BaseException as error:  # noqa: BLE001 - whoever waits for it raises it
                future.set_exception(error)
            else:
                future.set_result(found)
