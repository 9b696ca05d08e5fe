"""Loads a base model once, attaches adapters to it, and proves that each of them acts.

Not for: text, batching or scores. Everything random, pickled or unasked is refused here.
"""

from __future__ import annotations

import contextlib
import inspect
import pickle  # only for its error: pickles are read with weights_only
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping
from logging import ERROR, getLogger
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tuneval.engine.hf.weights.folder import ModelFolder, doubles, is_pickle
from tuneval.engine.hf.weights.held import adapter_path
from tuneval.engine.hf.weights.placement import Placement, in_words
from tuneval.errors import AdapterError, BackendUnavailable, VariantError, gather

SMALL_MODEL = 50_000_000
"""Below this many parameters a second CPU thread costs more than it brings (measured)."""

PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: What is the capital of France?\nAnswer:",
    "Once upon a time, there was a little girl who",
    "def add(a, b):\n    return",
    "Dear customer service, I would like to",
    "1 2 3 4 5 6 7 8 9",
    "Il était une fois, in einem fernen Land,",
    "Yes. No. Maybe! Why? Because:",
)
"""Texts on which every variant is tried before any case is scored."""


class Network:
    """A causal language model as scoring and generation call it.

    ``body`` and ``head`` are used apart where that was found to give the model's own logits, so
    that the head runs only on rows that are scored; otherwise the model's own forward is called.
    """

    def __init__(self, model: Any, *, device: str, bits: str | None = None) -> None:
        self.model = model
        self.device = device
        self.bits = bits
        """In how many bits its weights are held, None where they are whole."""
        self.is_split = False
        self.can_pad = True
        self.can_pad_left = True
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self.own_forward: Any = None
        """A PEFT model that must be called as a whole (virtual tokens), or None."""

    @property
    def body(self) -> Any:
        """The decoder below the head; adapters inside it act."""
        return getattr(self.model, self.model.base_model_prefix)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden rows in float32, with the caps and scales of the architecture."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        config = self.model.config.get_text_config()
        if getattr(config, "logit_scale", None):  # Cohere
            logits = logits * config.logit_scale
        if getattr(config, "logits_scaling", None):  # Granite
            logits = logits / config.logits_scaling
        if getattr(config, "final_logit_softcapping", None):  # Gemma
            cap = config.final_logit_softcapping
            logits = torch.tanh(logits / cap) * cap
        return logits.float()

    def logits(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits at every position by the model's own forward, float32, (rows, tokens, vocabulary)."""
        model = self.own_forward or self.model
        output = model(input_ids=ids, attention_mask=mask, use_cache=False)
        # Virtual tokens stand in front of the text.
        logits: Tensor = output.logits
        return logits[:, -ids.shape[1] :].float()

    def hidden(self, ids: Tensor, mask: Tensor | None, **options: Any) -> Any:
        """Output of the body; its last hidden state has shape (rows, tokens, width)."""
        return self.body(input_ids=ids, attention_mask=mask, **options)

    def check(self, probe: list[int]) -> None:
        """Find out whether body and head may be called apart, and whether rows may be padded."""
        ids = torch.tensor([probe], device=self.device)
        expected = self.logits(ids)
        bound = 1e-4 if self.is_exact else 5e-2
        try:
            rows = self.head(self.hidden(ids, None, use_cache=False).last_hidden_state)
            self.is_split = rows.shape == expected.shape and _near(rows, expected, bound)
        except (AttributeError, TypeError, RuntimeError, ValueError):
            self.is_split = False
        short = max(1, len(probe) // 2)
        rest = [probe[0]] * (len(probe) - short)
        right = self._padded_logits(probe[:short] + rest, [1] * short + [0] * len(rest))
        bound = max(bound, 1e-3)
        self.can_pad = right is not None and _near(right[:short], expected[0, :short], bound)
        left = self._padded_logits(rest + probe[:short], [0] * len(rest) + [1] * short)
        self.can_pad_left = left is not None and _near(
            left[-1:], expected[0, short - 1 :][:1], bound
        )

    def _padded_logits(self, row: list[int], mask: list[int]) -> Tensor | None:
        """Logits of a row that is padded beside one that is not, None where that is refused."""
        ids = torch.tensor([row, row], device=self.device)
        masks = torch.tensor([[1] * len(row), mask], device=self.device)
        options = {}
        if self.takes_positions:
            options["position_ids"] = (masks.cumsum(dim=1) - 1).clamp(min=0)
        try:
            output = self.model(input_ids=ids, attention_mask=masks, use_cache=False, **options)
        except (TypeError, RuntimeError, ValueError):
            return None
        logits: Tensor = output.logits[1].float()
        return logits

    @contextlib.contextmanager
    def without_outliers(self) -> Iterator[None]:
        """Let 8-bit products treat each row by itself, so that a check sees the mask's work alone."""
        states = [
            module.state
            for module in self.model.modules()
            if self.bits == "8-bit" and hasattr(getattr(module, "state", None), "threshold")
        ]
        before = [state.threshold for state in states]
        for state in states:
            state.threshold = 0.0
        try:
            yield
        finally:
            for state, threshold in zip(states, before, strict=True):
                state.threshold = threshold

    @property
    def is_exact(self) -> bool:
        """Whether a row's numbers depend on its neighbours by float32 rounding alone.

        Not in half precision, and not in 8 bits, where bitsandbytes looks for outliers over all
        rows of a batch. Its 4-bit weights are unpacked to the dtype of the products.
        """
        is_wide = self.model.dtype in (torch.float32, torch.float64)
        return is_wide and self.bits in (None, "4-bit")


def _near(a: Tensor, b: Tensor, bound: float) -> bool:
    scale = float(b.abs().max().clamp(min=1.0))
    return bool(torch.isfinite(a).all()) and float((a - b).abs().max()) <= bound * scale


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
    ) -> None:
        self.folder = folder
        self.name = name
        self.device = device
        self.model = model
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
        self._probes: list[list[int]] = []
        self._base_logits: list[Tensor] = []
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

    # --------------------------------------------------------------------------------- the base

    def prove_base(self, probes: list[list[int]]) -> None:
        """Keep the base's logits on the probes, before any adapter has come near it."""
        self._probes = probes
        with torch.inference_mode():
            with self.network.without_outliers():
                self.network.check(probes[0])
            self._base_logits = [self._probe(ids) for ids in probes]

    def _probe(self, ids: list[int]) -> Tensor:
        return self.network.logits(torch.tensor([ids], device=self.device)).cpu()

    # --------------------------------------------------------------------------------- adapters

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
        from peft import PeftConfig, PeftModelForCausalLM

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
                    self._peft = PeftModelForCausalLM(self.model, config, adapter_name=name)
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

    def prove(self, adapter: ModelFolder, probes: list[list[int]]) -> None:
        """Show that the adapter acts, and that switching it off gives the base back exactly.

        Raises
        ------
        AdapterError
            The logits on all probes equal the base's, or the base's have changed.
        """
        with torch.inference_mode():
            self.switch(None)
            before = [self._probe(ids) for ids in probes]
            self.switch(adapter)
            after = [self._probe(ids) for ids in probes]
            self.switch(None)
            base = [self._probe(ids) for ids in self._probes]
        same = zip(base, self._base_logits, strict=True)
        if not all(torch.equal(now, then) for now, then in same):
            raise AdapterError(
                f'adapter "{adapter.given}": the base model "{self.name}" no longer gives its own '
                "logits with the adapter switched off. It changes the base's weights; merge it and "
                "compare the merged folder with --full."
            )
        if all(_same_logits(a, b) for a, b in zip(after, before, strict=True)):
            raise AdapterError(
                f'adapter "{adapter.given}": all {len(adapter.adapter_tensors)} tensors fit, but it '
                f"changes nothing: its logits equal the base's bit for bit on {len(probes)} probe "
                f"prompts{_why_inert(adapter)}.\n"
                "It would be scored as a copy of the base. Check that training ran and that the "
                "folder was written after it (an earlier checkpoint-* may hold the trained tensors)."
            )
        for logits in after:
            if not torch.isfinite(logits).all():
                raise AdapterError(
                    f'adapter "{adapter.given}": its logits are not finite on a probe prompt. '
                    "Training diverged, or the dtype is too narrow (try --dtype float32)."
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


def _same_logits(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _needs_own_forward(config: Any) -> bool:
    """Whether PEFT must see the whole call (virtual tokens, activated LoRA)."""
    return bool(
        config.is_prompt_learning
        or config.is_adaption_prompt
        or getattr(config, "alora_invocation_tokens", None)
    )


def _why_inert(adapter: ModelFolder) -> str:
    """Say if the second factor of a LoRA is all zero, as it is before the first step."""
    from safetensors import safe_open

    n_zero = n_all = 0
    for file in adapter.adapter_weight_files:
        if is_pickle(file):
            return ""
        with safe_open(str(file), framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                if ".lora_B." in name:
                    n_all += 1
                    n_zero += not stored.get_tensor(name).any()
    if n_all and n_zero == n_all:
        return f" (all {n_all} lora_B tensors are zero, as before the first training step)"
    return ""


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
        raise BackendUnavailable("peft is not installed: pip install peft") from error
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


# --------------------------------------------------------------------------------- loading a base


def resolve_device(device: str) -> str:
    """Turn "auto" into the best device here."""
    if device != "auto":
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise BackendUnavailable(
                f'device "{device}" asked for, but torch sees no CUDA device. Use --device cpu.'
            )
        return device
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_dtype(wanted: str, folder: ModelFolder | None, device: str) -> str:
    """Turn "auto" into the stored dtype, or float32 on CPU (where half precision is not exact)."""
    known = ("float32", "bfloat16", "float16", "float64")
    if wanted != "auto":
        if wanted not in known:
            raise VariantError(f'there is no dtype "{wanted}" (known: {", ".join(known)}, auto)')
        return wanted
    if device == "cpu" or folder is None or folder.dtype not in known:
        return "float32"
    return str(folder.dtype)


def load_weights(
    folder: ModelFolder,
    *,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    bits: str | None = None,
    placement: Placement = Placement(),  # noqa: B008 - frozen
) -> Weights:
    """Load a whole model, every tensor of it from its files.

    Parameters
    ----------
    bits : str or None
        "8-bit" or "4-bit": hold it so, by bitsandbytes, unless it is stored quantised.
    placement : Placement
        On which devices.

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
        model, info = _read_model(folder, dtype, trust_remote_code, options)
        _refuse_random(folder, info)
        if placement.device_map is None and bits is None:
            model = model.to(device)
        model.eval()
        model.requires_grad_(False)
        weights = Weights(model, folder, device=device, name=folder.given, bits=bits)
        weakref.finalize(weights, undo.pop_all().close)
    return weights


def _read_model(
    folder: ModelFolder, dtype: str, trust_remote_code: bool, options: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    """The model of a folder, and what transformers says of its tensors."""
    from transformers import AutoModelForCausalLM

    has_pickles = any(is_pickle(file) for file in folder.weight_files)
    try:
        with _without_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, info = AutoModelForCausalLM.from_pretrained(
                str(folder.path),
                dtype=getattr(torch, dtype),
                use_safetensors=not has_pickles,
                weights_only=True,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
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


def _refuse_random(folder: ModelFolder, info: Mapping[str, Any]) -> None:
    missing = sorted(info.get("missing_keys") or ())
    wrong = sorted(str(key[0]) for key in info.get("mismatched_keys") or ())
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
