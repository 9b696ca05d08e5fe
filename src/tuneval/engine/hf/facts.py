"""What is reported of a variant once its weights are there, and what its fingerprint is made of.

Not for: finding any of it out (``voice.py``, ``resident.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuneval.engine.hf.text import cutting, written
from tuneval.engine.hf.text.shown import has_own_embeddings
from tuneval.engine.hf.voice import Voice
from tuneval.engine.hf.weights import fingerprint, held
from tuneval.engine.hf.weights.adapter import acts_everywhere
from tuneval.engine.hf.weights.attachment import Weights
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.labels import listed
from tuneval.types import Variant, VariantFacts


def facts_of(
    variant: Variant, voice: Voice, weights: Weights, parts: Mapping[str, object], *, device: str
) -> VariantFacts:
    """What is reported of a variant, its fingerprint among it."""
    settings = {**_adapter_settings(voice.adapter, voice.model), "scoring": str(parts["path"])}
    if voice.bits is not None:
        settings["quantization"] = voice.bits
    if weights.spread_over:
        settings["placement"] = weights.spread_over
    if voice.labels is not None:
        settings["labels"] = listed(voice.labels.names)
    return VariantFacts(
        variant=variant.name,
        fingerprint=fingerprint.of_parts(parts),
        backend="hf",
        device=device,
        dtype=str(parts["dtype"]),
        n_parameters=weights.n_parameters,
        n_adapter_parameters=voice.adapter.n_adapter_parameters if voice.adapter else 0,
        prompt_format="bare texts" if voice.labels is not None else voice.spoken.prompt_format,
        tokenizer=voice.spoken.origin,
        context_length=voice.renderer.context_length,
        settings=settings,
        warnings=(*voice.warnings, *_notes(variant, voice, weights, device)),
    )


def parts_of(
    variant: Variant, voice: Voice, weights: Weights, *, device: str, path: str, given: Any
) -> dict[str, object]:
    """All that can change an answer; the fingerprint is their hash."""
    more = ("bitsandbytes",) if voice.bits in ("8-bit", "4-bit") else ()
    return {
        "backend": "hf",
        "kind": variant.kind,
        "weights": (
            fingerprint.of_model(voice.model)
            if voice.model is not None
            else fingerprint.of_tensors(held.own_tensors(weights.model))
        ),
        "adapter": _adapter_hash(voice, given),
        "tokenizer": voice.spoken.fingerprint,
        "template": voice.spoken.template,
        "prompt_format": voice.spoken.prompt_format,
        "end_tokens": sorted(end_tokens_of(weights, voice)),
        "context_length": voice.renderer.context_length,
        "cutting": cutting.VERSION,
        "writing": written.VERSION,
        **({} if voice.renderer.thinks else {"thinks": False}),
        "dtype": str(weights.model.dtype).removeprefix("torch."),
        "device": device.partition(":")[0],
        "quantization": voice.bits,
        "path": path,
        **({} if voice.head == "causal" else {"head": voice.head}),
        **({} if voice.labels is None else {"labels": list(voice.labels.names)}),
        "versions": fingerprint.versions(*more),
    }


def in_words(parts: Mapping[str, object]) -> dict[str, str]:
    """Parts of a fingerprint as text to compare; contents by the beginning of their hash."""
    words: dict[str, str] = {}
    for name, part in parts.items():
        if isinstance(part, Mapping):
            words |= {str(key): str(value) for key, value in part.items()}
        elif name in ("weights", "tokenizer"):
            words[f"{name} (hash)"] = str(part)[:12]
        elif name == "adapter":
            words["adapter's weights and settings (hash)"] = str(part or "none")[:12]
        elif name == "template":
            words["chat template (hash)"] = (
                fingerprint.of_parts({"": part})[:12] if part else "none"
            )
        else:
            words[_NAMES.get(name, name)] = "none" if part is None else str(part)
    return words


_NAMES = {
    "prompt_format": "prompt format",
    "end_tokens": "end tokens",
    "context_length": "context length",
    "path": "scoring",
}


def warn_of_twins(voices: dict[Variant, Voice], variants: Sequence[Variant]) -> None:
    """A full fine-tune with the very weights of the base is a likely mix-up of folders."""
    bases = {
        fingerprint.of_files(model.weight_files): model.given
        for variant in variants
        if variant.kind == "base" and (model := voices[variant].model) is not None
    }
    for variant in variants:
        voice = voices[variant]
        if variant.kind != "full" or voice.model is None or voice.facts is None:
            continue
        twin = bases.get(fingerprint.of_files(voice.model.weight_files))
        text = f'"{voice.model.given}" holds the very weights of the base "{twin}".'
        if twin is not None and text not in voice.facts.warnings:
            facts = replace(voice.facts, warnings=(*voice.facts.warnings, text))
            voices[variant] = replace(voice, facts=facts)


def warn_of_other_bits(voices: dict[Variant, Voice], variants: Sequence[Variant]) -> None:
    """A fine-tune that is held in other bits than the base differs from it by that as well."""
    base = next((one for one in variants if one.kind == "base"), None)
    if base is None:
        return
    bits = voices[base].bits
    for variant in variants:
        voice = voices[variant]
        if voice.bits == bits or variant.kind == "judge" or voice.facts is None:
            continue
        text = (
            f'"{variant.name}" is loaded {_loaded(voice.bits)} and the base "{base.name}" '
            f"{_loaded(bits)}: a part of any difference may come from that alone."
        )
        if text not in voice.facts.warnings:
            facts = replace(voice.facts, warnings=(*voice.facts.warnings, text))
            voices[variant] = replace(voice, facts=facts)


def end_tokens_of(weights: Weights, voice: Voice) -> frozenset[int]:
    """Ids that end a completion: the tokenizer's, and those that the model's folder lists."""
    ends = {voice.spoken.tokenizer.eos_token_id}
    for config in (getattr(weights.model, "generation_config", None), weights.model.config):
        listed = getattr(config, "eos_token_id", None)
        ends |= set(listed) if isinstance(listed, (list, tuple)) else {listed}
    return frozenset(end for end in ends if end is not None)


def _adapter_hash(voice: Voice, given: Any) -> str | None:
    if voice.adapter is None:
        return None
    is_held = not voice.adapter.adapter_weight_files and held.is_peft(given)
    tensors = held.adapter_tensors(given, voice.adapter) if is_held else None
    return fingerprint.of_adapter(voice.adapter, tensors)


def _notes(variant: Variant, voice: Voice, weights: Weights, device: str) -> list[str]:
    """Sentences for the user on what was found once the weights were there."""
    notes = []
    rows = weights.model.get_input_embeddings().weight.shape[0]
    if len(voice.spoken.tokenizer) > rows and not has_own_embeddings(voice.adapter):
        notes.append(
            f'the tokenizer of "{variant.name}" knows {len(voice.spoken.tokenizer)} tokens, the '
            f"model {rows}: texts with the tokens beyond cannot be answered."
        )
    if not weights.network.can_pad:
        notes.append(
            f'"{variant.name}" gives other logits in padded batches: rows run one at a time.'
        )
    if weights.looks_ahead:
        notes.append(
            f'with the adapter "{variant.name}" a token\'s numbers depend on the tokens after it (a kind '
            "that averages over the text): likelihoods of labels see a part of the label itself."
        )
    if voice.bits == "8-bit":
        notes.append(
            f'"{variant.name}" is held in 8 bits, where outliers are looked for over a whole '
            "batch: its numbers depend a little on what runs together."
        )
    if weights.spread_over:
        notes.append(
            f'"{variant.name}" does not fit on {device} ({weights.spread_over}): its parts '
            "are moved as they are needed, which is slow. A narrower dtype or "
            "backend.quantization may make it fit."
        )
    return notes


def _adapter_settings(adapter: ModelFolder | None, base: ModelFolder | None) -> dict[str, str]:
    if adapter is None:
        return {}
    settings = adapter.adapter_settings
    shown = {"type": settings.get("peft_type"), "r": settings.get("r")}
    shown |= {"alpha": settings.get("lora_alpha"), "target_modules": settings.get("target_modules")}
    if base is not None and acts_everywhere(adapter, base):
        shown["covers"] = "all linear layers"
    return {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in shown.items()
        if value is not None
    }


def _loaded(bits: str | None) -> str:
    return "whole" if bits is None else f"in {bits}"
