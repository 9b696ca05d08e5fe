"""Requests -> Responses: the only room that runs models.

``answer`` (in ``answer.py``) is the one way in; the journal remembers; a backend does the work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from tuneval.extras import need
from tuneval.types import Request, Response, ShownPrompt, Variant, VariantFacts


class Backend(Protocol):
    """Something that answers requests as a variant."""

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Prove before any case is scored that every variant is what it says and acts.

        Raises a ``VariantError`` or ``BackendUnavailable`` otherwise; the former names in ``refused``
        which of them it speaks of, where the others are ready.
        """

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer in any order, each request exactly once, as soon as its answer is there.

        What runs together is planned over all ``requests``; those whose id is in ``known`` are
        answered already and not yielded. So a run that was cut off computes the rest in the same
        company as it would have, and ends with the same bits.
        """

    def shown(self, variant: Variant, requests: Sequence[Request]) -> Sequence[ShownPrompt]:
        """The exact text of every request as the variant reads it; loads no weights, asks nobody.

        Raises a ``VariantError`` where a request cannot be said without losing a part of it.
        """

    def fingerprint(self, variant: Variant) -> str:
        """Hash of all that can change an answer: weights, adapter, tokenizer, template, dtype, ..."""

    def close(self) -> None:
        """Give memory and handles back."""


BACKENDS = {
    "hf": "tuneval.engine.hf.backend:HFBackend",
    "openai": "tuneval.engine.openai_server:OpenAIServer",
    "ray": "tuneval.engine.pool.cluster:pool",
    "scripted": "tuneval.engine.scripted:ScriptedBackend",
    "vllm": "tuneval.engine.vllm.backend:VLLMBackend",
}

LAUNCHED = {"ray": "hf"}
"""Backend that is made of workers elsewhere -> the backend that each of them is."""

NEEDS = {
    "hf": ("models", "running models here"),
    "openai": ("server", "talking to a server"),
    "ray": ("ray", "running models on a Ray cluster"),
    "vllm": ("models", "proving and scoring models beside vLLM"),
}
"""Backend -> the extra that it stands on, and what it is for."""


def need_installed(kind: str) -> None:
    """Refuse a backend whose extra is not installed, before anything is done for it.

    Raises
    ------
    BackendUnavailable
        Says what to install.
    """
    for one in (kind, LAUNCHED.get(kind)):
        if one in NEEDS:
            need(*NEEDS[one])
