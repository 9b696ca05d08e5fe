"""A causal language model as scoring and generation call it.

Not for: where its weights come from (``loading.py``) or its adapters (``attachment.py``).
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


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

    def architecture(self) -> str:
        """All that decides which code runs: weights that agree in it are checked once."""
        config = {k: v for k, v in self.model.config.to_dict().items() if k != "_name_or_path"}
        kind = type(self.model)
        words = (kind.__module__, kind.__qualname__, str(self.model.dtype), self.device, self.bits)
        how = self.model.config._attn_implementation
        return json.dumps([*words, how, config], sort_keys=True, default=str)

    def check(self, probe: list[int]) -> None:
        """Find out whether body and head may be called apart, and whether rows may be padded.

        All three are matters of the architecture, so the first few layers tell them; what does not
        hold there is tried again with all layers.
        """
        with self.shallow() as is_shallow:
            self._check(probe)
        if is_shallow and not (self.is_split and self.can_pad and self.can_pad_left):
            self._check(probe)

    def _check(self, probe: list[int]) -> None:
        ids = torch.tensor([probe], device=self.device)
        self.is_split = self.can_pad = self.can_pad_left = False
        try:
            expected = self.logits(ids)
        except (IndexError, RuntimeError, ValueError, TypeError):
            return  # a forward that counts layers by itself; tried again with all of them
        bound = 1e-4 if self.is_exact else 5e-2
        try:
            rows = self.head(self.hidden(ids, None, use_cache=False).last_hidden_state)
            self.is_split = rows.shape == expected.shape and _near(rows, expected, bound)
        except (AttributeError, TypeError, RuntimeError, ValueError):
            self.is_split = False
        short = max(1, len(probe) // 2)
        rest = [probe[0]] * (len(probe) - short)
        right = (probe[:short] + rest, [1] * short + [0] * len(rest))
        left = (rest + probe[:short], [0] * len(rest) + [1] * short)
        bound = max(bound, 1e-3)

        def is_right(logits: Tensor, padded: tuple[list[int], list[int]]) -> bool:
            if padded is right:
                return _near(logits[:short], expected[0, :short], bound)
            return _near(logits[-1:], expected[0, short - 1 :][:1], bound)

        both = self._padded_logits(probe, right, left)
        if both is not None and is_right(both[0], right) and is_right(both[1], left):
            self.can_pad = self.can_pad_left = True
            return
        one = self._padded_logits(probe, right)
        self.can_pad = one is not None and is_right(one[0], right)
        one = self._padded_logits(probe, left)
        self.can_pad_left = one is not None and is_right(one[0], left)

    def _padded_logits(
        self, whole: list[int], *padded: tuple[list[int], list[int]]
    ) -> Tensor | None:
        """Logits of padded rows (ids, mask) beside a whole one, None where that is refused."""
        ids = torch.tensor([whole, *(row for row, _ in padded)], device=self.device)
        masks = torch.tensor([[1] * len(whole), *(mask for _, mask in padded)], device=self.device)
        options = {}
        if self.takes_positions:
            options["position_ids"] = (masks.cumsum(dim=1) - 1).clamp(min=0)
        try:
            output = self.model(input_ids=ids, attention_mask=masks, use_cache=False, **options)
        except (TypeError, RuntimeError, ValueError):
            return None
        logits: Tensor = output.logits[1:].float()
        return logits

    @contextlib.contextmanager
    def shallow(self) -> Iterator[bool]:
        """Let the model have its first few layers only, one of every kind among them.

        What a check of the architecture asks of them holds for the layers above too, at a fraction
        of the cost. Yields whether there are fewer now; models that keep their layers in no plain
        list stay whole.
        """
        found = self._layers()
        n_layers = 0 if found is None else _n_telling(found[2], self.model.config)
        if found is None or n_layers >= len(found[2]):
            yield False
            return
        parent, name, layers = found
        setattr(parent, name, layers[:n_layers])
        try:
            yield True
        finally:
            setattr(parent, name, layers)

    def _layers(self) -> tuple[nn.Module, str, nn.ModuleList] | None:
        """The one list of layers, who holds it and under which name."""
        depth = getattr(self.model.config.get_text_config(), "num_hidden_layers", None)
        lists = [
            (parent, name, child)
            for parent in self.model.modules()
            for name, child in parent.named_children()
            if isinstance(child, nn.ModuleList) and len(child) == depth
        ]
        # Virtual tokens come with keys and values for every layer.
        return lists[0] if len(lists) == 1 and self.own_forward is None else None

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


def _n_telling(layers: nn.ModuleList, config: Any) -> int:
    """How many layers from the first on show every kind of layer, at least two.

    A kind: modules and tensors by name, type and shape, plain settings, and the layer's type in the
    config (sliding or not).
    """
    types = getattr(config.get_text_config(), "layer_types", None) or ()
    kinds = [
        (*_kind(layer), types[number] if number < len(types) else None)
        for number, layer in enumerate(layers)
    ]
    return min(len(kinds), max(2, 1 + max(kinds.index(kind) for kind in kinds)))


def _kind(layer: nn.Module) -> tuple[object, ...]:
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in layer.named_parameters())
    settings = tuple(
        (path, type(module), key, value)
        for path, module in layer.named_modules()
        for key, value in sorted(vars(module).items())
        if value is None or isinstance(value, (bool, str))
    )
    return shapes, settings


def _near(a: Tensor, b: Tensor, bound: float) -> bool:
    scale = float(b.abs().max().clamp(min=1.0))
    return bool(torch.isfinite(a).all()) and float((a - b).abs().max()) <= bound * scale
