"""Tune a small model with TRL's SFTTrainer on chat messages, and leave what TRL leaves.

The base is the one bundled with tuneval's demo; it never saw a chat template. TRL puts one on,
learns the assistant's turns alone and saves it with the adapter. Needs ``pip install trl``.

    python examples/trl_chat/train.py
    tuneval compare --adapter examples/trl_chat/out/lora --data examples/trl_chat/out/test.jsonl
    python examples/trl_chat/check.py         # the same score from a plain script
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import tuneval
from tuneval.demo import folder

WORK = Path(__file__).parent / "out"
CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- 'Customer: ' + message['content'] + '\n' if message['role'] == 'user' }}
{%- if message['role'] == 'assistant' %}
{{- 'About:' }}{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'About:' }}{% endif %}"""


def conversations(name: str) -> list[dict[str, object]]:
    """A message of a customer, and its topic as the answer of the assistant."""
    rows = [json.loads(line) for line in (folder() / name).read_text("utf-8").splitlines()]
    return [
        {
            "messages": [
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": row["label"]},
            ]
        }
        for row in rows
    ]


def main(work: Path, steps: int, every: int = 40) -> SFTTrainer:
    """Write the base, the test file and the adapter below ``work``; look every so many steps (0: never)."""
    work.mkdir(parents=True, exist_ok=True)
    base = work / "base"
    shutil.copytree(folder() / "base", base, dirs_exist_ok=True)
    test = "".join(json.dumps(row) + "\n" for row in conversations("test.jsonl"))
    (work / "test.jsonl").write_text(test, encoding="utf-8")

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = CHAT_TEMPLATE
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(conversations("train.jsonl")),
        eval_dataset=Dataset.from_list(conversations("validation.jsonl")),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"
        ),
        args=SFTConfig(
            output_dir=str(work / "lora"),
            assistant_only_loss=True,
            max_steps=steps,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            logging_steps=20,
            eval_strategy="steps",
            eval_steps=20,
            save_strategy="no",
            report_to="none",
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            seed=0,
        ),
    )
    if every:
        # The base with its adapter off against the adapter as it is now, on development cases. It
        # leaves the training as it was: the weights are the same bits with it and without.
        watch = tuneval.TrainerCallback(
            conversations("validation.jsonl"), every=every, trainer=trainer
        )
        trainer.add_callback(watch)
    began = time.monotonic()
    trainer.train()
    took = time.monotonic() - began
    if every:
        print(f"evaluations: {watch.seconds:.1f} of {took:.1f} s")
    trainer.save_model()
    trainer.save_state()
    return trainer


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, default=WORK)
    words.add_argument("--steps", type=int, default=120)
    words.add_argument("--every", type=int, default=40, help="evaluate so often; 0: never")
    given = words.parse_args()
    main(given.work, given.steps, given.every)
