"""Samples per second: split grading in fresh sandboxes, against one forked process per sample.

The second is what openai/human-eval documents of its executor: a thread pool, one forked process
per sample in which prompt, completion and tests run as one text under a timer, and a result handed
back by a manager process. It confines nothing and is here to compare speed alone, on the benchmark's
own solutions.

    python evidence/sandbox.py HumanEval.jsonl.gz [--copies 4] [--backend auto] [--workers 2]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import platform
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tuneval.data.code_problems import read_problems
from tuneval.metrics.pass_at_k import program_of
from tuneval.sandbox import Limits, Program, probe, run_all

TIMEOUT_SECONDS = 3.0


def _expire(number: int, frame: object) -> None:
    raise TimeoutError


def run_in_process(program: Program, results: Any) -> None:
    """Run program and tests as one text in this process, under a timer."""
    signal.signal(signal.SIGALRM, _expire)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_SECONDS)
    text = f"{program.source}\n{program.tests[0]}\ncheck({program.entry_point})"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(text, {})  # noqa: S102  solutions of the benchmark itself, nothing else
        results.append("passed")
    except TimeoutError:
        results.append("timed out")
    except BaseException as error:  # noqa: BLE001  whatever it raises is its result
        results.append(f"failed: {error}")


def fork_and_run(program: Program) -> bool:
    """One forked process for one sample, as the reference executor does it."""
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        results = manager.list()
        process = context.Process(target=run_in_process, args=(program, results))
        process.start()
        process.join(TIMEOUT_SECONDS + 1)
        if process.is_alive():
            process.kill()
        return list(results) == ["passed"]


def timed(act: Callable[[], int]) -> tuple[float, int]:
    """Seconds that ``act`` took and what it returned."""
    started = time.perf_counter()
    n_passed = act()
    return time.perf_counter() - started, n_passed


def main() -> None:
    """Measure both on the same programs, in turn, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    cases = read_problems(given.problems).cases
    # A comment makes each copy a program of its own: identical ones would run once.
    programs = [
        program_of(case, f"{case.inputs['prompt']}{case.references[0]}\n# {copy}\n")
        for copy in range(given.copies)
        for case in cases
    ]
    backend = probe(given.backend)
    limits = Limits(wall_seconds=60.0)

    def split() -> int:
        outcomes = run_all(programs, backend, limits, workers=given.workers)
        return sum(outcome.is_passed for outcome in outcomes)

    def forked() -> int:
        with ThreadPoolExecutor(given.workers) as threads:
            return sum(threads.map(fork_and_run, programs))

    print(f"{len(programs)} programs, {given.workers} workers, Python {platform.python_version()},")
    print(f"{os.cpu_count()} CPUs, load before {os.getloadavg()[0]:.1f}")
    print("| round | way | samples/s | passed |\n|---|---|---:|---:|")
    for number in range(given.rounds):
        for name, act in (
            (f"split grading, {backend.name}", split),
            ("forked, unconfined", forked),
        ):
            seconds, n_passed = timed(act)
            rate = len(programs) / seconds
            print(
                f"| {number + 1} | {name} | {rate:.1f} | {n_passed}/{len(programs)} |", flush=True
            )


if __name__ == "__main__":
    main()
