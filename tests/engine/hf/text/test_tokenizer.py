"""Base and adapter agree on tokens, or the run says why not."""

from __future__ import annotations

import pytest

from tiny_models import CHAT_TEMPLATE, build_tokenizer
from tuneval.engine.hf.text.tokenizer import fingerprint, reconcile, speak
from tuneval.errors import TokenizerMismatch, VariantError


def settle(base, own, *, resized: bool = False, **options):
    return reconcile(
        base, own, adapter="lora", base="base", has_resized_embeddings=resized, **options
    )


def test_same_ids_use_the_adapters_own_template() -> None:
    spoken = settle(build_tokenizer(), build_tokenizer(chat=True))
    assert spoken.template == CHAT_TEMPLATE
    assert spoken.prompt_format == "adapter's own chat template"
    assert "messages reach the base in the plain template" in spoken.warnings[0]
    assert settle(build_tokenizer(), build_tokenizer()).prompt_format == "plain template"


def test_without_files_the_base_speaks() -> None:
    spoken = settle(build_tokenizer(chat=True), None)
    assert spoken.prompt_format == "base's chat template"
    assert spoken.origin == "base's (the adapter has none)"
    with pytest.raises(TokenizerMismatch, match="has no tokenizer files"):
        settle(build_tokenizer(), None, tokenizer_from="adapter")


def grown():
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|refund|>"])
    return tokenizer


def other_end():
    tokenizer = build_tokenizer()
    tokenizer.eos_token = "."
    return tokenizer


@pytest.mark.fault
@pytest.mark.parametrize(
    ("own", "why"),
    [
        (grown, '1 tokens more (first: "<|refund|>")'),
        (other_end, 'eos_token is "." instead of "<|end|>"'),
        (lambda: build_tokenizer(bos=True), "or other ids"),
    ],
)
def test_other_tokens_are_refused_unless_somebody_says(own, why) -> None:
    base, adapter = build_tokenizer(), own()
    with pytest.raises(TokenizerMismatch) as caught:
        settle(base, adapter)
    text = str(caught.value)
    assert why in text
    assert fingerprint(base)[:12] in text
    assert fingerprint(adapter)[:12] in text
    assert "--tokenizer-from base or --tokenizer-from adapter" in text
    assert settle(base, adapter, tokenizer_from="base").tokenizer is base
    assert settle(base, adapter, tokenizer_from="adapter").tokenizer is adapter
    assert settle(base, adapter, resized=True).tokenizer is adapter


def test_another_pad_token_is_no_difference() -> None:
    adapter = build_tokenizer()
    adapter.pad_token = adapter.eos_token
    assert settle(build_tokenizer(), adapter).tokenizer is adapter
    assert fingerprint(adapter) == fingerprint(build_tokenizer())


def test_templates_on_and_off() -> None:
    chat = build_tokenizer(chat=True)
    assert speak(chat, "off", origin="own", owner="own", who="m").template is None
    with pytest.raises(VariantError, match="its tokenizer has no chat template"):
        speak(build_tokenizer(), "on", origin="own", owner="own", who="m")
