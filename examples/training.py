"""The training that all examples share: prompt + label, loss on the label alone, HF's own Trainer.

Written to be read: this is ordinary transformers and PEFT, nothing here knows tuneval. What it
leaves on disk (adapter or model folder with its ``trainer_state.json``) is what tuneval compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

Encoded = dict[str, list[int]]  # input_ids and labels
IGNORED = -100  # the label id that transformers leaves out of the loss


@dataclass(frozen=True)
class Pair:
    """What the model sees and what it should say: the completion begins with the joining space.

    ``has_end_token``: the end token is learned as part of the completion. A base that never saw its
    end token in pre-training learns a new line at the end of the completion far sooner.
    """

    prompt: str
    completion: str
    has_end_token: bool = True


@dataclass(frozen=True)
class Recipe:
    """The settings of one training run; two runs of one recipe differ in ``training_seed`` alone."""

    learning_rate: float
    epochs: float
    batch_size: int = 32
    evaluations: int = 6
    training_seed: int = 0
    steps: int | None = None  # stop after so many steps whatever ``epochs`` says


def load(folder: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder, in float32 whatever the dtype on disk."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


def with_lora(
    model: PreTrainedModel,
    *,
    rank: int,
    targets: Sequence[str] | str,
    training_seed: int,
    dropout: float = 0.05,
) -> PeftModel:
    """Freeze the model and put a LoRA adapter on it; the seed decides the adapter's start."""
    set_seed(training_seed)
    targets = targets if isinstance(targets, str) else list(targets)
    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=rank,
            lora_alpha=2 * rank,
            lora_dropout=dropout,
            target_modules=targets,
        ),
    )


def encode(tokenizer: PreTrainedTokenizerBase, pair: Pair) -> Encoded:
    """Token ids of prompt + completion, with the prompt left out of the loss.

    The two are tokenised together, as they will be when the model is scored: a tokenizer of the
    Llama family would put a second space before a completion that it sees alone.
    """
    prompt = tokenizer(pair.prompt)["input_ids"]
    ids = tokenizer(pair.prompt + pair.completion)["input_ids"]
    if ids[: len(prompt)] != prompt:
        raise ValueError(f'the completion changes how the prompt is tokenised: "{pair.prompt}"')
    if pair.has_end_token:
        ids = [*ids, tokenizer.eos_token_id]
    return {"input_ids": ids, "labels": [IGNORED] * len(prompt) + ids[len(prompt) :]}


@dataclass(frozen=True)
class Padding:
    """Makes a batch out of encoded pairs by padding on the right."""

    pad_token_id: int

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)

        def padded(key: str, filler: int) -> torch.Tensor:
            return torch.tensor([row[key] + [filler] * (width - len(row[key])) for row in rows])

        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        return {
            "input_ids": padded("input_ids", self.pad_token_id),
            "labels": padded("labels", IGNORED),
            "attention_mask": (torch.arange(width) < lengths[:, None]).long(),
        }


def train(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Encoded],
    validation: Sequence[Encoded],
    recipe: Recipe,
    folder: Path,
) -> None:
    """Train, then save the weights (of the adapter alone if there is one) and the training log."""
    n_steps = recipe.steps or math.ceil(recipe.epochs * math.ceil(len(rows) / recipe.batch_size))
    every = max(1, n_steps // recipe.evaluations)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=n_steps,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=64,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=n_steps // 20,
            train_sampling_strategy="group_by_length",  # less padding
            seed=recipe.training_seed,
            logging_strategy="steps",
            logging_steps=every,
            eval_strategy="steps" if validation else "no",
            eval_steps=every,
            prediction_loss_only=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=True,  # models this small are slower on an accelerator
        ),
        train_dataset=rows,
        eval_dataset=validation or None,
        data_collator=Padding(tokenizer.pad_token_id),
    )
    trainer.train()
    save(model, tokenizer, folder)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def save(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write weights as safetensors; the tokenizer goes with full models only."""
    model.save_pretrained(folder)
    if not isinstance(model, PeftModel):
        tokenizer.save_pretrained(folder)
        return
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    settings = folder / "adapter_config.json"
    config = json.loads(settings.read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])  # a set: its order is by chance
    settings.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.no_grad()
def loglikelihoods(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    completions: Sequence[str],
) -> list[float]:
    """Log-likelihood (nats) of each completion after the prompt, which is read only once."""
    start = len(tokenizer(prompt)["input_ids"]) - 1  # its last token predicts the first of ours
    rows = [tokenizer(prompt + completion)["input_ids"] for completion in completions]
    batch = Padding(tokenizer.pad_token_id)([{"input_ids": ids, "labels": ids} for ids in rows])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    cache = model(input_ids=ids[:1, :start], use_cache=True).past_key_values
    cache.batch_repeat_interleave(len(rows))
    logits = model(
        input_ids=ids[:, start:-1], attention_mask=mask[:, :-1], past_key_values=cache
    ).logits
    chosen = logits.log_softmax(-1).gather(-1, ids[:, start + 1 :, None])[..., 0]
    return (chosen * mask[:, start + 1 :]).sum(1).tolist()


def predict(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """The most likely label of each prompt and the probability it got among the labels."""
    model.eval()
    answers = []
    for prompt in prompts:
        scores = torch.tensor(
            loglikelihoods(model, tokenizer, prompt, [f" {label}" for label in labels])
        )
        best = int(scores.argmax())
        answers.append({"label": labels[best], "confidence": float(scores.softmax(0)[best])})
    return answers
