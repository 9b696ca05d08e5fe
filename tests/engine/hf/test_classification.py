"""Heads over labels: every number is that of transformers' own forward pass, whatever runs together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import build_classifier, build_label_adapter
from tuneval.engine.hf.backend import HFBackend, HFOptions
from tuneval.types import Request, Variant

NAMES = ("positive", "negative", "neutral")
TEXTS = [
    ("my card was refused",),
    ("Once upon a time there was a little girl.",),
    ("a",),
    ("The quick brown fox jumps over the lazy dog. " * 20,),  # longer than the model reads
    ("refund", "shipping account login"),
    ("Question: What is the capital of France?", "Paris"),
    ("positive",),
    ("negative",),
]
FAMILIES = (
    "bert", "roberta", "deberta-v2", "modernbert", "distilbert", "electra",
    "llama", "qwen2", "qwen3", "gemma", "gpt2",
)  # fmt: skip
DECODERS = FAMILIES[6:]


def requests_of(texts: Sequence[tuple[str, ...]], labels: Sequence[str] = NAMES) -> list[Request]:
    return [
        Request(f"{n}#{label}", str(n), "unread", continuation=label, texts=one, label=label)
        for n, one in enumerate(texts)
        for label in labels
    ]


def own_logprobs(model: Any, folder: Path, texts: Sequence[tuple[str, ...]]) -> torch.Tensor:
    """What transformers gives each text by itself: the plain way, no padding anywhere."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for one in texts:
        inputs = tokenizer(*one, truncation=True, max_length=64, return_tensors="pt")
        if "token_type_ids" in inputs and model.config.model_type not in TYPED:
            del inputs["token_type_ids"]
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].double().log_softmax(-1))
    return torch.stack(rows)


TYPED = ("bert", "roberta", "deberta-v2", "electra", "gpt2")
"""Families whose models take the types of a pair's tokens."""


def answers(backend: HFBackend, variant: Variant, requests: Sequence[Request]) -> Any:
    return {one.request_id: one for one in backend.answer(variant, requests)}


def found_logprobs(backend: HFBackend, variant: Variant) -> torch.Tensor:
    found = answers(backend, variant, requests_of(TEXTS))
    numbers = [found[request.id].loglikelihood for request in requests_of(TEXTS)]
    return torch.tensor(numbers, dtype=torch.float64).view(len(TEXTS), len(NAMES))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_classifier_answers_as_transformers_does(family: str, tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "m", family, names=NAMES)
    backend = HFBackend(HFOptions(device="cpu"))
    found = found_logprobs(backend, Variant("m", "full", str(folder), head="classification"))
    own = own_logprobs(AutoModelForSequenceClassification.from_pretrained(folder), folder, TEXTS)
    assert (found - own).abs().max() < 1e-5
    assert own.std(dim=0).min() > 1e-3  # the texts are told apart at all


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_bring_their_head(family: str, tmp_path: Path) -> None:
    """Two adapters of one base, one after the other: each its own head, each its own numbers."""
    from peft import AutoPeftModelForSequenceClassification

    kind = "CausalLM" if family in DECODERS else "MaskedLM"
    whole = ("deberta-v2", "distilbert", "bert", "roberta", "electra", "modernbert")
    base = build_classifier(tmp_path / "base", family, kind=kind)
    backend = HFBackend(HFOptions(device="cpu", head_labels=NAMES))
    for seed in (1, 2):
        folder = tmp_path / f"a{seed}"
        config = _config(family) if family in whole else None
        build_label_adapter(folder, base, n_labels=3, seed=seed, config=config)
        variant = Variant(f"a{seed}", "adapter", str(base), str(folder), head="classification")
        found = found_logprobs(backend, variant)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=3)
        own = own_logprobs(model.eval(), base, TEXTS)
        assert (found - own).abs().max() < 1e-5
    assert len(backend._resident.held) == 1


def _config(family: str) -> Any:
    """Every module that the base lacks is saved: PEFT does not think of all of them by itself."""
    from peft import LoraConfig

    more = {
        "bert": ["bert.pooler"],
        "deberta-v2": ["pooler"],
        "distilbert": ["pre_classifier"],
    }.get(family)
    targets = {"distilbert": ["q_lin", "v_lin"], "modernbert": ["Wqkv"]}.get(
        family, ["query", "value"] if family != "deberta-v2" else ["query_proj", "value_proj"]
    )
    return LoraConfig(
        r=4, lora_alpha=8, task_type="SEQ_CLS", target_modules=targets, modules_to_save=more
    )
