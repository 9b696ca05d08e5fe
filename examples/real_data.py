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

FOLDER = Path(__file__).parent
SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
Row = dict[str, str]


@dataclass(frozen=True)
class Example:
    """One data set and the settings that were found to suit it.

    ``kept_columns`` of the test rows are written beside text and label; ``out_of_scope`` names the
    files with texts that no label fits.
    """

    name: str
    label_column: str
    template: str
    lora: Recipe
    full: Recipe
    lora_rank: int = 16
    training_seeds: tuple[int, ...] = (0, 1, 2)
    test_part: str = "test_half"
    n_test: int | None = None
    kept_columns: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()

    def pair(self, row: Row) -> Pair:
        # TinyStories was trained without an end token: a new line ends the label instead.
        prompt = self.template.format(text=row["text"])
        return Pair(prompt, f" {self.label(row)}\n", has_end_token=False)

    def label(self, row: Row) -> str:
        """The label as the model sees it: in words, for no story ever had an underscore."""
        return row[self.label_column].replace("_", " ")

    def encoded(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
        return [encode(tokenizer, self.pair(row)) for row in rows]


def arguments(example: Example, words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"Tune the TinyStories model on {example.name} with LoRA and fully.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with the real data")
    parser.add_argument(
        "--output", type=Path, default=FOLDER / example.name / "out", help="where the weights go"
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
    for seed in options.training_seeds:
        tune(example, base, training, validation, options, seed)
    tune(example, base, training, validation, options, None)

    labels = sorted({example.label(row) for row in rows})
    test = read(example, example.test_part, options)[: example.n_test]
    write_test_file(example, test, options.output / f"{example.test_part}.jsonl")
    if example.out_of_scope:
        foreign = [row for part in example.out_of_scope for row in read(example, part, options)]
        write_rows([{"text": row["text"]} for row in foreign], options.output / "oos.jsonl")
    measure(example, base, test, labels, options)


def tune(
    example: Example,
    base: Path,
    training: list[Row],
    validation: list[Row],
    options: argparse.Namespace,
    lora_seed: int | None,
) -> None:
    """Train one adapter, or the whole model where there is no seed of an adapter."""
    name = "full" if lora_seed is None else f"lora-seed{lora_seed}"
    print(name)
    began = time.monotonic()
    model, tokenizer = load(base)
    recipe = replace(example.full, steps=options.steps)
    if lora_seed is not None:
        recipe = replace(example.lora, steps=options.steps, training_seed=lora_seed)
        model = with_lora(
            model, rank=example.lora_rank, targets="all-linear", training_seed=lora_seed
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


def measure(
    example: Example,
    base: Path,
    test: list[Row],
    labels: list[str],
    options: argparse.Namespace,
) -> None:
    """Print the share of test rows that each variant gets right."""
    adapters = [f"lora-seed{seed}" for seed in options.training_seeds]
    for name in ["base", *adapters, "full"]:
        model, tokenizer = load(options.output / "full" if name == "full" else base)
        if name in adapters:
            model = PeftModel.from_pretrained(model, options.output / name)
        answers = predict(model, tokenizer, [example.pair(row).prompt for row in test], labels)
        n_right = sum(
            answer["label"] == example.label(row) for answer, row in zip(answers, test, strict=True)
        )
        print(f"{name:<12} {n_right} of {len(test)} right: {n_right / len(test):.1%}")


def write_test_file(example: Example, rows: list[Row], path: Path) -> None:
    """The test rows with the labels as the models learned them, for tuneval to read."""
    write_rows(
        [
            {
                "text": row["text"],
                "label": example.label(row),
                **{column: row[column] for column in example.kept_columns},
            }
            for row in rows
        ],
        path,
    )


def write_rows(rows: list[Row], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
