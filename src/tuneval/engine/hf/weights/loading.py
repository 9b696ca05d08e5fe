"""Loads a whole model once, every tensor of it from its files.

Everything random, pickled or unasked is refused here. Not for: adapters (``attachment.py``).
"""

from __future__ import annotations

import contextlib
import pickle  # only for its error: pickles are read with weights_only
import shutil
import tempfile
import time
import warnings
import weakref
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from tuneval.engine.hf.weights.attachment import Weights
from tuneval.engine.hf.weights.folder import ADAPTER_CONFIG, ModelFolder, is_pickle, layer_number
from tuneval.engine.hf.weights.placement import Placement
from tuneval.errors import BackendUnavailable, VariantError, gather
from tuneval.types import Head

CLASSES: Mapping[Head, str] = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "tokens": "AutoModelForTokenClassification",
}
"""Head -> the class of transformers that loads it."""
SMALL_MODEL = 50_000_000
"""Below this many parameters a second CPU thread costs more than it brings (measured)."""
_HALF = ("bfloat16", "float16")
_WORTH_IT = 1.5
_TRIAL_ROWS, _TRIAL_WIDTH, _TRIAL_ROUNDS = 64, 1024, 5


def resolve_device(device: str) -> str:
    """Turn "auto" into the best device here."""
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable(
            f'device "{device}" asked for, but torch sees no CUDA device. Use --device cpu.'
        )
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise BackendUnavailable(
            f'device "{device}" asked for, but the last one that torch sees is '
            f"cuda:{torch.cuda.device_count() - 1}."
        )
    if kind == "mps" and not has_mps:
        raise BackendUnavailable(
            f'device "{device}" asked for, but torch sees no Apple GPU. Use --device cpu.'
        )
    return device


def resolve_dtype(wanted: str, folder: ModelFolder | None, device: str) -> str:
    """Turn "auto" into the stored dtype; on CPU only where products of it are much faster.

    On CPU half precision is not exact, so it has to pay: a model under 50 M parameters stays in
    float32, which has a faster pass (``passes/fused.py``).
    """
    known = ("float32", "bfloat16", "float16", "float64")
    if wanted != "auto":
        if wanted not in known:
            raise VariantError(f'there is no dtype "{wanted}" (known: {", ".join(known)}, auto)')
        return wanted
    if folder is None or folder.dtype not in known:
        return "float32"
    if device == "cpu":
        is_large = folder.disk_bytes >= 2 * SMALL_MODEL
        pays = folder.dtype in _HALF and folder.quantization is None and is_large
        return folder.dtype if pays and speed_up(folder.dtype) >= _WORTH_IT else "float32"
    return str(folder.dtype)


@cache
def speed_up(dtype: str) -> float:
    """How many times faster this processor multiplies in a dtype than in float32, by a short trial.

    The best of several rounds in turn, processor time of one thread each, so that other work on the
    machine does not decide. Where the dtype has no instructions of its own it is below 1, with them
    (AVX512-BF16, AMX) 2 to 8.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds: dict[torch.dtype, float] = {}
        x, weight = torch.ones(_TRIAL_ROWS, _TRIAL_WIDTH), torch.ones(_TRIAL_WIDTH, _TRIAL_WIDTH)
        kinds = (torch.float32, getattr(torch, dtype))
        pairs = {kind: (x.to(kind), weight.to(kind)) for kind in kinds}
        with torch.inference_mode():
            for number in range(_TRIAL_ROUNDS + 1):
                for kind, (rows, matrix) in pairs.items():
                    started = time.thread_time()
                    torch.nn.functional.linear(rows, matrix)
                    took = time.thread_time() - started
                    if number:  # the first round sets products up
                        seconds[kind] = min(took, seconds.get(kind, took))
    except RuntimeError:  # no product of this dtype here
        return 0.0
    finally:
        torch.set_num_threads(n_threads)
    return seconds[torch.float32] / max(seconds[kinds[1]], 1e-9)


def load_weights(
    folder: ModelFolder,
    *,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    bits: str | None = None,
    placement: Placement = Placement(),  # noqa: B008 - frozen
    head: Head = "causal",
    n_labels: int | None = None,
) -> Weights:
    """Load a whole model, every tensor of it from its files.

    Parameters
    ----------
    bits : str or None
        "8-bit" or "4-bit": hold it so, by bitsandbytes, unless it is stored quantised.
    placement : Placement
        On which devices.
    head : Head
        As what.
    n_labels : int, optional
        Outputs of a head that is in no file of the folder: adapters bring it.

    Raises
    ------
    VariantError
        Tensors are missing or of another shape: nothing is ever filled with random numbers.
    BackendUnavailable
        The weights are quantised and the package for that is not installed.
    """
    options: dict[str, Any] = {"device_map": placement.device_map}
    if bits is not None and folder.quantization is None:
        options["quantization_config"] = _bitsandbytes(bits, dtype)
    with contextlib.ExitStack() as undo:
        if placement.is_spread:
            offloaded = tempfile.mkdtemp(prefix="tuneval-")
            undo.callback(shutil.rmtree, offloaded, ignore_errors=True)
            options |= {"max_memory": placement.max_memory, "offload_folder": offloaded}
        path = undo.enter_context(_without_adapter(folder))
        options["trust_remote_code"] = trust_remote_code
        if n_labels is not None:
            options |= {"num_labels": n_labels, "ignore_mismatched_sizes": True}
        model, info = _read_model(folder, path, dtype, head, options)
        lacking = _missing_head(info) if n_labels is not None else frozenset()
        _refuse_random(folder, info, lacking)
        if placement.device_map is None and bits is None:
            model = model.to(device)
        model.eval()
        model.requires_grad_(False)
        weights = Weights(
            model, folder, device=device, name=folder.given, bits=bits, head=head, lacking=lacking
        )
        weakref.finalize(weights, undo.pop_all().close)
    return weights


@contextlib.contextmanager
def _without_adapter(folder: ModelFolder) -> Iterator[Path]:
    """The folder without the adapter that lies in it: transformers would attach that unasked, on top of
    weights that may hold it already."""
    if not (folder.path / ADAPTER_CONFIG).is_file():
        yield folder.path
        return
    with tempfile.TemporaryDirectory(prefix="tuneval-") as name:
        for entry in folder.path.iterdir():
            if not entry.name.startswith("adapter_"):
                (Path(name) / entry.name).symlink_to(entry.absolute())
        yield Path(name)


def _read_model(
    folder: ModelFolder,
    path: Path,
    dtype: str,
    head: Head,
    options: Mapping[str, Any],
) -> tuple[Any, Mapping[str, Any]]:
    """The model of a folder, read at ``path``, and what transformers says of its tensors."""
    import transformers

    kind = getattr(transformers, CLASSES[head])
    has_pickles = any(is_pickle(file) for file in folder.weight_files)
    try:
        with _without_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, info = kind.from_pretrained(
                str(path),
                dtype=getattr(torch, dtype),
                use_safetensors=not has_pickles,
                weights_only=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except ImportError as error:
        raise BackendUnavailable(
            f'"{folder.given}" needs a package that is not installed: '
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    except SafetensorError as error:
        raise VariantError(
            f'"{folder.given}": its weights are damaged ({error}). Copy or download them again.'
        ) from error
    except (
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        if "out of memory" in str(error).lower():
            raise
        lines = str(error).strip().splitlines() or [""]
        raise VariantError(
            f'"{folder.given}" cannot be loaded ({type(error).__name__}: {lines[0]}).\n'
            f'Check config.json (model_type "{folder.model_type}") against the weight files.'
        ) from error
    return model, info


def _bitsandbytes(bits: str, dtype: str) -> Any:
    """Settings of bitsandbytes: LLM.int8 as it is used everywhere, or NF4 as in QLoRA."""
    from transformers import BitsAndBytesConfig

    if bits == "8-bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def _missing_head(info: Mapping[str, Any]) -> frozenset[str]:
    """Tensors above a model's layers that its files lack or hold in another size."""
    absent = {*(info.get("missing_keys") or ())}
    absent |= {str(key[0]) for key in info.get("mismatched_keys") or ()}
    return frozenset(name for name in absent if layer_number(name) is None and "embed" not in name)


def _refuse_random(
    folder: ModelFolder, info: Mapping[str, Any], lacking: Collection[str] = ()
) -> None:
    missing = sorted({*(info.get("missing_keys") or ())} - {*lacking})
    wrong = sorted({str(key[0]) for key in info.get("mismatched_keys") or ()} - {*lacking})
    if missing or wrong:
        raise VariantError(
            gather(
                f'"{folder.given}": {len(missing) + len(wrong)} tensors of the model are missing '
                "from its weight files or have another shape.",
                [f'missing: "{key}"' for key in missing]
                + [f'other shape: "{key}"' for key in wrong],
                "transformers would have filled them with random numbers. "
                "Copy or save the model again.",
                shown=5,
            )
        )


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """The run draws its own progress."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    spreading = getLogger("accelerate.big_modeling")
    level = spreading.level
    spreading.setLevel(ERROR)  # that a model does not fit is said in the facts
    try:
        yield
    finally:
        spreading.setLevel(level)
        logging.set_verbosity(verbosity)
        if was_on:
            logging.enable_progress_bar()
