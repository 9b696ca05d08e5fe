"""What a pass of one head is given, and what it owes.

Not for: the passes of a causal language model, which ``backend.py`` joins by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuneval.engine.hf.text.render import Renderer
from tuneval.engine.hf.weights.labels import HeadLabels
from tuneval.engine.hf.weights.network import Network
from tuneval.types import Request, Response


@dataclass(frozen=True, slots=True)
class Speaker:
    """A variant that is ready to answer: its network, its adapter on at every step of the pass.

    ``token_budget`` and ``max_rows``: tokens and rows that go through the model together at most;
    ``drawn_budget``: tokens that are held together while texts are written. ``n_embeddings``: the number of
    tokens that the model knows. ``labels``: those of a head over labels.
    """

    variant: str
    network: Network
    renderer: Renderer
    end_tokens: frozenset[int]
    token_budget: int
    drawn_budget: int
    max_rows: int
    n_embeddings: int
    labels: HeadLabels | None = None


class Pass(Protocol):
    """Answers requests as a variant of one head."""

    def __call__(
        self, speaker: Speaker, requests: Sequence[Request], known: Collection[str], /
    ) -> Iterator[Response]:
        """Yield a response to each request whose id is not in ``known``, in any order.

        What runs together is planned over all ``requests``. The adapter of the variant is on between
        two ``next`` of this iterator and not while it waits.
        """
