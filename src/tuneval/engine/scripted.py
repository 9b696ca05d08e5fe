"""A backend that says what it was told to say: for tests, documentation and rehearsals of a run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from tuneval.types import Completion, Request, Response, ShownPrompt, Variant, VariantFacts

Said = str | tuple[str, ...] | float | Mapping[str, float] | None
"""What a rule may answer. A text is what the variant would say: it is drawn as a completion, and a
continuation that spells it is likelier than any other. Several texts are several completions. A
number is the log-likelihood (nats); a mapping holds one per continuation. None: no usable answer."""

Rules = Mapping[str, Said] | Callable[[Variant, Request], Said]
"""Part of a prompt -> what is said (the longest part that the prompt holds counts, "" fits always),
or a function of variant and request."""

LIKELY, UNLIKELY = math.log(0.9), math.log(0.05)


class ScriptedBackend:
    """Answer by rules, at once and always the same.

    Parameters
    ----------
    rules : mapping or callable, optional
        For every variant.
    models : mapping, optional
        Variant name -> rules of its own, which come first.
    version : str
        Part of the fingerprint; change it where a callable says something else than before.
    settings
        What other backends are given (device, dtype, ...) is accepted and without effect, so that a
        run can be rehearsed by naming another backend.

    Attributes
    ----------
    asked : list of (str, Request)
        Variant name and request, in the order in which they were answered.

    Examples
    --------
    >>> variant = Variant("base", "base", "anything")
    >>> backend = ScriptedBackend({"cannot log in": "login", "": "billing"})
    >>> request = Request("1", "case", "I cannot log in", continuation=" login")
    >>> next(backend.answer(variant, [request])).is_greedy
    True
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        models: Mapping[str, Rules] | None = None,
        version: str = "1",
        **settings: object,
    ) -> None:
        self.rules: Rules = {} if rules is None else rules
        self.models = dict(models or {})
        self.version = version
        self.settings = settings
        self.asked: list[tuple[str, Request]] = []

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Describe every variant; there is nothing to prove."""
        return {
            variant.name: VariantFacts(
                variant=variant.name,
                fingerprint=self.fingerprint(variant),
                backend="scripted",
                device="none",
                dtype="none",
                n_parameters=0,
                prompt_format="plain template",
            )
            for variant in variants
        }

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer in order, one request at a time."""
        for request in requests:
            if request.id not in known:
                self.asked.append((variant.name, request))
                yield respond(variant, request, self._said(variant, request))

    def shown(self, variant: Variant, requests: Sequence[Request]) -> list[ShownPrompt]:
        """The turns of every request, one below the other."""
        return [ShownPrompt(prompt_text(one), one.continuation) for one in requests]

    def fingerprint(self, variant: Variant) -> str:
        """Hash of the variant and of its rules."""
        rules = self.models.get(variant.name, self.rules)
        script = _name(rules) if callable(rules) else _canonical(rules)
        parts = (variant.kind, variant.model, variant.adapter, variant.revision, variant.dtype)
        content = json.dumps([*parts, script, self.version])
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of."""
        return {"dtype": variant.dtype, "script": self.version}

    def close(self) -> None:
        """Nothing is held."""

    def _said(self, variant: Variant, request: Request) -> Said:
        rules = self.models.get(variant.name, self.rules)
        if callable(rules):
            return rules(variant, request)
        prompt = prompt_text(request)
        fitting = [part for part in rules if part in prompt]
        return rules[max(fitting, key=len)] if fitting else None


def prompt_text(request: Request) -> str:
    """Return the prompt as one text; the turns of messages stand one below the other."""
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(turn.content for turn in request.prompt)


def respond(variant: Variant, request: Request, said: Said) -> Response:
    """Make the response to a request from what a rule said. A token is a word."""
    prompt_tokens = len(prompt_text(request).split())
    if said is None:
        return Response(request.id, variant.name, problem="the script says nothing to this prompt")
    if request.decoding is not None:
        texts = _texts(said)
        n = request.decoding.n_completions
        completions = tuple(_complete(texts[i % len(texts)], request) for i in range(n))
        return Response(
            request.id, variant.name, completions=completions, prompt_tokens=prompt_tokens
        )
    assert request.continuation is not None
    words = max(1, len(request.continuation.split()))
    nats, is_greedy = _nats(said, request.continuation, words)
    return Response(
        request.id,
        variant.name,
        loglikelihood=nats,
        n_tokens=words,
        is_greedy=is_greedy,
        token_logprobs=(nats / words,) * words if request.with_token_logprobs else None,
        prompt_tokens=prompt_tokens,
    )


def _nats(said: Said, continuation: str, words: int) -> tuple[float, bool]:
    if isinstance(said, Mapping):
        nats = said.get(continuation, said.get(continuation.strip(), -math.inf))
        return nats, nats == max(said.values())
    if isinstance(said, int | float):
        return float(said), False
    is_said = continuation.strip() == _texts(said)[0].strip()
    return (LIKELY if is_said else UNLIKELY) * words, is_said


def _texts(said: Said) -> tuple[str, ...]:
    if isinstance(said, Mapping):
        return (max(said, key=lambda text: said[text]),)
    return said if isinstance(said, tuple) else (str(said),)


def _complete(text: str, request: Request) -> Completion:
    """Cut a text at its first stop string and at the token limit, as a model's would be."""
    assert request.decoding is not None
    ends = [at for stop in request.decoding.stop if (at := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    words = text.split(" ")
    limit = request.decoding.max_tokens
    is_cut = len(words) > limit
    return Completion(
        " ".join(words[:limit]),
        n_tokens=min(len(words), limit),
        finish_reason="length" if is_cut else "stop",
    )


def _name(rules: Callable[..., Said]) -> str:
    return str(getattr(rules, "__qualname__", type(rules).__qualname__))


def _canonical(rules: Mapping[str, Said]) -> str:
    return repr(sorted(rules.items(), key=lambda rule: rule[0]))
