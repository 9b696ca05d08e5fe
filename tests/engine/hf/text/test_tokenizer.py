"""Base and adapter agree on tokens, or the run says why not."""

from __future__ import annotations

import pytest

from tiny_models import CHAT_TEMPLATE, build_tokenizer, words_only
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


def other_base():
    return build_tokenizer(bos=True)


def spoken_turns():
    """Special tokens that its own template writes, with no embeddings for them."""
    tokenizer = build_tokenizer(chat=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    return tokenizer


TRAINED = (
    "The adapter brings no embeddings for them. If it was trained with them, save it again with "
    'modules_to_save=["embed_tokens", "lm_head"] or trainable_token_indices; if they do not matter, '
    "give --tokenizer-from base."
)
OTHER = (
    "Is this the base that it was trained from? If it is, say which tokenizer to use with "
    "--tokenizer-from base or --tokenizer-from adapter."
)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("own", "why", "advice"),
    [
        (grown, '1 token more (first: "<|refund|>")', TRAINED),
        (spoken_turns, '1 token more (first: "<|user|>")', TRAINED),
        (other_base, "or other ids", OTHER),
    ],
)
def test_other_tokens_are_refused_unless_somebody_says(own, why, advice) -> None:
    base, adapter = build_tokenizer(), own()
    with pytest.raises(TokenizerMismatch) as caught:
        settle(base, adapter)
    text = str(caught.value)
    assert why in text
    assert fingerprint(base)[:12] in text
    assert fingerprint(adapter)[:12] in text
    assert text.endswith(advice)
    assert settle(base, adapter, tokenizer_from="base").tokenizer is base
    assert settle(base, adapter, tokenizer_from="adapter").tokenizer is adapter
    assert settle(base, adapter, resized=True).tokenizer is adapter


def _with(**tokens):
    tokenizer = build_tokenizer()
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
    return tokenizer


def unused():
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|later|>", "<|spare|>"]})
    return tokenizer


def left_padded():
    tokenizer = _with(pad_token="<|end|>")
    tokenizer.padding_side = "left"
    return tokenizer


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (lambda: _with(eos_token="."), ' (eos_token is "." instead of "<|end|>")'),
        (lambda: _with(unk_token="<|end|>"), ' (unk_token is "<|end|>" instead of "None")'),
        (unused, " (2 special tokens more, not used)"),
        (left_padded, ""),
    ],
)
def test_what_cannot_matter_is_taken_with_a_note(own, told) -> None:
    adapter = own()
    spoken = settle(build_tokenizer(), adapter)
    assert spoken.tokenizer is adapter
    assert spoken.origin == f"adapter's own, same ids as the base's{told}"
    assert settle(adapter, build_tokenizer()).tokenizer is not adapter


def test_another_unknown_token_matters_where_there_are_unknown_words() -> None:
    base, adapter = words_only("cat"), words_only("cat")
    adapter.unk_token = "cat"
    with pytest.raises(TokenizerMismatch, match='unk_token is "cat" instead of "\\[UNK\\]"'):
        settle(base, adapter)


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
