"""Tune a small encoder to find people, places and dates: a LoRA with its head, and fully.

The sentences are written here, from templates; the encoder is made here, too, and learns to fill gaps
before it is tuned. Nothing is downloaded:

    python examples/ner/train.py
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-DATE", "I-DATE")
IGNORED = -100  # the label id that transformers leaves out of the loss

JOINTS = ", and", ", but", "because", "while", ";"
FIRST = [
    "Ada",
    "Grace",
    "Alan",
    "Emmy",
    "Kurt",
    "Rosa",
    "Igor",
    "Lise",
    "Otto",
    "Maya",
    "Noor",
    "Kenji",
    "Amara",
    "Tariq",
    "Ines",
    "Pavel",
]
LAST = [
    "Lovelace",
    "Hopper",
    "Turing",
    "Noether",
    "Weber",
    "Novak",
    "Santos",
    "Okafor",
    "Haddad",
    "Lindqvist",
    "Moreau",
    "Tanaka",
]
PLACES = [
    "Paris", "New York", "Cape Town", "Lima", "Oslo", "Kyoto", "Rio de Janeiro", "Cairo", "Utrecht",
    "May Valley", "San Marino", "Grace Bay", "Turing Square", "Brno", "Port Weber", "Weber Street",
]  # fmt: skip
MONTHS = ["January", "March", "May", "June", "August", "October", "December"]
CLAUSES = [
    "{per} moved from {loc} to {loc} in {date}",
    "on {date} the council of {loc} thanked {per} for her work",
    "{per} and {per} met in {loc}",
    "the train to {loc} was late again on {date}",
    "nobody in {loc} remembers {date}",
    "{per} will be in {loc} by {date}",
    "the report by {per} is due on {date}",
    "it may rain in {loc} tomorrow , said {per}",
    "the grace period ends on {date}",
    "there was a march through {loc} while {per} slept",
    "the May flowers of {loc} are older than {per}",
    "a letter from {per} came too late",
    "we will talk about it in the morning",
    "{loc} beat {loc} by two goals",
    "the shop of {per} is closed until {date}",
    "rents in {loc} have risen since {date}",
]


def filled(draw: random.Random, slot: str) -> tuple[list[str], list[str]]:
    """Words for a slot of a template, and their tags; a word without a slot is outside."""
    if slot == "{per}":
        words = [draw.choice(FIRST), *([draw.choice(LAST)] if draw.random() < 0.7 else [])]
    elif slot == "{loc}":
        words = draw.choice(PLACES).split()
    elif slot == "{date}":
        day, month = str(draw.randint(1, 28)), draw.choice(MONTHS)
        year = str(draw.randint(1990, 2026))
        words = draw.choice([[month], [day, month], [month, year], [day, month, year]])
    else:
        return [slot], ["O"]
    kind = slot[1:-1].upper()
    return words, [f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)]


def sentences(seed: int, n: int) -> list[dict[str, list[str]]]:
    """Rows of tokens and ner_tags, the same for the same seed."""
    draw = random.Random(seed)
    rows = []
    for _ in range(n):
        first, second = draw.sample(CLAUSES, 2)
        slots = f"{first} {draw.choice(JOINTS)} {second} .".split()
        parts = [filled(draw, slot) for slot in slots]
        rows.append(
            {
                "tokens": [word for words, _ in parts for word in words],
                "ner_tags": [tag for _, tags in parts for tag in tags],
            }
        )
    return rows


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A small WordPiece vocabulary, as BERT's; long names fall into several tokens."""
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    inner.train_from_iterator(texts, trainer)
    ends = [(one, inner.token_to_id(one)) for one in ("[CLS]", "[SEP]")]
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=96,
    )


def make_base(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], folder: Path, n: int
) -> None:
    """An encoder that has learned to fill gaps in sentences of this kind, and no tag."""
    set_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=96,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    rows = [dict(tokenizer(text, truncation=True)) for text in texts]
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.2)
    fit(model, rows, collate, folder, n_steps=n, learning_rate=3e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def encoded(tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, list[str]]]) -> list[Any]:
    """Ids and the tag of each word's first token, as in the scripts of the field."""
    found = []
    for row in rows:
        one = tokenizer(row["tokens"], is_split_into_words=True, truncation=True)
        words = one.word_ids()
        labels = [
            IGNORED if word is None or word == before else TAGS.index(row["ner_tags"][word])
            for before, word in zip([None, *words], words, strict=False)
        ]
        found.append({"input_ids": one["input_ids"], "labels": labels})
    return found


def fit(
    model: Any,
    rows: Sequence[Any],
    collate: Any,
    folder: Path,
    *,
    n_steps: int,
    learning_rate: float,
) -> None:
    """Transformers' own Trainer; leaves its log in the folder."""
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=n_steps,
        per_device_train_batch_size=32,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        logging_steps=max(1, n_steps // 6),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=settings, train_dataset=rows, data_collator=collate)
    trainer.train()
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def tune(
    base: Path, tokenizer: Any, rows: Sequence[Any], folder: Path, n: int, *, lora: bool
) -> None:
    """A head over the tags on the base; with ``lora`` the encoder itself stays as it is."""
    set_seed(1)
    names = dict(enumerate(TAGS))
    model: Any = AutoModelForTokenClassification.from_pretrained(
        base, id2label=names, label2id={tag: n for n, tag in names.items()}
    )
    if lora:
        config = LoraConfig(
            task_type="TOKEN_CLS", r=8, lora_alpha=16, target_modules=["query", "value", "dense"]
        )
        model = get_peft_model(model, config)
    collate = DataCollatorForTokenClassification(tokenizer)
    fit(model, rows, collate, folder, n_steps=n, learning_rate=5e-3 if lora else 2e-3)
    model.save_pretrained(folder)
    if not lora:
        tokenizer.save_pretrained(folder)


def lines(rows: Sequence[dict[str, list[str]]]) -> Iterator[str]:
    return (json.dumps(row) + "\n" for row in rows)


def main(work: Path, *, steps: int = 300, n_train: int = 600, n_test: int = 300) -> None:
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    training, test = sentences(1, n_train), sentences(2, n_test)
    texts = [" ".join(row["tokens"]) for row in training]
    tokenizer = make_tokenizer(texts)
    make_base(tokenizer, texts, work / "base", steps)
    rows = encoded(tokenizer, training)
    tune(work / "base", tokenizer, rows, work / "lora", steps, lora=True)
    tune(work / "base", tokenizer, rows, work / "full", steps, lora=False)
    (work / "train.jsonl").write_text("".join(lines(training)), encoding="utf-8")
    (work / "test.jsonl").write_text("".join(lines(test)), encoding="utf-8")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=Path(__file__).parent / "out")
    words.add_argument("--steps", type=int, default=300, help="of each of the three trainings")
    given = words.parse_args()
    main(given.work, steps=given.steps)
