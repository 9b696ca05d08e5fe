"""Backends for workers of the tests: scripted, with the faults of real ones."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import VariantError
from tuneval.types import Request, Response, Variant, VariantFacts


def script(variant: Variant, request: Request) -> float | str:
    """Numbers with all their digits, texts with what a text may hold."""
    content = repr((variant.name, request.prompt, request.continuation, request.decoding))
    digest = hashlib.sha256(content.encode()).digest()
    if request.continuation is not None:
        return -int.from_bytes(digest[:7]) / 3e15
    return f'{digest.hex()} \n\u2028 "quoted" \u00fc \udc80'


class Faulty(ScriptedBackend):
    """Does as it is told in ``plan``: request id -> fault, each time or (with a folder) only once.

    ``kill``, ``stop``: the process is ended or stopped when the request's turn comes; ``memory``: it
    runs out of memory where more than ``room`` requests are asked together; ``bug``: it raises.
    ``lacking`` (or TUNEVAL_TEST_LACKING) is a model that it cannot find.
    """

    def __init__(
        self,
        *,
        plan: dict[str, str] | None = None,
        once: str | None = None,
        room: int = 1,
        seconds: float = 0.0,
        log: str | None = None,
        lacking: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(script, **settings)
        self.plan, self.once, self.room = plan or {}, once, room
        self.seconds, self.log = seconds, log
        self.lacking = lacking or os.environ.get("TUNEVAL_TEST_LACKING")

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        for one in variants:
            if one.model == self.lacking:
                raise VariantError(f'there is no folder "{one.model}".')
        return super().prepare(variants)

    def fingerprint(self, variant: Variant) -> str:
        own = os.environ.get("TUNEVAL_TEST_UNLIKE") == "pid"
        return super().fingerprint(variant) + (str(os.getpid()) if own else "")

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        if self.log:
            with Path(self.log).open("a") as lines:
                lines.write(f"{os.getpid()} {variant.name} {len(requests)}\n")
        for request, response in zip(
            [one for one in requests if one.id not in known],
            super().answer(variant, requests, known),
            strict=True,
        ):
            time.sleep(self.seconds)
            fault = self.plan.get(request.id)
            if fault and self._is_due(request.id):
                self._strike(fault, len(requests))
            yield response

    def _is_due(self, name: str) -> bool:
        if self.once is None:
            return True
        mark = Path(self.once) / name
        if mark.exists():
            return False
        mark.touch()
        return True

    def _strike(self, fault: str, n: int) -> None:
        if fault == "bug":
            raise ZeroDivisionError("a bug of ours")
        if fault == "memory" and n > self.room:
            raise MemoryError(f"{n} requests at a time")
        if fault in ("kill", "stop"):
            os.kill(os.getpid(), signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
