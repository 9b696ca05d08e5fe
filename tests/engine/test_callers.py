"""Calls under way at the same time, none of which holds the end of a run."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from tuneval.engine.server.callers import Callers


def test_outcomes_and_errors_are_the_futures() -> None:
    callers = Callers(3)
    futures = [callers.submit(divmod, 10, n) for n in range(4)]
    assert [one.result(10) for one in futures[1:]] == [(10, 0), (5, 0), (3, 1)]
    with pytest.raises(ZeroDivisionError):
        futures[0].result(10)
    callers.stop()


def test_no_more_than_so_many_run_at_a_time() -> None:
    callers, lock, most, now = Callers(3), threading.Lock(), [0], [0]
    barrier = threading.Barrier(3, timeout=10)

    def act() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        barrier.wait()
        with lock:
            now[0] -= 1

    for future in [callers.submit(act) for _ in range(9)]:
        future.result(10)
    assert most == [3]
    callers.stop()


def test_what_waits_at_the_stop_is_not_begun() -> None:
    callers, goes_on = Callers(1), threading.Event()
    first, second = callers.submit(goes_on.wait, 10), callers.submit(print)
    callers.stop()
    goes_on.set()
    assert first.result(10) is True
    with pytest.raises(CancelledError):
        second.result(10)


def test_a_call_that_nobody_answers_does_not_hold_the_end_of_the_process() -> None:
    code = (
        "import threading; from tuneval.engine.server.callers import Callers; "
        "c = Callers(2); c.submit(threading.Event().wait, 600); print('over')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "over\n", done.stderr
