"""One share of a run in a process of its own, answered by a script.

Usage: shard_worker.py RUN.YAML K/N [DIES_AFTER]: with a number, the process ends itself by SIGKILL
when so many questions were asked.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Collection, Iterator, Sequence

from tuneval.engine.scripted import ScriptedBackend
from tuneval.pipeline.sharding import Shard, answer_shard
from tuneval.plan.spec import RunSpec
from tuneval.types import Request, Response, Variant


def script(variant: Variant, request: Request) -> float:
    """Numbers with all their digits."""
    content = repr((variant.name, request.prompt, request.continuation))
    return -int.from_bytes(hashlib.sha256(content.encode()).digest()[:7]) / 3e15


class Dying(ScriptedBackend):
    """Ends its own process, as the kernel would."""

    def __init__(self, dies_after: int | None = None) -> None:
        super().__init__(script)
        self.dies_after = dies_after

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        for response in super().answer(variant, requests, known):
            if self.dies_after is not None and len(self.asked) > self.dies_after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield response


def main(spec: str, shard: str, dies_after: str = "") -> None:
    """Answer the share, and say how many questions were asked."""
    backend = Dying(int(dies_after) if dies_after else None)
    answer_shard(RunSpec.from_yaml(spec), Shard.of(shard), connect=lambda _: backend)
    sys.stdout.write(f"{len(backend.asked)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
