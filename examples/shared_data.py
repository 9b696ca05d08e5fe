"""The two examples on real data: read it, tune the real TinyStories model, measure by hand.

The accuracy printed at the end is a plain count over the most likely label. It is there to be
compared with what tuneval says; the intervals, tests and warnings are tuneval's work.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from training import Pair, Recipe, load, predict, train, with_lora

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@dataclass(frozen=True)
class Example:
    """One data set and the settings that were found to suit it."""

    name: str
    folder: Path
    label_column: str
    template: str
    lora_rank: int
    lora_rate: float
    lora_epochs: float
    full_rate: float
    full_epochs: float

    def rows(self, part: str, shared: Path) -> list[dict[str, str]]:
        path = shared / "data" / self.name / f"{part}.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def pair(self, row: dict[str, str]) -> Pair:
        return Pair(self.template.format(text=row["text"]), f" {row[self.label_column]}")


def arguments(example: Example, words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"Tune the TinyStories model on {example.name} with LoRA and fully.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with the real data")
    parser.add_argument(
        "--output", type=Path, default=example.folder / "out", help="where the weights go"
    )
    parser.add_argument(
        "--training-seeds", type=int, nargs="+", default=[0, 1, 2], help="one adapter for each"
    )
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    parser.add_argument("--limit", type=int, help="measure on the first so many test rows only")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    return parser.parse_args(words)


def main(example: Example, words: list[str] | None = None) -> None:
    options = arguments(example, words)
    torch.set_num_threads(options.threads)
    base = options.shared / "data" / "models" / "stories260k"
    if not base.exists():
        raise SystemExit(f'no model at "{base}": say where the data lies with --shared')

    rows = example.rows("train", options.shared)
    random.Random(0).shuffle(rows)
    n_validation = len(rows) // 10
    validation = [example.pair(row) for row in rows[:n_validation]]
    pairs = [example.pair(row) for row in rows[n_validation:]]
    print(f"{example.name}: {len(pairs)} rows to train on, {len(validation)} to validate")

    for seed in options.training_seeds:
        model, tokenizer = load(base)
        model = with_lora(
            model, rank=example.lora_rank, targets="all-linear", training_seed=seed
        )
        recipe = Recipe(
            example.lora_rate, example.lora_epochs, training_seed=seed, steps=options.steps
        )
        began = time.monotonic()
        print(f"LoRA, training seed {seed}")
        train(model, tokenizer, pairs, validation, recipe, options.output / f"lora-seed{seed}")
        print(f"  {time.monotonic() - began:.0f} s")

    model, tokenizer = load(base)
    recipe = Recipe(example.full_rate, example.full_epochs, steps=options.steps)
    began = time.monotonic()
    print("full fine-tune")
    train(model, tokenizer, pairs, validation, recipe, options.output / "full")
    print(f"  {time.monotonic() - began:.0f} s")

    measure(example, options, base)


def measure(example: Example, options: argparse.Namespace, base: Path) -> None:
    """Print the accuracy of each variant on the test half."""
    rows = example.rows("test_half", options.shared)[: options.limit]
    labels = sorted({row[example.label_column] for row in example.rows("train", options.shared)})
    folders = [f"lora-seed{seed}" for seed in options.training_seeds]
    for name in ["base", *folders, "full"]:
        model, tokenizer = load(options.output / name if name == "full" else base)
        if name in folders:
            model = PeftModel.from_pretrained(model, options.output / name)
        prompts = [example.pair(row).prompt for row in rows]
        answers = predict(model, tokenizer, prompts, labels)
        right = sum(a["label"] == row[example.label_column] for a, row in zip(answers, rows, strict=True))
        print(f"{name:<12} {right}/{len(rows)} right = {right / len(rows):.1%}")
