"""What driver and worker say to each other: one JSON object a line, every number to its last bit.

Not for: files; nothing here outlives the two processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from tuneval.types import Completion, Decoding, Message, Request, Response, Variant, VariantFacts


def line(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent; escaped JSON keeps lone surrogates, which no other encoding takes."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def read(text: bytes) -> dict[str, Any]:
    """A message as it was sent."""
    found: dict[str, Any] = json.loads(text)
    return found


def requests_to_plain(requests: Sequence[Request]) -> dict[str, Any]:
    """Requests, each prompt once."""
    prompts: dict[Any, int] = {}
    rows = [
        [
            one.id,
            one.case_id,
            prompts.setdefault(one.prompt, len(prompts)),
            one.continuation,
            None if one.decoding is None else asdict(one.decoding),
            one.with_token_logprobs,
        ]
        for one in requests
    ]
    texts = [
        one if isinstance(one, str) else [[turn.role, turn.content] for turn in one]
        for one in prompts
    ]
    return {"prompts": texts, "rows": rows}


def requests_of(plain: Mapping[str, Any]) -> list[Request]:
    """The requests that were made plain."""
    prompts = [
        one if isinstance(one, str) else tuple(Message(*turn) for turn in one)
        for one in plain["prompts"]
    ]
    return [
        Request(id_, case_id, prompts[place], continuation, _decoding_of(decoding), with_logprobs)
        for id_, case_id, place, continuation, decoding, with_logprobs in plain["rows"]
    ]


def _decoding_of(plain: Mapping[str, Any] | None) -> Decoding | None:
    return None if plain is None else Decoding(**{**plain, "stop": tuple(plain["stop"])})


def response_to_plain(response: Response) -> dict[str, Any]:
    """A response; what stands at its default is left out."""
    defaults = Response("", "")
    plain = {
        one.name: getattr(response, one.name)
        for one in fields(response)
        if getattr(response, one.name) is not getattr(defaults, one.name)
    }
    if "completions" in plain:
        plain["completions"] = [[c.text, c.n_tokens, c.finish_reason] for c in plain["completions"]]
    return plain


def response_of(plain: Mapping[str, Any]) -> Response:
    """The response that was made plain."""
    found = {"request_id": "", "variant": "", **plain}
    if "completions" in found:
        found["completions"] = tuple(Completion(*one) for one in found["completions"])
    if found.get("token_logprobs") is not None:
        found["token_logprobs"] = tuple(found["token_logprobs"])
    return Response(**found)


def variant_of(plain: Mapping[str, Any]) -> Variant:
    """The variant that was made plain by ``asdict``."""
    return Variant(**plain)


def facts_of(plain: Mapping[str, Any]) -> VariantFacts:
    """The facts that were made plain by ``asdict``."""
    return VariantFacts(**{**plain, "warnings": tuple(plain["warnings"])})
