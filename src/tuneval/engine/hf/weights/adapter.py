"""Says which base model an adapter was trained on, and whether it fits the one given.

Reads what ``folder.py`` found and no weights. Not for: attaching (``attachment.py``).
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tuneval.engine.hf.weights.folder import (
    ADAPTER_CONFIG,
    MODEL_CONFIG,
    ModelFolder,
    Shape,
    layer_number,
)
from tuneval.engine.hf.weights.labels import n_outputs
from tuneval.engine.hf.weights.location import (
    cached_hub_ids,
    expanded,
    find_folder,
    is_dir,
    is_file,
    may_be_hub_id,
)
from tuneval.errors import AdapterError
from tuneval.types import READS_TEXTS

_ADAPTER_PREFIX = "base_model.model."
PROMPT_LEARNING = {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"}
# Names of containers that move between a checkpoint and the modules made from it.
_CONTAINERS = {"model", "transformer", "language_model", "base_model", "gpt_neox", "bert", "roberta",
               "distilbert", "deberta", "electra"}  # fmt: skip
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "shared")
# The tensors that PEFT itself reads below a module for a LoRA adapter.
_LORA_TENSOR = re.compile(
    r"(base_layer\.)*(lora_[AB]\.(weight|bias)|lora_embedding_[AB]|lora_magnitude_vector(\.weight)?"
    r"|weight|bias|token_adapter\..*)"
)


def find_base(
    adapter: ModelFolder, *, offline: bool = False, again: Callable[[str], str] | None = None
) -> str:
    """Name of the base model that an adapter records, if it can be found here.

    Parameters
    ----------
    again : callable, optional
        Base -> the command that names it, with all else that the user said.

    Raises
    ------
    AdapterError
        None is recorded, or it is a path that is not here. A cached model of the same name is
        offered, never used.
    """
    again = again or _shortest_command(adapter)
    recorded = adapter.base_model_name
    if not recorded:
        raise AdapterError(
            f'adapter "{adapter.given}": {ADAPTER_CONFIG} names no base model.\n'
            f"Name it: {again('BASE')}"
        )
    if is_dir(expanded(recorded)):
        return recorded
    if may_be_hub_id(recorded) and recorded in cached_hub_ids():
        return recorded
    if may_be_hub_id(recorded) and not Path(recorded).is_absolute() and not offline:
        find_folder(recorded)
        return recorded
    lines = [f'adapter "{adapter.given}" was trained on "{recorded}", which is not here.']
    offered = _offers(recorded, adapter)
    if offered:
        lines += [f"{offered[1]} If that is the same model:", f"    {again(offered[0])}"]
    else:
        lines.append(f"Name it: {again('BASE')}")
    raise AdapterError("\n".join(lines))


def _shortest_command(adapter: ModelFolder) -> Callable[[str], str]:
    words = shlex.join(["--adapter", adapter.given, "--data", "FILE"])
    return lambda base: f"tuneval compare {shlex.quote(base)} {words}"


def _offers(recorded: str, adapter: ModelFolder) -> tuple[str, str] | None:
    """A model here that may be the recorded one, and the sentence that offers it."""
    parts = Path(recorded).parts
    last_two, last = "/".join(parts[-2:]).lower(), parts[-1].lower()
    ids = cached_hub_ids()
    same = [name for name in ids if name.lower() == last_two]
    alike = [name for name in ids if name.lower().rpartition("/")[2].endswith(last)]
    for name in same + alike:
        return name, f"Your cache holds {name}."
    for parent in (adapter.path.parent, adapter.path.parent.parent):
        if is_file(parent / parts[-1] / MODEL_CONFIG):
            return str(parent / parts[-1]), f'There is "{parent / parts[-1]}".'
    return None


def check_adapter_fits(
    adapter: ModelFolder,
    base: ModelFolder,
    *,
    allow_base_mismatch: bool = False,
    is_quantised: bool = False,
) -> tuple[str, ...]:
    """Hold an adapter's tensors against the modules and layers of a base model.

    PEFT loads an adapter whose tensors fit nothing with a warning at most, and then returns the
    base model's answers; here that is an error.

    Parameters
    ----------
    is_quantised : bool
        The base will be quantised as it is loaded, whatever its files hold.

    Returns
    -------
    tuple of str
        Warnings: a recorded base of another name.

    Raises
    ------
    AdapterError
        Tensors name modules or layers that the base lacks, or have other shapes; or it was trained
        on a 4-bit base and this one is not (unless ``allow_base_mismatch``).
    """
    warnings = () if is_quantised else _quantisation_mismatch(adapter, base, allow_base_mismatch)
    if adapter.adapter_tensors and base.tensors:
        if adapter.adapter_settings.get("peft_type") in PROMPT_LEARNING:
            _check_prompt_width(adapter, base)
        else:
            _check_has_head(adapter, base)
            _check_tensors(adapter, base)
    return (*warnings, *_name_mismatch(adapter, base))


def acts_everywhere(adapter: ModelFolder, base: ModelFolder) -> bool:
    """Does the adapter sit on every kind of linear layer of the base's numbered layers?"""
    targets = adapter.adapter_settings.get("target_modules")
    linear = {
        name.removesuffix(".weight").rpartition(".")[2]
        for name, shape in base.tensors.items()
        if name.endswith(".weight") and len(shape) == 2 and layer_number(name) is not None
    }
    named = {name.rpartition(".")[2] for name in targets} if isinstance(targets, list) else set()
    return targets == "all-linear" or (bool(linear) and linear <= named)


def _check_tensors(adapter: ModelFolder, base: ModelFolder) -> None:
    modules = _modules(base)
    homeless: list[str] = []
    misshapen: list[str] = []
    layers = _replicated(adapter.adapter_settings)
    # Other types have tensors that layers share, or layers of their own: PEFT itself checks those.
    is_loose = not _is_lora(adapter) and _touches(adapter, modules)
    for name, shape in adapter.adapter_tensors.items():
        if ".experts." in name:  # experts are fused on loading; the loader itself checks these
            continue
        if _is_of_head(name, adapter):
            continue
        module, tail = _split(_in_layer(name, layers), modules)
        if module is None and is_loose:
            continue
        if module is None or not _is_known_tail(tail, adapter):
            homeless.append(name)
        elif not _has_right_shape(tail, shape, modules[module]):
            misshapen.append(
                f"{module}.{tail} is {_text(shape)}, the base's weight {_text(modules[module])}"
            )
    n = len(adapter.adapter_tensors)
    if homeless:
        raise AdapterError(_homeless_text(adapter, base, homeless, modules, n))
    if misshapen:
        widths = _widths(adapter, base)
        raise AdapterError(
            f'adapter "{adapter.given}": {len(misshapen)} of {n} tensors have another shape than '
            f'the modules of "{base.given}" (first: {misshapen[0]}).\n'
            f"{widths}It was trained on another base model"
            + (f' ("{adapter.base_model_name}" is recorded).' if adapter.base_model_name else ".")
        )


def _is_lora(adapter: ModelFolder) -> bool:
    return adapter.adapter_settings.get("peft_type") == "LORA"


def _replicated(settings: Mapping[str, object]) -> list[int]:
    """Which layer of the base each layer of a model with replicated ones is; empty where none are."""
    spans = settings.get("layer_replication")
    if not isinstance(spans, list):
        return []
    return [layer for start, stop in spans for layer in range(int(start), int(stop))]


def _in_layer(name: str, layers: list[int]) -> str:
    """A tensor's name with the layer of the base that its own is a copy of."""
    number = layer_number(name)
    if number is None or number >= len(layers):
        return name
    return re.sub(rf"\.{number}\.", f".{layers[number]}.", name, count=1)


def _touches(adapter: ModelFolder, modules: Mapping[str, Shape]) -> bool:
    """Whether an adapter has tensors in numbered layers of the base, or none in numbered layers at all."""
    plain = (_plain(name.removeprefix(_ADAPTER_PREFIX)) for name in adapter.adapter_tensors)
    found = {layer[0] for name in plain if (layer := re.match(r"[a-z_.]*\w+\.\d+\.", name))}
    return not found or any(module.startswith(tuple(found)) for module in modules)


def _is_of_head(name: str, adapter: ModelFolder) -> bool:
    """Is a tensor of the head over labels that an adapter brings, or of another whole module of it?"""
    if adapter.adapter_head not in READS_TEXTS:
        return False
    listed = adapter.adapter_settings.get("modules_to_save") or ()
    return any(f".{known}." in name for known in (*listed, "classifier", "score"))


def _check_has_head(adapter: ModelFolder, base: ModelFolder) -> None:
    if adapter.adapter_head not in READS_TEXTS or base.head == adapter.adapter_head:
        return
    if n_outputs(adapter.adapter_tensors) is None:
        raise AdapterError(
            f'adapter "{adapter.given}" was trained for labels, but its head is neither in it nor in '
            f'"{base.given}": PEFT would answer with a random one.\nThe head was not saved. Train with '
            f"task_type {adapter.adapter_settings.get('task_type')}, or name the head in modules_to_save."
        )


def _modules(base: ModelFolder) -> dict[str, Shape]:
    """Plain module name -> shape of its weight; a tied head borrows that of the embedding."""
    modules = {
        _plain(name.removesuffix(".weight")): shape
        for name, shape in base.tensors.items()
        if name.endswith(".weight")
    }
    if "lm_head" not in modules:
        for name, shape in list(modules.items()):
            if name.rpartition(".")[2] in _EMBEDDINGS:
                modules["lm_head"] = shape
                break
    return modules


def _plain(name: str) -> str:
    """A module's name without the containers that differ between checkpoint and model."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _CONTAINERS:
        parts = parts[1:]
    return ".".join(parts)


def _split(name: str, modules: Mapping[str, Shape]) -> tuple[str | None, str]:
    """Split an adapter tensor's name into the base's module and the rest."""
    if not name.startswith(_ADAPTER_PREFIX):
        return None, name
    parts = _plain(name.removeprefix(_ADAPTER_PREFIX)).split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:cut])
        if module in modules:
            return module, ".".join(parts[cut:])
    return None, name


def _is_known_tail(tail: str, adapter: ModelFolder) -> bool:
    if not _is_lora(adapter):
        return True
    return _LORA_TENSOR.fullmatch(tail) is not None


def _has_right_shape(tail: str, shape: Shape, weight: Shape) -> bool:
    """Conv1D keeps its weight transposed, so either side of the base's weight may match."""
    if len(weight) != 2 or 1 in weight:  # packed 4-bit weights say nothing about shape
        return True
    if tail == "lora_A.weight":
        return shape[-1] in weight
    if tail == "lora_B.weight":
        return shape[0] in weight
    if tail == "weight":  # a whole module; its vocabulary may have grown
        return len(shape) == 2 and shape[-1] in weight
    return True


def _short(name: str) -> str:
    """A tensor's name without what PEFT wraps around the module's."""
    plain = _plain(name.removeprefix(_ADAPTER_PREFIX))
    return re.sub(r"\.(lora|ia3|vera|lokr|hada|oft|boft)_\w+(\.\w+)*$|\.weight$", "", plain)


def _homeless_text(
    adapter: ModelFolder,
    base: ModelFolder,
    homeless: list[str],
    modules: Mapping[str, Shape],
    n: int,
) -> str:
    first = _short(homeless[0])
    n_layers = base.n_layers
    if n_layers is not None and all((layer_number(name) or 0) >= n_layers for name in homeless):
        return (
            f'adapter "{adapter.given}": {len(homeless)} of {n} tensors fit no module of the base '
            f"model (first: {first}).\n"
            f'"{base.given}" has {n_layers} layers. It was trained on another base model'
            + (f' ("{adapter.base_model_name}" is recorded).' if adapter.base_model_name else ".")
        )
    numbered = [
        name
        for name, shape in modules.items()
        if len(shape) == 2 and layer_number(name) is not None
    ]
    known = next(
        (name for name in modules if name.rpartition(".")[2] == first.rpartition(".")[2]),
        next(iter(numbered or modules), "no module"),
    )
    headline = (
        "no weight of this adapter acts on the base model."
        if len(homeless) == n
        else f"{len(homeless)} of {n} tensors fit no module of the base model."
    )
    if first in modules:
        return (
            f'adapter "{adapter.given}": {headline}\n'
            f"{len(homeless)} of {n} tensors have names that PEFT does not read (first: "
            f'"{homeless[0]}").\nPEFT would have loaded it and returned the base model\'s answers. '
            "Save it again with save_pretrained."
        )
    return (
        f'adapter "{adapter.given}": {headline}\n'
        f"{len(homeless)} of {n} tensors name modules that {base.given} does not have "
        f"(first: {first};\nthe base has {known}). PEFT would have loaded it and returned\n"
        "the base model's answers. Was it trained on another architecture?"
    )


def _widths(adapter: ModelFolder, base: ModelFolder) -> str:
    hidden = base.config.get("hidden_size") or base.config.get("n_embd")
    sides = Counter(
        shape[-1] for name, shape in adapter.adapter_tensors.items() if "lora_A" in name
    )
    if not hidden or not sides:
        return ""
    return f"The base is {hidden} wide, the adapter's modules mostly {sides.most_common(1)[0][0]}. "


def _check_prompt_width(adapter: ModelFolder, base: ModelFolder) -> None:
    hidden = base.config.get("hidden_size") or base.config.get("n_embd")
    width = adapter.adapter_settings.get("token_dim")
    # Prefix tuning counts the width of keys and values here; the loader checks that one.
    is_prefix = adapter.adapter_settings.get("peft_type") == "PREFIX_TUNING"
    if isinstance(hidden, int) and isinstance(width, int) and hidden != width and not is_prefix:
        raise AdapterError(
            f'adapter "{adapter.given}": its virtual tokens are {width} wide, but "{base.given}" '
            f"is {hidden} wide. It was trained on another base model."
        )


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _quantisation_mismatch(
    adapter: ModelFolder, base: ModelFolder, allowed: bool
) -> tuple[str, ...]:
    recorded = adapter.base_model_name or ""
    match = re.search(r"(4|8)[-_]?bit|gptq|awq|int4|int8", recorded, re.IGNORECASE)
    if match is None or base.quantization is not None:
        return ()
    bits = f"{match[1]}-bit" if match[1] else match[0]
    here = {"float32": "32-bit", "float16": "16-bit", "bfloat16": "16-bit"}.get(base.dtype or "")
    fault = (
        f'adapter "{adapter.given}" was trained on a {bits} base ({recorded}), but\n'
        f"--base {base.given} is {here or 'not quantised'}. Scores will differ from training time."
    )
    if allowed:
        return (fault.replace("\n", " "),)
    raise AdapterError(f"{fault}\nGo on with --allow-base-mismatch, or give the {bits} base.")


def _name_mismatch(adapter: ModelFolder, base: ModelFolder) -> tuple[str, ...]:
    recorded = adapter.base_model_name
    if not recorded or _quantized_name(recorded):
        return ()
    here = {base.given, str(base.path), str(base.config.get("_name_or_path") or "")}
    last = os.path.basename(os.path.normpath(recorded)).lower()  # noqa: PTH119 - foreign paths
    if any(os.path.basename(os.path.normpath(name)).lower() == last for name in here if name):  # noqa: PTH119
        return ()
    return (
        f'adapter "{adapter.given}" was trained on "{recorded}" and is evaluated on '
        f'"{base.given}": all its tensors fit, but check that this is the same model.',
    )


def _quantized_name(recorded: str) -> bool:
    return re.search(r"(4|8)[-_]?bit|gptq|awq|int4|int8", recorded, re.IGNORECASE) is not None
