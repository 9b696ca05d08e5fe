"""How fast is this machine? CPU limits are stated for a reference machine and stretched on a slower
one. Not for timing programs (``box.py``)."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import platform
import time

REFERENCE_SECONDS = 0.005
"""CPU time of ``_work`` on the slowest machine that the limits are meant for as they stand: half
as long again as on the one that they were chosen on (x86-64, Python 3.11: 0.0033 s)."""
MAX_FACTOR = 4.0


@functools.cache
def cpu_factor() -> float:
    """How often the reference time a fixed piece of work takes here: the best of five, once a
    process, in tenths, from 1 to ``MAX_FACTOR``."""
    return factor_of(min(_seconds() for _ in range(5)))


def factor_of(seconds: float) -> float:
    """The factor that belongs to a measured time."""
    return min(MAX_FACTOR, max(1.0, math.ceil(10 * seconds / REFERENCE_SECONDS) / 10))


def _seconds() -> float:
    started = time.thread_time()
    _work()
    return time.thread_time() - started


def _work() -> int:
    total, table = 0, {}
    for number in range(40_000):
        total = (total * 31 + number) % 1_000_003
        table[total & 1023] = number
    return total


@functools.cache
def this_machine() -> str:
    """A mark of this machine that does not give its name away."""
    facts = (platform.node(), platform.machine(), os.cpu_count())
    return hashlib.blake2b(repr(facts).encode(), digest_size=4).hexdigest()
