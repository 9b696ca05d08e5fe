"""The scores from a plain script that knows nothing of tuneval: transformers, PEFT and rouge-score.

    python examples/seq2seq/check.py

Every article is read by itself, its summary written greedily by transformers' own ``generate``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from rouge_score.rouge_scorer import RougeScorer
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

PREFIX = "summarize: "
LONGEST, LONGEST_SUMMARY = 128, 48


@torch.no_grad()
def written(model: Any, tokenizer: Any, article: str) -> str:
    """A summary, greedily."""
    row = tokenizer(PREFIX + article, truncation=True, max_length=LONGEST, return_tensors="pt")
    ids = model.generate(
        input_ids=row["input_ids"],
        attention_mask=row["attention_mask"],
        max_new_tokens=LONGEST_SUMMARY,
        do_sample=False,
    )
    return str(tokenizer.decode(ids[0], skip_special_tokens=True))


@torch.no_grad()
def loglikelihood(model: Any, tokenizer: Any, article: str, summary: str) -> float:
    """Log-likelihood (nats) of a summary's own tokens, without the end token."""
    row = tokenizer(PREFIX + article, truncation=True, max_length=LONGEST, return_tensors="pt")
    labels = tokenizer(text_target=summary, return_tensors="pt")["input_ids"]
    logits = model(
        input_ids=row["input_ids"], attention_mask=row["attention_mask"], labels=labels
    ).logits
    chosen = logits.double().log_softmax(-1).gather(-1, labels[..., None])[0, :-1, 0]
    return float(chosen.sum())


def main(work: Path) -> dict[str, list[dict[str, Any]]]:
    """Text, ROUGE-L and log-likelihood of the reference for every variant and article."""
    rows = [json.loads(line) for line in (work / "test.jsonl").read_text("utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(work / "base")
    base = AutoModelForSeq2SeqLM.from_pretrained(work / "base").eval()
    other = AutoModelForSeq2SeqLM.from_pretrained(work / "base")
    variants = {
        "base": base,
        "lora": PeftModel.from_pretrained(other, work / "lora").eval(),
        "full": AutoModelForSeq2SeqLM.from_pretrained(work / "full").eval(),
    }
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    results = {}
    for name, model in variants.items():
        found = []
        for row in rows:
            text = written(model, tokenizer, row["article"])
            score = scorer.score(row["highlights"], text)["rougeL"].fmeasure
            nats = loglikelihood(model, tokenizer, row["article"], row["highlights"])
            found.append({"text": text, "rougeL": score, "loglikelihood": nats})
        results[name] = found
        mean = sum(one["rougeL"] for one in found) / len(found)
        print(f"{name}: ROUGE-L {100 * mean:.2f}")
    return results


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=Path(__file__).parent / "out")
    main(words.parse_args().work)
