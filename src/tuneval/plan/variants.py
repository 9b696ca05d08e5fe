"""Sections of run.yaml -> Variants: what lies in their folders, which adapter fits which base.

Reads settings and weight headers, never weights, and never imports torch.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneval.data.training_log import find as find_training_log
from tuneval.data.training_record import read_record
from tuneval.engine.hf.weights.adapter import check_adapter_fits
from tuneval.engine.hf.weights.folder import ADAPTER_CONFIG, MODEL_CONFIG, ModelFolder, describe
from tuneval.engine.hf.weights.heads import head_of_object
from tuneval.engine.hf.weights.kind import no_head
from tuneval.errors import ConfigError, VariantError
from tuneval.plan.spec import RunSpec, VariantSpec
from tuneval.types import TrainingLog, Variant, VariantKind

SERVED = ("openai",)
"""Backends whose variants are names that a server knows, not folders."""


def is_here(place: str) -> bool:
    """Is there a file or folder of that name? Never raises."""
    return os.path.exists(place)  # noqa: PTH110 - pathlib raises where a name is too long


def not_an_adapter(path: str, folder: ModelFolder) -> str:
    """What to say of a folder that was given as an adapter."""
    return (
        f'"{path}" holds no adapter: expected adapter_config.json and adapter_model.safetensors.'
        + (f"\nIt holds a whole model: --full {shlex.quote(path)}" if folder.has_model else "")
    )


def look_into(path: str, flag: str, **look: Any) -> ModelFolder:
    """Describe a folder; one that holds adapters or checkpoints below says which to give."""
    folder, config = Path(path), ADAPTER_CONFIG if flag == "adapter" else MODEL_CONFIG
    if folder.is_dir() and not any(
        (folder / one).is_file() for one in (ADAPTER_CONFIG, MODEL_CONFIG)
    ):
        below = sorted(place.parent.name for place in folder.glob(f"*/{config}"))
        if below:
            listed = ", ".join(f'"{name}"' for name in below[:8])
            place = path.rstrip("/")
            every = f' or --{flag} "{place}/*" for all' if len(below) > 1 else ""
            raise VariantError(
                f'"{path}" is no model folder itself; {listed} in it '
                f"{'are' if len(below) > 1 else 'is'}.\nGive one: "
                f"--{flag} {shlex.quote(f'{place}/{below[-1]}')}{every}."
            )
    return describe(path, **look)


def baseline_spec(spec: RunSpec) -> VariantSpec:
    """The section that all others are compared with: the one named, else the first whole model."""
    for variant in spec.variants:
        if variant.name == spec.baseline or (spec.baseline is None and not variant.adapter):
            if variant.adapter:
                raise ConfigError(f'baseline "{variant.name}" is an adapter; name a whole model.')
            return variant
    raise ConfigError(
        "no variant is a whole model: add the base, for example {name: base, model: ...}."
    )


def variants_of(
    one: VariantSpec,
    base: VariantSpec,
    spec: RunSpec,
    folders: dict[str, ModelFolder],
    notes: list[str],
    in_memory: Mapping[str, Any],
) -> list[Variant]:
    """The variants of one arm: one for a model, one for each adapter of a recipe."""
    shared = {
        "revision": one.revision,
        "dtype": spec.backend.dtype,
        "trust_remote_code": one.trust_remote_code,
        "training_run": one.training_run,
        "step": one.step,
    }
    look: dict[str, Any] = {
        "offline": spec.backend.offline,
        "trust_remote_code": one.trust_remote_code,
        "allow_pickle_weights": spec.backend.allow_pickle_weights,
    }
    if one.name in in_memory:
        _refuse_without_tokenizer(one, in_memory[one.name])
        return [
            Variant(
                name=one.name,
                kind=_kind_of_object(one, base, in_memory[one.name]),
                model=one.model or str(base.model),
                training_log=one.training_log if one.training_log != "auto" else None,
                head=head_of_object(model_of(in_memory[one.name])) or "causal",
                **shared,  # type: ignore[arg-type]
            )
        ]
    if spec.backend.kind in SERVED:
        return _served(one, base, shared)
    if not one.adapter:
        kind: VariantKind = "base" if one.name == base.name else "full"
        folder = look_into(str(one.model), "full", revision=one.revision, **look)
        if folder.has_model and folder.has_adapter and kind == "base":
            place = shlex.quote(str(one.model))
            raise VariantError(
                f"{one.model} holds both {MODEL_CONFIG} and {ADAPTER_CONFIG}.\n"
                f"Use --adapter {place} for the adapter or --full {place} for the merged model."
            )
        if not folder.has_model:
            raise VariantError(_not_a_model(one, folder))
        if folder.head is None and kind != "base":
            raise no_head(folder.path, folder.config, folder.given)
        folders[one.name] = folder
        notes += [f"{one.name}: {note}" for note in folder.notes]
        if folder.has_adapter:
            notes.append(
                f'{one.name}: "{one.model}" holds an adapter, too; read as the whole model'
            )
        return [
            Variant(
                name=one.name,
                kind=kind,
                model=str(one.model),
                training_log=None if kind == "base" else one.training_log,
                head=folder.head or "causal",
                **shared,  # type: ignore[arg-type]
            )
        ]
    base_model = one.model or str(base.model)
    base_folder = describe(base_model, revision=base.revision, **look)
    seeds, how = _training_seeds(one)
    variants = []
    for number, (path, seed) in enumerate(zip(one.adapter, seeds, strict=True), start=1):
        folder = look_into(path, "adapter", **look)
        if not folder.has_adapter:
            raise VariantError(not_an_adapter(path, folder))
        if folder.has_model:
            notes.append(f'{one.name}: "{path}" holds a whole model, too; read as the adapter')
        notes += [f"{one.name}: {note}" for note in folder.notes]
        notes += check_adapter_fits(
            folder,
            base_folder,
            allow_base_mismatch=spec.backend.allow_base_mismatch,
            is_quantised=spec.backend.quantization != "none",
        )
        name = one.name if len(one.adapter) == 1 else f"{one.name}-{number}"
        folders[name] = folder
        variants.append(
            Variant(
                name=name,
                kind="adapter",
                model=base_model,
                adapter=path,
                recipe=one.name if len(one.adapter) > 1 else None,
                training_seed=seed,
                training_log=one.training_log,
                head=folder.adapter_head or base_folder.head or "causal",
                **{**shared, "revision": base.revision},  # type: ignore[arg-type]
            )
        )
    if len(variants) > 1:
        notes.append(
            f"{one.name}: {len(variants)} adapters of one recipe = {len(variants)} training seeds "
            f"({how})"
        )
    return variants


def _served(one: VariantSpec, base: VariantSpec, shared: Mapping[str, Any]) -> list[Variant]:
    """The variants of one arm behind a server: names; what they are the server is asked later."""
    kind: VariantKind = "base" if one.name == base.name else "adapter" if one.adapter else "full"
    seeds, _ = _training_seeds(one)
    several = len(one.adapter) > 1
    return [
        Variant(
            name=f"{one.name}-{number}" if several else one.name,
            kind=kind,
            model=one.model or str(base.model),
            adapter=adapter,
            recipe=one.name if several else None,
            training_seed=seed,
            training_log=None if one.training_log == "auto" else one.training_log,
            **shared,
        )
        for number, (adapter, seed) in enumerate(
            zip(one.adapter or (None,), seeds or (None,), strict=True), start=1
        )
    ]


def _refuse_without_tokenizer(one: VariantSpec, held: Any) -> None:
    is_pair = isinstance(held, tuple) and len(held) == 2
    if held is not None and not is_pair and not Path(str(one.model)).is_dir():
        raise ConfigError(
            f'models in memory: "{one.name}" comes without a tokenizer. '
            f'Give models={{"{one.name}": (model, tokenizer)}}.'
        )


def _kind_of_object(one: VariantSpec, base: VariantSpec, held: Any) -> VariantKind:
    if one.name == base.name:
        return "base"
    return "adapter" if hasattr(model_of(held), "peft_config") else "full"


def model_of(held: Any) -> Any:
    """The model of what was given in memory, a tokenizer beside it or not."""
    return held[0] if isinstance(held, tuple) else held


def _not_a_model(one: VariantSpec, folder: ModelFolder) -> str:
    if folder.has_adapter:
        return (
            f'"{one.model}" holds an adapter (adapter_config.json), not a whole model.\n'
            f"Use --adapter {shlex.quote(str(one.model))}."
        )
    return f'"{one.model}" holds no model: expected config.json and *.safetensors.'


def _training_seeds(one: VariantSpec) -> tuple[tuple[int | None, ...], str]:
    """Seeds as given, else from the training records, else from folder names that differ in one number
    only, else unknown."""
    if one.training_seeds is not None:
        return one.training_seeds, "seeds as given"
    recorded = [read_record(path).seed or "" for path in one.adapter]
    if len(set(recorded)) == len(recorded) > 1 and all(seed.isdecimal() for seed in recorded):
        return tuple(map(int, recorded)), "seeds from the training records"
    found = [re.findall(r"\d+", Path(path).name) for path in one.adapter]
    numbers = [int(digits[-1]) for digits in found if digits]
    if 1 < len(numbers) == len(one.adapter) and len(set(numbers)) == len(numbers):
        return tuple(numbers), "seeds from the folder names"
    return (None,) * len(one.adapter), "seeds unknown"


def training_log_of(variant: Variant, notes: list[str]) -> TrainingLog | None:
    """The log that training left beside a variant; where none is found, a note says where it was sought."""
    if variant.training_log is None:
        return None
    place = variant.adapter or variant.model
    if variant.training_log != "auto":
        place = variant.training_log
    log, searched = find_training_log(place)
    if log is None and variant.training_log != "auto":
        raise ConfigError(
            f'no training log in "{place}" (searched: {", ".join(map(str, searched))}).'
        )
    if log is None:
        notes.append(
            f"{variant.name}: no training log found (searched {', '.join(map(str, searched))})"
        )
    return log
