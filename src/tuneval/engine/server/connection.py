"""One connection to an OpenAI-compatible server: what is sent, asked again, refused and hidden.

Not for: what is asked (``engine/openai_server.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tuneval.engine import address
from tuneval.engine.retry import Refused, RetryPolicy, kind_of, seconds_to_wait
from tuneval.errors import BackendError, BackendUnavailable, ConfigError, VariantError
from tuneval.types import Variant

Found = TypeVar("Found")

LONGEST_REASON = 200
CONNECT_SECONDS = 8.0
"""Longest wait for a server to take a connection; what it does with it may take longer."""


class Connection:
    """Posts and reads, as often as the policy allows, and lets no secret out.

    Parameters
    ----------
    url, key : str
        Address up to and with ``/v1``, and the key that it wants.
    timeout_seconds : float
        Longest silence of the server in one request.

    Attributes
    ----------
    echoed : dict
        Name that was asked for -> name that was answered.

    Raises
    ------
    ConfigError
        The address is none.
    BackendUnavailable
        The package for HTTP is not installed.
    """

    def __init__(self, url: str, key: str, *, timeout_seconds: float, retry: RetryPolicy) -> None:
        self.retry = retry
        self.url = address.written(url)
        self.echoed: dict[str, str] = {}
        self._timeout_seconds = timeout_seconds
        self._http, self._client = _connect(url, key, timeout_seconds)
        self._root, _, _ = self.url.partition("?")
        self._secrets = [one for one in (key, *address.secrets_of(url)) if one]

    def close(self) -> None:
        """Close the connections; what waits tries no more."""
        self.retry.stop()
        self._client.close()

    def ask(
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
            self.echoed[name] = self.check_name(variant, body)
            try:
                return read(body)
            except (
                KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError,
            ) as error:  # fmt: skip
                raise Refused("retry", f"an answer of another form ({error!r})") from error

        return self.retry.run(attempt)

    def models(self) -> dict[str, Mapping[str, Any]]:
        """What the server lists, by name; empty where it cannot say.

        Raises
        ------
        BackendUnavailable
            It refuses the key.
        """
        try:
            body = self._send("GET", "/models", None)  # tried once: the probe that follows decides
        except Refused as refused:
            if "status 401" in str(refused) or "status 403" in str(refused):
                raise self.unavailable(refused) from refused
            return {}  # some servers have no list, or fail on local folders
        listed = body.get("data")
        if not isinstance(listed, list):
            return {}
        return {str(one["id"]): one for one in listed if isinstance(one, Mapping) and "id" in one}

    def is_there(self) -> bool:
        """Whether somebody takes a connection; what is busy need not answer."""
        try:
            self._client.request("GET", self._root + "/models", timeout=CONNECT_SECONDS)
        except (self._http.ConnectError, self._http.ConnectTimeout):
            return False
        except self._http.HTTPError:
            return True
        return True

    def check_name(self, variant: Variant, body: Mapping[str, Any]) -> str:
        """Refuse another model than was asked; a dated name of the same model is the same."""
        asked, echoed = served_name(variant), body.get("model")
        if isinstance(echoed, str) and echoed and not _is_same_model(asked, echoed):
            raise VariantError(
                f'variant "{variant.name}": the server at {self.url} was asked for "{asked}" and '
                f'answers as "{echoed}".'
            )
        return str(echoed or asked)

    def unavailable(self, refused: Refused) -> BackendError:
        """What a person is told of a server that refuses everything."""
        if refused.is_gone:
            return BackendUnavailable(
                f"the server at {self.url} cannot be reached: {refused}.\nCheck that the server runs "
                "and that --base-url is right. What was answered is kept: once the server is back, "
                "the same command goes on from there."
            )
        hints = {
            "status 401": "Set OPENAI_API_KEY to a key that this server takes, or OPENAI_BASE_URL "
            "to its address with name and password.",
            "status 403": "This key may not use the model: check OPENAI_API_KEY.",
            "status 404": "Check --base-url (it ends in /v1) and the model's name.",
        }
        hint = next((text for mark, text in hints.items() if mark in str(refused)), "")
        remedy = hint or "Check that the server runs and that --base-url is right."
        return BackendUnavailable(f"the server at {self.url} refused: {refused}.\n{remedy}")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        try:
            answered = self._client.request(method, self._root + path, json=body)
        except (self._http.ConnectError, self._http.ConnectTimeout) as error:
            reason = self._clean(f"{type(error).__name__}: {error}")
            raise Refused("retry", reason, is_gone=True) from error
        except self._http.TimeoutException as error:
            raise Refused(
                "retry",
                f"no answer within {self._timeout_seconds:g} s (backend.timeout_seconds)",
            ) from error
        except self._http.TransportError as error:
            raise Refused("retry", self._clean(f"{type(error).__name__}: {error}")) from error
        self.retry.note_contact()
        if answered.status_code >= 300:
            reason = self._clean(f"status {answered.status_code}: {_one_line(answered.text)}")
            wait = seconds_to_wait(answered.headers.get("retry-after"))
            raise Refused(kind_of(answered.status_code), reason, wait)
        try:
            found = json.loads(self._without_key(answered.text))
        except (ValueError, RecursionError) as error:  # nested so deeply that no answer can be it
            reason = self._clean(f"no JSON but {_one_line(answered.text)!a}")
            raise Refused("retry", reason) from error
        if not isinstance(found, Mapping):
            raise Refused("retry", "JSON that is no object")
        return found

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


def served_name(variant: Variant) -> str:
    """Return the name that a server knows a variant by."""
    return variant.adapter or variant.model


def choices_of(body: Mapping[str, Any], n: int) -> list[Mapping[str, Any]]:
    """The choices of an answer, in the order of what was asked; another number is no answer."""
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != n:
        found = len(choices) if isinstance(choices, list) else "no"
        raise Refused("retry", f"{found} choices instead of {n}")
    # Several prompts of one call come back by their number, in any order.
    return sorted(choices, key=lambda one: int(one.get("index") or 0))


def counted(body: Mapping[str, Any], name: str) -> int:
    """A number of tokens that the server counted; 0 where it says none.

    It is reported, and decides nothing: servers count other tokens than they tell.
    """
    usage = body.get("usage")
    count = usage.get(name) if isinstance(usage, Mapping) else None
    if count is None:
        return 0
    if isinstance(count, bool) or not isinstance(count, int | float) or count != int(count):
        raise Refused("retry", f"usage.{name} is {str(count)[:40]!a}, no number of tokens")
    return int(count)


def _is_same_model(asked: str, echoed: str) -> bool:
    is_dated = echoed.startswith((f"{asked}-", f"{asked}@"))  # model-2026-01-01, model@main
    return echoed == asked or is_dated or asked.endswith(f"/{echoed}")


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
        timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS)),
    )
    return httpx2, client


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_REASON]
