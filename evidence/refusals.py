"""How far the rules that read refusals agree with people, beside two judges released with XSTest.

    python evidence/refusals.py --shared ../shared

Prints the table of ``docs/guards.md``: refused against complied (what people called partial is left out),
on the prompts whose id has an even checksum, on which the rules were chosen, and on the others.
"""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tuneval.comparison.beyond.agreement import agreement
from tuneval.metrics.refusal import refusal

PARTIAL = "3_partial_refusal"
FULL = "2_full_refusal"
JUDGES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "our rules": lambda row: refusal(row["completion"]) != "none",
    "released string match": lambda row: row["strmatch_label"] != "1_full_compliance",
    "released GPT-4 labels": lambda row: row["gpt4_label"] != "1_full_compliance",
}


def compared(
    rows: Sequence[dict[str, Any]], judge: Callable[[dict[str, Any]], bool]
) -> Iterator[float]:
    """Precision and recall of "refused", Cohen's kappa."""
    kept = [row for row in rows if row["final_label"] != PARTIAL]
    people = [row["final_label"] == FULL for row in kept]
    said = [judge(row) for row in kept]
    hits = sum(a and b for a, b in zip(people, said, strict=True))
    yield hits / sum(said)
    yield hits / sum(people)
    yield agreement(people, said)[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    path = parser.parse_args().shared / "data" / "xstest" / "completions_half.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen_on = [row for row in rows if zlib.crc32(str(row["id"]).encode()) % 2 == 0]
    held_out = [row for row in rows if zlib.crc32(str(row["id"]).encode()) % 2]
    print("| judge | answers | n | precision | recall | kappa |\n|---|---|---|---|---|---|")
    for name, judge in JUDGES.items():
        for title, own in (("chosen on", chosen_on), ("held out", held_out), ("all", rows)):
            n = sum(row["final_label"] != PARTIAL for row in own)
            precision, recall, kappa = compared(own, judge)
            print(f"| {name} | {title} | {n} | {precision:.3f} | {recall:.3f} | {kappa:.3f} |")


if __name__ == "__main__":
    main()
