"""The commonest label for every case: no model, and the least that a classifier must beat.

Not for: counting labels (``pipeline/majority.py``). It is put before another backend, which answers
for all other variants.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tuneval.engine import Backend
from tuneval.types import Completion, Request, Response, ShownPrompt, Variant, VariantFacts

NAME = "majority"


class WithMajority:
    """Answers as the majority variant from counts, and passes on what is asked of others.

    Parameters
    ----------
    counts : mapping
        Label -> cases that have it. Every label of the run counts as once more, so that none has the
        probability 0 (Laplace).
    number : str, optional
        What is answered where a number is asked for: the mean.
    several : mapping, optional
        Label set -> what is answered where any number of its labels may fit, as a JSON list.
    """

    def __init__(
        self,
        others: Backend,
        counts: Mapping[str, int],
        number: str | None = None,
        several: Mapping[tuple[str, ...], str] | None = None,
    ) -> None:
        self._others = others
        self._counts = dict(counts)
        self._number = number
        self._several = dict(several or {})

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the others."""
        return tuple(getattr(self._others, "notes", ()))

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Prove the others; there is nothing to prove of counts."""
        own = [one for one in variants if one.kind == "majority"]
        others = [one for one in variants if one.kind != "majority"]
        found = dict(self._others.prepare(others)) if others else {}
        return found | {one.name: self._facts(one) for one in own}

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """The share of a label among the counted, as a log-probability; or the commonest as text."""
        if variant.kind != "majority":
            yield from self._others.answer(variant, requests, known)
            return
        for request in requests:
            if request.id not in known:
                yield self._answer(variant, request)

    def shown(self, variant: Variant, requests: Sequence[Request]) -> Sequence[ShownPrompt]:
        """What the others read; the majority variant reads nothing."""
        if variant.kind == "majority":
            return [ShownPrompt("", request.continuation) for request in requests]
        return self._others.shown(variant, requests)

    def fingerprint(self, variant: Variant) -> str:
        """Hash of the counts, or what the others say."""
        if variant.kind != "majority":
            return self._others.fingerprint(variant)
        several = sorted(self._several.items())
        told = [NAME, sorted(self._counts.items()), self._number]
        content = json.dumps([*told, several] if several else told)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """What the fingerprint was made of."""
        if variant.kind == "majority":
            return {"backend": NAME, "model": "", "adapter": "", "counts": str(self._counts)}
        tell: Any = getattr(self._others, "ingredients", None)
        return {} if tell is None else dict(tell(variant))

    def close(self) -> None:
        """Close the others."""
        self._others.close()

    def _facts(self, variant: Variant) -> VariantFacts:
        return VariantFacts(
            variant=variant.name,
            fingerprint=self.fingerprint(variant),
            backend=NAME,
            device="",
            dtype="",
            n_parameters=0,
        )

    def _answer(self, variant: Variant, request: Request) -> Response:
        if request.decoding is not None:
            words = self._several.get(request.labels) or self._said(variant, request)
            said = Completion(words, 1, "stop")
            n = request.decoding.n_completions
            return Response(request.id, variant.name, completions=(said,) * n)
        label = request.label
        if not label:
            problem = "the commonest label answers for labels, and this request has none"
            return Response(request.id, variant.name, problem=problem)
        if not request.texts:  # without a text, as with one
            return Response(request.id, variant.name, loglikelihood=0.0)
        total = sum(self._counts.values()) + len(self._counts)
        share = (self._counts.get(label, 0) + 1) / total
        return Response(
            request.id,
            variant.name,
            loglikelihood=math.log(share),
            is_greedy=label == self._commonest(),
        )

    def _commonest(self) -> str:
        """The first in the order of the labels, among equals."""
        return max(self._counts, key=lambda label: self._counts[label], default="")

    def _said(self, variant: Variant, request: Request) -> str:
        if self._number is not None:
            return self._number
        if variant.head == "tokens":
            words = " ".join(request.texts).split()
            return " ".join([self._commonest()] * len(words))
        return self._commonest()
