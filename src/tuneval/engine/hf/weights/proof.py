"""Proves that an adapter acts, and that the base is itself again with the adapter off.

Not for: attaching (``attachment.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a model gave on one probe: a hash of the numbers, for they are held against each other bit by bit.

    The logits of the probes themselves would be a tenth of a model with a large vocabulary.
    """

    digest: bytes
    is_finite: bool

    def equals(self, other: _Seen) -> bool:
        """Whether both gave the same finite numbers."""
        return self.is_finite and other.is_finite and self.digest == other.digest


class Proof:
    """What a base answers on the probes, kept before any adapter has come near it.

    ``probes``: rows of token ids; several texts in one row cost one pass through the weights.
    """

    def __init__(self, weights: Weights, probes: list[list[int]]) -> None:
        self._weights = weights
        self._probes = probes
        self._base_is_split = weights.network.is_split
        self._seen: dict[bool, list[_Seen]] = {}
        """What the base gave by body and head (True), and by its own forward."""

    def keep(self, adapter: ModelFolder) -> None:
        """Ask the base as an adapter's proof will ask it, before that adapter comes."""
        self._weights.switch(None)
        is_split = self._is_split(adapter)
        if is_split not in self._seen:
            self._seen[is_split] = [self._probe(ids, is_split=is_split) for ids in self._probes]

    def _is_split(self, adapter: ModelFolder) -> bool:
        """By body and head, some rows at a time; but some kinds keep a state that only a call of the whole
        model clears."""
        is_lora = adapter.adapter_settings.get("peft_type") == "LORA"
        return is_lora and self._base_is_split

    @torch.inference_mode()
    def _probe(self, ids: list[int], *, is_split: bool) -> _Seen:
        digest = hashlib.sha256()
        is_finite = True
        for block in self._weights.network.probe(ids, is_split=is_split):
            numbers = (block + 0).cpu().contiguous()  # a zero has no sign
            is_finite = is_finite and bool(torch.isfinite(numbers).all())
            digest.update(f"{tuple(numbers.shape)}{numbers.dtype}".encode())
            digest.update(numbers.flatten().view(torch.uint8).numpy().data)
        return _Seen(digest.digest(), is_finite)

    def holds(self, *, is_split: bool | None = None) -> bool:
        """Whether the base, with all adapters off, gives the very logits that it gave before any came."""
        self._weights.switch(None)
        if is_split is None:
            is_split = False not in self._seen
        base = [self._probe(ids, is_split=is_split) for ids in self._probes]
        return all(now.equals(then) for now, then in zip(base, self._seen[is_split], strict=True))

    def check(self, adapter: ModelFolder, probes: list[list[int]]) -> None:
        """Show that the adapter acts, and that switching it off gives the base back exactly.

        Raises
        ------
        AdapterError
            The logits on all probes equal the base's, or the base's have changed.
        """
        # Tokens that the base does not have come last: it cannot be asked about them.
        n_rows = int(self._weights.model.get_input_embeddings().weight.shape[0])
        probes = sorted(probes, key=lambda ids: max(ids) >= n_rows)
        self._weights.learn(adapter, probes)
        network = self._weights.network
        # Bits are held against each other, so both are asked in the way that the adapter allows.
        kept = self._is_split(adapter)
        is_split = kept and network.is_split and network.own_forward is None
        after = [self._probe(ids, is_split=is_split) for ids in probes]
        is_base = self.holds(is_split=kept)
        if not is_base:  # some kinds change the model's shape, and can only be taken off
            self._weights.take_off(adapter)
            is_base = self.holds(is_split=kept)
        if not is_base:
            raise AdapterError(
                f'adapter "{adapter.given}": the base model "{self._weights.name}" no longer gives '
                "its own logits with the adapter switched off. It changes the base's weights; merge it and "
                "compare the merged folder with --full."
            )
        before = self._of_base([ids for ids in probes if max(ids) < n_rows], is_split=is_split)
        is_same = all(a.equals(b) for a, b in zip(after, before, strict=False))
        if is_same and len(after) == len(before):
            raise AdapterError(
                f'adapter "{adapter.given}": all {len(adapter.adapter_tensors)} tensors fit, but it '
                f"changes nothing: its logits equal the base's bit for bit on {len(PROBES)} probe "
                f"prompts{_why_inert(adapter)}.\n"
                "It would be scored as a copy of the base. Check that training ran and that the "
                "folder was written after it (an earlier checkpoint-* may hold the trained tensors)."
            )
        if not all(seen.is_finite for seen in after):
            raise AdapterError(
                f'adapter "{adapter.given}": its logits are not finite on a probe prompt. '
                "Training diverged, or the dtype is too narrow (try --dtype float32)."
            )

    def _of_base(self, probes: list[list[int]], *, is_split: bool) -> list[_Seen]:
        """What the base gives, which was found to be itself; what was kept of it is not asked again."""
        self._weights.switch(None)
        kept = self._seen.get(is_split, [])
        known = dict(zip(map(tuple, self._probes), kept, strict=bool(kept)))
        return [known.get(tuple(ids)) or self._probe(ids, is_split=is_split) for ids in probes]


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
