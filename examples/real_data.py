"""The examples on real data: read it, tune the real TinyStories model on it, measure by hand.

The accuracy printed at the end is a plain count of the most likely label. It is there to be held
against what tuneval says; intervals, tests and warnings are tuneval's work.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel
from training import Encoded, Pair, Recipe, encode, load, predict, train, with_lora
from transformers import PreTrainedTokenizerBase

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
Row = dict[str, str]


@dataclass(frozen=True)
class Example:
    """One data set and the settings that were found to suit it."""

    name: str
    folder: Path
    label_column: str
    template: str
    lora_rank: int
    lora: Recipe
    full: Recipe
    training_seeds: tuple[int, ...] = (0, 1, 2)

    def pair(self, row: Row) -> Pair:
        return Pair(self.template.format(text=row["text"]), f" {row[self.label_column]}")

    def encoded(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
        return [encode(tokenizer, self.pair(row)) for row in rows]


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
        "--training-seeds",
        type=int,
        nargs="+",
        default=example.training_seeds,
        help="one adapter for each",
    )
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    parser.add_argument("--limit", type=int, help="read so many rows of each file only")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    return parser.parse_args(words)


def read(example: Example, part: str, options: argparse.Namespace) -> list[Row]:
    """Rows of a file in an order that is random but always the same."""
    path = options.shared / "data" / example.name / f"{part}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(0).shuffle(rows)
    return rows[: options.limit]


def main(example: Example, words: list[str] | None = None) -> None:
    options = arguments(example, words)
    torch.set_num_threads(options.threads)
    base = options.shared / "data" / "models" / "stories260k"
    if not base.exists():
        raise SystemExit(f'no model at "{base}": say with --shared where the real data lies')

    rows = read(example, "train", options)
    n_validation = len(rows) // 10
    validation, training = rows[:n_validation], rows[n_validation:]
    print(f"{example.name}: {len(training)} rows to train on, {len(validation)} to validate")

    adapters = {f"lora-seed{seed}": seed for seed in options.training_seeds}
    for name in [*adapters, "full"]:
        print(name)
        began = time.monotonic()
        model, tokenizer = load(base)
        recipe = replace(example.full, steps=options.steps)
        if name in adapters:
            seed = adapters[name]
            recipe = replace(example.lora, steps=options.steps, training_seed=seed)
            model = with_lora(
                model, rank=example.lora_rank, targets="all-linear", training_seed=seed
            )
        train(
            model,
            tokenizer,
            example.encoded(training, tokenizer),
            example.encoded(validation, tokenizer),
            recipe,
            options.output / name,
        )
        print(f"  {time.monotonic() - began:.0f} s")

    labels = sorted({row[example.label_column] for row in rows})
    test = read(example, "test_half", options)
    for name in ["base", *adapters, "full"]:
        model, tokenizer = load(options.output / "full" if name == "full" else base)
        if name in adapters:
            model = PeftModel.from_pretrained(model, options.output / name)
        answers = predict(model, tokenizer, [example.pair(row).prompt for row in test], labels)
        n_right = sum(
            answer["label"] == row[example.label_column]
            for answer, row in zip(answers, test, strict=True)
        )
        print(f"{name:<12} {n_right} of {len(test)} right: {n_right / len(test):.1%}")
