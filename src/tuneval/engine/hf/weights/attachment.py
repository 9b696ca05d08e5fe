"""A base model in memory and the adapters that are attached to it, one of them on at a time.

Not for: loading the base (``loading.py``) or showing that an adapter acts (``proof.py``).
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tuneval.engine.hf.weights.encoder_decoder import EncoderDecoder
from tuneval.engine.hf.weights.folder import ModelFolder, doubles, is_pickle
from tuneval.engine.hf.weights.held import adapter_path
from tuneval.engine.hf.weights.lent import Before, Lent, trained_of_base
from tuneval.engine.hf.weights.manner import Manner, find_manner, manner_of
from tuneval.engine.hf.weights.network import Network
from tuneval.engine.hf.weights.placement import in_words
from tuneval.errors import AdapterError, gather
from tuneval.types import READS_TEXTS, Head

_HEADS = ("classifier", "score")
WRAPPERS: Mapping[Head, str] = {
    "causal": "PeftModelForCausalLM",
    "seq2seq": "PeftModelForSeq2SeqLM",
    "classification": "PeftModelForSequenceClassification",
    "tokens": "PeftModelForTokenClassification",
}
"""Head -> PEFT's class around its model."""
NETWORKS: Mapping[Head, type[Network]] = {"seq2seq": EncoderDecoder}
"""Head -> how its model is called; the others' as a causal language model's."""


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
        lacking: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self.name = name
        self.device = device
        self.model = model
        self.head = head
        self.lacking = frozenset(lacking)
        """Tensors that are in no file of the base: the head, which every adapter must bring."""
        self.network = NETWORKS.get(head, Network)(model, device=device, bits=bits, kind=head)
        # Packed weights hold fewer numbers than the model has.
        self.n_parameters = (
            sum(p.numel() for p in model.parameters()) if bits is None else model.num_parameters()
        )
        self._originals: dict[str, nn.Module] = {}
        self._peft: Any = None
        self._may_share = False
        """Whether another adapter may be attached beside what is."""
        self._attached: dict[str, str] = {}
        """Adapter's folder -> its name inside PEFT."""
        self._lent: dict[str, Lent] = {}
        """Adapter's folder -> tensors of the base that it has trained itself."""
        self._manners: dict[str, Manner] = {}
        """Adapter's folder -> how the model is called while it is on, as was found by trying."""
        self._own_manner: Manner | None = None
        self._detaching: set[str] = set()
        """Adapters that cannot be switched off, only taken off."""
        self._own_names: frozenset[str] = frozenset()
        """Names of the base's tensors before PEFT came."""
        self._before: Before | None = None
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
        self._peft, self._may_share = peft, _may_share(peft.peft_config[name])
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
        self._switch_off()
        if wanted is not None:
            self._switch_on(wanted)
        self._active = wanted
        return self.network

    def _switch_off(self) -> None:
        if self._active is None:
            return
        if self._active in self._lent:
            self._lent[self._active].give_back()
        if self._own_manner is not None:
            self._own_manner.put_on(self.network, None)
        self.network.own_forward = None
        if self._active in self._detaching:
            self.detach()
        else:
            self._set_layers(enabled=False)
        self._active = None

    def _switch_on(self, wanted: str) -> None:
        name = self._attached[wanted]
        self._set_on(name)
        if wanted in self._lent:
            self._lent[wanted].lend()
        manner = self._manners.get(wanted)
        if manner is not None:
            self._own_manner = manner_of(self.network)
            manner.put_on(self.network, self._peft)
        elif _needs_own_forward(self._peft.peft_config[name]):
            self.network.own_forward = self._peft

    def learn(self, adapter: ModelFolder, probes: Sequence[list[int]]) -> Manner | None:
        """Find out by trying how the model is called while this adapter is on; leaves it on.

        None for a plain LoRA, which is called like its base, and for heads that have passes of their own.
        """
        self.switch(adapter)
        key = str(adapter.path)
        if self._may_share or self.head != "causal":
            return None
        if key not in self._manners:
            manner = find_manner(self.network, self._peft, adapter, probes)
            self._switch_off()
            self._manners[key] = manner
            self.switch(adapter)
        return self._manners[key]

    def take_off(self, adapter: ModelFolder) -> None:
        """From now on take this adapter off altogether wherever it is switched off."""
        self._detaching.add(str(adapter.path))
        self.detach()

    @property
    def active(self) -> str | None:
        """PEFT's name of the adapter that is on."""
        return None if self._active is None else self._attached[self._active]

    @property
    def looks_ahead(self) -> bool:
        """Whether a token's numbers depend on later ones while the adapter is on that is on now."""
        manner = self._manners.get(self._active or "")
        return manner is not None and manner.looks_ahead

    @property
    def active_path(self) -> str | None:
        """Folder of the adapter that is on; PEFT's name may be another adapter's next."""
        return self._active

    def _set_layers(self, *, enabled: bool) -> None:
        tuner: Any = self._peft.base_model if self._peft is not None else None
        if hasattr(tuner, "disable_adapter_layers"):  # virtual tokens live outside of the layers
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of trained biases, which are put back here
                (tuner.enable_adapter_layers if enabled else tuner.disable_adapter_layers)()

    def attach(self, adapter: ModelFolder) -> None:
        """Load an adapter's tensors into the base, every one of them or none.

        Only plain LoRAs stand beside one another: other kinds may share tensors, or settings of the
        whole model, and are attached alone.

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
        config = _config_of(adapter)
        may_share = _may_share(config)
        if self._peft is not None and not (may_share and self._may_share):
            self.detach()
        if self.spread_over:
            _refuse_on_spread(adapter, config, self.name, self.spread_over)
        state = _adapter_tensors(adapter)
        _refuse_random_head(adapter, state, self.lacking, self.name)
        state = _with_trained_rows(config, state, self.model, adapter)
        whole = _claim_whole_modules(config, state, self.model, adapter)
        # Names of the user's may hold dots or PEFT's prefixes; "default" is what PEFT itself takes.
        name = f"t{len(self._attached)}" if may_share else "default"
        if self._peft is None:
            self._originals = dict(self.model.named_modules())
            self._own_names = frozenset(self.model.state_dict())
            self._before = Before(self.model)
            self._may_share = may_share
        lent = Lent(trained_of_base(state, dict(self.model.named_parameters()), whole))
        if len(lent):
            self._lent[str(adapter.path)] = lent
        self._attached[str(adapter.path)] = name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what PEFT warns of is fatal below
                self._wrap(config, name)
                _resize_copies(self._peft, name, whole)
                self._load(adapter, state, name)
        except (ValueError, KeyError, RuntimeError, TypeError, AttributeError, OSError) as error:
            self.detach()
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise AdapterError(
                f'adapter "{adapter.given}" cannot be attached to "{self.name}" '
                f"({type(error).__name__}: {first}).\nWas it trained on another base model?"
            ) from error
        except AdapterError:
            self.detach()
            raise
        if len(lent):
            lent.keep()
        self._peft.eval()
        self._set_layers(enabled=False)
        self._active = None

    def _wrap(self, config: Any, name: str) -> None:
        import peft

        if self._peft is None:
            wrap = getattr(peft, _wrapper(config, self.head))
            self._peft = wrap(self.model, config, adapter_name=name)
        else:
            self._peft.add_adapter(name, config)
        if self.spread_over:
            _give_memory(self._peft, name)

    def _load(self, adapter: ModelFolder, state: dict[str, Tensor], name: str) -> None:
        from peft import set_peft_model_state_dict

        state = {key: tensor.to(self.device) for key, tensor in state.items()}
        result = set_peft_model_state_dict(self._peft, state, adapter_name=name)
        if self._peft.peft_config[name].is_prompt_learning:
            return  # the prompt encoder loads its own tensors, strictly, and reports nothing here
        missing = self._missing(result.missing_keys, name)
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

    def _missing(self, unloaded: Sequence[str], name: str) -> list[str]:
        """Tensors of an adapter that its file lacks: not counters and the like, which PEFT never saves."""
        from peft import get_peft_model_state_dict

        own = {f"base_model.model.{key}" for key in self._own_names}
        left = [key for key in unloaded if f".{name}" in key or _unwrapped(key) not in own]
        if not left:
            return []
        stored = get_peft_model_state_dict(
            self._peft, adapter_name=name, save_embedding_layers=False
        )
        return [key for key in left if key in stored or key.replace(f".{name}", "", 1) in stored]

    def detach(self) -> None:
        """Take every adapter off and put the base's own modules back, the very same objects.

        A PEFT model that was given in memory goes back as it came.
        """
        if self._give_back is not None:
            self._give_back.close()
            self._give_back = None
        for lent in self._lent.values():
            lent.give_back()
        if self._own_manner is not None and self._active is not None:
            self._own_manner.put_on(self.network, None)
        self.network.own_forward = None
        self._lent.clear()
        self._attached.clear()
        self._active = None
        if not self._originals:
            return
        for name, module in list(self._originals.items()):
            parent_name, _, child = name.rpartition(".")
            if name and self._originals[parent_name]._modules.get(child) is not module:
                self._originals[parent_name]._modules[child] = module
        if self._before is not None:
            self._before.restore()
        self._peft = None
        self._originals = {}


def _gradients(model: Any) -> dict[str, bool]:
    return {name: p.requires_grad for name, p in model.named_parameters()}


def _restore_gradients(model: Any, wanted: Mapping[str, bool]) -> None:
    """PEFT decides anew which parameters are trained whenever adapters are switched."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted[name])


def _unwrapped(key: str) -> str:
    return key.replace(".base_layer.", ".").replace(".original_module.", ".")


def _config_of(adapter: ModelFolder) -> Any:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter.path))
    config.inference_mode = True
    return config


def _may_share(config: Any) -> bool:
    """Whether an adapter touches nothing but layers of its own: a LoRA without any more."""
    more = ("layer_replication", "trainable_token_indices", "alora_invocation_tokens")
    return (
        str(config.peft_type) in ("LORA", "PeftType.LORA")
        and getattr(config, "bias", "none") == "none"
        and not any(getattr(config, name, None) for name in more)
    )


def _needs_own_forward(config: Any) -> bool:
    """Whether PEFT must see the whole call, as far as that is known before it is tried."""
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
    if "peft" not in sys.modules:  # importing it takes a tenth of a second and 8 MB
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

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


def _with_trained_rows(
    config: Any, state: dict[str, Tensor], model: Any, adapter: ModelFolder
) -> dict[str, Tensor]:
    """Tensors in which rows of tokens stand inside the whole embeddings that were saved with them.

    PEFT saves both where the vocabulary has grown, and then wants a base that has grown as well.

    Raises
    ------
    AdapterError
        Rows of tokens that the base does not have, and no embeddings that have them.
    """
    trained = {key for key in state if key.endswith(_TRAINED_ROWS)}
    rows = _trained_rows(config)
    if not trained or not rows:
        return state
    made = dict(state)
    for key in trained:
        module = key.removesuffix(_TRAINED_ROWS).removesuffix(".token_adapter")
        stored = [f"{module}{part}.weight" for part in _WHOLE if f"{module}{part}.weight" in state]
        if not stored:
            continue
        whole = state[stored[0]].clone()
        indices = rows.get(module.rpartition(".")[2]) or next(iter(rows.values()))
        whole[torch.tensor(indices)] = state[key].to(whole.dtype)
        for name in [key, *stored]:
            made.pop(name, None)
        made[f"{module}.weight"] = whole
    if made.keys() != state.keys():
        config.trainable_token_indices = None
        return made
    known = int(model.get_input_embeddings().weight.shape[0])
    beyond = max(max(indices) for indices in rows.values())
    if beyond >= known:
        raise AdapterError(
            f'adapter "{adapter.given}" has trained the row of token {beyond}, but the base has '
            f"embeddings for {known} tokens, and the adapter holds none for the others.\n"
            "Give the base with its embeddings resized, or merge the adapter into that one and compare "
            "the merged folder with --full."
        )
    return state


_TRAINED_ROWS = ".trainable_tokens_delta"
_WHOLE = ("", ".base_layer", ".token_adapter.base_layer", ".original_module")


def _trained_rows(config: Any) -> dict[str, list[int]]:
    """Module -> ids of the tokens whose rows an adapter has trained there."""
    listed = getattr(config, "trainable_token_indices", None) or getattr(
        config, "token_indices", None
    )
    if isinstance(listed, Mapping):
        return {str(name): list(indices) for name, indices in listed.items() if indices}
    return {"": list(listed)} if listed else {}


def _wrapper(config: Any, head: Head) -> str:
    """PEFT's class for an adapter. Of one that names no task, PEFT expects no head."""
    is_plain = config.task_type is None and head in READS_TEXTS
    return "PeftModel" if is_plain else WRAPPERS[head]


def _refuse_random_head(
    adapter: ModelFolder, state: Mapping[str, Tensor], lacking: frozenset[str], base: str
) -> None:
    """Raise AdapterError where a tensor of the head is neither in the base's files nor in the adapter's.

    PEFT goes on with what the model was initialised with: another one each time.
    """
    brought = {name for key in state for name in _own_names(key)}
    random = sorted(lacking - brought)
    if random:
        raise AdapterError(
            gather(
                f'adapter "{adapter.given}": {len(random)} tensors of the model are neither in it nor in '
                f'"{base}".',
                [f'"{name}"' for name in random],
                "PEFT would leave them random: other answers at every load. They were not saved with "
                "the adapter: train it with task_type SEQ_CLS or TOKEN_CLS and name every new module in "
                f"modules_to_save ({', '.join(sorted({name.split('.')[0] for name in random}))}).",
                shown=3,
            )
        )


def _own_names(key: str) -> tuple[str, str]:
    """Names that a tensor of a whole module may have in the model: PEFT wraps the model once more where
    it puts layers into it than where it puts tokens before it."""
    plain = re.sub(r"\.modules_to_save(\.\w+)?(?=\.)", "", key)
    return plain.removeprefix("base_model.model."), plain.removeprefix("base_model.")


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
    own = _HEADS if config.task_type in ("SEQ_CLS", "TOKEN_CLS") else ()  # PEFT lists them itself
    parts = [name for name in whole if any(f".{known}." in f".{name}" for known in (*listed, *own))]
    for name in parts:  # of a module that is kept whole, of the size that it has
        del whole[name]
    for name in whole:
        if not any(f".{known}." in f".{name}." for known in (*listed, *own)):
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
    if not whole:
        return
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
