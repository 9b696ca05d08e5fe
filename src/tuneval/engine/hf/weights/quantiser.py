"""Can a model that is stored quantised be read here? Asked of transformers before any weight is loaded.

Not for: quantising as it is loaded, or bitsandbytes (``placement.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import BackendUnavailable, VariantError


def is_unpacked(folder: ModelFolder, *, device: str, dtype: str) -> bool:
    """Whether the weights are unpacked as they are read, for want of products in their own type.

    Raises
    ------
    VariantError
        transformers reads no models of this method.
    BackendUnavailable
        The method's package is missing, or does not run on this device.
    """
    settings = folder.config.get("quantization_config")
    if not isinstance(settings, Mapping) or folder.quantization is None:
        return False
    import torch
    from transformers import __version__
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, AutoHfQuantizer

    method = str(settings.get("quant_method"))
    if method not in AUTO_QUANTIZER_MAPPING:
        raise VariantError(
            f'"{folder.given}" is stored quantised by "{method}", which transformers {__version__} does not '
            "read.\nGive the folder of the model before it was quantised, or serve it with a program that "
            "reads it and compare with --backend openai."
        )
    try:
        quantiser: Any = AutoHfQuantizer.from_config(dict(settings), pre_quantized=True)
        quantiser.validate_environment(device_map={"": device}, dtype=getattr(torch, dtype))
    except (ImportError, RuntimeError, ValueError, TypeError, OSError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise BackendUnavailable(
            f'"{folder.given}" is stored quantised by "{method}", which cannot be read here: {first}\n'
            "Install what is named, use a --device that it runs on, or give the folder of the model before "
            "it was quantised."
        ) from error
    return bool(getattr(quantiser.quantization_config, "dequantize", False))
