"""The weights that are in memory, proved, and the ways through them that were found by trying.

Not for: what a variant is (``voice.py``) or what it answers (``backend.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from tuneval.engine.hf.passes import prefix
from tuneval.engine.hf.passes.fused import fits
from tuneval.engine.hf.passes.tree import MaskedTree, Tree, find_tree
from tuneval.engine.hf.voice import Key, Voice, module_of
from tuneval.engine.hf.weights import held, memory, placement
from tuneval.engine.hf.weights.attachment import Weights
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.loading import SMALL_MODEL, load_weights
from tuneval.engine.hf.weights.network import Network
from tuneval.engine.hf.weights.proof import PROBES, Proof
from tuneval.errors import AdapterError, VariantError
from tuneval.types import Variant

_N_PROBE_TOKENS = 32
_MAX_ROW = 256
_CHECKED = ("is_split", "can_pad", "can_pad_left")


class Resident:
    """Weights in memory: another set takes their place unless both fit."""

    def __init__(
        self,
        device: str,
        threads: int | Literal["auto"],
        models: Mapping[str, Any],
        *,
        memory_limit: int | None = None,
    ) -> None:
        self._device = device
        self._threads = threads
        self._models = models
        self._limit = memory_limit
        self.held: dict[Key, Weights] = {}
        self.trees: dict[tuple[int, str | None], Tree | None] = {}
        self.expands: dict[tuple[int, str | None], bool] = {}
        self._proofs: dict[Key, Proof] = {}
        self._alike: dict[str, dict[str, Any]] = {}
        """Architecture and dtype -> what was found out of it on the first weights."""
        self._threads_before = torch.get_num_threads()

    def close(self) -> None:
        """Detach adapters, give the weights' memory back, and put the number of threads back."""
        self._leave()
        torch.set_num_threads(self._threads_before)

    def _leave(self) -> None:
        for weights in self.held.values():
            weights.detach()
        self.held.clear()
        self.trees.clear()
        self.expands.clear()
        self._proofs.clear()
        memory.release(self._device)

    def _forget(self, key: Key) -> None:
        gone = id(self.held.pop(key))
        del self._proofs[key]
        self.trees = {one: tree for one, tree in self.trees.items() if one[0] != gone}
        self.expands = {one: can for one, can in self.expands.items() if one[0] != gone}

    def weights(self, variant: Variant, voice: Voice) -> Weights:
        """The weights of a variant, loaded now if they are not held."""
        key = voice.key
        if key not in self.held:
            given = self._models.get(variant.name)
            if given is not None:
                weights = self._take(module_of(given), variant, voice)
            else:
                assert voice.model is not None
                weights = self._load(voice.model, variant, voice)
                _take_pad_token(weights, voice)
            # The probes are compared bit for bit, so they must run on as many threads as all else.
            self._set_threads(weights.n_parameters)
            with torch.inference_mode(), weights.network.without_outliers():
                self._check(weights.network, _probes(voice)[0][:_N_PROBE_TOKENS])
            self.held[key] = weights
        weights = self.held[key]
        self._set_threads(weights.n_parameters)
        return weights

    def _take(self, model: Any, variant: Variant, voice: Voice) -> Weights:
        """Weights that are in memory already; a PEFT model around them is found by itself."""
        peft = held.wrapper_of(model, map(module_of, self._models.values()))
        model = held.inner(model)
        if voice.bits is None:
            model = model.to(self._device)
        model.eval()
        return Weights(
            model,
            None,
            device=self._device,
            name=variant.name,
            bits=voice.bits,
            peft=peft,
            head=voice.head,
        )

    def _load(self, folder: ModelFolder, variant: Variant, voice: Voice) -> Weights:
        dtype, bits = voice.dtype, voice.bits
        needed = placement.needed_bytes(folder, dtype, bits)
        # What does not fit beside others takes their place.
        free = memory.free_bytes(self._device)
        is_beyond = self._limit is not None and needed > self.room()
        if self.held and (is_beyond or not placement.is_room(needed, self._device, free)):
            self._leave()
            free = memory.free_bytes(self._device)
        if self._limit is not None and needed > self.room():
            raise _beyond(variant.name, needed, dtype, self._limit, self._device)
        return load_weights(
            folder,
            device=self._device,
            dtype=dtype,
            trust_remote_code=variant.trust_remote_code,
            bits=bits,
            placement=placement.place(needed, self._device, free, bits=bits),
            head=voice.head,
            n_labels=len(voice.labels) if voice.labels and voice.adapter else None,
        )

    def room(self) -> int:
        """Bytes that are left for a batch: what is free, or what a limit leaves beside the weights.

        Under a limit it is a sum of sizes and nothing that is measured, so that the batches of a run are
        the same each time.
        """
        if self._limit is None:
            return memory.free_bytes(self._device)
        taken = 0
        for one in self.held.values():
            n_copies = 2 if fits(one.model) else 1  # the fused pass has weights of its own
            taken += n_copies * sum(p.nbytes for p in one.model.parameters())
        return max(0, self._limit - memory.own_bytes(self._device) - taken)

    def prove(self, weights: Weights, voice: Voice) -> None:
        """Attach a variant's adapter, if it has one, and show that it acts."""
        if voice.adapter is None:
            return
        probes = _probes(voice)
        if voice.key not in self._proofs:  # no adapter has come near the base yet
            weights.switch(None)
            n_rows = int(weights.model.get_input_embeddings().weight.shape[0])
            own = [ids for ids in probes if max(ids) < n_rows]
            self._proofs[voice.key] = Proof(weights, own or [[0]])
        self._proofs[voice.key].keep(voice.adapter)
        weights.attach(voice.adapter)
        try:
            self._proofs[voice.key].check(voice.adapter, probes)
        except AdapterError:
            weights.detach()
            if voice.model is not None and not self._proofs[voice.key].holds():
                self._forget(voice.key)  # read again for the others
            raise

    def _set_threads(self, n_parameters: int) -> None:
        if self._threads != "auto":
            torch.set_num_threads(self._threads)
        elif self._device == "cpu":
            is_small = n_parameters < SMALL_MODEL
            torch.set_num_threads(1 if is_small else self._threads_before)

    def tree(self, weights: Weights, voice: Voice) -> Tree | None:
        """The packed way through the model for a variant, found once and checked then.

        Held for the base and for one adapter more: a fused pass keeps copies of small weights.
        """
        weights.switch(voice.adapter)
        key = (id(weights), weights.active_path)
        if key not in self.trees:
            base = (id(weights), None)
            self.trees = {k: tree for k, tree in self.trees.items() if k == base}
            n_tokens = int(weights.model.get_input_embeddings().weight.shape[0])
            self.trees[key] = self._find_tree(weights, n_tokens)
        return self.trees[key]

    def _check(self, network: Network, probe: list[int]) -> None:
        """Find out what the architecture allows, or take it over from weights of the same."""
        alike = self._alike.setdefault(network.architecture(), {})
        if not alike:
            network.check(probe)
            alike.update({name: getattr(network, name) for name in _CHECKED})
        for name in _CHECKED:
            setattr(network, name, alike[name])

    def _find_tree(self, weights: Weights, n_tokens: int) -> Tree | None:
        """A tree that was checked, on these weights or, without an adapter, on others alike."""
        network = weights.network
        alike = self._alike.get(network.architecture(), {})
        if weights.active is None and "tree" in alike:
            return MaskedTree.like(alike["tree"], network)
        with network.without_outliers():
            tree = find_tree(network, weights.active, n_tokens)
        if weights.active is None and isinstance(tree, MaskedTree):
            alike["tree"] = (tree.window, tree.can_generate)
        return tree

    def can_expand(self, weights: Weights, voice: Voice) -> bool:
        """Whether beginnings can be shared where there is no tree; found once, by trying."""
        weights.switch(voice.adapter)
        key = (id(weights), weights.active_path)
        if key not in self.expands:
            n_tokens = int(weights.model.get_input_embeddings().weight.shape[0])
            with weights.network.without_outliers():
                self.expands[key] = prefix.can_expand(weights.network, n_tokens)
        return self.expands[key]

    def path(self, weights: Weights, voice: Voice) -> str:
        """How this variant is scored, in words; part of the fingerprint."""
        if voice.head != "causal":
            weights.switch(voice.adapter)
            return weights.network.way
        tree = self.tree(weights, voice)
        network = weights.network
        if tree is not None:
            return tree.name
        if self.can_expand(weights, voice):
            return prefix.NAME
        is_single = not network.can_pad or network.own_forward is not None
        return "one row at a time" if is_single else "padded batches"


def _beyond(name: str, needed: int, dtype: str, limit: int, device: str) -> VariantError:
    """Say that a model does not fit under the limit that was set."""
    own = memory.own_bytes(device)
    beside = f", and the program about {own / 1e6:,.0f} MB" if own else ""
    return VariantError(
        f'"{name}": its weights take {needed / 1e6:,.0f} MB in {dtype}{beside}; backend.memory allows '
        f"{limit / 1e6:,.0f} MB.\n"
        f"Set it to {-(-(needed + own) // 10**8) / 10 + 0.1:.1f}GB or more, or take a narrower "
        "backend.dtype or backend.quantization."
    )


def _take_pad_token(weights: Weights, voice: Voice) -> None:
    """Have a decoder with a head look for the end of a text before the pads of its tokenizer.

    transformers trains no such model on batches until its settings name a pad token; an adapter's
    folder does not keep those settings, but it keeps the tokenizer. Where the pad token ends texts, too,
    the head was trained on the token before it.
    """
    pad = voice.spoken.tokenizer.pad_token_id
    if voice.head == "classification" and weights.network.pad_token is None and pad is not None:
        weights.model.config.get_text_config().pad_token_id = pad


def _probes(voice: Voice) -> list[list[int]]:
    """Short token sequences to try a variant on; trained tokens of an adapter among them."""
    encode = voice.renderer.tokenizer
    probes = [list(encode(text)["input_ids"])[:_N_PROBE_TOKENS] for text in PROBES]
    trained = _with_trained_tokens(
        voice.adapter.adapter_settings if voice.adapter else {}, probes[0]
    )
    texts = packed([ids for ids in probes if ids], voice.renderer.context_length)
    return [*texts, *(ids for ids in trained if ids)] or [[0]]


def packed(probes: list[list[int]], longest: int | None) -> list[list[int]]:
    """Probes one behind the other, in as few rows as a context of ``longest`` tokens takes.

    Half of the context is left to virtual tokens.
    """
    most = _MAX_ROW if longest is None else min(_MAX_ROW, longest // 2)
    rows: list[list[int]] = []
    for probe in probes:
        if rows and len(rows[-1]) + len(probe) <= most:
            rows[-1] = rows[-1] + probe
        else:
            rows.append(probe)
    return rows


def _with_trained_tokens(settings: Mapping[str, Any], text: list[int]) -> list[list[int]]:
    """Probes of the tokens that an adapter was trained on, or that call it, and only those."""
    listed: list[list[int]] = []
    for name in ("trainable_token_indices", "token_indices", "alora_invocation_tokens"):
        value = settings.get(name) or []
        listed += [*value.values()] if isinstance(value, Mapping) else [value]
    return [
        [*text[:4], *(int(token) for token in tokens[:_N_PROBE_TOKENS]), *text[:4]]
        for tokens in listed
        if tokens
    ]
