"""The adapter's score from a plain script that knows nothing of tuneval: transformers and PEFT.

    python examples/trl_chat/check.py

Each label is put behind the chat template's generation prompt; the one with the largest sum of
log-probabilities is the answer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def loglikelihood(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> float:
    """Sum of the log-probabilities (nats) of the answer's tokens after the prompt."""
    logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.double().log_softmax(-1)[range(len(answer)), answer]
    return float(chosen.sum())


def main(work: Path) -> dict[str, int]:
    """Count the right answers of the base and of the adapter, each with the adapter's template."""
    tokenizer = AutoTokenizer.from_pretrained(work / "lora")
    base = AutoModelForCausalLM.from_pretrained(work / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, work / "lora").eval()
    rows = [json.loads(line) for line in (work / "test.jsonl").read_text("utf-8").splitlines()]
    labels = sorted({row["messages"][-1]["content"] for row in rows})
    n_right = {"base": 0, "lora": 0}
    for row in rows:
        *turns, reference = row["messages"]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        answers = [
            tokenizer(text + space + label, add_special_tokens=False)["input_ids"][len(prompt) :]
            for space, label in ((" ", label) for label in labels)
        ]
        for name in n_right:
            if name == "base":
                with model.disable_adapter():
                    scores = [loglikelihood(model, prompt, answer) for answer in answers]
            else:
                scores = [loglikelihood(model, prompt, answer) for answer in answers]
            n_right[name] += labels[scores.index(max(scores))] == reference["content"]
    for name, n in n_right.items():
        print(f"{name}: {n} of {len(rows)} right, {100 * n / len(rows):.1f}")
    return n_right


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=Path(__file__).parent / "out")
    main(words.parse_args().work)
