"""Decides in how many bits weights are held and on which devices, before any of them is read.

Holds no torch. Not for: loading (``loading.py``) or knowing what is free (``memory.py``).
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import BackendUnavailable, VariantError

Quantization = Literal["none", "8bit", "4bit"]

_BITS = {"8bit": "8-bit", "4bit": "4-bit"}
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "float8": 1}
_PACKED_BYTES = {"8-bit": 1.0, "4-bit": 0.5625}
"""Per weight, with a float32 scale for each block of 64."""
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
_HEADS = ("lm_head.weight", "embed_out.weight")


@dataclass(frozen=True, slots=True)
class Placement:
    """What the loader is told: transformers' ``device_map`` and what each device may take.

    ``device_map`` is None where the model is moved as a whole. ``is_spread``: it does not fit on
    one device; accelerate decides which layers stay where and moves them as they are needed.
    """

    device_map: str | dict[str, str] | None = None
    max_memory: dict[str | int, int] | None = None
    is_spread: bool = False


def bits_of(folder: ModelFolder, wanted: Quantization) -> str | None:
    """In how many bits a model is held ("8-bit", "4-bit", another method's name), None for whole.

    Raises
    ------
    VariantError
        It is stored in other bits than those that were asked for.
    """
    asked = _BITS.get(wanted)
    if folder.quantization is None:
        return asked
    if asked is not None and asked != folder.quantization:
        raise VariantError(
            f'"{folder.given}" is stored quantised ({folder.quantization}) and cannot be loaded '
            f'with backend.quantization "{wanted}".\n'
            "Leave that key out, or give the folder of the model before it was quantised."
        )
    return folder.quantization


def needs_bitsandbytes(folder: ModelFolder, bits: str | None) -> bool:
    """Whether bitsandbytes does the products: asked for here, or named in the model's config."""
    if bits is None:
        return False
    stored = folder.config.get("quantization_config")
    if not isinstance(stored, Mapping):
        return True
    is_legacy = bool(stored.get("load_in_4bit") or stored.get("load_in_8bit"))
    return stored.get("quant_method") == "bitsandbytes" or is_legacy


def check_bitsandbytes(given: str, device: str) -> None:
    """Find out whether bitsandbytes is there and runs on a device.

    Raises
    ------
    BackendUnavailable
        It is not installed, or this release does not know the device.
    """
    # It warns of every cast and of kernels that it would like to fetch.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        bitsandbytes = importlib.import_module("bitsandbytes")
    except (ImportError, OSError) as error:  # its own library may not find CUDA's
        raise BackendUnavailable(
            f'"{given}" in 8 or 4 bits needs bitsandbytes, which cannot be imported '
            f'({str(error).splitlines()[0]}).\nInstall it with: pip install "tuneval[bitsandbytes]"'
        ) from error
    kind = device.partition(":")[0]
    known = getattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    if kind not in known:
        raise BackendUnavailable(
            f'"{given}" in 8 or 4 bits: bitsandbytes {bitsandbytes.__version__} does not run on '
            f'device "{kind}" (it knows {", ".join(sorted(known))}).\n'
            "Use another --device, install a newer release, or leave backend.quantization out."
        )


def needed_bytes(folder: ModelFolder, dtype: str, bits: str | None) -> int:
    """Bytes that the weights of a folder take in memory."""
    wide = _BYTES[dtype]
    if folder.quantization is not None and bits is not None:
        return folder.disk_bytes
    if bits is None or not folder.tensors:
        return folder.disk_bytes * wide // _BYTES.get(folder.dtype or "", 4)
    # Embeddings, head and norms stay as they are; the matrices of the layers are packed.
    sizes = [
        prod(shape)
        * (
            wide
            if len(shape) != 2 or name.endswith((*_EMBEDDINGS, *_HEADS))
            else _PACKED_BYTES[bits]
        )
        for name, shape in folder.tensors.items()
    ]
    return int(sum(sizes))


def is_room(needed: int, device: str, free: int) -> bool:
    """Whether weights fit, with some more for activations and caches."""
    return free >= (needed * 9 // 8 if device == "cpu" else needed * 5 // 4)


def place(needed: int, device: str, free: int, *, bits: str | None) -> Placement:
    """Decide where weights of ``needed`` bytes go when ``free`` bytes are left on ``device``.

    What does not fit is spread: on CUDA over all GPUs, then main memory, then the disk; on CPU
    over main memory and the disk.
    """
    if not is_room(needed, device, free) and not device.startswith("mps"):
        # A fifth is left for activations.
        limits: dict[str | int, int] | None = {"cpu": free * 4 // 5} if device == "cpu" else None
        return Placement("auto", limits, is_spread=True)
    return Placement({"": device}) if bits is not None else Placement()


def in_words(device_map: Mapping[str, Any]) -> str:
    """Where the parts of a spread model lie: "cuda:0 20 parts, cpu 4 parts"."""
    counts = Counter(
        f"cuda:{where}" if isinstance(where, int) else str(where) for where in device_map.values()
    )
    return ", ".join(f"{where} {n} part{'s' if n > 1 else ''}" for where, n in counts.items())
