"""Makes the demo that ships inside tuneval: data, tokenizer, base, adapters, full fine-tunes.

Everything comes from the words in ``wording.py`` and the seeds below; nothing is downloaded. The
whole takes about ten minutes on one core.

    python examples/demo/make.py                  # everything, into src/tuneval/demo
    python examples/demo/make.py data tokenizer   # only these steps
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import corpus
import torch
from score import make_readme
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from training import Encoded, Pair, Recipe, encode, load, save, train, with_lora
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    set_seed,
)

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "tuneval" / "demo"
TEMPLATE = "Message: {text}\nTopic:"

DOCUMENTS_SEED, TUNING_SEED, VALIDATION_SEED, TEST_SEED = 11, 12, 13, 14
N_DOCUMENTS, N_TUNING, N_VALIDATION, N_TEST = 18_000, 960, 200, 400

VOCABULARY = 2048
BLOCK = 96  # tokens; longer messages than this are new to all variants
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
BASE_SEED = 0
PRETRAINING = Recipe(learning_rate=2e-3, epochs=5, batch_size=16, evaluations=20)

LORA_RANK, LORA_TARGETS = 2, ("q_proj", "v_proj")
LORA = Recipe(learning_rate=3e-3, epochs=4)
LORA_SEEDS = (0, 1, 2)
FULL = Recipe(learning_rate=3e-4, epochs=4)
# Half of the messages, a rate far too high, too many epochs: what overfitting is made of. Some
# rows of the test file are among them: what a leak is made of.
OVERFITTED = Recipe(learning_rate=1.2e-3, epochs=8)
N_OVERFITTED = N_TUNING // 2
LEAK_SEED, N_LEAKED_EXACT, N_LEAKED_NEAR = 15, 11, 5

GUARD_SEED, N_GUARD = 16, 200

# PEFT records the path that the base was loaded from. That path means nothing on another machine,
# so the adapters carry a name instead; run.yaml says which folder it stands for.
BASE_NAME = "tuneval-demo/base"


def messages() -> dict[str, list[corpus.Message] | list[corpus.ReplyChoice]]:
    """The data files."""
    tuning = corpus.tuning_messages(TUNING_SEED, N_TUNING)
    validation = corpus.later_messages(VALIDATION_SEED, N_VALIDATION, tuning)
    test = corpus.later_messages(TEST_SEED, N_TEST, tuning + validation, near_copies=False)
    leak = corpus.leaked(LEAK_SEED, test, N_LEAKED_EXACT, N_LEAKED_NEAR)
    return {
        "train": tuning,
        "train-leaked": tuning[:N_OVERFITTED] + leak,
        "validation": validation,
        "test": test,
        "replies": corpus.reply_choices(GUARD_SEED, N_GUARD, tuning + validation + test),
    }


def json_lines(rows: Iterable[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def make_data(folder: Path, _: int | None) -> None:
    for name, written in messages().items():
        text = json_lines(message.row() for message in written)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")


def trained_tokenizer(documents: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE; every text begins with <s>, as in the Llama family."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=SHAPE["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )


def make_tokenizer(folder: Path, _: int | None) -> None:
    documents = corpus.documents(DOCUMENTS_SEED, N_DOCUMENTS)
    trained_tokenizer(documents).save_pretrained(folder / "base")


def blocks(tokenizer: PreTrainedTokenizerBase, documents: list[str]) -> list[Encoded]:
    """All documents in one long row of tokens, cut into pieces of equal length."""
    ids = [
        token
        for document in tokenizer(documents)["input_ids"]
        for token in (*document, tokenizer.eos_token_id)
    ]
    pieces = [ids[at : at + BLOCK] for at in range(0, len(ids) - BLOCK + 1, BLOCK)]
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def make_base(folder: Path, steps: int | None) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "base")
    set_seed(BASE_SEED)
    model = LlamaForCausalLM(
        LlamaConfig(
            **SHAPE,
            vocab_size=VOCABULARY,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    print(f"base: {model.num_parameters():,} parameters")
    rows = blocks(tokenizer, corpus.documents(DOCUMENTS_SEED, N_DOCUMENTS))
    print(f"      {len(rows) * BLOCK:,} tokens of text")
    train(model, tokenizer, rows, [], replace(PRETRAINING, steps=steps), folder / "base")
    # The log of the base says nothing about a fine-tune, and must not be taken for one.
    (folder / "base" / "trainer_state.json").unlink()
    save_half(model, tokenizer, folder / "base")


def encoded(folder: Path, name: str, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """The rows of a data file as prompt and label."""
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    pairs = [Pair(TEMPLATE.format(text=row["text"]), f" {row['label']}") for row in rows]
    return [encode(tokenizer, pair) for pair in pairs]


def make_lora(folder: Path, steps: int | None) -> None:
    for seed in LORA_SEEDS:
        print(f"LoRA, training seed {seed}")
        model, tokenizer = load(folder / "base")
        adapted = with_lora(model, rank=LORA_RANK, targets=LORA_TARGETS, training_seed=seed)
        train(
            adapted,
            tokenizer,
            encoded(folder, "train", tokenizer),
            encoded(folder, "validation", tokenizer),
            replace(LORA, training_seed=seed, steps=steps),
            folder / f"lora-seed{seed}",
        )
        name_base(folder / f"lora-seed{seed}" / "adapter_config.json")


def name_base(settings: Path) -> None:
    config = json.loads(settings.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = BASE_NAME
    settings.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def make_full(folder: Path, steps: int | None) -> None:
    for name, recipe, data in (
        ("full", FULL, "train"),
        ("full-overfitted", OVERFITTED, "train-leaked"),
    ):
        print(f"{name}, messages of {data}.jsonl")
        model, tokenizer = load(folder / "base")
        train(
            model,
            tokenizer,
            encoded(folder, data, tokenizer),
            encoded(folder, "validation", tokenizer),
            replace(recipe, steps=steps),
            folder / name,
        )
        save_half(model, tokenizer, folder / name)


def save_half(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the weights again with 16 bits each: half the size of the package."""
    model.config.use_cache = True  # the Trainer turns it off
    save(model.half(), tokenizer, folder)


STEPS: dict[str, Callable[[Path, int | None], None]] = {
    "data": make_data,
    "tokenizer": make_tokenizer,
    "base": make_base,
    "lora": make_lora,
    "full": make_full,
    "readme": make_readme,
}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Make the demo that ships inside tuneval.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="*", default=list(STEPS), metavar="STEP", help=f"any of: {', '.join(STEPS)}"
    )
    parser.add_argument("--output", type=Path, default=PACKAGE, help="folder of the demo")
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    options = parser.parse_args(words)
    unknown = [step for step in options.what if step not in STEPS]
    if unknown:
        parser.error(f'no step "{unknown[0]}"; there are: {", ".join(STEPS)}')

    torch.set_num_threads(1)  # the same weights each time, and faster than two for so small a model
    options.output.mkdir(parents=True, exist_ok=True)
    for step in options.what:
        began = time.monotonic()
        print(f"== {step}")
        STEPS[step](options.output, options.steps)
        print(f"   {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
