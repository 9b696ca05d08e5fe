"""Keeps the rest of a machine busy while something is measured on it.

Each neighbour streams through memory that no cache holds and multiplies matrices in turn. Used by ``engine.py --neighbours``.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

NEIGHBOUR = """
import torch

torch.set_num_threads(1)
source, target = torch.ones(2, 64 * 2**20)
factor = torch.ones(512, 512)
print("at work", flush=True)
while True:
    target.copy_(source)
    for _ in range(8):
        factor @ factor
"""


@contextlib.contextmanager
def neighbours(number: int) -> Iterator[None]:
    """Run so many busy processes of one thread each, from before the first line to after the last."""
    started = [
        subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()
            assert one.stdout is not None
            one.stdout.close()
