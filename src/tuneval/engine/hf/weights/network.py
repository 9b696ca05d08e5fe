"""A model as scoring, generation and the passes of other heads call it.

Not for: where its weights come from (``loading.py``) or its adapters (``attachment.py``).
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tuneval.types import READS_TEXTS, Head

_PROBE_ROWS = 32


class Network:
    """A model as scoring, generation and the passes of other heads call it.

    ``body`` and ``head`` are used apart where that was found to give the model's own logits, so
    that the head runs only on rows that are scored; otherwise the model's own forward is called.
    """

    def __init__(
        self, model: Any, *, device: str, bits: str | None = None, kind: Head = "causal"
    ) -> None:
        self.model = model
        self.kind = kind
        self.device = device
        self.bits = bits
        """In how many bits its weights are held, None where they are whole."""
        self.is_split = False
        self.can_pad = True
        self.can_pad_left = True
        taken = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in taken
        self.takes_types = "token_type_ids" in taken
        self.own_forward: Any = None
        """A PEFT model that must be called as a whole (virtual tokens), or None."""

    @property
    def own_keeps_cache(self) -> bool:
        """Whether PEFT's own call is needed for the first tokens alone: virtual ones are kept then."""
        config = getattr(self.own_forward, "active_peft_config", None)
        return bool(getattr(config, "is_prompt_learning", False))

    @property
    def way(self) -> str:
        """How texts go through it, in words, where one head has one way."""
        is_single = not self.can_pad or self.own_forward is not None
        return "one row at a time" if is_single else "padded batches"

    @property
    def body(self) -> Any:
        """The decoder below the head; adapters inside it act."""
        return getattr(self.model, self.model.base_model_prefix)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden rows in the model's dtype, with the caps and scales of the architecture.

        Not in float32: of a vocabulary of 150,000 that is as much again, and is best made of a few rows
        at a time (``passes/padded.from_logits``).
        """
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        config = self.model.config.get_text_config()
        if getattr(config, "logit_scale", None):  # Cohere
            logits = logits * config.logit_scale
        if getattr(config, "logits_scaling", None):  # Granite
            logits = logits / config.logits_scaling
        if getattr(config, "final_logit_softcapping", None):  # Gemma
            cap = config.final_logit_softcapping
            logits = torch.tanh(logits / cap) * cap
        return logits

    def logits(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits at every position by the model's own forward, float32, (rows, tokens, vocabulary)."""
        model = self.own_forward or self.model
        output = model(input_ids=ids, attention_mask=mask, use_cache=False)
        # Virtual tokens stand in front of the text.
        logits: Tensor = output.logits
        return logits[:, -ids.shape[1] :].float()

    def label_logits(
        self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Outputs of a head over labels by the model's own forward, float32, (rows, outputs), or
        (rows, tokens, outputs) of a head over words."""
        model = self.own_forward or self.model
        if self.own_forward is not None and mask is None:
            mask = torch.ones_like(ids)  # virtual tokens are put before it
        options = {} if types is None else {"token_type_ids": types}
        with self._last_token_pooled():
            logits: Tensor = model(input_ids=ids, attention_mask=mask, **options).logits
        return logits.float()

    @property
    def pad_token(self) -> int | None:
        """The token that rows are padded with; None where the model names none."""
        number: int | None = getattr(self.model.config.get_text_config(), "pad_token_id", None)
        return number

    @contextlib.contextmanager
    def _last_token_pooled(self) -> Iterator[None]:
        """Let rows of one length go through a decoder that has no pad token: each ends with its last.

        transformers refuses more than one row then. No token has the number -1.
        """
        config = self.model.config.get_text_config()
        if self.pad_token is not None:
            yield
            return
        config.pad_token_id = -1
        try:
            yield
        finally:
            config.pad_token_id = None

    def probe(self, ids: list[int], *, is_split: bool) -> Iterator[Tensor]:
        """What shows that an adapter acts: logits; under a head over labels, what the head reads.

        An adapter brings a head of its own, which would hide that nothing below it was trained.
        ``is_split``: by body and head, some rows at a time; bits differ from those of a whole forward.
        """
        row = torch.tensor([ids], device=self.device)
        if self.kind not in READS_TEXTS and is_split:
            hidden = self.hidden(row, None, use_cache=False).last_hidden_state[0]
            yield from map(self.head, hidden.split(_PROBE_ROWS))
        elif self.kind not in READS_TEXTS:
            yield self.logits(row)
        elif self.own_forward is not None:
            yield self.label_logits(row)
        else:
            yield self.body(input_ids=row)[0]

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
        if self.kind in READS_TEXTS:
            self._check_padding(probe)
            return
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
            self.is_split = rows.shape == expected.shape and is_near(rows, expected, bound)
            del rows  # of a large vocabulary, more than the rest of the check
        except (AttributeError, TypeError, RuntimeError, ValueError):
            self.is_split = False
        short = max(1, len(probe) // 2)
        rest = [probe[0]] * (len(probe) - short)
        right = (probe[:short] + rest, [1] * short + [0] * len(rest))
        left = (rest + probe[:short], [0] * len(rest) + [1] * short)
        bound = max(bound, 1e-3)
        padded = self._padded(probe, *right, slice(short))
        self.can_pad = padded is not None and is_near(padded, expected[0, :short], bound)
        padded = self._padded(probe, *left, slice(-1, None))
        last = expected[0, short - 1 : short]
        self.can_pad_left = padded is not None and is_near(padded, last, bound)

    def _check_padding(self, probe: list[int]) -> None:
        """Find out whether a head over labels gives a padded row what it gives it alone."""
        self.can_pad = False
        if self.pad_token is None:
            return
        short = probe[: max(1, len(probe) // 2)]
        rest = [self.pad_token] * (len(probe) - len(short))
        ids = torch.tensor([probe, short + rest], device=self.device)
        mask = torch.tensor([[1] * len(probe), [1] * len(short) + [0] * len(rest)])
        try:
            padded = self.label_logits(ids, mask.to(self.device))[1]
        except (TypeError, RuntimeError, ValueError):
            return
        alone = self.label_logits(torch.tensor([short], device=self.device))[0]
        self.can_pad = is_near(padded[: len(alone)], alone, 1e-5 if self.is_exact else 5e-2)

    def _padded(
        self, whole: list[int], row: list[int], mask: list[int], wanted: slice
    ) -> Tensor | None:
        """Logits of a padded row beside a whole one at some positions, None where that is refused."""
        ids = torch.tensor([whole, row], device=self.device)
        masks = torch.tensor([[1] * len(whole), mask], device=self.device)
        options: dict[str, Any] = {"use_cache": False}
        if self.takes_positions:
            options["position_ids"] = (masks.cumsum(dim=1) - 1).clamp(min=0)
        try:
            if self.is_split:
                hidden = self.hidden(ids, masks, **options).last_hidden_state
                logits = self.head(hidden[1, wanted])
            else:
                output = self.model(input_ids=ids, attention_mask=masks, **options)
                logits = output.logits[1, wanted]
        except (TypeError, RuntimeError, ValueError):
            return None
        return logits.float()

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


def is_near(rows: Tensor, right: Tensor, bound: float) -> bool:
    """Whether numbers of one shape differ by ``bound`` of the largest at most, and none is without bound.

    Row by row: arrays of all logits would be more than the model's own.
    """
    scale, worst = 1.0, 0.0
    width = right.shape[-1]
    for row, expected in zip(rows.reshape(-1, width), right.reshape(-1, width), strict=True):
        scale = max(scale, float(expected.abs().max()))
        gap = float((row - expected).abs().max())
        if not math.isfinite(gap):
            return False
        worst = max(worst, gap)
    return worst <= bound * scale
