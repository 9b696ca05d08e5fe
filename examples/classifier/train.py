"""Train classifiers with a head over labels: LoRA adapters (SEQ_CLS) and a full fine-tune, on real rows.

The base is a small encoder made here (RoBERTa's shape, words filled in on the training texts), or the
real TinyStories model, which is a decoder. Nothing is downloaded.

    python examples/classifier/train.py                  # TREC-6, an encoder
    python examples/classifier/train.py --task mnli      # pairs of texts
    python examples/classifier/train.py --base stories   # TREC-6, a decoder with a score head
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModelForSequenceClassification, get_peft_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    Trainer,
    TrainingArguments,
    set_seed,
)

FOLDER = Path(__file__).parent
SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A data set: where it lies, which columns are read, what the labels are called, in their order."""

    file: str
    columns: tuple[str, ...]
    label: str
    names: tuple[str, ...]
    test_file: str | None = None


TASKS = {
    "trec6": Task(
        "trec6/train.jsonl.gz",
        ("text",),
        "coarse_label",
        ("abbreviation", "entity", "description", "human", "location", "number"),
        "trec6/test_half.jsonl.gz",
    ),
    "mnli": Task(
        "glue/mnli.jsonl.gz",
        ("premise", "hypothesis"),
        "label",
        ("entailment", "neutral", "contradiction"),
    ),
}


def rows_of(task: Task, shared: Path, limit: int | None) -> tuple[list[Row], list[Row]]:
    """Rows to train on and rows to test with; of one file, a fifth is kept for the test."""
    rows = _read(shared / "data" / task.file)
    if task.test_file:
        return rows[:limit], _read(shared / "data" / task.test_file)[:limit]
    n_test = len(rows) // 5
    return rows[n_test:][:limit], rows[:n_test][:limit]


def _read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(0).shuffle(rows)
    return rows


# ------------------------------------------------------------------------------------- the base


def make_encoder(folder: Path, texts: Sequence[str], steps: int) -> None:
    """A small encoder and its tokenizer, both trained on texts alone: it has never seen a label."""
    inner = Tokenizer(models.WordPiece(unk_token="<unk>"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    inner.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special)
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=128,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    set_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=130,
    )
    model = RobertaForMaskedLM(config)
    rows = [{"input_ids": ids} for ids in tokenizer(list(texts), truncation=True)["input_ids"]]
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    Trainer(model, _arguments(folder, steps, 1e-3, 0), collate, train_dataset=rows).train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _arguments(folder: Path, steps: int, learning_rate: float, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=32,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 10,
        train_sampling_strategy="group_by_length",
        seed=seed,
        logging_steps=max(1, steps // 6),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
    )


# --------------------------------------------------------------------------------- classifiers


def load(folder: Path, task: Task) -> tuple[Any, Any]:
    """A base with a new head over the task's labels, and its tokenizer."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        id2label=dict(enumerate(task.names)),
        label2id={name: number for number, name in enumerate(task.names)},
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:  # a decoder finds the end of a text by it
        model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def tune(
    base: Path, folder: Path, task: Task, rows: Sequence[Row], steps: int, seed: int | None
) -> None:
    """Train one adapter, or the whole model where there is no seed of an adapter, and save it."""
    set_seed(seed or 0)
    model, tokenizer = load(base, task)
    if seed is not None:
        config = LoraConfig(
            task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=_projections(model)
        )
        model = get_peft_model(model, config)
    texts = [[row[column] for row in rows] for column in task.columns]
    encoded = tokenizer(*texts, truncation=True)
    data = [
        {"input_ids": ids, "labels": row[task.label]}
        for ids, row in zip(encoded["input_ids"], rows, strict=True)
    ]
    trainer = Trainer(
        model,
        _arguments(folder, steps, 3e-3 if seed is not None else 1e-3, seed or 0),
        DataCollatorWithPadding(tokenizer),
        train_dataset=data,
    )
    trainer.train()
    trainer.save_model(str(folder))
    tokenizer.save_pretrained(folder)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def _projections(model: Any) -> list[str]:
    return ["query", "value"] if hasattr(model, "roberta") else ["q_proj", "v_proj", "down_proj"]


@torch.no_grad()
def logprobs(folder: Path, base: Path, task: Task, rows: Sequence[Row]) -> torch.Tensor:
    """Log-probabilities of the labels, (rows, labels): one text at a time, by transformers alone."""
    is_adapter = (folder / "adapter_config.json").is_file()
    model, tokenizer = load(base if is_adapter else folder, task)
    if is_adapter:
        model = PeftModelForSequenceClassification.from_pretrained(model, folder)
    model.eval()
    found = []
    for row in rows:
        ids = tokenizer(*[row[column] for column in task.columns], truncation=True)["input_ids"]
        found.append(model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1))
    return torch.stack(found)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", choices=sorted(TASKS), default="trec6")
    parser.add_argument("--base", choices=("encoder", "stories"), default="encoder")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with the real data")
    parser.add_argument("--output", type=Path, help="where the weights go (out/TASK-BASE)")
    parser.add_argument("--training-seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--limit", type=int, help="read so many rows of each file only")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    task = TASKS[options.task]
    output = options.output or FOLDER / "out" / f"{options.task}-{options.base}"
    rows, test = rows_of(task, options.shared, options.limit)
    base = output / "base"
    if options.base == "stories":
        stories = options.shared / "data" / "models" / "stories260k"
        shutil.copytree(stories, base, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        texts = [row[column] for row in rows for column in task.columns]
        make_encoder(base, texts, options.steps)
    for seed in options.training_seeds:
        tune(base, output / f"lora-seed{seed}", task, rows, options.steps, seed)
    tune(base, output / "full", task, rows, options.steps, None)
    for name, part in (("train", rows), ("test", test)):
        write(task, part, output / f"{name}.jsonl")
    for name in (*[f"lora-seed{seed}" for seed in options.training_seeds], "full"):
        said = logprobs(output / name, base, task, test).argmax(-1).tolist()
        right = sum(one == row[task.label] for one, row in zip(said, test, strict=True))
        print(f"{name:<12} {right} of {len(test)} right: {right / len(test):.1%}")


def write(task: Task, rows: Sequence[Row], path: Path) -> None:
    """Rows as tuneval reads them: the texts, and the label by its name."""
    kept = [
        {**{column: row[column] for column in task.columns}, "label": task.names[row[task.label]]}
        for row in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


if __name__ == "__main__":
    main()
