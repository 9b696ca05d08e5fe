"""Heads over labels: tuneval beside transformers' Trainer.predict and pipeline, on rows of real lengths.

A random encoder of BERT's size (110 M parameters) reads SST-2, MNLI (pairs) and Banking77. Each contestant
is a process of its own, one thread, all in turn; processor seconds of answering alone (the model is
loaded, the Trainer's rows are tokenised before), and the peak of the whole process.

    python evidence/classifiers.py --rows 128                  # BERT, all three
    python evidence/classifiers.py --family modernbert --sets mnli
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SETS = {
    "sst2": ("sst2/validation.jsonl.gz", ("text",), 2),
    "mnli": ("glue/mnli.jsonl.gz", ("premise", "hypothesis"), 3),
    "banking77": ("banking77/test_half.jsonl.gz", ("text",), 77),
}
"""Name -> file, columns, labels. "mixed" takes rows of each in turn, as single texts."""


def texts_of(name: str, n_rows: int) -> list[tuple[str, ...]]:
    """The first rows of a set, as they lie in its file."""
    if name == "mixed":
        each = zip(*(texts_of(one, -(-n_rows // len(SETS))) for one in SETS), strict=True)
        return [(" ".join(one),) for row in each for one in row][:n_rows]
    file, columns, _ = SETS[name]
    folder = SHARED / "data" / file
    if not folder.is_file():
        folder = sorted(folder.parent.glob("*.jsonl.gz"))[0]
    with gzip.open(folder, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    keys = [column if column in rows[0] else "sentence" for column in columns]
    return [tuple(row[key] for key in keys) for row in rows[:n_rows]]


def n_labels_of(name: str) -> int:
    return 3 if name == "mixed" else SETS[name][2]


def make(folder: Path, family: str, n_labels: int, texts: Sequence[tuple[str, ...]]) -> None:
    """A random model of BERT's or ModernBERT's base size and a tokenizer trained on the texts."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=8000, special_tokens=special)
    inner.train_from_iterator([text for pair in texts for text in pair], trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    kinds = ["input_ids", "attention_mask"] + (["token_type_ids"] if family == "bert" else [])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=512, model_input_names=kinds, **names
    )
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](
        num_labels=n_labels, pad_token_id=0, cls_token_id=2, sep_token_id=3, vocab_size=30522
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# --------------------------------------------------------------------------------- contestants


def ask_tuneval(folder: Path, texts: Sequence[tuple[str, ...]], n_labels: int) -> Any:
    from tuneval.engine.hf.backend import HFBackend, HFOptions
    from tuneval.types import Request, Variant

    backend = HFBackend(HFOptions(device="cpu", threads=1))
    variant = Variant("m", "full", str(folder), head="classification")
    backend.prepare([variant])
    requests = [
        Request(f"{n} {label}", str(n), "", continuation=str(label), texts=one, label=str(label))
        for n, one in enumerate(texts)
        for label in range(n_labels)
    ]
    began = time.process_time()
    found = {one.request_id: one.loglikelihood for one in backend.answer(variant, requests)}
    seconds = time.process_time() - began
    return seconds, [
        [found[f"{n} {label}"] for label in range(n_labels)] for n in range(len(texts))
    ]


def ask_trainer(folder: Path, texts: Sequence[tuple[str, ...]], size: int) -> Any:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(*map(list, zip(*texts, strict=True)), truncation=True)
    rows = [{key: encoded[key][n] for key in encoded} for n in range(len(texts))]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_eval_batch_size=size,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer))
    began = time.process_time()
    logits = trainer.predict(rows).predictions
    seconds = time.process_time() - began
    return seconds, torch.tensor(logits).double().log_softmax(-1).tolist()


def ask_pipeline(folder: Path, texts: Sequence[tuple[str, ...]], size: int) -> Any:
    import torch
    from transformers import pipeline

    torch.set_num_threads(1)
    ask = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
    sides = [dict(zip(("text", "text_pair"), one, strict=False)) for one in texts]
    began = time.process_time()
    found = list(ask(sides, batch_size=size, truncation=True, function_to_apply="softmax"))
    seconds = time.process_time() - began
    shares = [{one["label"]: one["score"] for one in row} for row in found]
    labels = sorted(shares[0], key=lambda label: int(label.removeprefix("LABEL_")))
    return seconds, torch.tensor(
        [[row[label] for label in labels] for row in shares]
    ).log().tolist()


def ask_limit(folder: Path, texts: Sequence[tuple[str, ...]]) -> Any:
    """What the same tokens take at the best rate of the model's own forward, no row padded."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = AutoTokenizer.from_pretrained(folder)(*map(list, zip(*texts, strict=True)))
    n_tokens = sum(map(len, encoded["input_ids"]))
    rates = []
    for shape in ((64, 16), (32, 32), (16, 64), (64, 32)):
        ids = torch.randint(5, 1000, shape)
        for _ in range(3):
            began = time.process_time()
            with torch.inference_mode():
                model(input_ids=ids)
            rates.append(ids.numel() / (time.process_time() - began))
    return n_tokens / max(rates), []


def child(contestant: str, folder: Path, name: str, n_rows: int) -> None:
    texts = texts_of(name, n_rows)
    kind, _, size = contestant.partition(" ")
    if kind == "tuneval":
        seconds, logprobs = ask_tuneval(folder, texts, n_labels_of(name))
    elif kind == "limit":
        seconds, logprobs = ask_limit(folder, texts)
    else:
        ask = ask_trainer if kind == "trainer" else ask_pipeline
        seconds, logprobs = ask(folder, texts, int(size))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "logprobs": logprobs}))


# ------------------------------------------------------------------------------------- the table


def measured(
    folder: Path, name: str, n_rows: int, batch_sizes: Sequence[int]
) -> Iterator[tuple[str, Any]]:
    sizes = [f"{kind} {size}" for kind in ("trainer", "pipeline") for size in batch_sizes]
    for contestant in ("tuneval", *sizes, "limit"):
        words = [sys.executable, __file__, "--child", contestant, "--folder", str(folder)]
        words += ["--sets", name, "--rows", str(n_rows)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
        ended = subprocess.run(words, check=False, env=environment, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(ended.stderr[-2000:])
        run = json.loads(ended.stdout.strip().splitlines()[-1])
        print(f"    {contestant:<12} {run['seconds']:8.2f} s {run['peak_mb']:8.0f} MB", flush=True)
        yield contestant, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", choices=("bert", "modernbert"), default="bert")
    parser.add_argument("--sets", nargs="+", choices=[*SETS, "mixed"], default=[*SETS, "mixed"])
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=(1, 4, 8, 32))
    parser.add_argument("--child")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.sets[0], options.rows)
        return
    for name in options.sets:
        texts = texts_of(name, options.rows)
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), options.family, n_labels_of(name), texts)
            print(f"{options.family}, {name}, {len(texts)} rows", flush=True)
            found = dict(measured(Path(folder), name, options.rows, options.batch_sizes))
        own, limit = found.pop("tuneval"), found.pop("limit")
        print(f"  to the limit: {own['seconds'] / limit['seconds']:.2f}")
        for kind in ("trainer", "pipeline"):
            best, peer = min(
                ((one, run) for one, run in found.items() if one.startswith(kind)),
                key=lambda pair: pair[1]["seconds"],
            )
            difference = max(
                abs(a - b)
                for mine, theirs in zip(own["logprobs"], peer["logprobs"], strict=True)
                for a, b in zip(mine, theirs, strict=True)
            )
            print(
                f"  {best}: ratio {peer['seconds'] / own['seconds']:.2f}, peak {own['peak_mb']:.0f} "
                f"beside {peer['peak_mb']:.0f} MB, log-probabilities differ by {difference:.0e} at most"
            )


if __name__ == "__main__":
    main()
