"""Every family with a head over labels, whole and as adapters, against transformers' own forward."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification

from engine.hf.test_classification import (
    NAMES,
    TEXTS,
    answers,
    found_logprobs,
    own_logprobs,
    requests_of,
)
from tiny_models import build_classifier, build_label_adapter
from tuneval.engine.hf.backend import HFBackend, HFOptions
from tuneval.types import Variant

FAMILIES = (
    "bert", "roberta", "deberta-v2", "modernbert", "distilbert", "electra",
    "llama", "qwen2", "qwen3", "gemma", "gpt2",
)  # fmt: skip
DECODERS = FAMILIES[6:]


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


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_virtual_tokens_before_a_head(family: str, tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification, PromptTuningConfig

    kind = "CausalLM" if family in DECODERS else "MaskedLM"
    base = build_classifier(tmp_path / "base", family, kind=kind)
    config = PromptTuningConfig(
        task_type="SEQ_CLS",
        num_virtual_tokens=3,
        modules_to_save=["bert.pooler"] if family == "bert" else None,
    )
    adapter = build_label_adapter(tmp_path / "a", base, n_labels=3, config=config)
    variant = Variant("a", "adapter", str(base), str(adapter), head="classification")
    backend = HFBackend(HFOptions(device="cpu", head_labels=NAMES))
    asked = requests_of(SHORT)
    found = answers(backend, variant, asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoPeftModelForSequenceClassification.from_pretrained(adapter, num_labels=3)
    own = own_logprobs(model.eval(), base, SHORT)
    mine = [found[request.id].loglikelihood for request in asked]
    assert mine == pytest.approx(own.flatten().tolist(), abs=1e-5)


SHORT = [TEXTS[n] for n in (0, 2, 4, 5, 6, 7)]
"""Texts that leave room for the virtual tokens."""
