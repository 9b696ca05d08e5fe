"""A base model in memory and the adapters that are attached to it, one of them on at a time.

Not for: loading the base (``loading.py``) or showing that an adapter acts (``proof.py``).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tuneval.engine.hf.weights.folder import ModelFolder, doubles, is_pickle
from tuneval.engine.hf.weights.held import adapter_path
from tuneval.engine.hf.weights.network import Network
from tuneval.engine.hf.weights.placement import in_words
from tuneval.errors import AdapterError, BackendUnavailable, gather
from tuneval.types import Head

WRAPPERS: Mapping[Head, str] = {
    "causal": "PeftModelForCausalLM",
    "seq2seq": "PeftModelForSeq2SeqLM",
    "classification": "PeftModelForSequenceClassification",
    "tokens": "PeftModelForTokenClassification",
}
"""Head -> PEFT's class around its model."""


class Weights:
    """One base model in memory with the adapters attached to it.

    The base is the model with every adapter off; its own tensors are never changed.
    """

    def __init__(
        self,
        model: Any,
        folder: ModelFolder | None,
        *,
        device: str,
        name: str,
        bits: str | None = None,
        peft: Any = None,
        head: Head = "causal",
    ) -> None:
        self.folder = folder
        self.name = name
        self.device = device
        self.model = model
        self.head = head
        self.network = Network(model, device=device, bits=bits)
        # Packed weights hold fewer numbers than the model has.
        self.n_parameters = (
            sum(p.numel() for p in model.parameters()) if bits is None else model.num_parameters()
        )
        self._originals: dict[str, nn.Module] = {}
        self._peft: Any = None
        self._peft_type: str | None = None
        self._attached: dict[str, str] = {}
        """Adapter's folder -> its name inside PEFT."""
        self._active: str | None = None
        """Folder of the adapter that is on."""
        self._give_back: contextlib.ExitStack | None = None
        """For a PEFT model given in memory: puts back what was on when it came."""
        if bits == "4-bit":
            _keep_unpacked(model)
        if peft is None:
            _refuse_touched(model, name)
        else:
            self._take(peft)

    @property
    def spread_over(self) -> str:
        """Where the parts of a model lie that does not fit on one device; "" where it does."""
        places = getattr(self.model, "hf_device_map", None) or {}
        lone = len(set(map(str, places.values()))) < 2 and "disk" not in places.values()
        return "" if lone else in_words(places)

    def _take(self, peft: Any) -> None:
        """Work with a PEFT model that was given in memory; the base is it with adapters off."""
        self._give_back = contextlib.ExitStack()
        self._give_back.callback(_restore_gradients, peft, _gradients(peft))
        self._give_back.callback(peft.train, peft.training)
        name = peft.active_adapter
        self._peft, self._peft_type = peft, str(peft.peft_config[name].peft_type)
        self._attached[str(adapter_path(name))] = name
        self._give_back.callback(self._set_on, name)
        peft.eval()
        self._set_layers(enabled=False)

    def _set_on(self, name: str) -> None:
        self._set_layers(enabled=True)
        self._peft.set_adapter(name)

    def switch(self, adapter: ModelFolder | None) -> Network:
        """Turn one adapter on, or all of them off; nothing to do where that is so already.

        PEFT's own context manager walks all modules on each entry and exit (4 to 8 ms, measured),
        which is more than many a batch costs.
        """
        wanted = None if adapter is None else str(adapter.path)
        if adapter is not None:
            self.attach(adapter)
        if wanted == self._active:
            return self.network
        self.network.own_forward = None
        if wanted is None:
            self._set_layers(enabled=False)
        else:
            name = self._attached[wanted]
            self._set_on(name)
            if _needs_own_forward(self._peft.peft_config[name]):
                self.network.own_forward = self._peft
        self._active = wanted
        return self.network

    @property
    def active(self) -> str | None:
        """PEFT's name of the adapter that is on."""
        return None if self._active is None else self._attached[self._active]

    def _set_layers(self, *, enabled: bool) -> None:
        tuner: Any = self._peft.base_model if self._peft is not None else None
        if hasattr(tuner, "disable_adapter_layers"):  # virtual tokens live outside of the layers
            (tuner.enable_adapter_layers if enabled else tuner.disable_adapter_layers)()

    def attach(self, adapter: ModelFolder) -> None:
        """Load an adapter's tensors into the base, every one of them or none.

        Raises
        ------
        AdapterError
            Tensors are missing, left over or of another shape.
        """
        if str(adapter.path) in self._attached:
            return
        if self._give_back is not None:
            raise AdapterError(
                f'adapter "{adapter.given}": "{self.name}" was given in memory with an adapter of '
                "its own, so no other is attached to it.\nGive the base as a folder."
            )
        import peft
        from peft import PeftConfig

        config = PeftConfig.from_pretrained(str(adapter.path))
        config.inference_mode = True
        kind = str(config.peft_type)
        if self._peft is not None and (kind != self._peft_type or _needs_own_forward(config)):
            self.detach()
        if self.spread_over:
            _refuse_on_spread(adapter, config, self.name, self.spread_over)
        state = _adapter_tensors(adapter)
        whole = _claim_whole_modules(config, state, self.model, adapter)
        name = f"t{len(self._attached)}"  # names of the user's may hold dots or PEFT's prefixes
        if self._peft is None:
            self._originals = dict(self.model.named_modules())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what PEFT warns of is fatal below
                if self._peft is None:
                    wrap = getattr(peft, WRAPPERS[self.head])
                    self._peft = wrap(self.model, config, adapter_name=name)
                    self._peft_type = kind
                else:
                    self._peft.add_adapter(name, config)
                if self.spread_over:
                    _give_memory(self._peft, name)
                _resize_copies(self._peft, name, whole)
                self._load(adapter, state, name)
        except (ValueError, KeyError, RuntimeError, TypeError) as error:
            self.detach()
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise AdapterError(
                f'adapter "{adapter.given}" cannot be attached to "{self.name}" '
                f"({type(error).__name__}: {first}).\nWas it trained on another base model?"
            ) from error
        except AdapterError:
            self.detach()
            raise
        self._attached[str(adapter.path)] = name
        self._peft.eval()
        self._set_layers(enabled=False)
        self._active = None

    def _load(self, adapter: ModelFolder, state: dict[str, Tensor], name: str) -> None:
        from peft import set_peft_model_state_dict

        state = {key: tensor.to(self.device) for key, tensor in state.items()}
        result = set_peft_model_state_dict(self._peft, state, adapter_name=name)
        if self._peft.peft_config[name].is_prompt_learning:
            return  # the prompt encoder loads its own tensors, strictly, and reports nothing here
        missing = [key for key in result.missing_keys if f".{name}" in key]
        faults = [f'not in the file: "{key}"' for key in missing]
        faults += [f'fits nothing: "{key}"' for key in result.unexpected_keys]
        if faults:
            raise AdapterError(
                gather(
                    f'adapter "{adapter.given}": {len(faults)} tensors were not loaded into '
                    f'"{self.name}".',
                    faults,
                    "PEFT would have gone on with a warning. Save the adapter again with "
                    "save_pretrained, or check that it belongs to this base.",
                    shown=3,
                )
            )

    def detach(self) -> None:
        """Take every adapter off and put the base's own modules back, the very same objects.

        A PEFT model that was given in memory goes back as it came.
        """
        if self._give_back is not None:
            self._give_back.close()
            self._give_back = None
        if not self._originals:
            return
        for name, module in list(self._originals.items()):
            parent_name, _, child = name.rpartition(".")
            if name and self._originals[parent_name]._modules.get(child) is not module:
                self._originals[parent_name]._modules[child] = module
        self._peft, self._peft_type = None, None
        self._attached.clear()
        self._originals = {}
        self._active = None
        self.network.own_forward = None


def _gradients(model: Any) -> dict[str, bool]:
    return {name: p.requires_grad for name, p in model.named_parameters()}


def _restore_gradients(model: Any, wanted: Mapping[str, bool]) -> None:
    """PEFT decides anew which parameters are trained whenever adapters are switched."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted[name])


def _needs_own_forward(config: Any) -> bool:
    """Whether PEFT must see the whole call (virtual tokens, activated LoRA)."""
    return bool(
        config.is_prompt_learning
        or config.is_adaption_prompt
        or getattr(config, "alora_invocation_tokens", None)
    )


def _keep_unpacked(model: Any) -> None:
    """Keep bitsandbytes from rearranging 4-bit weights in place on processors with AVX512-BF16.

    Release 0.50 turns them back wrongly whenever anybody asks for a state dict, as PEFT does when
    it loads an adapter: the base would answer differently from then on (measured). Its packed
    products also round to bfloat16 and refuse some shapes.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _refuse_touched(model: Any, name: str) -> None:
    """A base given as an object may have been changed by PeftModel.from_pretrained."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError as error:
        raise BackendUnavailable("peft is not installed: pip install 'tuneval[models]'") from error
    touched = [key for key, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    if touched:
        raise AdapterError(
            f'the model given for "{name}" carries adapter layers (first: {touched[0]}): '
            "PeftModel.from_pretrained changes the base in place, so both would answer as the "
            "adapter.\nGive the PEFT model under the adapter's name, too; or a freshly loaded base "
            "and the adapter's folder."
        )


# ------------------------------------------------------------------------------ reading adapters


def _adapter_tensors(adapter: ModelFolder) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for file in adapter.adapter_weight_files:
        if is_pickle(file):
            state.update(torch.load(file, map_location="cpu", weights_only=True))
        else:
            try:
                state.update(load_file(str(file)))
            except SafetensorError as error:
                raise AdapterError(
                    f'adapter "{adapter.given}": "{file.name}" is damaged ({error}). '
                    "Copy or download it again."
                ) from error
    for name in doubles(state):
        del state[name]
    return state


def _claim_whole_modules(
    config: Any, state: Mapping[str, Tensor], model: Any, adapter: ModelFolder
) -> dict[str, tuple[int, ...]]:
    """Have PEFT keep an adapter's whole modules (embeddings, head) as copies of its own.

    PEFT would write embeddings that it saved on its own account straight into the base. Returns
    module name -> stored shape.

    Raises
    ------
    AdapterError
        The vocabulary grew, but only on one side of the model.
    """
    modules = dict(model.named_modules())
    whole: dict[str, tuple[int, ...]] = {}
    for key, tensor in state.items():
        name = key.removeprefix("base_model.model.").removesuffix(".weight")
        if key.endswith(".weight") and isinstance(modules.get(name), (nn.Embedding, nn.Linear)):
            whole[name] = tuple(tensor.shape)
    if not whole:
        return whole
    listed = list(config.modules_to_save or [])
    for name in whole:
        if not any(name == known or name.endswith("." + known) for known in listed):
            listed.append(name)
    config.modules_to_save = listed
    grown = [name for name, shape in whole.items() if shape != tuple(modules[name].weight.shape)]
    sides = {
        "input embeddings": model.get_input_embeddings(),
        "output head": model.get_output_embeddings(),
    }
    lacking = [
        side for side, module in sides.items() if not any(modules[name] is module for name in grown)
    ]
    if grown and lacking:
        raise AdapterError(
            f'adapter "{adapter.given}" holds a vocabulary of another size '
            f"({whole[grown[0]][0]} tokens instead of {modules[grown[0]].weight.shape[0]}), but no "
            f"{' and no '.join(lacking)} to go with it.\n"
            "Merge it into its base and compare the merged folder with --full."
        )
    return whole


def _refuse_on_spread(adapter: ModelFolder, config: Any, base: str, places: str) -> None:
    """Only a plain LoRA can be put beside weights that come and go."""
    tensors = adapter.adapter_tensors
    is_plain = str(config.peft_type).endswith("LORA") and not getattr(config, "use_dora", False)
    if is_plain and all(".lora_A." in key or ".lora_B." in key for key in tensors):
        return
    raise AdapterError(
        f'adapter "{adapter.given}" cannot be attached to "{base}", which does not fit into memory '
        f"as a whole ({places}): only a plain LoRA can.\n"
        "Free memory, use a narrower dtype, or merge it and compare the merged folder with --full."
    )


def _give_memory(peft: Any, name: str) -> None:
    """Put a LoRA's tensors where its products run.

    PEFT puts them beside the base's, which are placeholders while they lie elsewhere; it would then
    answer with whatever stood in memory.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in peft.modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        base: Any = module.get_base_layer()
        hook = getattr(base, "_hf_hook", None)
        device = getattr(hook, "execution_device", None) or base.weight.device
        for layers in (getattr(module, "lora_A", {}), getattr(module, "lora_B", {})):
            if name in layers and layers[name].weight.is_meta:
                layers[name].to_empty(device=device)


def _resize_copies(peft: Any, name: str, whole: Mapping[str, tuple[int, ...]]) -> None:
    """Give the adapter's own copies the stored size; the base's modules stay as they are."""
    modules = dict(peft.base_model.model.named_modules())
    for path, shape in whole.items():
        wrapper = modules[path]
        copy = wrapper.modules_to_save[name]
        if tuple(copy.weight.shape) == shape:
            continue
        # The padding row's index and the bias are of no use in inference.
        weight = torch.empty(shape, dtype=copy.weight.dtype, device=copy.weight.device)
        if isinstance(copy, nn.Embedding):
            resized: nn.Module = nn.Embedding(shape[0], shape[1], _weight=weight)
        else:
            resized = nn.Linear(shape[1], shape[0], bias=False, device="meta")
            resized.weight = nn.Parameter(weight, requires_grad=False)
        wrapper.modules_to_save[name] = resized
