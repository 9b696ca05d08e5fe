"""Scores the demo's variants by hand and writes the table into the README of its folder.

One plain forward pass for each label, nothing of tuneval: what tuneval says can be held against it.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import corpus
from peft import PeftModel
from training import load, predict
from wording import LABELS

TEMPLATE = "Message: {text}\nTopic:"
VARIANTS = ("base", "lora-seed0", "lora-seed1", "lora-seed2", "full", "full-overfitted")
Row = dict[str, str]


def with_typos(rows: list[Row]) -> list[Row]:
    """One letter wrong in every fifth longer word: rougher than tuneval's own perturbation."""
    rng = random.Random(0)

    def word(text: str) -> str:
        is_changed = text.isalpha() and len(text) >= 4 and rng.random() < 0.2
        return corpus.one_letter_wrong(rng, text) if is_changed else text

    return [{**row, "text": " ".join(map(word, row["text"].split(" ")))} for row in rows]


def variant(folder: Path, name: str) -> tuple:
    if not name.startswith("lora"):
        return load(folder / name)
    model, tokenizer = load(folder / "base")
    return PeftModel.from_pretrained(model, folder / name), tokenizer


def answers(folder: Path, name: str, rows: list[Row]) -> list[dict]:
    model, tokenizer = variant(folder, name)
    prompts = [TEMPLATE.format(text=row["text"]) for row in rows]
    return predict(model, tokenizer, prompts, LABELS)


def accuracy(rows: list[Row], labels: list[str], choose: Callable[[Row], bool]) -> float:
    chosen = [row["label"] == label for row, label in zip(rows, labels, strict=True) if choose(row)]
    return 100 * sum(chosen) / len(chosen)


def line(folder: Path, name: str, rows: list[Row]) -> tuple[list[str], Counter]:
    clean = [answer["label"] for answer in answers(folder, name, rows)]
    typos = [answer["label"] for answer in answers(folder, name, with_typos(rows))]
    confusions = Counter(
        (row["label"], label)
        for row, label in zip(rows, clean, strict=True)
        if row["label"] != label
    )
    figures = [
        accuracy(rows, clean, lambda _: True),
        accuracy(rows, clean, lambda row: row["writer"] == "fluent"),
        accuracy(rows, clean, lambda row: row["writer"] == "learner"),
        accuracy(rows, typos, lambda _: True),
    ]
    losses = validation_losses(folder / name)
    return [name, *(f"{figure:.1f}" for figure in figures), losses], confusions


def validation_losses(folder: Path) -> str:
    log = folder / "trainer_state.json"
    if not log.exists():
        return ""
    history = json.loads(log.read_text(encoding="utf-8"))["log_history"]
    return " ".join(f"{row['eval_loss']:.3f}" for row in history if "eval_loss" in row)


def make_readme(folder: Path, _: int | None) -> None:
    with (folder / "test.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(text) for text in lines]
    table = [["variant", "all", "fluent", "learner", "typos", "validation loss"]]
    table.append(["---"] * 6)
    confused = []
    for name in VARIANTS:
        cells, confusions = line(folder, name, rows)
        table.append(cells)
        pairs = ", ".join(f"{a} as {b} {n}" for (a, b), n in confusions.most_common(4))
        confused.append(f"- {name}: {pairs}")
        print(f"{' | '.join(cells)}\n    {pairs}")
    text = (Path(__file__).parent / "README.template.md").read_text(encoding="utf-8")
    text = text.replace("{table}", "\n".join(f"| {' | '.join(cells)} |" for cells in table))
    text = text.replace("{confused}", "\n".join(confused))
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
