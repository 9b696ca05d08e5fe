"""The backend on transformers and PEFT: joins loading, rendering, scoring and generation.

Not for: remembering answers (``engine/journal.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from tuneval.engine.hf.passes import prefix
from tuneval.engine.hf.passes.generation import Drawn, Job, generate
from tuneval.engine.hf.passes.loglikelihood import WindowScore, score
from tuneval.engine.hf.passes.tree import Tree, find_tree
from tuneval.engine.hf.text import tokenizer
from tuneval.engine.hf.text.render import DEFAULT_CONTEXT_LENGTH, Renderer, Scoring, Window
from tuneval.engine.hf.text.tokenizer import ChatTemplate, Spoken, TokenizerFrom
from tuneval.engine.hf.weights import describe as folders
from tuneval.engine.hf.weights import fingerprint, held, memory, placement
from tuneval.engine.hf.weights.describe import ModelFolder
from tuneval.engine.hf.weights.loading import (
    PROBES,
    SMALL_MODEL,
    Network,
    Weights,
    load_weights,
    resolve_device,
    resolve_dtype,
)
from tuneval.engine.hf.weights.placement import Quantization
from tuneval.errors import AdapterError, VariantError
from tuneval.types import Completion, Request, Response, Variant, VariantFacts

_N_PROBE_TOKENS = 32
_SCORED_TOKENS = {"cpu": 2048, "cuda": 32768, "mps": 8192}
_DRAWN_TOKENS = {"cpu": 65536, "cuda": 1 << 20, "mps": 65536}
_MAX_ROWS = 128

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Voice:
    """A variant that was found to be what it says: where its weights are and how it reads text.

    ``bits``: in how many bits its weights are held, None for whole. ``parts`` are what its
    fingerprint is made of.
    """

    key: Key
    model: ModelFolder | None
    adapter: ModelFolder | None
    spoken: Spoken
    renderer: Renderer
    warnings: tuple[str, ...]
    bits: str | None = None
    facts: VariantFacts | None = None
    parts: Mapping[str, object] = field(default_factory=dict)


class HFBackend:
    """Answers requests with models that run in this process.

    The base is loaded once; adapters are attached to it and switched; the base is the model with
    all adapters off. Another set of weights replaces it unless both fit into free memory.

    Parameters
    ----------
    device, dtype : str
        "auto": CUDA, else MPS, else CPU; the stored dtype, but float32 on CPU.
    batch_size : int or "auto"
        Most rows that go through the model together. "auto" plans by tokens.
    threads : int or "auto"
        CPU threads. "auto": one for models under 50 M parameters, else torch's default.
    chat_template : "auto", "on" or "off"
        Whether messages go through the tokenizer's chat template: where it has one, always, never.
    thinks : bool
        False asks the chat template to leave thinking out (``enable_thinking=False``).
    tokenizer_from : "auto", "base" or "adapter"
        Which tokenizer an adapter speaks where its own differs from the base's.
    quantization : "none", "8bit" or "4bit"
        Hold base and full fine-tunes so, by bitsandbytes. A model that is stored quantised loads as
        it is stored.
    models : mapping, optional
        Variant name -> model already loaded, or (model, tokenizer), instead of a folder. A PEFT
        model under an adapter's name is that adapter; the base may be given as the same object.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        threads: int | Literal["auto"] = "auto",
        chat_template: ChatTemplate = "auto",
        thinks: bool = True,
        offline: bool = False,
        allow_pickle_weights: bool = False,
        allow_base_mismatch: bool = False,
        tokenizer_from: TokenizerFrom = "auto",
        quantization: Quantization = "none",
        models: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = resolve_device(device)
        self._dtype = dtype
        self._batch_size = batch_size
        self._threads = threads
        self._chat_template = chat_template
        self._thinks = thinks
        self._offline = offline
        self._allow_pickle_weights = allow_pickle_weights
        self._allow_base_mismatch = allow_base_mismatch
        self._tokenizer_from = tokenizer_from
        self._quantization: Quantization = quantization
        self._models = dict(models or {})
        self._folders: dict[tuple[object, ...], ModelFolder] = {}
        self._tokenizers: dict[str, Any] = {}
        self._held: dict[Key, Weights] = {}
        self._voices: dict[Variant, _Voice] = {}
        self._trees: dict[tuple[int, str | None], Tree | None] = {}
        self._expands: dict[tuple[int, str | None], bool] = {}
        self._threads_before = torch.get_num_threads()

    # ------------------------------------------------------------------------------ the contract

    def prepare(self, variants: Sequence[Variant]) -> dict[str, VariantFacts]:
        """Prove that every variant is complete, fits and acts; see ``Backend.prepare``.

        Everything that needs no weights is checked for all variants first.
        """
        new = {variant: self._voice(variant) for variant in variants if variant not in self._voices}
        by_weights: dict[Key, list[Variant]] = {}
        for variant, voice in new.items():
            by_weights.setdefault(voice.key, []).append(variant)
        # The weights with most variants come last, so that they are the ones still in memory.
        for key, sharing in sorted(by_weights.items(), key=lambda entry: len(entry[1])):
            weights = self._weights(key, sharing[0], new[sharing[0]])
            for variant in sharing:
                voice = new[variant]
                self._prove(weights, voice)
                parts = self._parts(variant, voice, weights)
                facts = self._facts(variant, voice, weights, parts)
                self._voices[variant] = replace(voice, facts=facts, parts=parts)
        self._warn_of_twins(variants)
        self._warn_of_other_bits(variants)
        return {variant.name: self._fact(variant) for variant in variants}

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer requests in the order in which batches finish, each exactly once."""
        self.prepare([variant])
        voice = self._voices[variant]
        weights = self._weights(voice.key, variant, voice)
        scored = [request for request in requests if request.continuation is not None]
        drawn = [request for request in requests if request.decoding is not None]
        # The adapter is switched on per batch: between two answers the caller may ask another
        # variant.
        if scored:
            yield from self._score(weights, voice, variant, scored, known)
        if drawn:
            yield from self._generate(weights, voice, variant, drawn, known)

    def fingerprint(self, variant: Variant) -> str:
        """Hash of weights, adapter, tokenizer, template, dtype, device kind and versions."""
        self.prepare([variant])
        return self._fact(variant).fingerprint

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of, so that the journal can say what has changed."""
        self.prepare([variant])
        return _in_words(self._voices[variant].parts)

    def close(self) -> None:
        """Detach adapters and give the weights' memory back."""
        for weights in self._held.values():
            weights.detach()
        self._held.clear()
        self._trees.clear()
        self._expands.clear()
        self._voices.clear()
        self._tokenizers.clear()
        memory.release(self.device)
        torch.set_num_threads(self._threads_before)

    # -------------------------------------------------------------------------- before any weight

    def _voice(self, variant: Variant) -> _Voice:
        """Everything about a variant that can be known and checked without loading weights."""
        given = self._models.get(variant.name)
        adapter, warnings = self._adapter(variant, given)
        model = None
        if given is None:
            name = variant.model or folders.find_base(_given(adapter), offline=self._offline)
            model = self._describe(name, variant)
            if not model.has_model:
                raise VariantError(
                    f'"{model.given}" holds no whole model'
                    + (", only an adapter: use --adapter for it." if model.has_adapter else ".")
                )
            if adapter is not None:
                warnings += folders.check_adapter_fits(
                    adapter,
                    model,
                    allow_base_mismatch=self._allow_base_mismatch,
                    is_quantised=self._quantization != "none",
                )
        bits = self._bits(model, given)
        spoken = self._speak(variant, model, adapter)
        dtype = self._resolved_dtype(variant, model, given)
        key: Key = (
            ("object", str(id(held.inner(_module(given)))))
            if given is not None
            else (str(_given(model).path), dtype, str(variant.trust_remote_code))
        )
        renderer = Renderer(
            spoken.tokenizer,
            template=spoken.template,
            context_length=_context_length(model, _module(given), spoken.tokenizer),
            thinks=self._thinks,
        )
        return _Voice(key, model, adapter, spoken, renderer, (*warnings, *spoken.warnings), bits)

    def _adapter(self, variant: Variant, given: Any) -> tuple[ModelFolder | None, tuple[str, ...]]:
        """The adapter of a variant, from its folder or from a PEFT model in memory."""
        adapter = self._describe(variant.adapter, variant) if variant.adapter else None
        if variant.kind != "adapter":
            return adapter, ()
        if adapter is None and held.is_peft(_module(given)):
            adapter = held.describe(_module(given), variant.name)
            return adapter, _refuse_other_kinds(adapter)
        if given is None and (adapter is None or not adapter.has_adapter):
            raise AdapterError(
                f'adapter "{variant.adapter or variant.name}": there is no '
                f"{folders.ADAPTER_CONFIG}. For a whole model use --full."
            )
        return adapter, () if adapter is None else _refuse_other_kinds(adapter)

    def _bits(self, model: ModelFolder | None, given: Any) -> str | None:
        """In how many bits a model is, or will be, held."""
        if model is None:
            config = getattr(_module(given), "config", None)
            stored = getattr(config, "quantization_config", None)
            settings = stored if stored is None or isinstance(stored, dict) else stored.to_dict()
            return folders.quantization_of({"quantization_config": settings})
        bits = placement.bits_of(model, self._quantization)
        if placement.needs_bitsandbytes(model, bits):
            placement.check_bitsandbytes(model.given, self.device)
        return bits

    def _describe(self, name: str, variant: Variant) -> ModelFolder:
        key = (name, variant.revision, variant.trust_remote_code)
        if key not in self._folders:
            self._folders[key] = folders.describe(
                name,
                offline=self._offline,
                revision=variant.revision,
                trust_remote_code=variant.trust_remote_code,
                allow_pickle_weights=self._allow_pickle_weights,
            )
        return self._folders[key]

    def _tokenizer(self, folder: ModelFolder, variant: Variant) -> Any:
        key = str(folder.path)
        if key not in self._tokenizers:
            self._tokenizers[key] = tokenizer.load(
                folder, trust_remote_code=variant.trust_remote_code
            )
        return self._tokenizers[key]

    def _speak(
        self, variant: Variant, model: ModelFolder | None, adapter: ModelFolder | None
    ) -> Spoken:
        given = self._models.get(variant.name)
        base = given[1] if isinstance(given, tuple) else None
        if base is None:
            folder = model or self._describe(variant.model, variant)
            base = self._tokenizer(folder, variant)
        own = self._tokenizer(adapter, variant) if adapter is not None else None
        if base is None and own is None:
            raise VariantError(
                f'"{model.given if model else variant.model}" has no tokenizer files.\n'
                "Copy those of the model that it was trained from into its folder."
            )
        if adapter is None or base is None:
            return tokenizer.speak(
                base or own, self._chat_template, origin="own", owner="own", who=variant.name
            )
        return tokenizer.reconcile(
            base,
            own,
            adapter=adapter.given,
            base=model.given if model else variant.model,
            has_resized_embeddings=_has_own_embeddings(adapter),
            tokenizer_from=self._tokenizer_from,
            chat_template=self._chat_template,
        )

    def _resolved_dtype(self, variant: Variant, model: ModelFolder | None, given: Any) -> str:
        if given is not None:
            return str(held.inner(_module(given)).dtype).removeprefix("torch.")
        wanted = variant.dtype if variant.dtype != "auto" else self._dtype
        return resolve_dtype(wanted, model, self.device)

    # --------------------------------------------------------------------------------- in memory

    def _weights(self, key: Key, variant: Variant, voice: _Voice) -> Weights:
        """The weights of a variant, loaded now if they are not held."""
        if key not in self._held:
            given = self._models.get(variant.name)
            if given is not None:
                weights = self._take(_module(given), variant, voice)
            else:
                weights = self._load(_given(voice.model), variant, voice.bits)
            # The probes are compared bit for bit, so they must run on as many threads as all else.
            self._set_threads(weights.n_parameters)
            weights.prove_base(_probes(voice))
            self._held[key] = weights
        weights = self._held[key]
        self._set_threads(weights.n_parameters)
        return weights

    def _take(self, model: Any, variant: Variant, voice: _Voice) -> Weights:
        """Weights that are in memory already; a PEFT model around them is found by itself."""
        peft = held.wrapper_of(model, map(_module, self._models.values()))
        model = held.inner(model)
        if voice.bits is None:
            model = model.to(self.device)
        model.eval()
        return Weights(
            model, None, device=self.device, name=variant.name, bits=voice.bits, peft=peft
        )

    def _load(self, folder: ModelFolder, variant: Variant, bits: str | None) -> Weights:
        dtype = self._resolved_dtype(variant, folder, None)
        needed = placement.needed_bytes(folder, dtype, bits)
        # What does not fit beside others takes their place.
        free = memory.free_bytes(self.device)
        if self._held and not placement.is_room(needed, self.device, free):
            for weights in self._held.values():
                weights.detach()
            self._held.clear()
            self._trees.clear()
            self._expands.clear()
            memory.release(self.device)
            free = memory.free_bytes(self.device)
        return load_weights(
            folder,
            device=self.device,
            dtype=dtype,
            trust_remote_code=variant.trust_remote_code,
            bits=bits,
            placement=placement.place(needed, self.device, free, bits=bits),
        )

    def _prove(self, weights: Weights, voice: _Voice) -> None:
        if voice.adapter is not None:
            weights.attach(voice.adapter)
            weights.prove(voice.adapter, _probes(voice))

    def _set_threads(self, n_parameters: int) -> None:
        if self._threads != "auto":
            torch.set_num_threads(self._threads)
        elif self.device == "cpu":
            is_small = n_parameters < SMALL_MODEL
            torch.set_num_threads(1 if is_small else self._threads_before)

    # ------------------------------------------------------------------------------------- facts

    def _facts(
        self, variant: Variant, voice: _Voice, weights: Weights, parts: Mapping[str, object]
    ) -> VariantFacts:
        settings = {**_adapter_settings(voice.adapter), "scoring": str(parts["path"])}
        if voice.bits is not None:
            settings["quantization"] = voice.bits
        if weights.spread_over:
            settings["placement"] = weights.spread_over
        return VariantFacts(
            variant=variant.name,
            fingerprint=fingerprint.of_parts(parts),
            backend="hf",
            device=self.device,
            dtype=str(parts["dtype"]),
            n_parameters=weights.n_parameters,
            n_adapter_parameters=voice.adapter.n_adapter_parameters if voice.adapter else 0,
            prompt_format=voice.spoken.prompt_format,
            tokenizer=voice.spoken.origin,
            context_length=voice.renderer.context_length,
            settings=settings,
            warnings=(*voice.warnings, *self._notes(variant, voice, weights)),
        )

    def _parts(self, variant: Variant, voice: _Voice, weights: Weights) -> dict[str, object]:
        """All that can change an answer; the fingerprint is their hash."""
        more = ("bitsandbytes",) if voice.bits in ("8-bit", "4-bit") else ()
        return {
            "backend": "hf",
            "kind": variant.kind,
            "weights": (
                fingerprint.of_model(voice.model)
                if voice.model is not None
                else fingerprint.of_tensors(held.own_tensors(weights.model))
            ),
            "adapter": self._adapter_hash(variant, voice),
            "tokenizer": voice.spoken.fingerprint,
            "template": voice.spoken.template,
            "prompt_format": voice.spoken.prompt_format,
            "end_tokens": sorted(self._end_tokens(weights, voice)),
            "context_length": voice.renderer.context_length,
            **({} if self._thinks else {"thinks": False}),
            "dtype": str(weights.model.dtype).removeprefix("torch."),
            "device": self.device.partition(":")[0],
            "quantization": voice.bits,
            "path": self._path(weights, voice),
            "versions": fingerprint.versions(*more),
        }

    def _adapter_hash(self, variant: Variant, voice: _Voice) -> str | None:
        if voice.adapter is None:
            return None
        given = _module(self._models.get(variant.name))
        is_held = not voice.adapter.adapter_weight_files and held.is_peft(given)
        tensors = held.adapter_tensors(given, voice.adapter) if is_held else None
        return fingerprint.of_adapter(voice.adapter, tensors)

    def _notes(self, variant: Variant, voice: _Voice, weights: Weights) -> list[str]:
        """Sentences for the user on what was found once the weights were there."""
        notes = []
        rows = weights.model.get_input_embeddings().weight.shape[0]
        if len(voice.spoken.tokenizer) > rows and not _has_own_embeddings(voice.adapter):
            notes.append(
                f'the tokenizer of "{variant.name}" knows {len(voice.spoken.tokenizer)} tokens, the '
                f"model {rows}: texts with the tokens beyond cannot be answered."
            )
        if not weights.network.can_pad:
            notes.append(
                f'"{variant.name}" gives other logits in padded batches: rows run one at a time.'
            )
        if voice.bits == "8-bit":
            notes.append(
                f'"{variant.name}" is held in 8 bits, where outliers are looked for over a whole '
                "batch: its numbers depend a little on what runs together."
            )
        if weights.spread_over:
            notes.append(
                f'"{variant.name}" does not fit on {self.device} ({weights.spread_over}): its parts '
                "are moved as they are needed, which is slow. A narrower dtype or "
                "backend.quantization may make it fit."
            )
        return notes

    def _path(self, weights: Weights, voice: _Voice) -> str:
        """How this variant is scored, in words; part of the fingerprint."""
        tree = self._tree(weights, voice)
        network = weights.network
        if tree is not None:
            return tree.name
        if self._can_expand(weights, voice):
            return prefix.NAME
        is_single = not network.can_pad or network.own_forward is not None
        return "one row at a time" if is_single else "padded batches"

    def _fact(self, variant: Variant) -> VariantFacts:
        facts = self._voices[variant].facts
        assert facts is not None, variant.name
        return facts

    def _warn_of_twins(self, variants: Sequence[Variant]) -> None:
        """A full fine-tune with the very weights of the base is a likely mix-up of folders."""
        bases = {
            fingerprint.of_files(model.weight_files): model.given
            for variant in variants
            if variant.kind == "base" and (model := self._voices[variant].model) is not None
        }
        for variant in variants:
            voice = self._voices[variant]
            if variant.kind != "full" or voice.model is None or voice.facts is None:
                continue
            twin = bases.get(fingerprint.of_files(voice.model.weight_files))
            text = f'"{voice.model.given}" holds the very weights of the base "{twin}".'
            if twin is not None and text not in voice.facts.warnings:
                facts = replace(voice.facts, warnings=(*voice.facts.warnings, text))
                self._voices[variant] = replace(voice, facts=facts)

    def _warn_of_other_bits(self, variants: Sequence[Variant]) -> None:
        """A fine-tune that is held in other bits than the base differs from it by that as well."""
        base = next((one for one in variants if one.kind == "base"), None)
        if base is None:
            return
        bits = self._voices[base].bits
        for variant in variants:
            voice = self._voices[variant]
            if voice.bits == bits or variant.kind == "judge" or voice.facts is None:
                continue
            text = (
                f'"{variant.name}" is loaded {_loaded(voice.bits)} and the base "{base.name}" '
                f"{_loaded(bits)}: a part of any difference may come from that alone."
            )
            if text not in voice.facts.warnings:
                facts = replace(voice.facts, warnings=(*voice.facts.warnings, text))
                self._voices[variant] = replace(voice, facts=facts)

    # ------------------------------------------------------------------------------------ scoring

    def _score(
        self,
        weights: Weights,
        voice: _Voice,
        variant: Variant,
        requests: Sequence[Request],
        known: Collection[str],
    ) -> Iterator[Response]:
        scorings = voice.renderer.scorings(requests)
        rows = _n_embeddings(weights, voice)
        windows: list[Window] = []
        owners: list[int] = []
        pending: dict[int, dict[int, WindowScore]] = {}
        for owner, (request, scoring) in enumerate(zip(requests, scorings, strict=True)):
            beyond = _beyond((max(w.ids, default=0) for w in scoring.windows), rows)
            if beyond and request.id in known:
                continue
            if beyond:
                yield Response(request.id, variant.name, problem=beyond)
                continue
            pending[owner] = {}
            windows += scoring.windows
            owners += [owner] * len(scoring.windows)

        def run(network: Network) -> Iterator[tuple[int, WindowScore]]:
            budget, max_rows = self._limits(_SCORED_TOKENS)
            done = {n for n, owner in enumerate(owners) if requests[owner].id in known}
            tree = self._tree(weights, voice)
            return score(
                network,
                tree,
                windows,
                token_budget=budget,
                max_rows=max_rows,
                known=done,
                can_expand=tree is None and self._can_expand(weights, voice),
            )

        for index, part in self._switched(weights, voice, run):
            owner = owners[index]
            pending[owner][index] = part
            if len(pending[owner]) == len(scorings[owner].windows):
                parts = [pending[owner][i] for i in sorted(pending[owner])]
                yield _scored_response(requests[owner], variant, scorings[owner], parts)
                del pending[owner]

    def _generate(
        self,
        weights: Weights,
        voice: _Voice,
        variant: Variant,
        requests: Sequence[Request],
        known: Collection[str],
    ) -> Iterator[Response]:
        prompts = voice.renderer.prompts(requests)
        rows = _n_embeddings(weights, voice)
        jobs: list[Job] = []
        pending: dict[int, dict[int, Drawn]] = {}
        for owner, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            assert request.decoding is not None
            beyond = _beyond([max(prompt.ids)], rows)
            if beyond and request.id in known:
                continue
            if beyond:
                yield Response(request.id, variant.name, problem=beyond)
                continue
            pending[owner] = {}
            jobs += [
                Job(owner, number, prompt, request.decoding)
                for number in range(request.decoding.n_completions)
            ]

        def run(network: Network) -> Iterator[tuple[int, Drawn]]:
            budget, max_rows = self._limits(_DRAWN_TOKENS)
            return generate(
                network,
                self._tree(weights, voice),
                jobs,
                tokenizer=voice.spoken.tokenizer,
                end_tokens=self._end_tokens(weights, voice),
                token_budget=budget,
                max_rows=max_rows,
                known={n for n, job in enumerate(jobs) if requests[job.owner].id in known},
            )

        for index, drawn in self._switched(weights, voice, run):
            job = jobs[index]
            pending[job.owner][job.number] = drawn
            if len(pending[job.owner]) == job.decoding.n_completions:
                parts = pending.pop(job.owner)
                request, prompt = requests[job.owner], prompts[job.owner]
                problem = next((part.problem for part in parts.values() if part.problem), None)
                completions: tuple[Completion, ...] = ()
                if problem is None:
                    ordered = (parts[number].completion for number in sorted(parts))
                    completions = tuple(c for c in ordered if c is not None)
                yield Response(
                    request.id,
                    variant.name,
                    completions=completions,
                    prompt_tokens=prompt.n_prompt,
                    is_truncated=prompt.is_truncated,
                    seconds=sum(part.seconds for part in parts.values()),
                    problem=problem,
                )

    def _switched(
        self, weights: Weights, voice: _Voice, run: Callable[[Network], Iterator[Any]]
    ) -> Iterator[Any]:
        """Step through ``run`` with the variant's adapter on during each step only.

        Between two answers the caller may ask another variant of the same weights.
        """
        weights.switch(voice.adapter)
        steps = run(weights.network)
        done = object()
        while True:
            weights.switch(voice.adapter)
            item = next(steps, done)
            if item is done:
                return
            yield item

    def _tree(self, weights: Weights, voice: _Voice) -> Tree | None:
        """The packed way through the model for a variant, found once and checked then.

        Held for the base and for one adapter more: a fused pass keeps copies of small weights.
        """
        weights.switch(voice.adapter)
        key = (id(weights), weights.active)
        if key not in self._trees:
            base = (id(weights), None)
            self._trees = {k: tree for k, tree in self._trees.items() if k == base}
            n_tokens = int(weights.model.get_input_embeddings().weight.shape[0])
            with weights.network.without_outliers():
                self._trees[key] = find_tree(weights.network, weights.active, n_tokens)
        return self._trees[key]

    def _can_expand(self, weights: Weights, voice: _Voice) -> bool:
        """Whether beginnings can be shared where there is no tree; found once, by trying."""
        weights.switch(voice.adapter)
        key = (id(weights), weights.active)
        if key not in self._expands:
            n_tokens = int(weights.model.get_input_embeddings().weight.shape[0])
            with weights.network.without_outliers():
                self._expands[key] = prefix.can_expand(weights.network, n_tokens)
        return self._expands[key]

    def _limits(self, tokens: Mapping[str, int]) -> tuple[int, int]:
        """Tokens and rows of a batch at most."""
        if self._batch_size == "auto":
            return tokens[self.device.partition(":")[0]], _MAX_ROWS
        return 1 << 62, self._batch_size

    def _end_tokens(self, weights: Weights, voice: _Voice) -> frozenset[int]:
        """Ids that end a completion: the tokenizer's, and those that the model's folder lists."""
        ends = {voice.spoken.tokenizer.eos_token_id}
        for config in (getattr(weights.model, "generation_config", None), weights.model.config):
            listed = getattr(config, "eos_token_id", None)
            ends |= set(listed) if isinstance(listed, (list, tuple)) else {listed}
        return frozenset(end for end in ends if end is not None)


# ---------------------------------------------------------------------------------------- details


def _given(folder: ModelFolder | None) -> ModelFolder:
    assert folder is not None
    return folder


def _module(given: Any) -> Any:
    return given[0] if isinstance(given, tuple) else given


def _loaded(bits: str | None) -> str:
    return "whole" if bits is None else f"in {bits}"


def _in_words(parts: Mapping[str, object]) -> dict[str, str]:
    """Parts of a fingerprint as text to compare; contents by the beginning of their hash."""
    words: dict[str, str] = {}
    for name, part in parts.items():
        if isinstance(part, Mapping):
            words |= {str(key): str(value) for key, value in part.items()}
        elif name in ("weights", "tokenizer"):
            words[f"{name} (hash)"] = str(part)[:12]
        elif name == "adapter":
            words["adapter's weights and settings (hash)"] = str(part or "none")[:12]
        elif name == "template":
            words["chat template (hash)"] = (
                fingerprint.of_parts({"": part})[:12] if part else "none"
            )
        else:
            words[_NAMES.get(name, name)] = "none" if part is None else str(part)
    return words


_NAMES = {
    "prompt_format": "prompt format",
    "end_tokens": "end tokens",
    "context_length": "context length",
    "path": "scoring",
}


def _probes(voice: _Voice) -> list[list[int]]:
    """Short token sequences to try a variant on; trained tokens of an adapter among them."""
    encode = voice.renderer.tokenizer
    probes = [list(encode(text)["input_ids"])[:_N_PROBE_TOKENS] for text in PROBES]
    settings = voice.adapter.adapter_settings if voice.adapter else {}
    trained = settings.get("trainable_token_indices")
    if isinstance(trained, list) and trained:
        probes.append([int(token) for token in trained[:_N_PROBE_TOKENS]])
    return [ids for ids in probes if ids] or [[0]]


def _context_length(model: ModelFolder | None, module: Any, spoken: Any) -> int:
    if model is not None and model.context_length:
        return model.context_length
    config = getattr(module, "config", None)
    length = getattr(config, "max_position_embeddings", None)
    if isinstance(length, int):
        return length
    named = getattr(spoken, "model_max_length", None)
    # Tokenizers that know no limit say 1e30.
    return int(named) if named and named < 1e9 else DEFAULT_CONTEXT_LENGTH


def _has_own_embeddings(adapter: ModelFolder | None) -> bool:
    """Whether an adapter brings a whole embedding matrix."""
    if adapter is None:
        return False
    names = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
    return any(key.endswith(names) for key in adapter.adapter_tensors)


def _n_embeddings(weights: Weights, voice: _Voice) -> int:
    rows = int(weights.model.get_input_embeddings().weight.shape[0])
    if voice.adapter is not None:
        own = [
            shape[0]
            for key, shape in voice.adapter.adapter_tensors.items()
            if key.endswith(("embed_tokens.weight", "wte.weight", "embed_in.weight"))
        ]
        rows = max([rows, *own])
    return rows


def _beyond(largest: Any, rows: int) -> str | None:
    top = max(largest, default=0)
    if top < rows:
        return None
    return f"the text has token id {top}, but the model has embeddings for {rows} tokens only"


def _refuse_other_kinds(adapter: ModelFolder) -> tuple[str, ...]:
    task = adapter.adapter_settings.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise AdapterError(
            f'adapter "{adapter.given}" was trained for task type "{task}"; only adapters of causal '
            'language models ("CAUSAL_LM") can be compared here.'
        )
    return ()


def _adapter_settings(adapter: ModelFolder | None) -> dict[str, str]:
    if adapter is None:
        return {}
    settings = adapter.adapter_settings
    shown = {"type": settings.get("peft_type"), "rank": settings.get("r")}
    shown |= {"alpha": settings.get("lora_alpha"), "target modules": settings.get("target_modules")}
    return {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in shown.items()
        if value is not None
    }


def _scored_response(
    request: Request, variant: Variant, scoring: Scoring, parts: Sequence[WindowScore]
) -> Response:
    problem = next((part.problem for part in parts if part.problem), None)
    logprobs = [value for part in parts for value in part.logprobs]
    seconds = sum(part.seconds for part in parts)
    if problem is not None:
        return Response(
            request.id,
            variant.name,
            prompt_tokens=scoring.n_prompt,
            is_truncated=scoring.is_truncated,
            seconds=seconds,
            problem=problem,
        )
    return Response(
        request.id,
        variant.name,
        loglikelihood=math.fsum(logprobs),
        n_tokens=len(logprobs),
        is_greedy=all(part.is_greedy for part in parts),
        token_logprobs=tuple(logprobs) if request.with_token_logprobs else None,
        prompt_tokens=scoring.n_prompt,
        is_truncated=scoring.is_truncated,
        seconds=seconds,
    )
