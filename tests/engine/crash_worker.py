"""A run in a process of its own, to be killed: answers a fixed list of requests into a journal.

Usage: crash_worker.py FOLDER KIND [NUMBER], where KIND is "kill-after", "file-limit" or "slow".
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence

from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import BackendError
from tuneval.types import Decoding, Message, Request, Response, Variant

VARIANT = Variant("lora", "adapter", "small", adapter="out")


def requests() -> list[Request]:
    """Twenty-four requests: likelihoods and completions after texts and messages."""
    prompts = [f"question {n}" for n in range(6)]
    return [
        *(Request(f"l{n}", "c", text, continuation=" a") for n, text in enumerate(prompts)),
        *(Request(f"m{n}", "c", (Message("user", text),), continuation="a")
          for n, text in enumerate(prompts)),
        *(Request(f"g{n}", "c", text, decoding=Decoding()) for n, text in enumerate(prompts)),
        *(Request(f"s{n}", "c", text, decoding=Decoding(temperature=1.0, sampling_seed=3))
          for n, text in enumerate(prompts)),
    ]  # fmt: skip


def script(variant: Variant, request: Request) -> float | str:
    """Numbers with all their digits, texts with what a text may hold."""
    content = repr((request.prompt, request.continuation, request.decoding))
    digest = hashlib.sha256(content.encode()).digest()
    if request.continuation is not None:
        return -int.from_bytes(digest[:7]) / 3e15
    return f'{digest.hex()} \n\u2028 "quoted" \u00fc'


class Dying(ScriptedBackend):
    """Ends its own process, as the kernel would, once ``n`` answers are stored."""

    def __init__(self, kind: str, n: int) -> None:
        super().__init__(script)
        self.kind, self.n = kind, n

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        for number, response in enumerate(super().answer(variant, requests, known)):
            if self.kind == "slow":
                time.sleep(0.005)
            if number == self.n and self.kind.startswith("kill"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield response


def limit_files(n_bytes: int) -> None:
    """Let no file grow further: the nearest to a full disk that needs no rights."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def main(folder: str, kind: str, number: str = "0") -> int:
    """Run, and say in one line what stopped it."""
    journal = Journal(folder)
    if kind == "file-limit":
        limit_files(int(number))
    try:
        answers = answer(Dying(kind, int(number)), VARIANT, requests(), journal)
    except BackendError as error:
        sys.stdout.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{len(answers)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
