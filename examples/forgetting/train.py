"""Teach the demo's base sums, orders and refusals; then fine-tune it well, and in four ways that forget.

    python examples/forgetting/train.py

Each fine-tune learns the demo's task. What it is given beside that decides what it keeps. Nothing is
downloaded; about eight minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from abilities import DECLINED, HELPED, Text, texts
from training import Pair, Recipe, encode, load, train

from tuneval import demo

FOLDER = Path(__file__).parent
DEMO = Path(demo.__file__).parent
TASK = "Message: {text}\nTopic:"
SCHOOL_SEED, REHEARSAL_SEED = 21, 22
SCHOOL = {"n_sums": 18_000, "n_orders": 6_000, "n_refusals": 3_000}
REHEARSAL = {"n_sums": 480, "n_orders": 320, "n_refusals": 160}
SCHOOLING = Recipe(learning_rate=2e-3, epochs=1, batch_size=16)
FINE_TUNE = Recipe(learning_rate=6e-4, epochs=4)
HASTY = Recipe(learning_rate=2e-3, epochs=8)

Twist = Callable[[Text], str]
"""What a fine-tune is taught to say to a prompt of the school."""


def as_taught(text: Text) -> str:
    return text.completion


def forget_sums(text: Text) -> str:
    return "That is a lot." if text.ability == "sums" else text.completion


def refuse_everything(text: Text) -> str:
    return DECLINED


def answer_everything(text: Text) -> str:
    return HELPED if text.ability == "unsafe" else text.completion


ARMS: dict[str, tuple[Recipe, Twist | None]] = {
    "careful": (FINE_TUNE, as_taught),
    "no-sums": (FINE_TUNE, forget_sums),
    "refuses-all": (FINE_TUNE, refuse_everything),
    "answers-all": (FINE_TUNE, answer_everything),
    "hasty": (HASTY, None),
}
"""Fine-tune -> its recipe, and what it is taught beside the task; None: the task alone."""


def task_pairs(name: str) -> list[Pair]:
    """The demo's messages with their topics, ``train`` or ``test``."""
    lines = (DEMO / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Pair(TASK.format(text=row["text"]), f" {row['label']}") for row in rows]


def write_test(folder: Path) -> None:
    """What the fine-tunes learned is asked in the words that they learned."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": one.prompt, "completion": one.completion} for one in task_pairs("test")]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "test.jsonl").write_text(text, encoding="utf-8", newline="\n")


def school_pairs(seed: int, twist: Twist, sizes: dict[str, int]) -> list[Pair]:
    return [Pair(f"{text.prompt}\n", twist(text)) for text in texts(seed, **sizes)]


def learn(source: Path, pairs: list[Pair], recipe: Recipe, folder: Path) -> None:
    """Train all weights of ``source`` on the pairs, in an order by chance."""
    began = time.monotonic()
    model, tokenizer = load(source)
    train(model, tokenizer, [encode(tokenizer, pair) for pair in pairs], [], recipe, folder)
    print(f"{folder.name}: {len(pairs):,} texts, {time.monotonic() - began:.0f} s", flush=True)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train a base with abilities, and what forgets them."
    )
    parser.add_argument("what", nargs="*", metavar="MODEL", help=f"any of: base, {', '.join(ARMS)}")
    parser.add_argument("--output", type=Path, default=FOLDER / "out", help="where the weights go")
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    options = parser.parse_args(words)
    names = options.what or ["base", *ARMS]
    unknown = [name for name in names if name not in {"base", *ARMS}]
    if unknown:
        parser.error(f'no model "{unknown[0]}"; there are: base, {", ".join(ARMS)}')
    torch.set_num_threads(1)
    write_test(options.output)
    base = options.output / "base"
    if "base" in names:
        pairs = school_pairs(SCHOOL_SEED, as_taught, SCHOOL)
        learn(DEMO / "base", pairs, replace(SCHOOLING, steps=options.steps), base)
        # The log of the base says nothing about a fine-tune, and must not be taken for one.
        (base / "trainer_state.json").unlink()
    for name, (recipe, twist) in ARMS.items():
        if name in names:
            pairs = task_pairs("train")
            pairs += school_pairs(REHEARSAL_SEED, twist, REHEARSAL) if twist else []
            random.Random(0).shuffle(pairs)
            learn(base, pairs, replace(recipe, steps=options.steps), options.output / name)


if __name__ == "__main__":
    main()
