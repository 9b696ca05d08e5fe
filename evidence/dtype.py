"""Backs "How far bfloat16 moves numbers" of docs/performance.md: real rows, stored bfloat16 weights.

The same weights answer in float32 and in bfloat16: by tuneval, by transformers' plain forward (one
text at a time, softmax in float32) and by lm-evaluation-harness at batch size 1. Each is held
against tuneval in float32: log-likelihoods, and the label with the largest one.

    python evidence/dtype.py WORK --data ../shared/data --peer-script ../shared/bench/peer_lm_eval.py
        --peer-python /tmp/peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from half_billion import build, read_rows

from tuneval.engine.hf.backend import HFBackend
from tuneval.types import Request, Variant

LETTERS = "ABCD"
RANDOM = {
    "random, 24 M": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "random, 110 M": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}
Numbers = Mapping[str, float]


def rows_of(data: Path, n: int) -> dict[str, list[dict[str, str]]]:
    """Set -> rows (id, case, context, continuation): ``n`` cases of each set, all labels."""
    films = read_rows(data / "sst2" / "validation.jsonl.gz")[:n]
    banking = read_rows(data / "banking77" / "test_half.jsonl.gz")
    intents = sorted({str(row["category"]).replace("_", " ") for row in banking})
    step = max(1, len(banking) // max(1, n // 8))
    asked: dict[str, list[tuple[str, list[str]]]] = {
        "SST-2": [
            (f"Review: {row['sentence']}\nSentiment:", ["negative", "positive"]) for row in films
        ],
        "Banking77": [
            (f"Message: {row['text']}\nIntent:", intents) for row in banking[::step][: n // 8]
        ],
        "MMLU": [(prompt, list(LETTERS)) for prompt in questions(data, n)],
    }
    return {
        name: [
            {
                "id": f"{place}-{label}",
                "case": str(place),
                "kind": "loglikelihood",
                "context": prompt,
                "continuation": f" {label}",
            }
            for place, (prompt, labels) in enumerate(cases)
            for label in labels
        ]
        for name, cases in asked.items()
    }


def questions(data: Path, n: int) -> list[str]:
    """``n`` questions of MMLU that are short enough for 512 tokens of any model, without examples."""
    found = []
    for file in sorted((data / "mmlu").rglob("*test*.jsonl.gz")):
        for row in read_rows(file):
            lines = [f"{key}. {text}" for key, text in zip(LETTERS, row["choices"], strict=True)]
            text = "\n".join([str(row["question"]), *lines, "Answer:"])
            if len(text) < 400:
                found.append(text)
    return found[:: max(1, len(found) // n)][:n]


def stored_in_half(source: Path, folder: Path) -> Path:
    """A copy of a model whose weights are stored in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        shutil.copytree(source, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
        model.save_pretrained(folder)
    return folder


def random_model(shape: Mapping[str, int], tokenizer: Path, folder: Path) -> Path:
    """A model with random weights and the tokenizer of another, stored in bfloat16."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    if not (folder / "config.json").is_file():
        words = AutoTokenizer.from_pretrained(tokenizer)
        torch.manual_seed(0)
        width = shape["hidden_size"]
        config = LlamaConfig(
            **shape,
            vocab_size=len(words),
            intermediate_size=4 * width,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        )
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        words.save_pretrained(folder)
    return folder


def ours(model: Path, rows: Sequence[Mapping[str, str]], dtype: str) -> dict[str, float]:
    """Request id -> log-likelihood in nats."""
    variant = Variant("base", "base", str(model))
    backend = HFBackend(HFBackend.Options(device="cpu", dtype=dtype, offline=True, threads=1))
    asked = [
        Request(row["id"], row["id"], row["context"], continuation=row["continuation"])
        for row in rows
    ]
    try:
        backend.prepare([variant])
        return {
            one.request_id: float(one.loglikelihood or 0) for one in backend.answer(variant, asked)
        }
    finally:
        backend.close()


def plain(model: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """The same by transformers' own forward in bfloat16, one text at a time, softmax in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).eval()
    found = {}
    with torch.inference_mode():
        for row in rows:
            n = len(words(row["context"])["input_ids"])
            ids = words(row["context"] + row["continuation"], return_tensors="pt")["input_ids"]
            logprobs = network(ids).logits[0, n - 1 : -1].float().log_softmax(-1)
            picked = logprobs.gather(1, ids[0, n:, None])
            found[row["id"]] = float(picked.sum())
    return found


def peer(given: argparse.Namespace, model: Path, file: Path, dtype: str) -> dict[str, float]:
    """The same by lm-evaluation-harness at batch size 1."""
    models, work = file.parent / "models", file.parent / "peer"
    models.mkdir(exist_ok=True)
    link = models / "base"
    link.unlink(missing_ok=True)
    link.symlink_to(model.resolve())
    command = [given.peer_python, given.peer_script, "run", "--dir", work, "--models", models]
    command += ["--requests", file, "--variants", "base", "--batch-size", "1", "--threads", "1"]
    command += ["--dtype", dtype]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    (answers,) = sorted((work / "out").glob(f"{file.name.partition('.')[0]}*.base.jsonl"))
    lines = answers.read_text(encoding="utf-8").splitlines()
    answers.unlink()
    return {row["id"]: row["loglikelihood"] for row in map(json.loads, lines)}


def moved(rows: Sequence[Mapping[str, str]], exact: Numbers, other: Numbers) -> str:
    """Cells of the table: how far ``other`` stands from ``exact``, and what that decides."""
    gaps = np.array([abs(exact[row["id"]] - other[row["id"]]) for row in rows])
    cases: dict[str, list[str]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row["id"])
    n_changed, margins = 0, [0.0]
    for ids in cases.values():
        before, after = (max(ids, key=lambda one: found[one]) for found in (exact, other))
        if before != after:
            n_changed += 1
            margins.append(exact[before] - exact[after])
    changed = f"{n_changed} of {len(cases)}" + f" ({max(margins):.3f})" * bool(n_changed)
    return f"{gaps.mean():.4f} | {gaps.max():.3f} | {changed}"


def models_of(given: argparse.Namespace) -> dict[str, Path]:
    """Name -> folder of a model that is stored in bfloat16."""
    small = given.data / "models" / "stories260k"
    makers: dict[str, Callable[[], Path]] = {
        "stories260k, real": lambda: stored_in_half(small, given.work / "stories260k"),
        "random, 0.5 B": lambda: build(given.work, given.peer_script) / "base",
    }
    for name, shape in RANDOM.items():
        folder = given.work / name.replace(", ", "-").replace(" ", "")
        makers[name] = partial(random_model, shape, small, folder)
    return {name: make() for name, make in sorted(makers.items()) if given.only in name}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-script", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--only", default="", help="models whose names hold this")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    print("| model | rows | by | mean, nats | largest | labels changed (largest margin) |")
    print("|---|---|---|---:|---:|---|", flush=True)
    for name, model in models_of(given).items():
        n = given.cases // 8 if "0.5" in name else given.cases
        for kind, rows in rows_of(given.data, n).items():
            file = given.work / f"{kind.lower().replace('-', '')}.requests.jsonl"
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            exact = ours(model, rows, "float32")
            others = {
                "tuneval": ours(model, rows, "bfloat16"),
                "plain forward": plain(model, rows),
                "lm-eval": peer(given, model, file, "bfloat16"),
            }
            for who, found in others.items():
                print(f"| {name} | {kind} | {who} | {moved(rows, exact, found)} |", flush=True)


if __name__ == "__main__":
    main()
