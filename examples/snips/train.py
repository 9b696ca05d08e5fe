"""Tune the TinyStories model to write what a request says as JSON: LoRA, and fully.

226 real requests of SNIPS are learned, 112 are kept for the test; both are written as files. Nothing is
downloaded: model and requests lie in the project's shared data folder.

    python examples/snips/train.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from training import Pair, Recipe, encode, load, train, with_lora

FOLDER = Path(__file__).parent
SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
# TinyStories never saw braces, brackets and underscores: without its last layer, a LoRA cannot learn to
# write them, for what they look like stays as it was.
TARGETS = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"
)  # fmt: skip
PROMPT = "{text}\nJSON:"
LORA = Recipe(learning_rate=4e-3, epochs=30, batch_size=16)
FULL = Recipe(learning_rate=4e-3, epochs=20, batch_size=16)


def pair(row: dict[str, str]) -> Pair:
    """A request and its JSON; a new line ends it, for TinyStories was trained without an end token."""
    return Pair(PROMPT.format(text=row["text"]), f" {row['target']}\n", has_end_token=False)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Tune the TinyStories model to write JSON.")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with the real data")
    parser.add_argument("--output", type=Path, default=FOLDER / "out", help="where the weights go")
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    data = options.shared / "data"
    with gzip.open(
        data / "snips_slots" / "validate_half.jsonl.gz", "rt", encoding="utf-8"
    ) as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(0).shuffle(rows)
    n_test = len(rows) // 3
    test, learned = rows[:n_test], rows[n_test:]
    options.output.mkdir(parents=True, exist_ok=True)
    for name, part in (("test", test), ("train", learned)):
        kept = [
            {"text": r["text"], "target": json.loads(r["target"]), "kind": r["intent"]}
            for r in part
        ]
        lines_ = "".join(json.dumps(row) + "\n" for row in kept)
        (options.output / f"{name}.jsonl").write_text(lines_, encoding="utf-8")
    for name, usual in (("full", FULL), ("lora", LORA)):
        began = time.monotonic()
        model, tokenizer = load(data / "models" / "stories260k")
        if name == "lora":
            model = with_lora(model, rank=32, targets=TARGETS, training_seed=0, dropout=0.0)
        encoded = [encode(tokenizer, pair(row)) for row in learned]
        recipe = replace(usual, steps=options.steps)
        train(model, tokenizer, encoded, [], recipe, options.output / name)
        print(f"{name}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
