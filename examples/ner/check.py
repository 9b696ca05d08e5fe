"""The scores from a plain script that knows nothing of tuneval: transformers, PEFT and seqeval's rules.

    python examples/ner/check.py

The tag of a word is that of its first token. With seqeval installed its F1 is printed, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForTokenClassification, AutoTokenizer

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-DATE", "I-DATE")


@torch.no_grad()
def tagged(model: torch.nn.Module, tokenizer: Any, words: list[str]) -> list[str]:
    """One tag a word."""
    row = tokenizer(words, is_split_into_words=True, truncation=True, return_tensors="pt")
    best = model(**row).logits[0].argmax(-1).tolist()
    places = row.word_ids(0)
    return [TAGS[best[places.index(n)]] if n in places else "O" for n in range(len(words))]


def entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """Entities of BIO tags; an I that follows nothing of its type starts one."""
    found, start, kind = set(), 0, ""
    for place, tag in enumerate([*tags, "O"]):
        goes_on = tag == f"I-{kind}" and kind
        if not goes_on:
            if kind:
                found.add((kind, start, place - 1))
            start, kind = place, tag[2:]
    return found


def main(work: Path) -> dict[str, dict[str, Any]]:
    """Tags and F1 of the adapter and of the full fine-tune."""
    rows = [json.loads(line) for line in (work / "test.jsonl").read_text("utf-8").splitlines()]
    base = AutoModelForTokenClassification.from_pretrained(work / "base", num_labels=len(TAGS))
    variants = {
        "lora": PeftModel.from_pretrained(base, work / "lora").eval(),
        "full": AutoModelForTokenClassification.from_pretrained(work / "full").eval(),
    }
    tokenizer = AutoTokenizer.from_pretrained(work / "base")
    expected = [row["ner_tags"] for row in rows]
    results = {}
    for name, model in variants.items():
        given = [tagged(model, tokenizer, row["tokens"]) for row in rows]
        pairs = [(entities(a), entities(b)) for a, b in zip(expected, given, strict=True)]
        n_right = sum(len(a & b) for a, b in pairs)
        f1 = 2 * n_right / sum(len(a) + len(b) for a, b in pairs)
        results[name] = {"tags": [" ".join(one) for one in given], "f1": f1}
        print(f"{name}: F1 {100 * f1:.2f}")
        try:
            from seqeval.metrics import f1_score

            print(f"    seqeval says {100 * f1_score(expected, given):.2f}")
        except ImportError:
            pass
    return results


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=Path(__file__).parent / "out")
    main(words.parse_args().work)
