"""When to ask a server again, and for how long: one policy for every network call."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar

Answer = TypeVar("Answer")

LONGEST_WAIT = 120.0
GONE_SECONDS = 40.0
"""A server that takes no connection for so long is gone: with the last attempt, within a minute."""
TRANSIENT = {408, 425, 429}
OF_THIS_REQUEST = {400, 413, 422}


class Refused(Exception):
    """A server did not answer as it should.

    ``kind`` says what follows: ``retry`` may work later, ``unit`` spoils this request alone,
    ``fatal`` would spoil every request. ``wait_seconds`` is what the server asked for; ``is_gone``:
    nobody took the connection.
    """

    def __init__(
        self,
        kind: Literal["retry", "unit", "fatal"],
        reason: str,
        wait_seconds: float | None = None,
        *,
        is_gone: bool = False,
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.wait_seconds = wait_seconds
        self.is_gone = is_gone


def kind_of(status: int) -> Literal["retry", "unit", "fatal"]:
    """Class of a status that is no success."""
    if status in TRANSIENT or status >= 500:
        return "retry"
    return "unit" if status in OF_THIS_REQUEST else "fatal"


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None where it says nothing usable."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


class RetryPolicy:
    """Exponential waits with full jitter, within a number of attempts and a budget of time.

    Parameters
    ----------
    attempts : int
        Of one request, the first included.
    budget_seconds : float
        Of one request, on the monotonic clock: a wait that would end later is not begun.
    sleep, clock, draw
        For tests; ``draw`` returns a number in [0, 1).

    Attributes
    ----------
    n_attempts : int
        Of all requests together, for the report.
    """

    def __init__(
        self,
        *,
        attempts: int = 6,
        budget_seconds: float = 600.0,
        first_wait_seconds: float = 1.0,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.attempts = attempts
        self.budget_seconds = budget_seconds
        self.first_wait_seconds = first_wait_seconds
        self.n_attempts = 0
        self._last_contact = -math.inf
        self._stopped = threading.Event()
        self._sleep = self._stopped.wait if sleep is None else sleep
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Allow waits again after a ``stop``."""
        self._stopped.clear()

    def stop(self) -> None:
        """Wake every waiting request and let none try again."""
        self._stopped.set()

    def note_contact(self) -> None:
        """The server said something to somebody, so that it is there."""
        self._last_contact = self._clock()

    def run(self, act: Callable[[], Answer]) -> Answer:
        """Call until it answers.

        Raises
        ------
        Refused
            Not worth another attempt; of kind ``unit`` where attempts or time are used up, of kind
            ``fatal`` where meanwhile the server took no connection from anyone.
        """
        deadline = self._clock() + self.budget_seconds
        gone_since: float | None = None
        for attempt in range(1, self.attempts + 1):
            with self._lock:
                self.n_attempts += 1
            try:
                return act()
            except Refused as refused:
                if refused.kind != "retry":
                    raise
                wait = self._wait_after(attempt, refused)
                is_late = self._clock() + wait > deadline
                is_last = attempt == self.attempts or self._stopped.is_set()
                if not refused.is_gone:
                    gone_since = None
                elif gone_since is None or self._last_contact > gone_since:
                    gone_since = self._clock()
                if gone_since is not None and (
                    is_last or self._clock() + wait > gone_since + GONE_SECONDS
                ):
                    reason = f"{refused} (after {_counted(attempt)})"
                    raise Refused("fatal", reason, is_gone=True) from refused
                if is_last or is_late:
                    tried = _counted(attempt)
                    if is_late:
                        tried += f", within {self.budget_seconds:g} s: backend.give_up_seconds"
                    raise Refused("unit", f"{refused} (after {tried})") from refused
                self._sleep(wait)
        raise AssertionError("a policy has at least one attempt")

    def _wait_after(self, attempt: int, refused: Refused) -> float:
        longest = min(LONGEST_WAIT, self.first_wait_seconds * 2.0 ** (attempt - 1))
        if refused.is_gone:  # nobody is there to be spared; the longer it may take to come back
            return longest
        jittered = longest * self._draw()
        if refused.wait_seconds is None:
            return jittered
        return min(LONGEST_WAIT, refused.wait_seconds) + jittered * 0.1


def _counted(n: int) -> str:
    return f"{n} attempt" + ("s" if n > 1 else "")
