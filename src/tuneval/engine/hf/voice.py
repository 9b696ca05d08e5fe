"""What a variant is and how it reads text, as far as its files say: no weight is loaded.

Not for: weights in memory (``resident.py``) or what is reported of them (``facts.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tuneval.engine.hf.options import HFOptions
from tuneval.engine.hf.text import tokenizer
from tuneval.engine.hf.text.render import Renderer
from tuneval.engine.hf.text.shown import Folders, renderer_for, spoken_by
from tuneval.engine.hf.text.tokenizer import Spoken
from tuneval.engine.hf.weights import fingerprint, held, placement, quantiser
from tuneval.engine.hf.weights import folder as folders
from tuneval.engine.hf.weights.adapter import check_adapter_fits, find_base
from tuneval.engine.hf.weights.folder import (
    ADAPTER_CONFIG,
    ModelFolder,
    context_length_of,
    quantization_of,
)
from tuneval.engine.hf.weights.kind import no_head
from tuneval.engine.hf.weights.labels import HeadLabels, labels_of, labels_of_config
from tuneval.engine.hf.weights.loading import resolve_dtype
from tuneval.errors import AdapterError, TunevalError, VariantError
from tuneval.types import READS_TEXTS, Head, Variant, VariantFacts

Key = tuple[str, ...]
"""What variants with the same weights share."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A variant that was found to be what it says: where its weights are and how it reads text.

    ``bits``: in how many bits its weights are held, None for whole. ``parts`` are what its
    fingerprint is made of. ``labels``: those of a head over labels.
    """

    key: Key
    model: ModelFolder | None
    adapter: ModelFolder | None
    spoken: Spoken
    renderer: Renderer
    warnings: tuple[str, ...]
    dtype: str
    bits: str | None = None
    facts: VariantFacts | None = None
    parts: Mapping[str, object] = field(default_factory=dict)
    head: Head = "causal"
    labels: HeadLabels | None = None


class Reader:
    """Reads what variants are from their folders, each folder and tokenizer once."""

    def __init__(self, options: HFOptions, device: str) -> None:
        self._options = options
        self._device = device
        self._models = dict(options.models or {})
        self._folders: dict[tuple[object, ...], ModelFolder] = {}
        self._tokenizers: dict[str, Any] = {}

    def forget_tokenizers(self) -> None:
        """Give the tokenizers' memory back."""
        self._tokenizers.clear()

    def hash_ahead(self, variant: Variant) -> None:
        """Have a variant's weights hashed while all else is read; what is wrong with it ``read`` says."""
        if variant.name in self._models:
            return
        with contextlib.suppress(TunevalError):
            for name in filter(None, (variant.model, variant.adapter)):
                folder = self.describe(name, variant)
                fingerprint.begin([*folder.weight_files, *folder.adapter_weight_files])

    def read(self, variant: Variant) -> Voice:
        """Everything about a variant that can be known and checked without loading weights."""
        given = self._models.get(variant.name)
        adapter, warnings = self._adapter(variant, given)
        model = None
        if given is None:
            name = variant.model or find_base(_given(adapter), offline=self._options.offline)
            model = self.describe(name, variant)
            if not model.has_model:
                raise VariantError(
                    f'"{model.given}" holds no whole model'
                    + (", only an adapter: use --adapter for it." if model.has_adapter else ".")
                )
            if adapter is not None:
                warnings += check_adapter_fits(
                    adapter,
                    model,
                    allow_base_mismatch=self._options.allow_base_mismatch,
                    is_quantised=self._options.quantization != "none",
                )
        _check_head(variant, model, adapter)
        bits = self._bits(model, given)
        spoken = self._speak(variant, model, adapter)
        dtype = self._resolved_dtype(variant, model, given)
        if self._is_unpacked(model, bits, dtype):
            warnings += (
                f'"{variant.name}" is stored in {bits}, in which {self._device} does no products: its '
                f"weights are unpacked to {dtype} as they are read.",
            )
            bits = None
        key: Key = (
            ("object", str(id(held.inner(module_of(given)))))
            if given is not None
            else (str(_given(model).path), dtype, str(variant.trust_remote_code), variant.head)
        )
        labels = self._labels(variant, model, adapter)
        if labels is not None and adapter is not None:
            key = (*key, f"{len(labels)} outputs of an adapter")
        config, generation = _settings(model, given)
        renderer = renderer_for(
            spoken,
            variant.head,
            length=model.context_length if model is not None else context_length_of(config),
            config=config,
            generation=generation,
            who=model.given if model is not None else variant.name,
            asked=self._options.context_length,
            thinks=self._options.thinks,
        )
        return Voice(
            key,
            model,
            adapter,
            spoken,
            renderer,
            (*warnings, *spoken.warnings),
            dtype,
            bits,
            head=variant.head,
            labels=labels,
        )

    def in_one_dtype(
        self, voices: Mapping[Variant, Voice], before: Mapping[Variant, Voice]
    ) -> dict[Variant, Voice]:
        """The voices with one dtype where it was not said: that of those before, or the widest.

        Base and fine-tune may be stored in different dtypes; what they differ by must not be that.
        """
        free = {variant for variant in voices if self._is_free(variant)}
        held = {voice.dtype for variant, voice in before.items() if self._is_free(variant)}
        dtypes = held or {voices[variant].dtype for variant in free}
        if not dtypes:
            return dict(voices)
        one = dtypes.pop() if len(dtypes) == 1 else "float32"
        return {
            variant: _in_dtype(voice, one) if variant in free else voice
            for variant, voice in voices.items()
        }

    def _is_free(self, variant: Variant) -> bool:
        """Whether a variant's dtype is for us to choose."""
        is_said = variant.dtype != "auto" or self._options.dtype != "auto"
        return not is_said and variant.name not in self._models and variant.kind != "judge"

    def _adapter(self, variant: Variant, given: Any) -> tuple[ModelFolder | None, tuple[str, ...]]:
        """The adapter of a variant, from its folder or from a PEFT model in memory."""
        adapter = self.describe(variant.adapter, variant) if variant.adapter else None
        if variant.kind != "adapter":
            return adapter, ()
        if adapter is None and held.is_peft(module_of(given)):
            adapter = held.describe(module_of(given), variant.name)
            return adapter, ()
        if given is None and (adapter is None or not adapter.has_adapter):
            lack = f"there is no {ADAPTER_CONFIG}"
            if adapter is not None and adapter.base_model_name is not None:
                lack = f"there is an {ADAPTER_CONFIG} without an adapter's weights beside a whole model"
            raise AdapterError(
                f'adapter "{variant.adapter or variant.name}": {lack}. For a whole model use --full.'
            )
        return adapter, ()

    def _bits(self, model: ModelFolder | None, given: Any) -> str | None:
        """In how many bits a model is, or will be, held."""
        if model is None:
            config = getattr(module_of(given), "config", None)
            stored = getattr(config, "quantization_config", None)
            settings = stored if stored is None or isinstance(stored, dict) else stored.to_dict()
            return quantization_of({"quantization_config": settings})
        bits = placement.bits_of(model, self._options.quantization)
        if placement.needs_bitsandbytes(model, bits):
            placement.check_bitsandbytes(model.given, self._device)
        return bits

    def _is_unpacked(self, model: ModelFolder | None, bits: str | None, dtype: str) -> bool:
        """Whether weights that are stored quantised will be held whole."""
        if model is None or placement.needs_bitsandbytes(model, bits):
            return False
        return quantiser.is_unpacked(model, device=self._device, dtype=dtype)

    def describe(self, name: str, variant: Variant) -> ModelFolder:
        """What a folder that a variant names holds."""
        key = (name, variant.revision, variant.trust_remote_code)
        if key not in self._folders:
            self._folders[key] = folders.describe(
                name,
                offline=self._options.offline,
                revision=variant.revision,
                trust_remote_code=variant.trust_remote_code,
                allow_pickle_weights=self._options.allow_pickle_weights,
            )
        return self._folders[key]

    def tokenizer(self, folder: ModelFolder, variant: Variant) -> Any:
        """The tokenizer of a folder, None where it has none."""
        key = str(folder.path)
        if key not in self._tokenizers:
            self._tokenizers[key] = tokenizer.load(
                folder, trust_remote_code=variant.trust_remote_code
            )
        return self._tokenizers[key]

    def _speak(
        self, variant: Variant, model: ModelFolder | None, adapter: ModelFolder | None
    ) -> Spoken:
        given = self._models.get(variant.name)
        base = given[1] if isinstance(given, tuple) else None
        if base is None:
            folder = model or self.describe(variant.model, variant)
            base = self.tokenizer(folder, variant)
        own = self.tokenizer(adapter, variant) if adapter is not None else None
        return spoken_by(
            Folders(variant.name, model, adapter, base, own),
            tokenizer_from=self._options.tokenizer_from,
            chat_template=self._options.chat_template,
        )

    def _labels(
        self, variant: Variant, model: ModelFolder | None, adapter: ModelFolder | None
    ) -> HeadLabels | None:
        """The labels of a head over labels, as its files or the user name them."""
        if variant.head not in READS_TEXTS:
            return None
        order = self._options.head_labels
        if model is None:
            config = held.inner(module_of(self._models[variant.name])).config
            return labels_of_config(config, order, variant.name)
        return labels_of(model, adapter, order)

    def _resolved_dtype(self, variant: Variant, model: ModelFolder | None, given: Any) -> str:
        if given is not None:
            return str(held.inner(module_of(given)).dtype).removeprefix("torch.")
        wanted = variant.dtype if variant.dtype != "auto" else self._options.dtype
        return resolve_dtype(wanted, model, self._device)


def _in_dtype(voice: Voice, dtype: str) -> Voice:
    folder, _, *rest = voice.key
    return replace(voice, dtype=dtype, key=(folder, dtype, *rest))


def _settings(model: ModelFolder | None, given: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a model's config and its generation config say, of a folder or of a model in memory."""
    if model is not None:
        return model.config, model.generation
    inner = held.inner(module_of(given))
    found = (getattr(inner, name, None) for name in ("config", "generation_config"))
    config, generation = ({} if one is None else one.to_dict() for one in found)
    return config, generation


def _given(folder: ModelFolder | None) -> ModelFolder:
    assert folder is not None
    return folder


def _check_head(variant: Variant, model: ModelFolder | None, adapter: ModelFolder | None) -> None:
    """Raise VariantError where neither the model nor the adapter has a trained head of the variant's kind."""
    if model is None:
        return
    head = (adapter.adapter_head if adapter is not None else None) or model.head
    if head is None:
        raise no_head(model.path, model.config, model.given)
    if head != variant.head:
        raise VariantError(
            f'"{variant.name}": its folder holds a head for {head}, not for {variant.head}.'
        )
    if head not in READS_TEXTS and model.head is None:  # an adapter for text on an encoder
        raise no_head(model.path, model.config, model.given)


def module_of(given: Any) -> Any:
    """The model of what was given in memory, a tokenizer beside it or not."""
    return given[0] if isinstance(given, tuple) else given
