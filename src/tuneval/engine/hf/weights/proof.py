"""Proves that an adapter acts, and that the base is itself again with the adapter off.

Not for: attaching (``attachment.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tuneval.engine.hf.weights.attachment import Weights
from tuneval.engine.hf.weights.folder import ModelFolder, is_pickle
from tuneval.errors import AdapterError

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


class Proof:
    """What a base answers on the probes, kept before any adapter has come near it.

    ``probes``: rows of token ids; several texts in one row cost one pass through the weights.
    """

    def __init__(self, weights: Weights, probes: list[list[int]]) -> None:
        self._weights = weights
        self._probes = probes
        with torch.inference_mode():
            self._logits = [self._probe(ids) for ids in probes]

    def _probe(self, ids: list[int]) -> Tensor:
        return self._weights.network.probe(ids).cpu()

    def holds(self) -> bool:
        """Whether the base, with all adapters off, gives the very logits that it gave before any came."""
        with torch.inference_mode():
            self._weights.switch(None)
            base = [self._probe(ids) for ids in self._probes]
        return all(torch.equal(now, then) for now, then in zip(base, self._logits, strict=True))

    def check(self, adapter: ModelFolder, probes: list[list[int]]) -> None:
        """Show that the adapter acts, and that switching it off gives the base back exactly.

        Raises
        ------
        AdapterError
            The logits on all probes equal the base's, or the base's have changed.
        """
        with torch.inference_mode():
            self._weights.switch(None)
            # Tokens that the base does not have come last: it cannot be asked about them.
            n_rows = int(self._weights.model.get_input_embeddings().weight.shape[0])
            probes = sorted(probes, key=lambda ids: max(ids) >= n_rows)
            known = dict(zip(map(tuple, self._probes), self._logits, strict=True))
            before = [
                known[tuple(ids)] if tuple(ids) in known else self._probe(ids)
                for ids in probes
                if max(ids) < n_rows
            ]
            self._weights.learn(adapter, probes)
            after = [self._probe(ids) for ids in probes]
            self._weights.switch(None)
            is_base = self.holds()
            if not is_base:  # some kinds change the model's shape, and can only be taken off
                self._weights.take_off(adapter)
                is_base = self.holds()
        if not is_base:
            raise AdapterError(
                f'adapter "{adapter.given}": the base model "{self._weights.name}" no longer gives '
                "its own logits with the adapter switched off. It changes the base's weights; merge it and "
                "compare the merged folder with --full."
            )
        is_same = all(_same_logits(a, b) for a, b in zip(after, before, strict=False))
        if is_same and len(after) == len(before):
            raise AdapterError(
                f'adapter "{adapter.given}": all {len(adapter.adapter_tensors)} tensors fit, but it '
                f"changes nothing: its logits equal the base's bit for bit on {len(PROBES)} probe "
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


def _same_logits(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


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
