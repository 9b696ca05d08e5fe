"""Says what a model or adapter folder holds, and whether an adapter fits a base model.

Reads JSON and safetensors headers only, so that ``doctor`` and the checks before a run cost
milliseconds and no torch import. Not for: loading weights (``loading.py``).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuneval.errors import AdapterError, VariantError

Shape = tuple[int, ...]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_CONFIG = "config.json"
MODEL_WEIGHTS = "model.safetensors"
MODEL_INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
    "chat_template.json",
)
DOWNLOADED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")
"""What is fetched of a hub repository: no pickle ever reaches the disk."""

_PICKLE_ENDINGS = {".bin", ".pt", ".pth", ".ckpt"}
_PICKLE_NAMES = re.compile(
    r"(pytorch_model|adapter_model|consolidated|model)[\w.-]*\.(bin|pt|pth|ckpt)"
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_ID_LENGTH = 96
_ADAPTER_PREFIX = "base_model.model."
PROMPT_LEARNING = {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"}
# Names of containers that move between a checkpoint and the modules made from it.
_CONTAINERS = {"model", "transformer", "language_model", "base_model", "gpt_neox"}
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings")
# The tensors that PEFT itself reads below a module for a LoRA adapter.
_LORA_TENSOR = re.compile(
    r"(base_layer\.)*(lora_[AB]\.(weight|bias)|lora_embedding_[AB]|lora_magnitude_vector(\.weight)?"
    r"|weight|bias|token_adapter\..*)"
)
# Not part of a recipe: where the base lay, and what PEFT notes for its own book-keeping.
NOT_RECIPE = {
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "auto_mapping",
    "parent_library",
}
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "U8": "uint8",
    "F8_E4M3": "float8",
    "F8_E5M2": "float8",
}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What lies in a model or adapter folder.

    Attributes
    ----------
    given : str
        What the user wrote (a path or a hub id), for messages.
    adapter_settings : mapping
        ``adapter_config.json`` without what says nothing about training (paths, versions).
    recipe : str or None
        Hash of ``adapter_settings``: adapters that share it may be training seeds of one recipe.
    n_parameters, n_adapter_parameters : int
        Numbers stored in the weight files. Of a quantised model: packed numbers.
    tensors, adapter_tensors : mapping
        Name -> shape, as stored.
    dtype : str or None
        Type of most of the stored numbers.
    disk_bytes : int
        Size of the weight files.
    quantization : str or None
        "4-bit", "8-bit" or the method's name.
    """

    path: Path
    given: str
    has_adapter: bool
    has_model: bool
    base_model_name: str | None = None
    adapter_settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    model_type: str | None = None
    architecture: str | None = None
    n_parameters: int = 0
    n_adapter_parameters: int = 0
    tensors: Mapping[str, Shape] = field(default_factory=dict)
    adapter_tensors: Mapping[str, Shape] = field(default_factory=dict)
    weight_files: tuple[Path, ...] = ()
    adapter_weight_files: tuple[Path, ...] = ()
    tokenizer_files: tuple[Path, ...] = ()
    chat_template: str | None = None
    dtype: str | None = None
    disk_bytes: int = 0
    context_length: int | None = None
    quantization: str | None = None
    has_own_code: bool = False

    @property
    def n_layers(self) -> int | None:
        """Number of layers that the weights hold, None where none are numbered."""
        numbers = {_layer_number(name) for name in self.tensors} - {None}
        return len(numbers) or None


# ------------------------------------------------------------------------------- finding a folder


def find_folder(given: str, *, offline: bool = False, revision: str | None = None) -> Path:
    """Turn a path or hub id into a local folder.

    A path is never looked up on a network. A hub id is taken from the local cache, and downloaded
    (weights as safetensors only) where the run is not offline.

    Raises
    ------
    VariantError
        Nothing is there; near names are offered.
    """
    path = _expanded(given)
    if _is_dir(path):
        return path
    if _is_file(path):
        raise VariantError(f'"{given}" is a file. Give the folder that holds it: "{path.parent}"')
    if not _may_be_hub_id(given):
        raise VariantError(f'there is no folder "{given}"{_near_folder(path)}')
    return _from_hub(given, path, offline=offline, revision=revision)


def _expanded(given: str) -> Path:
    try:
        return Path(given).expanduser()
    except RuntimeError:  # "~nobody": no such user
        return Path(given)


def _is_dir(path: Path) -> bool:
    """Whether there is such a folder; a name that no file system takes (too long) is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _may_be_hub_id(given: str) -> bool:
    if not _HUB_ID.fullmatch(given) or len(given) > _HUB_ID_LENGTH:
        return False
    if "--" in given or ".." in given or given.endswith((".", "-", ".git")):
        return False
    parent, _, _ = given.rpartition("/")
    return not (parent and _is_dir(Path(parent)))


def _near_folder(path: Path) -> str:
    """Offer the sibling with the most similar name; climb to the first parent that exists."""
    parent = path.parent
    wanted = path.name
    while not _is_dir(parent) and parent != parent.parent:
        wanted, parent = parent.name, parent.parent
    names = sorted(entry.name for entry in _entries(parent) if _is_dir(entry))
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    if near:
        return f'. Did you mean "{parent / near[0]}"?'
    shown = ", ".join(f'"{name}"' for name in names[:5]) or "no folders"
    return f'. "{parent}" holds {shown}'


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _from_hub(given: str, path: Path, *, offline: bool, revision: str | None) -> Path:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(given, revision=revision, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        pass
    near = _near_folder(path)
    if "Did you mean" in near:
        raise VariantError(
            f'there is no folder "{given}" and no such model in the cache{near}\n'
            f"If it is a hub id, fetch it first with: hf download {given}"
        )
    if offline or constants.HF_HUB_OFFLINE:
        raise VariantError(
            f'"{given}" is not in the cache and this run is offline.\n'
            f"Download it elsewhere with: hf download {given}\n"
            "then pass the directory, or unset HF_HUB_OFFLINE."
        )
    try:
        return Path(
            huggingface_hub.snapshot_download(
                given, revision=revision, allow_patterns=list(DOWNLOADED)
            )
        )
    except Exception as error:  # the hub client's faults have no common class
        reason = str(error).strip().splitlines()
        raise VariantError(
            f'"{given}" is neither a folder here nor could it be fetched from the hub:\n'
            f"    {type(error).__name__}: {reason[0] if reason else ''}\n"
            "Check the name, log in with: hf auth login, or pass a local directory."
        ) from error


def cached_hub_ids() -> list[str]:
    """Hub ids of all models in the local cache, sorted."""
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--*")
    return sorted(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)


def find_base(adapter: ModelFolder, *, offline: bool = False) -> str:
    """Name of the base model that an adapter records, if it can be found here.

    Raises
    ------
    AdapterError
        None is recorded, or it is a path that is not here. A cached model of the same name is
        offered, never used.
    """
    recorded = adapter.base_model_name
    if not recorded:
        raise AdapterError(
            f'adapter "{adapter.given}": {ADAPTER_CONFIG} names no base model.\n'
            f"Name it: tuneval compare BASE --adapter {adapter.given} --data test.jsonl"
        )
    if _is_dir(_expanded(recorded)):
        return recorded
    if _may_be_hub_id(recorded) and recorded in cached_hub_ids():
        return recorded
    if _may_be_hub_id(recorded) and not Path(recorded).is_absolute() and not offline:
        find_folder(recorded)
        return recorded
    lines = [f'adapter "{adapter.given}" was trained on "{recorded}", which is not here.']
    offered = _offers(recorded, adapter)
    if offered:
        lines += [
            f"{offered[1]} If that is the same model:",
            f"    tuneval compare {offered[0]} --adapter {adapter.given} --data test.jsonl",
        ]
    else:
        lines.append(f"Name it: tuneval compare BASE --adapter {adapter.given} --data test.jsonl")
    raise AdapterError("\n".join(lines))


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
        if _is_file(parent / parts[-1] / MODEL_CONFIG):
            return str(parent / parts[-1]), f'There is "{parent / parts[-1]}".'
    return None


# --------------------------------------------------------------------------- describing a folder


def describe(
    path_or_id: str | Path,
    *,
    offline: bool = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle_weights: bool = False,
) -> ModelFolder:
    """Say what a model or adapter folder holds, from JSON and safetensors headers.

    Raises
    ------
    VariantError
        Nothing is there, the folder holds neither model nor adapter, weights are missing, cut off
        or stored as pickle only, or it asks for Python code of its own.
    """
    given = str(path_or_id)
    path = find_folder(given, offline=offline, revision=revision)
    has_adapter, has_model = (path / ADAPTER_CONFIG).is_file(), (path / MODEL_CONFIG).is_file()
    if not has_adapter and not has_model:
        holds = ", ".join(sorted(entry.name for entry in _entries(path))[:8]) or "nothing"
        raise VariantError(
            f'"{given}" is no model folder: it has neither {MODEL_CONFIG} nor {ADAPTER_CONFIG} '
            f"(it holds {holds}).\n"
            "Give the folder that save_pretrained or the Trainer wrote."
        )
    tokenizer_config = _read_json(path / "tokenizer_config.json")
    config = _read_json(path / MODEL_CONFIG)
    own_code = _own_code(config, tokenizer_config)
    if own_code and not trust_remote_code:
        raise VariantError(
            f'"{given}" asks for Python code of its own ({own_code}), which is not run unasked.\n'
            "Read that code, then set trust_remote_code for this variant; or remove auto_map where "
            "transformers knows the architecture itself."
        )
    adapter_config = _read_json(path / ADAPTER_CONFIG)
    settings = {key: adapter_config[key] for key in sorted(adapter_config) if key not in NOT_RECIPE}
    settings = {key: _sorted_if_set(value) for key, value in settings.items()}
    adapter_files = (
        _weight_files(path, given, ADAPTER_WEIGHTS, None, allow_pickle_weights)
        if has_adapter
        else ()
    )
    model_files = (
        _weight_files(path, given, MODEL_WEIGHTS, MODEL_INDEX, allow_pickle_weights)
        if has_model and not (has_adapter and not _has_model_weights(path))
        else ()
    )
    tensors, dtypes = _headers(model_files, given)
    adapter_tensors, adapter_dtypes = _headers(adapter_files, given)
    for name in doubles(adapter_tensors):
        del adapter_tensors[name]
    text_config = config.get("text_config") or config
    return ModelFolder(
        path=path,
        given=given,
        has_adapter=has_adapter,
        has_model=has_model and bool(model_files),
        base_model_name=adapter_config.get("base_model_name_or_path") or None,
        adapter_settings=MappingProxyType(settings),
        recipe=_hash(settings) if has_adapter else None,
        config=MappingProxyType(config),
        model_type=config.get("model_type"),
        architecture=next(iter(config.get("architectures") or ()), None),
        n_parameters=sum(prod(shape) for shape in tensors.values()),
        n_adapter_parameters=sum(prod(shape) for shape in adapter_tensors.values()),
        tensors=MappingProxyType(tensors),
        adapter_tensors=MappingProxyType(adapter_tensors),
        weight_files=model_files,
        adapter_weight_files=adapter_files,
        tokenizer_files=tuple(path / name for name in TOKENIZER_FILES if (path / name).is_file()),
        chat_template=_chat_template(path, tokenizer_config),
        dtype=_main_dtype(dtypes or adapter_dtypes),
        disk_bytes=sum(file.stat().st_size for file in (*model_files, *adapter_files)),
        context_length=_context_length(text_config),
        quantization=quantization_of(config),
        has_own_code=bool(own_code),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise VariantError(f'"{path}" is not valid JSON: {error}. Save the model again.') from error
    if not isinstance(content, dict):
        raise VariantError(f'"{path}" holds no JSON object. Save the model again.')
    return content


def _own_code(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> str:
    maps = {
        MODEL_CONFIG: config.get("auto_map"),
        "tokenizer_config.json": tokenizer_config.get("auto_map"),
    }
    return "; ".join(f"{name}: auto_map" for name, value in maps.items() if value)


def _sorted_if_set(value: Any) -> Any:
    """PEFT stores sets as lists in no fixed order."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return sorted(value)
    return value


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _has_model_weights(path: Path) -> bool:
    """Whether a folder that holds an adapter holds a whole model too."""
    return (path / MODEL_WEIGHTS).is_file() or (path / MODEL_INDEX).is_file()


def _weight_files(
    path: Path, given: str, single: str, index: str | None, allow_pickle: bool
) -> tuple[Path, ...]:
    if index and (path / index).is_file():
        shards = sorted(set(_read_json(path / index).get("weight_map", {}).values()))
        for name in shards:
            if Path(name).name != name:
                raise VariantError(f'"{given}": {index} names "{name}", outside of the folder.')
        missing = [name for name in shards if not (path / name).is_file()]
        if missing:
            raise VariantError(
                f'"{given}": {len(missing)} of {len(shards)} weight files are missing '
                f'(first: "{missing[0]}").\nCopy or download the folder again.'
            )
        return tuple(path / name for name in shards)
    if (path / single).is_file():
        return (path / single,)
    pickles = tuple(sorted(e for e in _entries(path) if _PICKLE_NAMES.fullmatch(e.name)))
    if pickles and allow_pickle:
        return pickles
    if pickles:
        raise VariantError(
            f'"{given}" has its weights as pickle only ("{pickles[0].name}"); opening a pickle can '
            "run any code.\nSave the model again with safe_serialization=True, or, if you trust "
            "its maker, pass --allow-pickle-weights."
        )
    raise VariantError(
        f'"{given}" has no weights: there is no {single}'
        + (f" and no {index}" if index else "")
        + ".\nCopy or download the folder again."
    )


def doubles(names: Iterable[str]) -> list[str]:
    """Tensors that PEFT stores beside the one that counts when the vocabulary has grown.

    It then writes a whole module three times: as trained, as the wrapper's copy of that, and as
    the untrained original.
    """
    known = set(names)
    parts = (".modules_to_save.", ".original_module.")
    return [
        name
        for name in known
        if any(part in name and name.replace(part, ".") in known for part in parts)
    ]


def is_pickle(path: Path) -> bool:
    """Whether a weight file is a pickle, by its name."""
    return path.suffix in _PICKLE_ENDINGS


def _headers(files: Iterable[Path], given: str) -> tuple[dict[str, Shape], Counter[str]]:
    """Shapes of all stored tensors, and how many numbers each dtype has."""
    shapes: dict[str, Shape] = {}
    dtypes: Counter[str] = Counter()
    for file in files:
        if is_pickle(file):
            continue
        for name, entry in _header(file, given).items():
            shapes[name] = tuple(entry["shape"])
            dtypes[entry["dtype"]] += prod(entry["shape"])
    return shapes, dtypes


def _header(file: Path, given: str) -> dict[str, dict[str, Any]]:
    """Header of a safetensors file: 8 bytes of length, then JSON with offsets into the rest."""
    size = file.stat().st_size
    damaged = VariantError(
        f'"{given}": "{file.name}" is damaged or cut off ({size} bytes).\n'
        "Copy or download it again."
    )
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise damaged
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise damaged from error
    if end != size - 8 - length:
        raise damaged
    return header  # type: ignore[no-any-return]


def _main_dtype(dtypes: Counter[str]) -> str | None:
    if not dtypes:
        return None
    name = dtypes.most_common(1)[0][0]
    return _DTYPES.get(name, name.lower())


def _chat_template(path: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    if (path / "chat_template.jinja").is_file():
        return (path / "chat_template.jinja").read_text(encoding="utf-8")
    template = _read_json(path / "chat_template.json").get(
        "chat_template", tokenizer_config.get("chat_template")
    )
    if isinstance(template, list):  # several named templates
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _context_length(config: Mapping[str, Any]) -> int | None:
    for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return None


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """In how many bits a model is stored, from its config: "4-bit", "8-bit" or the method's name."""
    settings = config.get("quantization_config")
    if not isinstance(settings, dict):
        return None
    if settings.get("load_in_4bit") or settings.get("bits") == 4:
        return "4-bit"
    if settings.get("load_in_8bit") or settings.get("bits") == 8:
        return "8-bit"
    return str(settings.get("quant_method", "quantised"))


# ------------------------------------------------------------------------ does the adapter fit it


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
            _check_tensors(adapter, base)
    return (*warnings, *_name_mismatch(adapter, base))


def _check_tensors(adapter: ModelFolder, base: ModelFolder) -> None:
    modules = _modules(base)
    homeless: list[str] = []
    misshapen: list[str] = []
    for name, shape in adapter.adapter_tensors.items():
        if ".experts." in name:  # experts are fused on loading; the loader itself checks these
            continue
        module, tail = _split(name, modules)
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
    if adapter.adapter_settings.get("peft_type") != "LORA":
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


def _layer_number(name: str) -> int | None:
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


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
    if n_layers is not None and all((_layer_number(name) or 0) >= n_layers for name in homeless):
        return (
            f'adapter "{adapter.given}": {len(homeless)} of {n} tensors fit no module of the base '
            f"model (first: {first}).\n"
            f'"{base.given}" has {n_layers} layers. It was trained on another base model'
            + (f' ("{adapter.base_model_name}" is recorded).' if adapter.base_model_name else ".")
        )
    numbered = [
        name
        for name, shape in modules.items()
        if len(shape) == 2 and _layer_number(name) is not None
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
