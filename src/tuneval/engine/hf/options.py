"""What can be set of the backend on transformers and PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuneval.engine.hf.text.tokenizer import ChatTemplate, TokenizerFrom
from tuneval.engine.hf.weights.placement import Quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class HFOptions:
    """What can be set.

    Parameters
    ----------
    device, dtype : str
        "auto": CUDA, else MPS, else CPU; the stored dtype, on CPU where this processor multiplies it
        faster (a short trial) and the model is not small, else float32. One for all variants.
    batch_size : int or "auto"
        Most rows that go through the model together. "auto" plans by tokens and by memory.
    memory : int, optional
        Bytes that weights and batches may take of the device together, on CPU with the program itself.
        None: what is free.
    threads : int or "auto"
        CPU threads. "auto": one for models under 50 M parameters, else torch's default.
    chat_template : "auto", "on" or "off"
        Whether messages go through the tokenizer's chat template: where it has one, always, never.
    thinks : bool
        False asks the chat template to leave thinking out (``enable_thinking=False``).
    tokenizer_from : "auto", "base" or "adapter"
        Which tokenizer an adapter speaks where its own differs from the base's.
    quantization : "none", "8bit" or "4bit"
        Hold base and full fine-tunes so, by bitsandbytes. A model that is stored quantised loads as
        it is stored.
    context_length : int, optional
        Longest input in tokens; more than the folder says only where positions are relative (T5).
    head_labels : tuple of str
        What the outputs of heads over labels are called, in their order, whatever their folders say.
    models : mapping, optional
        Variant name -> model already loaded, or (model, tokenizer), instead of a folder. A PEFT
        model under an adapter's name is that adapter; the base may be given as the same object.
    """

    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    memory: int | None = None
    threads: int | Literal["auto"] = "auto"
    chat_template: ChatTemplate = "auto"
    thinks: bool = True
    offline: bool = False
    allow_pickle_weights: bool = False
    allow_base_mismatch: bool = False
    tokenizer_from: TokenizerFrom = "auto"
    quantization: Quantization = "none"
    head_labels: tuple[str, ...] = ()
    context_length: int | None = None
    models: Mapping[str, Any] | None = None
