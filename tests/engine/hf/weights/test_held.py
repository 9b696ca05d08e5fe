"""PEFT models that are in memory already: the base is what they are with their adapters off."""

from __future__ import annotations

import warnings

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tuneval.engine.hf.backend import HFBackend
from tuneval.errors import AdapterError
from tuneval.types import Decoding, Request, Variant

REQUESTS = [
    Request(f"{i}-{j}", "c", context, continuation=rest, with_token_logprobs=True)
    for i, context in enumerate(("Once upon a time there was", "Question: my card\nTopic:"))
    for j, rest in enumerate((" a little girl", " refund", " card payment refused"))
]
REQUESTS.append(Request("g", "c", "Once upon a time", decoding=Decoding(max_tokens=5)))
BASE, TUNED = Variant("base", "base", "unused"), Variant("tuned", "adapter", "unused")


def ask(backend: HFBackend, variant: Variant):
    answers = backend.answer(variant, REQUESTS)
    return {a.request_id: (a.token_logprobs, a.completions) for a in answers}


def wrap(base, *adapters) -> PeftModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), adapters[0], is_trainable=True
        )
        for number, adapter in enumerate(adapters[1:]):
            model.load_adapter(adapter, f"other{number}")
    return model


@pytest.fixture
def expected(base, lora):
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    named = Variant("base", "base", str(base)), Variant("tuned", "adapter", str(base), str(lora))
    facts = backend.prepare(named)
    return {one.name: ask(backend, one) for one in named}, facts


@pytest.mark.parametrize("how", ["same object", "inner model", "adapter alone"])
def test_a_peft_model_in_memory(base, lora, expected, how) -> None:
    answers, facts = expected
    model, tokenizer = wrap(base, lora).train(), AutoTokenizer.from_pretrained(base)
    models = {"tuned": (model, tokenizer)}
    if how == "same object":
        models["base"] = (model, tokenizer)
    elif how == "inner model":
        models["base"] = (model.get_base_model(), tokenizer)
    first = BASE if "base" in models else Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", models=models))
    found = backend.prepare([first, TUNED])
    assert len(backend._resident.held) == (1 if "base" in models else 2)
    assert found["tuned"].n_adapter_parameters == facts["tuned"].n_adapter_parameters
    assert found["tuned"].settings == facts["tuned"].settings
    assert found["tuned"].fingerprint != found["base"].fingerprint
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    for variant in (TUNED, first, TUNED):
        assert ask(backend, variant) == answers[variant.name]
    backend.close()
    # It goes back as it came, so that training can go on.
    assert model.training
    assert model.active_adapter == "default"
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained


def test_what_was_trained_is_trained_afterwards(base, lora) -> None:
    model, tokenizer = wrap(base, lora), AutoTokenizer.from_pretrained(base)
    ids = torch.tensor([[5, 6, 7]])
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    with torch.no_grad():
        logits = model(ids).logits
    backend = HFBackend(
        HFBackend.Options(offline=True, device="cpu", models={"tuned": (model, tokenizer)})
    )
    ask(backend, TUNED)
    backend.close()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert any(before.values())
    with torch.no_grad():
        assert torch.equal(model(ids).logits, logits)


def test_fingerprints_of_a_peft_model_follow_its_tensors(base, lora) -> None:
    model, tokenizer = wrap(base, lora), AutoTokenizer.from_pretrained(base)

    def prints() -> dict[str, str]:
        models = {"tuned": (model, tokenizer), "base": (model, tokenizer)}
        backend = HFBackend(HFBackend.Options(offline=True, device="cpu", models=models))
        found = {name: fact.fingerprint for name, fact in backend.prepare([BASE, TUNED]).items()}
        backend.close()
        return found

    known = prints()
    assert prints() == known
    with torch.no_grad():
        model.get_parameter(
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight"
        ).add_(0.1)
    trained = prints()
    assert trained["base"] == known["base"]
    assert trained["tuned"] != known["tuned"]
    fresh = AutoModelForCausalLM.from_pretrained(base)
    alone = HFBackend(
        HFBackend.Options(offline=True, device="cpu", models={"base": (fresh, tokenizer)})
    )
    assert alone.fingerprint(BASE) == known["base"]


def test_what_cannot_be_told_apart_is_refused(base, lora, lora2) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)

    def prepare(model, *variants: Variant, **models):
        given = {"tuned": (model, tokenizer), **models}
        HFBackend(HFBackend.Options(offline=True, device="cpu", models=given)).prepare(
            variants or [TUNED]
        )

    merged = wrap(base, lora)
    merged.merge_adapter()
    with pytest.raises(AdapterError, match="has its adapter merged into the base's weights"):
        prepare(merged)
    both = wrap(base, lora, lora2)
    both.base_model.set_adapter(["default", "other0"])
    with pytest.raises(AdapterError, match=r"several adapters on \(default, other0\)"):
        prepare(both)
    touched = wrap(base, lora).get_base_model()
    with pytest.raises(AdapterError, match="Give the PEFT model under the adapter's name, too"):
        HFBackend(HFBackend.Options(offline=True, models={"base": (touched, tokenizer)})).prepare(
            [BASE]
        )
