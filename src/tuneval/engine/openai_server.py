"""Models behind an OpenAI-compatible server (vLLM, llama.cpp, a hosted API): two endpoints.

Texts are completed and scored by ``/completions``, messages completed by ``/chat/completions``,
which also tells how likely a single letter is; the chat template is the server's. Not for:
starting servers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from tuneval import registry
from tuneval.engine import address
from tuneval.engine.retry import Refused, RetryPolicy, kind_of, seconds_to_wait
from tuneval.errors import BackendError, BackendUnavailable, ConfigError, VariantError
from tuneval.types import (
    Completion,
    Decoding,
    Message,
    Request,
    Response,
    ShownPrompt,
    Variant,
    VariantFacts,
)

Found = TypeVar("Found")
Token = tuple[float | None, float | None]
"""Log-probability of a token and that of the likeliest in its place; None where not told."""

DEFAULT_CONCURRENCY = 8
TOP_LOGPROBS = 20
"""As many first tokens as servers tell at most."""

LONGEST_REASON = 200


class OpenAIServer:
    """Answer through a server; the name it serves a variant under is the variant's model (for an
    adapter: ``Variant.adapter``).

    Parameters
    ----------
    base_url : str, optional
        Up to and with ``/v1``; by default ``OPENAI_BASE_URL``. The key is read from
        ``OPENAI_API_KEY`` alone; it, a name and password and the query of the address are never
        written anywhere (see ``address.py``).
    batch_size : int or "auto"
        Requests under way at the same time.
    timeout_seconds : float
        Longest silence of the server in one request.
    give_up_seconds : float
        Of one request with all its attempts: then it counts as failed.
    settings
        What other backends are given (device, dtype, ...) is the server's own affair.

    Raises
    ------
    ConfigError
        There is no base URL.
    BackendUnavailable
        The package for HTTP is not installed.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        batch_size: int | str = "auto",
        timeout_seconds: float = 120.0,
        give_up_seconds: float = 600.0,
        retry: RetryPolicy | None = None,
        **settings: object,
    ) -> None:
        url = address.chosen(base_url)
        if not url:
            raise ConfigError(
                "the server has no address. Give --base-url http://HOST:PORT/v1, or set "
                "OPENAI_BASE_URL."
            )
        self.settings = settings
        self.retry = retry or RetryPolicy(budget_seconds=give_up_seconds)
        self._concurrency = DEFAULT_CONCURRENCY if isinstance(batch_size, str) else batch_size
        self._key = os.environ.get("OPENAI_API_KEY", "")
        self._timeout_seconds = timeout_seconds
        self._http, self._client = _connect(url, self._key, timeout_seconds)
        self.url = address.written(url)
        self._root, _, _ = self.url.partition("?")
        self._secrets = [one for one in (self._key, *address.secrets_of(url)) if one]
        self._head_tokens: dict[tuple[str, str], int] = {}
        self._first_tokens: dict[tuple[str, tuple[Message, ...]], Mapping[str, float]] = {}
        self._counting: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Ask every variant for one token, and compare the name that comes back.

        Raises
        ------
        VariantError
            The server serves other models, or answers under another name.
        BackendUnavailable
            It refuses the key or cannot be reached.
        """
        served = self._served_models()
        facts = {}
        for variant in variants:
            name = served_name(variant)
            # A server that loads on demand takes folders that it does not list.
            if served and name not in served and not Path(name).is_absolute():
                raise VariantError(
                    f'variant "{variant.name}": the server at {self.url} serves no model of this '
                    f"name: {registry.unknown(name, served)}."
                )
            echoed = self._probe(variant)
            facts[variant.name] = VariantFacts(
                variant=variant.name,
                fingerprint=self.fingerprint(variant),
                backend="openai",
                device="server",
                dtype="server",
                n_parameters=0,
                prompt_format="server's chat template",
                tokenizer="server",
                settings={"server": self.url, "served as": echoed},
            )
        return facts

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer in the order in which the server is done; each request exactly once."""
        requests = [request for request in requests if request.id not in known]
        self.retry.begin()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="tuneval-server")
        waiting = [pool.submit(self._unit, variant, request) for request in requests]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:  # also an interrupt: nothing more may be asked
            self.retry.stop()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def shown(self, variant: Variant, requests: Sequence[Request]) -> list[ShownPrompt]:
        """What is sent: a text as it is, messages as JSON; the server's template cannot be seen."""
        return [ShownPrompt(_sent(one.prompt), one.continuation) for one in requests]

    def fingerprint(self, variant: Variant) -> str:
        """Hash of address and name. What a server puts behind a name cannot be seen from here."""
        content = json.dumps(["openai", self.url, served_name(variant), variant.revision])
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of."""
        return {"server": self.url, "served as": served_name(variant)}

    def close(self) -> None:
        """Close the connections."""
        self.retry.stop()
        self._client.close()

    # ---- one request -----------------------------------------------------------------------------

    def _unit(self, variant: Variant, request: Request) -> Response:
        started = time.monotonic()
        act = self._score if request.continuation is not None else self._complete
        try:
            found = act(variant, request)
        except Refused as refused:
            if refused.kind == "fatal":
                raise self._unavailable(refused) from refused
            return Response(
                request.id,
                variant.name,
                seconds=time.monotonic() - started,
                problem=f"server: {refused}",
            )
        return Response(request.id, variant.name, seconds=time.monotonic() - started, **found)

    def _complete(self, variant: Variant, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        assert decoding is not None
        words = _decoding_words(decoding)
        if isinstance(request.prompt, str):
            path, asked = "/completions", {"prompt": request.prompt, **words}
        else:
            turns = [turn.as_turn() for turn in request.prompt]
            path, asked = "/chat/completions", {"messages": turns, **words, **self._switches()}

        def read(body: Mapping[str, Any]) -> dict[str, Any]:
            choices = _choices(body, decoding.n_completions)
            usage = _usage(body)
            each = usage.get("completion_tokens", 0) // decoding.n_completions
            return {
                "completions": tuple(_completion(one, decoding, each) for one in choices),
                "prompt_tokens": usage.get("prompt_tokens", 0),
            }

        return self._ask(variant, path, asked, read)

    def _score(self, variant: Variant, request: Request) -> dict[str, Any]:
        """Score a continuation from the log-probabilities of an echoed prompt.

        The continuation begins after as many tokens as the prompt has alone: the rule of
        lm-evaluation-harness, which also moves the prompt's last white space to the continuation.
        """
        assert request.continuation is not None
        if not isinstance(request.prompt, str):
            found = self._score_letter(variant, request.prompt, request.continuation.strip())
            if not request.with_token_logprobs:
                found.pop("token_logprobs", None)
            return found
        head = request.prompt.rstrip()
        whole = request.prompt + request.continuation
        n_head = self._count_head(variant, head) if head else 0
        tokens = self._echo(variant, whole)
        scored = [(own, best) for own, best in tokens[n_head:] if own is not None]
        is_told = all(best is not None for _, best in scored)
        logprobs = tuple(own for own, _ in scored)
        return {
            "loglikelihood": float(sum(logprobs)),
            "n_tokens": len(logprobs),
            "is_greedy": all(own >= (best or 0.0) for own, best in scored) if is_told else None,
            "token_logprobs": logprobs if request.with_token_logprobs else None,
            "prompt_tokens": n_head,
        }

    def _score_letter(
        self, variant: Variant, messages: tuple[Message, ...], letter: str
    ) -> dict[str, Any]:
        """Score a single letter as the first token of an answer to messages.

        Both spellings of its token, with and without a space before it, count together. A letter
        that is not told while another one is gets the least log-probability told, which bounds it.
        """
        if len(letter) != 1:
            raise BackendUnavailable(
                f"the server at {self.url} gives no log-probabilities of a given answer to chat "
                "messages, but of single letters.\nUse --scoring generate for this server, or the "
                "task option prompt_style: text."
            )
        told, prompt_tokens = self._told_tokens(variant, messages)
        own = [nats for token, nats in told.items() if token.strip() == letter]
        if not own and not any(_is_letter(token) for token in told):
            likeliest = max(told, key=lambda token: told[token])
            return {
                "problem": f"unparsed: the answer begins with {likeliest[:60]!a}, no letter",
                "prompt_tokens": prompt_tokens,
            }
        nats = math.log(sum(map(math.exp, own))) if own else min(told.values())
        return {
            "loglikelihood": nats,
            "n_tokens": 1,
            "is_greedy": bool(own) and max(own) == max(told.values()),
            "token_logprobs": (nats,),
            "prompt_tokens": prompt_tokens,
        }

    def _switches(self) -> dict[str, Any]:
        """vLLM and SGLang hand these to the chat template; others ignore or refuse them."""
        is_off = self.settings.get("thinks") is False
        return {"chat_template_kwargs": {"enable_thinking": False}} if is_off else {}

    def _told_tokens(
        self, variant: Variant, messages: tuple[Message, ...]
    ) -> tuple[Mapping[str, float], int]:
        """First tokens of an answer with their log-probabilities; the letters of one question share
        one call, and the first of them its prompt tokens."""
        key = (served_name(variant), messages)
        asked = {
            "messages": [turn.as_turn() for turn in messages],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }

        def read(body: Mapping[str, Any]) -> tuple[Mapping[str, float], int]:
            (choice,) = _choices(body, 1)
            content = (choice.get("logprobs") or {}).get("content")
            if not content or not content[0].get("top_logprobs"):
                raise BackendUnavailable(self._no_logprobs())
            told = {str(one["token"]): float(one["logprob"]) for one in content[0]["top_logprobs"]}
            return told, _usage(body).get("prompt_tokens", 0)

        with self._counting[key]:
            if key in self._first_tokens:
                return self._first_tokens[key], 0
            told, prompt_tokens = self._ask(variant, "/chat/completions", asked, read)
            self._first_tokens[key] = told
        return told, prompt_tokens

    def _count_head(self, variant: Variant, head: str) -> int:
        key = (served_name(variant), head)
        with self._counting[key]:  # the labels of one case come at once, and share their prompt
            if key not in self._head_tokens:
                self._head_tokens[key] = len(self._echo(variant, head))
        return self._head_tokens[key]

    def _echo(self, variant: Variant, text: str) -> list[Token]:
        """Log-probabilities of every token of ``text``."""
        asked = {"prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}

        def read(body: Mapping[str, Any]) -> list[Token]:
            (choice,) = _choices(body, 1)
            found = choice.get("logprobs") or {}
            own = found.get("token_logprobs")
            if not isinstance(own, list) or not str(choice.get("text", "")).startswith(text[:1]):
                raise BackendUnavailable(self._no_logprobs())
            n = _usage(body).get("prompt_tokens", len(own) - 1)
            if len(own) < n or n < 1:
                raise BackendUnavailable(self._no_logprobs())
            tops = found.get("top_logprobs") or [None] * len(own)
            return [_with_best(*pair) for pair in zip(own[:n], tops[:n], strict=True)]

        try:
            return self._ask(variant, "/completions", asked, read)
        except Refused as refused:
            if refused.kind == "unit" and ("echo" in str(refused) or "logprobs" in str(refused)):
                raise BackendUnavailable(f"{self._no_logprobs()}\n({refused})") from refused
            raise

    # ---- HTTP ------------------------------------------------------------------------------------

    def _ask(
        self,
        variant: Variant,
        path: str,
        asked: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], Found],
    ) -> Found:
        """Post and read, as often as the policy allows; what cannot be read counts as transient."""
        name = served_name(variant)

        def attempt() -> Found:
            body = self._send("POST", path, {"model": name, **asked})
            self._check_name(variant, body)
            try:
                return read(body)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise Refused("retry", f"an answer of another form ({error!r})") from error

        return self.retry.run(attempt)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        try:
            answered = self._client.request(method, self._root + path, json=body)
        except self._http.TimeoutException as error:
            raise Refused(
                "retry",
                f"no answer within {self._timeout_seconds:g} s (backend.timeout_seconds)",
            ) from error
        except self._http.TransportError as error:
            raise Refused("retry", self._clean(f"{type(error).__name__}: {error}")) from error
        if answered.status_code >= 300:
            reason = self._clean(f"status {answered.status_code}: {_one_line(answered.text)}")
            wait = seconds_to_wait(answered.headers.get("retry-after"))
            raise Refused(kind_of(answered.status_code), reason, wait)
        try:
            found = json.loads(self._without_key(answered.text))
        except ValueError as error:
            reason = self._clean(f"no JSON but {_one_line(answered.text)!a}")
            raise Refused("retry", reason) from error
        if not isinstance(found, Mapping):
            raise Refused("retry", "JSON that is no object")
        return found

    def _check_name(self, variant: Variant, body: Mapping[str, Any]) -> str:
        """Refuse another model than was asked; a dated name of the same model is the same."""
        asked, echoed = served_name(variant), body.get("model")
        if isinstance(echoed, str) and echoed and not _is_same_model(asked, echoed):
            raise VariantError(
                f'variant "{variant.name}": the server at {self.url} was asked for "{asked}" and '
                f'answers as "{echoed}".'
            )
        return str(echoed or asked)

    def _served_models(self) -> list[str]:
        """Names that the server lists; empty where it cannot say."""
        try:
            body = self._send("GET", "/models", None)  # tried once: the probe that follows decides
        except Refused as refused:
            if "status 401" in str(refused) or "status 403" in str(refused):
                raise self._unavailable(refused) from refused
            return []  # some servers have no list, or fail on local folders
        listed = body.get("data")
        if not isinstance(listed, list):
            return []
        return [str(one["id"]) for one in listed if isinstance(one, Mapping) and "id" in one]

    def _probe(self, variant: Variant) -> str:
        turns = [{"role": "user", "content": "Hello"}]
        asked = {"messages": turns, "max_tokens": 1, "temperature": 0}

        def attempt() -> str:
            body = self._send("POST", "/chat/completions", {"model": served_name(variant), **asked})
            return self._check_name(variant, body)

        try:
            return self.retry.run(attempt)
        except Refused as refused:
            raise self._unavailable(refused) from refused

    def _unavailable(self, refused: Refused) -> BackendError:
        hints = {
            "status 401": "Set OPENAI_API_KEY to a key that this server takes, or OPENAI_BASE_URL "
            "to its address with name and password.",
            "status 403": "This key may not use the model: check OPENAI_API_KEY.",
            "status 404": "Check --base-url (it ends in /v1) and the model's name.",
        }
        hint = next((text for mark, text in hints.items() if mark in str(refused)), "")
        remedy = hint or "Check that the server runs and that --base-url is right."
        return BackendUnavailable(f"the server at {self.url} refused: {refused}.\n{remedy}")

    def _no_logprobs(self) -> str:
        return (
            f'the server at {self.url} returned no log-probabilities (it accepted and ignored "'
            'logprobs" or "echo"). Label scoring needs them.\nUse --scoring generate for this '
            "server, or a server that returns prompt log-probabilities (vLLM does)."
        )

    def _without_key(self, text: str) -> str:
        """Take the secrets out of a whole answer, should the server repeat what it was sent."""
        for secret in self._secrets:
            if len(secret) >= address.SHORTEST_SECRET:
                text = text.replace(secret, address.HIDDEN)
        return text

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, address.HIDDEN)
        return text[:LONGEST_REASON]


def _sent(prompt: str | tuple[Message, ...]) -> str:
    if isinstance(prompt, str):
        return prompt
    turns = [turn.as_turn() for turn in prompt]
    return json.dumps(turns, ensure_ascii=False, indent=1)


def served_name(variant: Variant) -> str:
    """Return the name that a server knows a variant by."""
    return variant.adapter or variant.model


def _is_same_model(asked: str, echoed: str) -> bool:
    is_dated = echoed.startswith((f"{asked}-", f"{asked}@"))  # model-2026-01-01, model@main
    return echoed == asked or is_dated or asked.endswith(f"/{echoed}")


def _is_letter(token: str) -> bool:
    stripped = token.strip()
    return len(stripped) == 1 and stripped.isascii() and stripped.isupper()


def _connect(url: str, key: str, timeout_seconds: float) -> tuple[Any, Any]:
    try:
        import httpx2
    except ImportError as error:
        raise BackendUnavailable(
            "talking to a server needs pip install 'tuneval[server]'."
        ) from error
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f'"{address.written(url)}" is no address of a server.')
    auth = (parsed.username, parsed.password) if parsed.userinfo else None
    client = httpx2.Client(
        headers={"Authorization": f"Bearer {key}"} if key and not auth else {},
        auth=auth,
        params=parsed.params,
        timeout=timeout_seconds,
    )
    return httpx2, client


def _decoding_words(decoding: Decoding) -> dict[str, Any]:
    words: dict[str, Any] = {
        "max_tokens": decoding.max_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "n": decoding.n_completions,
    }
    if decoding.temperature > 0:
        words["seed"] = decoding.sampling_seed
    if decoding.stop:
        words["stop"] = list(decoding.stop[:4])  # servers take no more; the rest is cut here
    return words


def _choices(body: Mapping[str, Any], n: int) -> list[Mapping[str, Any]]:
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != n:
        found = len(choices) if isinstance(choices, list) else "no"
        raise Refused("retry", f"{found} choices instead of {n}")
    return choices


def _usage(body: Mapping[str, Any]) -> Mapping[str, int]:
    usage = body.get("usage")
    return usage if isinstance(usage, Mapping) else {}


def _completion(choice: Mapping[str, Any], decoding: Decoding, n_tokens: int) -> Completion:
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    if not isinstance(text, str):
        raise Refused("retry", "a choice without text")
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length"):
        raise Refused("unit", f'the completion ended by "{reason}"')
    ends = [at for stop in decoding.stop if (at := text.find(stop)) >= 0]
    if ends:
        return Completion(text[: min(ends)], n_tokens, "stop")
    return Completion(text, n_tokens, reason)


def _with_best(own: float | None, top: Mapping[str, float] | None) -> Token:
    if own is None:
        return None, None
    return float(own), max((own, *top.values())) if top else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_REASON]
