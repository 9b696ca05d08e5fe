"""Models on vLLM: completions and labels of one token by its engine, longer labels on transformers.

Both are this process's: the backend on transformers reads the variants, proves them, and walks labels of
several tokens as one tree; vLLM writes. Both hold the weights at the same time, for a start of vLLM's
takes longer than most runs score. One engine is up at a time, for one base and its adapters.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuneval.engine.hf import facts
from tuneval.engine.hf.backend import HFBackend, Proved, refusal
from tuneval.engine.hf.passes.generation import Speller
from tuneval.engine.hf.passes.responses import drawn_response, scored_response
from tuneval.engine.hf.voice import Key, Voice
from tuneval.engine.hf.weights import fingerprint, memory
from tuneval.engine.vllm import adapters, planning, proof, reading
from tuneval.engine.vllm.engine import PYTHON, Adapter, Engine, Up
from tuneval.engine.vllm.options import VLLMOptions, engine_environment, engine_settings
from tuneval.engine.vllm.planning import Ask, Plan, telling
from tuneval.errors import BackendError, BackendUnavailable, VariantError
from tuneval.extras import need
from tuneval.types import Request, Response, ShownPrompt, Variant, VariantFacts

StartEngine = Callable[[Mapping[str, Any], Mapping[str, str]], Up]
"""Settings and environment -> an engine; tests give one without vLLM."""


class VLLMBackend:
    """Answers requests with vLLM where it can, else with the same weights on transformers."""

    Options = VLLMOptions

    def __init__(self, options: VLLMOptions, start: StartEngine | None = None) -> None:
        if start is None and not os.environ.get(PYTHON):
            need("vllm", "running models on vLLM")
        self.options = options
        self._start: StartEngine = Engine if start is None else start
        self._hf = HFBackend(options.for_transformers())
        self._engine: Up | None = None
        self._engine_is: tuple[Key, Mapping[str, Any]] | None = None
        self._proved: dict[Variant, Proved] = {}
        self._facts: dict[Variant, VariantFacts] = {}
        self._parts: dict[Variant, Mapping[str, object]] = {}
        self._numbers: dict[str, int] = {}

    def prepare(self, variants: Sequence[Variant]) -> dict[str, VariantFacts]:
        """Prove every variant on transformers, then that vLLM answers as it; see ``Backend.prepare``.

        What vLLM cannot take is refused by the folders alone, before anything is loaded.
        """
        new = [variant for variant in variants if variant not in self._facts]
        for variant in new:
            _check_kind(variant)
            if (adapter := self._hf.read(variant).adapter) is not None:
                adapters.check(adapter)
        own = self._hf.prepare(variants) if new else {}
        groups: defaultdict[Key, list[Variant]] = defaultdict(list)
        for variant in new:
            self._proved[variant] = self._hf.proved(variant)
            groups[self._proved[variant].voice.key].append(variant)
        refused: dict[str, VariantError] = {}
        # The weights with most variants come last, so that their engine is the one that is up.
        for group in sorted(groups.values(), key=len):
            for variant in group:
                try:
                    self._prove(variant, own[variant.name])
                except VariantError as error:
                    refused[variant.name] = error
        if refused:
            raise refusal(refused)
        return {variant.name: self._facts[variant] for variant in variants}

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer each request exactly once: first what goes to transformers, then vLLM's as it ends.

        vLLM decides itself what runs together, so that last digits may differ between two runs.
        """
        self.prepare([variant])
        mine = self._proved[variant]
        plan = planning.plan(
            requests,
            known,
            mine.voice.renderer,
            end_tokens=mine.end_tokens,
            n_embeddings=mine.n_embeddings,
            longest=mine.voice.renderer.context_length,
        )
        here = [requests[n] for n in plan.here]
        if any(one.id not in known for one in here):
            yield from self._hf.answer(variant, here, known)
        if plan.asks:
            yield from self._by_vllm(variant, requests, plan)

    def shown(self, variant: Variant, requests: Sequence[Request]) -> list[ShownPrompt]:
        """The exact text of every request as the variant reads it; loads no weights."""
        return self._hf.shown(variant, requests)

    def fingerprint(self, variant: Variant) -> str:
        """Hash of all that the backend on transformers hashes, and of vLLM's version and settings."""
        self.prepare([variant])
        return self._facts[variant].fingerprint

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of."""
        self.prepare([variant])
        return facts.in_words(self._parts[variant])

    @property
    def engine_pid(self) -> int | None:
        """Of the engine's process; None while none is up."""
        return None if self._engine is None else self._engine.pid

    def close(self) -> None:
        """End the engine's process, and give the weights' memory back."""
        self._put_away()
        self._hf.close()
        self._facts.clear()
        self._proved.clear()

    # ---- the engine ------------------------------------------------------------------------------

    def _put_away(self) -> None:
        engine, self._engine, self._engine_is = self._engine, None, None
        if engine is not None:
            engine.close()

    def _engine_of(self, variant: Variant) -> Up:
        """The engine of a variant's weights, set up for all of their adapters that are known."""
        key = self._proved[variant].voice.key
        sharing = {one: mine.voice for one, mine in self._proved.items() if mine.voice.key == key}
        settings = engine_settings(
            self.options,
            list(sharing.values()),
            device=self._hf.device,
            trust_remote_code=any(one.trust_remote_code for one in sharing),
        )
        named = {
            name: value for name, value in settings.items() if name != "gpu_memory_utilization"
        }
        if self._engine is None or not self._engine.is_usable or self._engine_is != (key, named):
            self._put_away()
            device = self._hf.device
            free = memory.free_bytes(device) if device == "cpu" else 0
            engine = self._start(settings, engine_environment(self.options, device, free))
            self._engine, self._engine_is = engine, (key, named)
            kind = device.partition(":")[0]
            if engine.about["device"] != kind:
                self._put_away()
                raise BackendUnavailable(
                    f"this vLLM computes on {engine.about['device']}, and device is {device}.\n"
                    f"Give --device {engine.about['device']}, or install the vLLM for {kind}."
                )
        return self._engine

    def _adapter(self, voice: Voice) -> Adapter:
        if voice.adapter is None:
            return None
        place = str(voice.adapter.path)
        number = self._numbers.setdefault(place, len(self._numbers) + 1)
        return {"lora_name": f"adapter {number}", "lora_int_id": number, "lora_path": place}

    # ---- before the first case -------------------------------------------------------------------

    def _prove(self, variant: Variant, own: VariantFacts) -> None:
        mine = self._proved[variant]
        engine = self._engine_of(variant)
        windows = proof.windows(mine.voice.renderer, mine.n_embeddings)
        asks = [Ask(one.ids[:-1], telling([one.ids[-1]])) for one in windows]

        def there(adapter: Adapter) -> list[float]:
            try:
                found = dict(engine.ask(asks, adapter))
            except BackendError as error:
                reason = str(error).partition("\n")[0]
                raise BackendUnavailable(
                    f'"{variant.name}" was tried on probe texts, and {reason}\nUse backend.kind: hf for this run.'
                ) from error
            return [float((found[n].get("nats") or [float("nan")])[0]) for n in range(len(asks))]

        here = [nats for (nats,) in self._hf.told(variant, windows)]
        told = there(self._adapter(mine.voice))
        dtype = mine.voice.dtype
        if mine.voice.adapter is not None:
            bare = replace(variant, kind="full", adapter=None)
            base_here, base_told = [nats for (nats,) in self._hf.told(bare, windows)], there(None)
            proof.check(variant.name, dtype, base_here, base_told)
            proof.check_adapter(variant.name, here, told, base_here, base_told)
        proof.check(variant.name, dtype, here, told)
        self._parts[variant] = {
            **self._hf.parts(variant),
            "backend": "vllm",
            "vllm": {
                "vLLM": engine.about["version"],
                "vLLM's torch": engine.about["torch"],
                "GPUs a model": str(self.options.tensor_parallel_size),
            },
        }
        self._facts[variant] = replace(
            own,
            backend="vllm",
            fingerprint=fingerprint.of_parts(self._parts[variant]),
            settings={
                **own.settings,
                "scoring": f"labels of one token: vLLM; longer: {own.settings['scoring']}",
                "completions": f"vLLM {engine.about['version']}",
            },
        )

    # ---- answers ---------------------------------------------------------------------------------

    def _by_vllm(
        self, variant: Variant, requests: Sequence[Request], plan: Plan
    ) -> Iterator[Response]:
        mine = self._proved[variant]
        speller = Speller(mine.voice.renderer.tokenizer)
        n_jobs = Counter(job.owner for job in plan.jobs.values())
        parts: defaultdict[int, dict[int, Any]] = defaultdict(dict)
        started = time.perf_counter()
        answers = self._engine_of(variant).ask(plan.asks, self._adapter(mine.voice))
        for n_done, (number, answered) in enumerate(answers, 1):
            seconds = (time.perf_counter() - started) / n_done
            if number in plan.labels:
                tokens = plan.asks[number].words["logprob_token_ids"]
                for label in plan.labels[number]:
                    place = tokens.index(label.target)
                    part = reading.score_of(answered, place, label.target, seconds)
                    owner = label.owner
                    yield scored_response(
                        requests[owner], variant.name, plan.scorings[owner], [part]
                    )
                continue
            job = plan.jobs[number]
            found = reading.drawn_of(answered, job, speller, mine.end_tokens, seconds)
            parts[job.owner][job.number] = found
            if len(parts[job.owner]) == n_jobs[job.owner]:
                own = parts.pop(job.owner)
                yield drawn_response(
                    requests[job.owner], variant.name, job.prompt, [own[n] for n in sorted(own)]
                )


def _check_kind(variant: Variant) -> None:
    if variant.head != "causal":
        raise VariantError(
            f'"{variant.name}": on vLLM only language models from left to right are run here, not a head '
            f"for {variant.head}.\nUse backend.kind: hf for this run."
        )
