"""Says what a model or adapter folder holds.

Reads JSON and safetensors headers only, so that ``doctor`` and the checks before a run cost
milliseconds and no torch import. Not for: finding it (``location.py``), whether an adapter fits a
base (``adapter.py``), or loading weights (``loading.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuneval.engine.hf.weights.heads import head_of_adapter, head_of_model
from tuneval.engine.hf.weights.kind import (
    about_missing_head,
    about_prefixes,
    check_adapter_kind,
    check_is_answered,
    is_embedding_model,
)
from tuneval.engine.hf.weights.leftovers import check_is_whole, how_to_put_together
from tuneval.engine.hf.weights.location import entries, find_folder
from tuneval.errors import VariantError
from tuneval.types import Head

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

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLE_ENDINGS = {".bin", ".pt", ".pth", ".ckpt"}
_PICKLE_NAMES = re.compile(
    r"(pytorch_model|adapter_model|consolidated|model)[\w.-]*\.(bin|pt|pth|ckpt)"
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
    drawing : mapping
        Settings of ``generation_config.json`` by which its answers would not be greedy.
    generation : mapping
        All of ``generation_config.json``.
    notes : tuple of str
        What lies beside what counts and is not read.
    head : Head or None
        What the whole model's answers come from; None of an encoder without a trained head.
    adapter_head : Head or None
        What the adapter was trained for; None where it does not say, so that it is its base's.
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
    drawing: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    head: Head | None = "causal"
    adapter_head: Head | None = None

    @property
    def n_layers(self) -> int | None:
        """Number of layers that the weights hold, None where none are numbered."""
        numbers = {layer_number(name) for name in self.tensors} - {None}
        return len(numbers) or None


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
        Nothing is there, the folder holds neither model nor adapter, or a model that is no language
        model, weights are missing, empty, cut off or stored as pickle only, or it asks for Python code
        of its own.
    """
    given = str(path_or_id)
    path = find_folder(given, offline=offline, revision=revision)
    has_adapter, has_model = (path / ADAPTER_CONFIG).is_file(), (path / MODEL_CONFIG).is_file()
    if not has_adapter and not has_model:
        holds = ", ".join(sorted(entry.name for entry in entries(path))[:8]) or "nothing"
        raise VariantError(
            f'"{given}" is no model folder: it has neither {MODEL_CONFIG} nor {ADAPTER_CONFIG} '
            f"(it holds {holds}).\n"
            + (
                how_to_put_together(path, given)
                or "Give the folder that save_pretrained or the Trainer wrote."
            )
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
    notes = _left_behind(path)
    if has_adapter and _has_model_weights(path) and not _has_adapter_weights(path):
        has_adapter = False
        notes.append(f"{ADAPTER_CONFIG} without an adapter's weights: read as the whole model")
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
    if model_files:
        check_is_answered(config, given)
        notes += about_missing_head(config) + about_prefixes(config)
    if has_adapter:
        check_adapter_kind(adapter_config, adapter_config.get("peft_version"), given)
    tensors, dtypes = _headers(model_files, given)
    adapter_tensors, adapter_dtypes = _headers(adapter_files, given)
    check_is_whole({**tensors, **adapter_tensors}, path, given)
    for name in doubles(adapter_tensors):
        del adapter_tensors[name]
    text_config = config.get("text_config") or config
    generation = _read_json(path / "generation_config.json")
    # Older folders keep these settings in config.json, where transformers still finds them.
    is_seq2seq = bool(config.get("is_encoder_decoder"))
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
        context_length=context_length_of(text_config),
        quantization=quantization_of(config),
        drawing=MappingProxyType(_drawing({**config, **generation} if is_seq2seq else generation)),
        generation=MappingProxyType(generation),
        has_own_code=bool(own_code),
        notes=tuple(notes),
        head=None if is_embedding_model(path) else head_of_model(config, tensors),
        adapter_head=head_of_adapter(adapter_config, adapter_tensors) if has_adapter else None,
    )


def describe_text(path_or_id: str | Path, *, offline: bool = False) -> ModelFolder:
    """Say what a folder holds for reading text: tokenizer, template, context; weights may be elsewhere.

    Raises
    ------
    VariantError
        Nothing is there, no tokenizer among it, or it asks for Python code of its own.
    """
    given = str(path_or_id)
    path = find_folder(given, offline=offline)
    files = tuple(path / name for name in TOKENIZER_FILES if (path / name).is_file())
    if not files:
        raise VariantError(
            f'"{given}" has no tokenizer files.\nGive the folder of the model, or of its tokenizer.'
        )
    tokenizer_config = _read_json(path / "tokenizer_config.json")
    if tokenizer_config.get("auto_map"):
        raise VariantError(
            f'the tokenizer of "{given}" asks for Python code of its own, which is not run unasked.'
        )
    config = _read_json(path / MODEL_CONFIG)
    return ModelFolder(
        path=path,
        given=given,
        has_adapter=False,
        has_model=False,
        tokenizer_files=files,
        chat_template=_chat_template(path, tokenizer_config),
        context_length=context_length_of(config.get("text_config") or config),
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
    names = {entry.name for entry in entries(path)}
    is_pickled = any(re.fullmatch(r"pytorch_model(-\d+-of-\d+)?\.bin", name) for name in names)
    return bool({MODEL_WEIGHTS, MODEL_INDEX} & names) or is_pickled


def _has_adapter_weights(path: Path) -> bool:
    return any(entry.name.startswith("adapter_model.") for entry in entries(path))


def _left_behind(path: Path) -> list[str]:
    """An earlier save leaves files that transformers does not look at."""
    if not (path / MODEL_WEIGHTS).is_file():
        return []
    old = [entry.name for entry in entries(path) if _SHARD.fullmatch(entry.name)]
    old += [MODEL_INDEX] if (path / MODEL_INDEX).is_file() else []
    if not old:
        return []
    return [f"{MODEL_WEIGHTS} is read; left from another save, not read: {', '.join(sorted(old))}"]


def _weight_files(
    path: Path, given: str, single: str, index: str | None, allow_pickle: bool
) -> tuple[Path, ...]:
    if (path / single).is_file():  # transformers takes it before an index
        return (path / single,)
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
    pickles = tuple(sorted(e for e in entries(path) if _PICKLE_NAMES.fullmatch(e.name)))
    pickles = tuple(e for e in pickles if "fsdp" not in e.name)  # not a name that is ever read
    if index is None:  # an adapter's, whatever model was merged beside it
        pickles = tuple(e for e in pickles if e.name.startswith("adapter_model"))
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
        + ".\n"
        + (how_to_put_together(path, given) or "Copy or download the folder again.")
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


_USUAL_DRAWING = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "length_penalty": 1.0,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "encoder_no_repeat_ngram_size": 0,
    "forced_eos_token_id": None,
}
_USUAL_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None, "min_p": None, "typical_p": 1.0}
"""Settings that change what is drawn, with the values that change nothing; the second only where
``do_sample`` is on."""


def _drawing(config: Mapping[str, Any]) -> dict[str, Any]:
    """How the folder would have answers drawn, as far as that differs from greedy."""
    usual = _USUAL_DRAWING | (_USUAL_SAMPLING if config.get("do_sample") else {})
    return {
        name: config[name]
        for name, value in usual.items()
        if config.get(name) is not None and config[name] != value
    }


_SHIFTED = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm")
"""Kinds that count positions from behind the pad token's number on."""


def context_length_of(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model reads at most, by its settings; None where they do not say."""
    if config.get("model_type") in _SHIFTED and isinstance(config.get("pad_token_id"), int):
        return int(config.get("max_position_embeddings", 514)) - int(config["pad_token_id"]) - 1
    for key in (
        "max_encoder_position_embeddings",
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
    ):
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


def layer_number(name: str) -> int | None:
    """Number of the layer that a tensor or module belongs to, by its name."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)
