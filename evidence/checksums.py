"""Write src/tuneval/benchmarks/checksums.py from folders that hold whole published splits.

    python evidence/checksums.py ../shared/data

A split is taken where it has as many rows as were published; of MMLU, whose subjects were never cut
apart, every subject that is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tuneval import registry
from tuneval.benchmarks import BENCHMARKS, Benchmark, Place, checksums
from tuneval.benchmarks.load import checksum
from tuneval.benchmarks.mmlu import SUBJECTS
from tuneval.errors import DataError


def main() -> int:
    place = Place(Path(sys.argv[1]), offline=True)
    found: dict[str, tuple[int, str]] = {}
    for name in BENCHMARKS:
        benchmark: Benchmark = registry.load(BENCHMARKS, name, room="benchmarks")()
        for subset in benchmark.subsets:
            facts = benchmark.facts(subset)
            for split in filter(None, (facts.split, facts.pool)):
                try:
                    cases = benchmark.read(place, subset, split)
                except DataError:
                    continue
                if subset in SUBJECTS or facts.sizes.get(split) == len(cases):
                    found[f"{facts.name}/{split}"] = len(cases), checksum(cases)
    path = Path(checksums.__file__)
    head = path.read_text(encoding="utf-8").partition("KNOWN:")[0]
    lines = [f'    "{name}": ({n}, "{digest}"),' for name, (n, digest) in sorted(found.items())]
    body = "\n".join(["KNOWN: Mapping[str, tuple[int, str]] = {", *lines, "}"])
    path.write_text(f"{head}{body}\n", encoding="utf-8")
    print(f"{len(found)} checksums in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
