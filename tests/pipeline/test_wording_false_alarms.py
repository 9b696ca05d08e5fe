"""How often a fine-tune that is asked as it was trained is said to be trained otherwise (make test-slow).

A tiny model that answers in a chat template, and 40 adapters trained on that template, each on
labels and an order of its own: 5% of alarms are allowed, plus two standard errors of 40 runs.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import tuneval
from pipeline.conftest import write_rows
from tiny_models import CHAT_TEMPLATE, END, build_model
from tuneval.types import Finding

RUNS = 40
MOST = RUNS * (0.05 + 2 * sqrt(0.05 * 0.95 / RUNS))
NOUNS = ("fox", "dog", "girl", "card", "time", "account", "capital", "refund", "login", "shipping")
KINDS = ("quick", "brown", "lazy", "little", "neutral")
LABELS = ("card", "refund", "login")  # words that the base can say

Pair = tuple[str, str]


def texts(dice: random.Random, n: int) -> list[str]:
    return [
        f"The {dice.choice(KINDS)} {dice.choice(NOUNS)} number {dice.randrange(99)}"
        for _ in range(n)
    ]


def answered(dice: random.Random, n: int) -> list[Pair]:
    """What the base learned: to name the thing that a text is about."""
    return [(text, text.split()[2]) for text in texts(dice, n)]


def labelled(dice: random.Random, n: int) -> list[Pair]:
    """What an adapter learns: a label for every thing, one in five of them left to chance."""
    label_of = {noun: dice.choice(LABELS) for noun in NOUNS}
    return [
        (text, dice.choice(LABELS) if dice.random() < 0.2 else label_of[text.split()[2]])
        for text in texts(dice, n)
    ]


def fit(model: Any, tokenizer: Any, pairs: Sequence[Pair], *, steps: int, rate: float) -> None:
    """Loss on the answer and the end token, questions in the chat template."""
    rows = []
    for text, answer in pairs:
        turns = [{"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        rows.append((head, tokenizer(answer + END, add_special_tokens=False)["input_ids"]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    model.train()
    for step in range(steps):
        batch = [rows[(step * 16 + k) % len(rows)] for k in range(16)]
        width = max(len(head) + len(tail) for head, tail in batch)
        ids = torch.tensor([[*h, *t] + [0] * (width - len(h) - len(t)) for h, t in batch])
        target = torch.tensor(
            [[-100] * len(h) + t + [-100] * (width - len(h) - len(t)) for h, t in batch]
        )
        mask = torch.arange(width) < torch.tensor([[len(h) + len(t)] for h, t in batch])
        optimizer.zero_grad()
        model(input_ids=ids, attention_mask=mask.long(), labels=target).loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_model(
        tmp_path_factory.mktemp("base"), chat=True, hidden_size=64, intermediate_size=128,
        max_position_embeddings=256, initializer_range=0.05,
    )  # fmt: skip
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    assert tokenizer.chat_template == CHAT_TEMPLATE
    torch.manual_seed(0)
    fit(model, tokenizer, answered(random.Random(0), 2_000), steps=400, rate=3e-3)
    model.save_pretrained(folder)
    return folder


def tuned_and_asked(base: Path, folder: Path, run: int, **asked: Any) -> Finding:
    """Train an adapter on the chat template and read what a comparison says of the wording."""
    dice = random.Random(run)
    pairs = labelled(dice, 500)
    adapter = folder / f"adapter-{run}"
    if not adapter.exists():
        model, tokenizer = (
            AutoModelForCausalLM.from_pretrained(base),
            AutoTokenizer.from_pretrained(base),
        )
        torch.manual_seed(run)
        settings = LoraConfig(
            r=8, lora_alpha=16, task_type="CAUSAL_LM", target_modules="all-linear"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT reads a deprecated property of transformers'
            model = get_peft_model(model, settings)
        fit(model, tokenizer, pairs[48:], steps=60, rate=5e-3)
        model.save_pretrained(adapter)
    test = write_rows(
        folder / f"test-{run}.jsonl", [{"text": t, "label": a} for t, a in pairs[:48]]
    )
    result = tuneval.compare(
        str(base),
        adapters=[str(adapter)],
        data=str(test),
        template="{text}",
        **asked,
        labels=list(LABELS),
        statistics={"resamples": 100},
        backend={"device": "cpu", "threads": 1},
    )
    (found,) = (one for one in result.findings if one.kind == "wording")
    return found


@pytest.mark.slow
def test_asked_as_trained_in_a_chat_template(base: Path, tmp_path: Path) -> None:
    levels = [tuned_and_asked(base, tmp_path, run).level for run in range(RUNS)]
    assert levels.count("warning") <= MOST, levels


@pytest.mark.slow
def test_asked_otherwise_it_is_noticed(base: Path, tmp_path: Path) -> None:
    """Such adapters, asked without the chat template: the alarm is no dead one."""
    plain = {"prompt_style": "text"}
    found = [tuned_and_asked(base, tmp_path, run, options=plain) for run in range(8)]
    assert [one.level for one in found].count("warning") >= 6
    assert all("in the chat template" in one.sentence for one in found if one.level == "warning")
