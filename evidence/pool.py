"""Backs "What was tried" of docs/scale.md: MMLU by pools of workers, their bits and their time.

Wall time says something on an idle machine only.

    python evidence/pool.py ../shared/data/models/stories260k --data ../shared/data --workers 1 2 0
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
from scale import questions

from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.pool.local import pool
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


def processor_seconds() -> float:
    """Of this process and of all that it started and that live."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def run(model: Path, requests: list[Request], n: int) -> tuple[dict[str, Response], float, float]:
    """Answers without their times, and seconds from the first question to the last answer, by the
    clock and of processors; 0 workers: in this process, with one thread."""
    variant = Variant("base", "base", str(model))
    options = {"device": "cpu", "offline": True, "threads": 1}
    backend = pool("hf", options, workers=n) if n else HFBackend(HFBackend.Options(**options))
    try:
        backend.prepare([variant])
        started, used = time.perf_counter(), processor_seconds()
        found = {
            one.request_id: replace(one, seconds=0.0) for one in backend.answer(variant, requests)
        }
        return found, time.perf_counter() - started, processor_seconds() - used
    finally:
        backend.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 0])
    parser.add_argument("--per-subject", type=int, default=20)
    given = parser.parse_args()
    requests = first_of_each_subject(questions(given.data), given.per_subject)
    print("| workers | requests | s by the clock | cpu s | unlike those of the first row by |")
    print("|---:|---:|---:|---:|---:|")
    first: dict[str, Response] = {}
    for n in given.workers:
        found, seconds, used = run(given.model, requests, n)
        first = first or found
        gap = max(
            abs((found[key].loglikelihood or 0) - (first[key].loglikelihood or 0)) for key in first
        )
        unlike = "nothing" if found == first else f"{gap:.0e}"
        print(f"| {n} | {len(found):,} | {seconds:.1f} | {used:.1f} | {unlike} |")


if __name__ == "__main__":
    main()
