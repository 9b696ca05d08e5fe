"""Models that are in memory already: which PEFT models stand among them, and what they hold.

Not for: folders (``folder.py``) or switching adapters (``attachment.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from tuneval.engine.hf.weights.folder import NOT_RECIPE, ModelFolder
from tuneval.engine.hf.weights.kind import changes_base
from tuneval.errors import AdapterError


def is_peft(model: Any) -> bool:
    """Whether a model is PEFT's wrapper around another."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def inner(model: Any) -> Any:
    """The transformers model inside of PEFT's wrapper, or the model itself."""
    return model.get_base_model() if is_peft(model) else model


def wrapper_of(model: Any, models: Iterable[Any]) -> Any:
    """The PEFT model among ``models`` that changed this model in place, or None."""
    return next((one for one in models if is_peft(one) and inner(one) is inner(model)), None)


def adapter_path(name: str) -> Path:
    """What stands for the folder of an adapter that has none."""
    return Path("<in memory>") / name


def describe(model: Any, variant: str) -> ModelFolder:
    """The active adapter of a PEFT model, as if it lay in a folder.

    Raises
    ------
    AdapterError
        Several adapters are on at once, or one was merged into the base's weights.
    """
    from peft import get_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    active = getattr(model, "active_adapters", [model.active_adapter])
    if len(active) != 1:
        raise AdapterError(
            f'the model given for "{variant}" has several adapters on ({", ".join(active)}).\n'
            "Switch one of them on with set_adapter before it is given."
        )
    merged = [
        name
        for name, module in inner(model).named_modules()
        if isinstance(module, BaseTunerLayer) and module.merged
    ]
    if merged:
        raise AdapterError(
            f'the model given for "{variant}" has its adapter merged into the base\'s weights '
            f"(first: {merged[0]}), so the base is not there any more.\n"
            "Call unmerge_adapter() first, or give what merge_and_unload() returns."
        )
    name = active[0]
    _refuse_changed_base(model.peft_config[name], variant)
    tensors = get_peft_model_state_dict(model, adapter_name=name)
    settings = {
        key: _plain(value)
        for key, value in sorted(model.peft_config[name].to_dict().items())
        if key not in NOT_RECIPE
    }
    return ModelFolder(
        path=adapter_path(name),
        given=variant,
        has_adapter=True,
        has_model=False,
        adapter_settings=MappingProxyType(settings),
        adapter_tensors=MappingProxyType({key: tuple(t.shape) for key, t in tensors.items()}),
        n_adapter_parameters=sum(t.numel() for t in tensors.values()),
    )


def _refuse_changed_base(config: Any, variant: str) -> None:
    """Raise AdapterError where training has changed the base itself, so that it is not there any more."""
    start = str(getattr(config, "init_lora_weights", ""))
    ways = {
        f'bias="{getattr(config, "bias", "none")}"': getattr(config, "bias", "none") != "none",
        "layer_replication": bool(getattr(config, "layer_replication", None)),
        f'init_lora_weights="{start}"': changes_base(start),
    }
    if way := next((way for way, is_so in ways.items() if is_so), None):
        raise AdapterError(
            f'the model given for "{variant}" was trained with {way}, which changes the base in memory: '
            "with the adapter off it is not what it was.\n"
            "Give the base's folder, and the folder that save_pretrained wrote."
        )


def adapter_tensors(model: Any, folder: ModelFolder) -> Mapping[str, Tensor]:
    """Tensors of the adapter that ``describe`` described."""
    from peft import get_peft_model_state_dict

    tensors: Mapping[str, Tensor] = get_peft_model_state_dict(model, adapter_name=folder.path.name)
    return tensors


def own_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The base's tensors under the names that they had before PEFT came."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    added: list[str] = []
    for path, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            added += [f"{path}.{layer}." for layer in module.adapter_layer_names]
        if isinstance(module, AuxiliaryTrainingWrapper):
            added += [f"{path}.{child}." for child in module._modules if child != "original_module"]
    for name, tensor in model.state_dict().items():
        if not name.startswith(tuple(added)):
            yield name.replace(".base_layer.", ".").replace(".original_module.", "."), tensor


def _plain(value: Any) -> Any:
    """A setting as JSON would hold it."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value.value if hasattr(value, "value") else value
