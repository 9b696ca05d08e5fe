"""Backs "What was tried" of docs/scale.md: MMLU by pools of workers, their bits, time and memory.

Wall time says something on an idle machine only: the table tells what others took. ``ray:2`` is two workers on a Ray cluster of this
machine alone.

    python evidence/pool.py ../shared/data/models/stories260k --data ../shared/data --workers 1 2 ray:2 0
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import psutil
from scale import questions

from tuneval.engine import Backend
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.pool import cluster, local
from tuneval.types import Request, Response, Variant


def first_of_each_subject(requests: list[Request], n: int) -> list[Request]:
    """The first ``n`` questions of every subject, four answers each."""
    seen: Counter[str] = Counter()
    chosen = []
    for request in requests:
        assert isinstance(request.prompt, str)
        subject = request.prompt.partition("\n")[0]
        seen[subject] += 1
        if seen[subject] <= 4 * n:
            chosen.append(request)
    return chosen


@dataclass(frozen=True)
class Used:
    """From the first question to the last answer; memory at its end, shared pages counted once."""

    seconds: float
    cpu_seconds: float
    driver_cpu_seconds: float
    cpu_seconds_of_others: float
    megabytes: float


def processes() -> list[psutil.Process]:
    """This one and all that it started and that live."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def processor_seconds(of: list[psutil.Process]) -> float:
    """Of processes together."""
    times = [one.cpu_times() for one in of]
    return sum(one.user + one.system for one in times)


def busy_seconds() -> float:
    """Of all processors of this machine, whoever used them."""
    found = psutil.cpu_times()
    return float(found.user + found.system)


def backend_of(word: str) -> Backend:
    """ "2", "ray:2", or "0": in this process, with one thread."""
    options = {"device": "cpu", "offline": True, "threads": 1}
    launcher, _, n = word.rpartition(":")
    if launcher:
        return cluster.pool(options, workers=int(n))
    if int(n):
        return local.pool("hf", options, workers=int(n))
    return HFBackend(HFBackend.Options(**options))


def run(model: Path, requests: list[Request], word: str) -> tuple[dict[str, Response], Used]:
    """Answers without their times, and what they took."""
    variant = Variant("base", "base", str(model))
    backend = backend_of(word)
    try:
        backend.prepare([variant])
        used, own, busy = processor_seconds(processes()), time.process_time(), busy_seconds()
        started = time.perf_counter()
        found = {
            one.request_id: replace(one, seconds=0.0) for one in backend.answer(variant, requests)
        }
        seconds, busy = time.perf_counter() - started, busy_seconds() - busy
        used = processor_seconds(processes()) - used
        return found, Used(
            seconds,
            used,
            time.process_time() - own,
            max(0.0, busy - used),
            sum(one.memory_full_info().pss for one in processes()) / 2**20,
        )
    finally:
        backend.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", nargs="+", default=["1", "2", "0"])
    parser.add_argument("--per-subject", type=int, default=20)
    given = parser.parse_args()
    requests = first_of_each_subject(questions(given.data), given.per_subject)
    print("| workers | requests | s | cpu s | driver's | others' | MB | unlike the first row by |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    first: dict[str, Response] = {}
    for word in given.workers:
        found, used = run(given.model, requests, word)
        first = first or found
        gap = max(
            abs((found[key].loglikelihood or 0) - (first[key].loglikelihood or 0)) for key in first
        )
        unlike = "nothing" if found == first else f"{gap:.0e}"
        *amounts, megabytes = astuple(used)
        told = " | ".join(f"{one:.1f}" for one in amounts)
        print(f"| {word} | {len(found):,} | {told} | {megabytes:.0f} | {unlike} |", flush=True)


if __name__ == "__main__":
    main()
