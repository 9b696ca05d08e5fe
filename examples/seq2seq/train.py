"""Tune a small T5 to summarise real news: a LoRA and fully. Nothing is downloaded.

The base is made here: a T5 of 293,000 parameters with a tokenizer of its own, both from the
articles that it is tuned on later; it has learned to put back words that were taken out, as T5 did.
The articles and their summaries lie in the project's shared data folder.

    python examples/seq2seq/train.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoModelForSeq2SeqLM,
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
PREFIX = "summarize: "
LONGEST, LONGEST_SUMMARY = 128, 48
SENTINELS = [f"<extra_id_{n}>" for n in range(20)]
Pair = tuple[str, str]


def plain(text: str) -> str:
    """The files mark sentences with tags and line breaks."""
    return re.sub(r"\s+", " ", re.sub(r"</?t>", " ", text)).strip()


def rows_of(shared: Path, name: str) -> list[dict[str, Any]]:
    path = shared / "data" / f"cnndm_{name}" / f"{name}.jsonl.gz"
    if not path.exists():
        raise SystemExit(f'no rows at "{path}": say with --shared where the real data lies')
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def training_pairs(shared: Path, besides: set[str]) -> list[Pair]:
    """Articles with their reference, and with what two dozen published systems made of them."""
    pairs = []
    for row in rows_of(shared, "realsumm"):
        article = plain(row["article"])
        if article in besides:
            continue
        pairs.append((article, plain(row["reference"])))
        pairs += [(article, plain(one["summary"])) for one in row["systems"].values()]
    random.Random(0).shuffle(pairs)
    return pairs


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Pieces as T5 has them, an end token after every text, sentinels for what was taken out."""
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", *SENTINELS]
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", inner.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=SENTINELS,
        model_max_length=LONGEST,
    )


def with_gaps(draw: random.Random, article: str) -> Pair:
    """A passage with some words taken out, and those words between sentinels."""
    words = article.split()
    start = draw.randrange(max(1, len(words) - 80))
    read: list[str] = []
    missing: list[str] = []
    for word in words[start : start + 80]:
        if draw.random() < 0.15 and len(missing) < 2 * len(SENTINELS):
            sentinel = SENTINELS[len(missing) // 2]
            read.append(sentinel)
            missing += [sentinel, word]
        else:
            read.append(word)
    return " ".join(read), " ".join(missing)


def encoded(tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair]) -> list[Any]:
    """Ids of both sides, each cut at its end, as everybody's script does it."""
    rows = []
    for source, target in pairs:
        row = tokenizer(source, truncation=True, max_length=LONGEST)
        labels = tokenizer(text_target=target, truncation=True, max_length=LONGEST_SUMMARY)
        rows.append({"input_ids": row["input_ids"], "labels": labels["input_ids"]})
    return rows


def fit(model: Any, tokenizer: Any, rows: Sequence[Any], folder: Path, n: int, rate: float) -> None:
    """Transformers' own trainer; leaves its log in the folder."""
    settings = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        max_steps=n,
        per_device_train_batch_size=16,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        logging_steps=max(1, n // 6),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    trainer = Seq2SeqTrainer(
        model=model,
        args=settings,
        train_dataset=list(rows),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
    )
    trainer.train()
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def make_base(
    tokenizer: PreTrainedTokenizerFast, articles: Sequence[str], folder: Path, n: int
) -> None:
    """A T5 that has learned to put back what was taken out, and never saw a summary."""
    set_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            n_positions=LONGEST,
            dropout_rate=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
    )
    draw = random.Random(0)
    pairs = [with_gaps(draw, draw.choice(articles)) for _ in range(16 * n)]
    fit(model, tokenizer, encoded(tokenizer, pairs), folder, n, 3e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tune(
    base: Path, tokenizer: Any, rows: Sequence[Any], folder: Path, n: int, *, lora: bool
) -> None:
    """Train on summaries; with ``lora`` the base itself stays as it is."""
    set_seed(1)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(base)
    if lora:
        config = LoraConfig(
            task_type="SEQ_2_SEQ_LM",
            r=16,
            lora_alpha=32,
            target_modules=["q", "k", "v", "o", "wi", "wo"],
        )
        model = get_peft_model(model, config)
    fit(model, tokenizer, rows, folder, n, 5e-3 if lora else 3e-3)
    model.save_pretrained(folder)
    if not lora:
        tokenizer.save_pretrained(folder)


def main(work: Path, shared: Path = SHARED, *, steps: int = 400, n_test: int | None = None) -> None:
    """Base, LoRA, full fine-tune and test file in ``work``."""
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    test = [
        {"article": plain(row["article"]), "highlights": plain(row["reference"])}
        for row in rows_of(shared, "summeval")
    ]
    pairs = training_pairs(shared, {row["article"] for row in test})
    print(f"{len(pairs)} summaries to train on, {len(test)} articles to test with")
    articles = sorted({article for article, _ in pairs})
    tokenizer = make_tokenizer([*articles, PREFIX, *(summary for _, summary in pairs)])
    make_base(tokenizer, articles, work / "base", steps)
    rows = encoded(tokenizer, [(PREFIX + article, summary) for article, summary in pairs])
    tune(work / "base", tokenizer, rows, work / "lora", steps, lora=True)
    tune(work / "base", tokenizer, rows, work / "full", steps, lora=False)
    lines = (json.dumps(row) + "\n" for row in test[:n_test])
    (work / "test.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=Path(__file__).parent / "out")
    words.add_argument("--shared", type=Path, default=SHARED, help="folder with the real data")
    words.add_argument("--steps", type=int, default=400, help="of each of the three trainings")
    given = words.parse_args()
    main(given.work, given.shared, steps=given.steps)
