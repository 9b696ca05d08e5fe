"""Models that run here, on transformers and PEFT: joins reading, loading, scoring, generation.

Not for: remembering answers (``engine/journal.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from tuneval import registry
from tuneval.engine.hf import facts
from tuneval.engine.hf.options import HFOptions
from tuneval.engine.hf.passes.generation import Drawn, Job, generate
from tuneval.engine.hf.passes.loglikelihood import score
from tuneval.engine.hf.passes.padded import WindowScore
from tuneval.engine.hf.passes.responses import (
    beyond,
    drawn_response,
    jobs_of,
    scored_response,
)
from tuneval.engine.hf.passes.room import fitting, held_bytes, logits_bytes, scored_bytes
from tuneval.engine.hf.passes.speaker import Pass, Speaker
from tuneval.engine.hf.resident import Resident
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.text.shown import rows_of_own_embeddings, shown_to
from tuneval.engine.hf.voice import Key, Reader, Voice, module_of
from tuneval.engine.hf.weights.attachment import Weights
from tuneval.engine.hf.weights.loading import resolve_device
from tuneval.engine.hf.weights.network import Network
from tuneval.errors import VariantError
from tuneval.types import Request, Response, ShownPrompt, Variant, VariantFacts

PASSES: Mapping[str, str] = {
    "classification": "tuneval.engine.hf.passes.classification:answer",
    "seq2seq": "tuneval.engine.hf.passes.seq2seq:answer",
    "tokens": "tuneval.engine.hf.passes.tokens:answer",
}
"""Head -> the pass that answers for it; a causal language model's are joined below."""
_SCORED_TOKENS = {"cpu": 2048, "cuda": 32768, "mps": 8192}
_DRAWN_TOKENS = {"cpu": 65536, "cuda": 1 << 20, "mps": 65536}
_MAX_ROWS = 128
_CHUNK, _LEAST = 256, 16
"""Tokens that may always run together: where no limit of memory was set, and where one was."""

Piece = TypeVar("Piece")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Work(Generic[Piece, Found]):
    """What requests of one kind take.

    Attributes
    ----------
    pieces : list
        Of each request: what goes through the model for it.
    largest : list of int
        Of each request: the largest token id in it.
    run : callable
        Answers pieces, given their requests' and those of which nothing is to be yielded.
    respond : callable
        Makes a response of a request's number and what its pieces gave, in their order.
    """

    pieces: list[Sequence[Piece]]
    largest: list[int]
    run: Callable[[Network, Sequence[Piece], set[int]], Iterator[tuple[int, Found]]]
    respond: Callable[[int, Sequence[Found]], Response]


@dataclass(frozen=True, slots=True)
class Proved:
    """A variant whose weights have been here: how it reads, the ids that end what it writes, and the number
    of tokens that it has embeddings for."""

    voice: Voice
    end_tokens: frozenset[int]
    n_embeddings: int


class HFBackend:
    """Answers requests with models that run in this process.

    The base is loaded once; adapters are attached to it and switched; the base is the model with
    all adapters off. Another set of weights replaces it unless both fit into free memory.
    """

    Options = HFOptions

    def __init__(self, options: HFOptions) -> None:
        self.options = options
        self.device = resolve_device(options.device)
        self._models = dict(options.models or {})
        self._reader = Reader(options, self.device)
        self._resident = Resident(
            self.device, options.threads, self._models, memory_limit=options.memory
        )
        self._voices: dict[Variant, Voice] = {}
        self._unproved: dict[Variant, Voice] = {}

    def prepare(self, variants: Sequence[Variant]) -> dict[str, VariantFacts]:
        """Prove that every variant is complete, fits and acts; see ``Backend.prepare``.

        Everything that needs no weights is checked for all variants first. What is found with their
        weights is found for all of them, and raised as one error that names those it speaks of.
        """
        for variant in variants:
            if variant not in self._unproved:
                self._reader.hash_ahead(variant)
        new = {variant: self.read(variant) for variant in variants if variant not in self._voices}
        new = self._reader.in_one_dtype(new, self._voices)
        by_weights: dict[Key, list[Variant]] = {}
        for variant, voice in new.items():
            by_weights.setdefault(voice.key, []).append(variant)
        # The weights with most variants come last, so that they are the ones still in memory.
        refused: dict[str, VariantError] = {}
        for sharing in sorted(by_weights.values(), key=len):
            for variant in sharing:
                try:
                    self._prove(variant, new[variant])
                except VariantError as error:
                    refused[variant.name] = error
        if refused:
            raise refusal(refused)
        facts.warn_of_twins(self._voices, variants)
        facts.warn_of_other_bits(self._voices, variants)
        return {variant.name: self._fact(variant) for variant in variants}

    def _prove(self, variant: Variant, voice: Voice) -> None:
        weights = self._resident.weights(variant, voice)
        self._resident.prove(weights, voice)
        parts = facts.parts_of(
            variant,
            voice,
            weights,
            device=self.device,
            path=self._resident.path(weights, voice),
            given=module_of(self._models.get(variant.name)),
        )
        found = facts.facts_of(variant, voice, weights, parts, device=self.device)
        self._voices[variant] = replace(voice, facts=found, parts=parts)

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer requests in the order in which batches finish, each exactly once."""
        self.prepare([variant])
        voice = self._voices[variant]
        weights = self._resident.weights(variant, voice)
        if voice.head in PASSES:
            yield from self._by_head(weights, voice, variant, requests, known)
            return
        scored = [request for request in requests if request.continuation is not None]
        drawn = [request for request in requests if request.decoding is not None]
        # The adapter is switched on per batch: between two answers the caller may ask another
        # variant.
        if scored:
            scoring = self._scoring(weights, voice, variant, scored)
            yield from self._ask(weights, voice, variant, scored, known, scoring)
        if drawn:
            drawing = self._drawing(weights, voice, variant, drawn)
            yield from self._ask(weights, voice, variant, drawn, known, drawing)

    def shown(self, variant: Variant, requests: Sequence[Request]) -> list[ShownPrompt]:
        """The exact text of every request as the variant reads it; loads no weights."""
        voice = self.read(variant)
        return shown_to(voice.head, voice.renderer, voice.labels, variant.name, requests)

    def fingerprint(self, variant: Variant) -> str:
        """Hash of weights, adapter, tokenizer, template, dtype, device kind and versions."""
        self.prepare([variant])
        return self._fact(variant).fingerprint

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of, so that the journal can say what has changed."""
        return facts.in_words(self.parts(variant))

    def read(self, variant: Variant) -> Voice:
        """What a variant is as far as its files say; looked at once."""
        if variant not in self._unproved:
            self._unproved[variant] = self._reader.read(variant)
        return self._unproved[variant]

    def proved(self, variant: Variant) -> Proved:
        """What is known of a variant whose weights have been here."""
        self.prepare([variant])
        voice = self._voices[variant]
        weights = self._resident.weights(variant, voice)
        return Proved(voice, facts.end_tokens_of(weights, voice), _n_embeddings(weights, voice))

    def told(self, variant: Variant, windows: Sequence[Window]) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) of the scored tokens of each window."""
        self.prepare([variant])
        voice = self._voices[variant]
        weights = self._resident.weights(variant, voice)
        steps = self._switched(
            weights, voice, lambda network: self._run(weights, voice, network, windows, set())
        )
        found = {index: tuple(part.logprobs) for index, part in steps}
        return [found[index] for index in range(len(windows))]

    def parts(self, variant: Variant) -> Mapping[str, object]:
        """What the fingerprint was made of."""
        self.prepare([variant])
        return self._voices[variant].parts

    def close(self) -> None:
        """Detach adapters and give the weights' memory back."""
        self._voices.clear()
        self._unproved.clear()
        self._reader.forget_tokenizers()
        self._resident.close()

    def _by_head(
        self,
        weights: Weights,
        voice: Voice,
        variant: Variant,
        requests: Sequence[Request],
        known: Collection[str],
    ) -> Iterator[Response]:
        """Answer as a variant whose head has a pass of its own."""
        answer: Pass = registry.load(PASSES, voice.head, room="passes")
        budget, max_rows = self._limits(_SCORED_TOKENS, scored_bytes(weights.network))
        drawn_budget, _ = self._limits(_DRAWN_TOKENS, held_bytes(weights.network))

        def run(network: Network) -> Iterator[Response]:
            speaker = Speaker(
                variant.name,
                network,
                voice.renderer,
                facts.end_tokens_of(weights, voice),
                token_budget=budget,
                drawn_budget=drawn_budget,
                max_rows=max_rows,
                n_embeddings=_n_embeddings(weights, voice),
                labels=voice.labels,
            )
            return answer(speaker, requests, known)

        yield from self._switched(weights, voice, run)

    def _scoring(
        self, weights: Weights, voice: Voice, variant: Variant, requests: Sequence[Request]
    ) -> _Work[Window, WindowScore]:
        scorings = voice.renderer.scorings(requests)
        return _Work(
            pieces=[one.windows for one in scorings],
            largest=[
                max((max(w.ids, default=0) for w in one.windows), default=0) for one in scorings
            ],
            run=partial(self._run, weights, voice),
            respond=lambda n, parts: scored_response(requests[n], variant.name, scorings[n], parts),
        )

    def _run(
        self,
        weights: Weights,
        voice: Voice,
        network: Network,
        windows: Sequence[Window],
        known: set[int],
    ) -> Iterator[tuple[int, WindowScore]]:
        budget, max_rows = self._limits(_SCORED_TOKENS, scored_bytes(network))
        tree = self._resident.tree(weights, voice)
        return score(
            network,
            tree,
            windows,
            token_budget=budget,
            max_rows=max_rows,
            known=known,
            can_expand=tree is None and self._resident.can_expand(weights, voice),
        )

    def _drawing(
        self, weights: Weights, voice: Voice, variant: Variant, requests: Sequence[Request]
    ) -> _Work[Job, Drawn]:
        prompts = voice.renderer.prompts(requests)

        def run(
            network: Network, jobs: Sequence[Job], known: set[int]
        ) -> Iterator[tuple[int, Drawn]]:
            budget, max_rows = self._limits(_DRAWN_TOKENS, held_bytes(network))
            most = fitting(max_rows, logits_bytes(network), self._resident.room() // 4)
            return generate(
                network,
                self._resident.tree(weights, voice),
                jobs,
                tokenizer=voice.spoken.tokenizer,
                end_tokens=facts.end_tokens_of(weights, voice),
                token_budget=budget,
                max_rows=most,
                known=known,
            )

        return _Work(
            pieces=[jobs_of(n, *one) for n, one in enumerate(zip(requests, prompts, strict=True))],
            largest=[max(prompt.ids) for prompt in prompts],
            run=run,
            respond=lambda n, parts: drawn_response(requests[n], variant.name, prompts[n], parts),
        )

    def _ask(
        self,
        weights: Weights,
        voice: Voice,
        variant: Variant,
        requests: Sequence[Request],
        known: Collection[str],
        work: _Work[Any, Any],
    ) -> Iterator[Response]:
        """Push what requests take through the model; each is answered with its last piece."""
        rows = _n_embeddings(weights, voice)
        pieces: list[Any] = []
        owners: list[int] = []
        pending: dict[int, dict[int, Any]] = {}
        for owner, request in enumerate(requests):
            problem = beyond(work.largest[owner], rows)
            if problem and request.id in known:
                continue
            if problem:
                yield Response(request.id, variant.name, problem=problem)
                continue
            pending[owner] = {}
            pieces += work.pieces[owner]
            owners += [owner] * len(work.pieces[owner])
        done = {n for n, owner in enumerate(owners) if requests[owner].id in known}
        steps = self._switched(weights, voice, lambda network: work.run(network, pieces, done))
        for index, part in steps:
            owner = owners[index]
            pending[owner][index] = part
            if len(pending[owner]) == len(work.pieces[owner]):
                parts = pending.pop(owner)
                yield work.respond(owner, [parts[n] for n in sorted(parts)])

    def _switched(
        self, weights: Weights, voice: Voice, run: Callable[[Network], Iterator[Any]]
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

    def _limits(self, tokens: Mapping[str, int], n_bytes: int) -> tuple[int, int]:
        """Tokens and rows of a batch at most; ``n_bytes``: what each token takes."""
        if self.options.batch_size != "auto":
            return 1 << 62, self.options.batch_size
        wanted = tokens[self.device.partition(":")[0]]
        # What is free differs from run to run, and the last bits of scores with the size of a chunk.
        least = _CHUNK if self.options.memory is None else _LEAST
        return fitting(wanted, n_bytes, self._resident.room() // 2, least), _MAX_ROWS

    def _fact(self, variant: Variant) -> VariantFacts:
        found = self._voices[variant].facts
        assert found is not None, variant.name
        return found


def refusal(refused: Mapping[str, VariantError]) -> VariantError:
    """One error for all variants that were refused, when every one of the run has been tried."""
    errors = list(refused.values())
    error = errors[0] if len(errors) == 1 else VariantError("\n\n".join(map(str, errors)))
    error.refused = {name: str(one) for name, one in refused.items()}
    return error


def _n_embeddings(weights: Weights, voice: Voice) -> int:
    rows = int(weights.model.get_input_embeddings().weight.shape[0])
    if voice.adapter is not None:
        rows = max([rows, *rows_of_own_embeddings(voice.adapter)])
    return rows
