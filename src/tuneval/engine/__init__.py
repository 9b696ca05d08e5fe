"""Requests -> Responses: the only room that runs models.

``answer`` (in ``answer.py``) is the one way in; the journal remembers; a backend does the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tuneval.types import Request, Response, Variant, VariantFacts


class Backend(Protocol):
    """Something that answers requests as a variant."""

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Prove before any case is scored that every variant is what it says and acts.

        Raises a ``VariantError`` or ``BackendUnavailable`` otherwise.
        """

    def answer(self, variant: Variant, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer in any order, each request exactly once, as soon as it is known."""

    def fingerprint(self, variant: Variant) -> str:
        """Hash of all that can change an answer: weights, adapter, tokenizer, template, dtype, ..."""

    def close(self) -> None:
        """Give memory and handles back."""


BACKENDS = {
    "hf": "tuneval.engine.hf.backend:HFBackend",
    "openai": "tuneval.engine.openai_server:OpenAIServer",
    "scripted": "tuneval.engine.scripted:ScriptedBackend",
}
