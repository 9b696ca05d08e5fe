"""Builds a model of half a billion parameters and four short workloads of real rows for engine.py.

Random weights from a seed (24 layers, width 896, vocabulary 151,936, bfloat16), so nothing is
downloaded: what is timed does not depend on what the model has learnt.

Used by ``engine.py --size half-billion``.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZE = "half-billion"
SUBJECTS = ("abstract_algebra", "anatomy")
N_QUESTIONS = 8
"""Of each subject: 64 requests, which the peer answers in about a minute."""
SHAPE = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie": True,
}


def build(root: Path, peer_script: Path) -> Path:
    """Write base, full fine-tune and LoRA in bfloat16, with the peer script's own recipe."""
    import torch

    spec = importlib.util.spec_from_file_location("peer_script", peer_script)
    assert spec is not None and spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    peer.SIZES[SIZE] = SHAPE
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found: Path = peer.build_models(root, SIZE)
    finally:
        torch.set_default_dtype(before)
    return found


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows of a packed JSON Lines file."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def requests(data: Path) -> dict[str, list[dict[str, Any]]]:
    """Workload -> rows in the peer script's format, from Banking77, SST-2 and MMLU."""
    banking = read_rows(data / "banking77" / "test_half.jsonl.gz")
    films = read_rows(data / "sst2" / "validation.jsonl.gz")
    labels = sorted({str(row["category"]).replace("_", " ") for row in banking})
    found: dict[str, list[dict[str, Any]]] = {
        "banking77": [
            _scored(f"{n}-{label}", f"Message: {row['text']}\nIntent:", f" {label}")
            for n, row in enumerate(banking[:4])
            for label in labels
        ],
        "sst2": [
            _scored(f"{n}-{label}", f"Review: {row['sentence']}\nSentiment:", f" {label}")
            for n, row in enumerate(films[:60])
            for label in ("negative", "positive")
        ],
        "completions": [
            {
                "id": str(n),
                "kind": "generate",
                "context": f"Message: {row['text']}\nAnswer:",
                "until": [],
                "max_new_tokens": 32,
                "do_sample": False,
            }
            for n, row in enumerate(banking[-16:])
        ],
        "mmlu": list(_mmlu(data / "mmlu")),
    }
    return found


def _mmlu(folder: Path) -> Iterator[dict[str, Any]]:
    """Questions of a few subjects behind five examples each, in the published wording."""
    shots, questions = (read_rows(folder / f"{name}.jsonl.gz") for name in ("dev", "test"))
    for subject in SUBJECTS:
        examples = [row for row in shots if row["subject"] == subject][:5]
        topic = subject.replace("_", " ")
        head = f"The following are multiple choice questions (with answers) about {topic}.\n\n"
        head += "".join(f"{_asked(row)} {'ABCD'[row['answer']]}\n\n" for row in examples)
        own = [row for row in questions if row["subject"] == subject][:N_QUESTIONS]
        for n, row in enumerate(own):
            for letter in "ABCD":
                yield _scored(f"{subject}-{n}-{letter}", head + _asked(row), f" {letter}")


def _asked(row: dict[str, Any]) -> str:
    choices = zip("ABCD", row["choices"], strict=True)
    listed = "".join(f"\n{letter}. {choice}" for letter, choice in choices)
    return f"{row['question'].strip()}{listed}\nAnswer:"


def _scored(name: str, context: str, continuation: str) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "loglikelihood",
        "context": context,
        "continuation": continuation,
    }


def write(root: Path, data: Path, peer_script: Path) -> None:
    """Make models and request files where they are not there yet."""
    build(root, peer_script)
    for workload, rows in requests(data).items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (root / f"{workload}.requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
