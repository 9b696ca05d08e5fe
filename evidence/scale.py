"""Backs the tables of docs/scale.md: MMLU 5-shot dealt out to workers, and what that would take.

Nothing is run on any card: the plan is real (the units that the pool and ``--shard`` would cut), the
rates are assumptions that stand below and in the table.

    python evidence/scale.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from pathlib import Path

from tuneval import tasks
from tuneval.benchmarks import Place
from tuneval.benchmarks.load import load
from tuneval.engine.pool.units import CHARACTERS_PER_TOKEN, MOST_UNITS, Unit, cut, loss, shares
from tuneval.types import Request

CARDS_A_MACHINE = 8
PEAK = 990e12
"""Floating-point operations a second of one H100 or H200 in bfloat16, dense, by its maker."""
MODELS = {"7B, bfloat16": (7e9, 0.4, 30.0), "70B, 4 bits": (70e9, 0.2, 75.0)}
"""Name -> parameters, share of the peak that a prefill reaches, seconds to import, load and prove."""
SECONDS_A_UNIT = 0.1
"""To hand out and take in a unit, and to write its last answers."""


def questions(data: Path) -> list[Request]:
    found = load("mmlu", Place(data, offline=True), few_shot=5)
    task = tasks.build(
        found.cases.task, labels=found.cases.labels, few_shot=found.examples, **found.options
    )
    return [one for case in found.cases.cases for one in task.ask(case)]


def makespan(units: Sequence[Unit], n: int, rate: float = 1.0, each: float = 0.0) -> float:
    """Seconds until the last of ``n`` workers is done that take the next unit as they come free."""
    free = [0.0] * n
    for unit in units:
        heapq.heappush(free, heapq.heappop(free) + unit.cost / rate + each)
    return max(free)


def slowest(requests: Sequence[Request], n: int, rate: float = 1.0, each: float = 0.0) -> float:
    """The same on one machine, or on as many as there are shares for."""
    machines = -(-n // CARDS_A_MACHINE)
    if machines == 1:
        return makespan(cut(requests), n, rate, each)
    dealt = shares(cut(requests, max(MOST_UNITS, 4 * machines)), machines)
    return max(
        makespan(cut([one for unit in own for one in unit.requests]), n // machines, rate, each)
        for own in dealt
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    requests = questions(parser.parse_args().data)
    whole = cut(requests, 1)[0].cost
    print(f"{len(requests):,} requests, {whole / CHARACTERS_PER_TOKEN:,.0f} tokens to read\n")
    print("| units | read twice |\n|---:|---:|")
    for n in (24, MOST_UNITS):
        print(f"| {n} | {loss(cut(requests, n), requests):.1%} |")
    print("\n| workers | machines | efficiency |\n|---:|---:|---:|")
    for n in (1, 2, 4, 8, 16, 32, 64):
        efficiency = whole / (n * slowest(requests, n))
        print(f"| {n} | {-(-n // CARDS_A_MACHINE)} | {efficiency:.2f} |")
    print("\n| model | cards | tokens/s and card | one variant, s | base + LoRA + full, s |")
    print("|---|---:|---:|---:|---:|")
    for name, (parameters, share, start) in MODELS.items():
        rate = PEAK * share / (2 * parameters)
        for n in (1, 8, 16, 32, 64):
            seconds = slowest(requests, n, rate * CHARACTERS_PER_TOKEN, SECONDS_A_UNIT)
            # One load serves base and LoRA, the full fine-tune takes another.
            print(f"| {name} | {n} | {rate:,.0f} | {seconds:.0f} | {3 * seconds + 2 * start:.0f} |")


if __name__ == "__main__":
    main()
