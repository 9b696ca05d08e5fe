"""Where a server is, and the secrets that its address may hold: used to connect, written nowhere."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pydantic import PlainSerializer

VARIABLE = "OPENAI_BASE_URL"
SECRET_VARIABLES = ("OPENAI_API_KEY", "HF_TOKEN")

HIDDEN = "***"
SHORTEST_SECRET = 8
"""What is shorter ("none", "EMPTY") also stands in words that are no secret."""

_NO_SECRETS = frozenset({"api-version"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]@]+)(:\d*)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")


def written(url: str) -> str:
    """Return an address as it may be written: without name and password, fragment and query.

    Of a query the version of an interface stays. What is no address keeps its scheme alone.

    >>> written("https://me:secret@host:8000/v1/?api-key=secret&api-version=2")
    'https://host:8000/v1?api-version=2'
    """
    address, _, query = url.partition("#")[0].partition("?")
    scheme, colon, rest = address.rpartition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        return f"{scheme}{colon}{HIDDEN}"
    kept = [(name, value) for name, value in parse_qsl(query) if name.lower() in _NO_SECRETS]
    told = f"?{urlencode(kept)}" if kept else ""
    return f"{scheme}{colon}{host}{slash}{path}".rstrip("/") + told


ServerUrl = Annotated[str, PlainSerializer(written, return_type=str, when_used="json")]
"""An address that is whole in memory and without its secrets wherever it is written."""


def chosen(url: str | None) -> str | None:
    """Return the address to connect to.

    One that was written lacks its secrets: ``OPENAI_BASE_URL`` gives them back where it is the same
    address, so that a run goes on without their being stored.
    """
    told = os.environ.get(VARIABLE)
    if not url or (told and url.rstrip("/") == written(told)):
        return told or None
    return url


def secrets_of(url: str) -> tuple[str, ...]:
    """What an address holds that must not be shown, as it stands there and decoded."""
    address, _, query = url.partition("#")[0].partition("?")
    userinfo = address.rpartition("://")[2].partition("/")[0].rpartition("@")[0]
    name, _, password = userinfo.partition(":")
    values = [value for key, value in parse_qsl(query) if key.lower() not in _NO_SECRETS]
    found = [password or name, *values]
    if userinfo:  # as the header has it
        found.append(b64encode(unquote(userinfo).encode()).decode())
    return tuple(dict.fromkeys(form for one in found if one for form in _forms(one)))


def hidden(text: str) -> str:
    """Return words for a terminal or a log without secrets of addresses or of this environment."""
    own = [os.environ.get(name, "") for name in SECRET_VARIABLES]
    for value in (*own, *secrets_of(os.environ.get(VARIABLE, ""))):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    return _URL.sub(lambda found: _shown(found.group()), text)


def _shown(url: str) -> str:
    return written(url) if secrets_of(url) else url


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield unquote(secret)
    yield quote(secret, safe="")
