"""What driver and worker say to each other: one JSON object a line, every number to its last bit.

Not for: files; nothing here outlives the two processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, fields
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
    """Requests, each prompt once; of the rest, what does not stand at its default."""
    prompts: dict[str, int] = {}
    rows = [
        [
            prompts.setdefault(json.dumps(_prompt_to_plain(request.prompt)), len(prompts)),
            {
                one.name: getattr(request, one.name)
                for one in fields(request)
                if one.name not in ("prompt", "decoding")
                and getattr(request, one.name) != one.default
            },
            None if request.decoding is None else asdict(request.decoding),
        ]
        for request in requests
    ]
    return {"prompts": [json.loads(one) for one in prompts], "rows": rows}


def _prompt_to_plain(prompt: str | tuple[Message, ...]) -> Any:
    """A text, or each turn with all that it has: equal turns may be cut at other places."""
    return prompt if isinstance(prompt, str) else [list(astuple(turn)) for turn in prompt]


def _prompt_of(plain: Any) -> str | tuple[Message, ...]:
    if isinstance(plain, str):
        return plain
    return tuple(
        Message(role, content, more, tuple((begin, end) for begin, end in places))
        for role, content, more, places in plain
    )


def requests_of(plain: Mapping[str, Any]) -> list[Request]:
    """The requests that were made plain."""
    prompts = [_prompt_of(one) for one in plain["prompts"]]
    return [
        Request(prompt=prompts[place], decoding=_decoding_of(decoding), **_with_tuples(rest))
        for place, rest, decoding in plain["rows"]
    ]


def _decoding_of(plain: Mapping[str, Any] | None) -> Decoding | None:
    return None if plain is None else Decoding(**_with_tuples(plain))


def _with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where our records have tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
    }


def response_to_plain(response: Response) -> dict[str, Any]:
    """A response; what stands at its default is left out."""
    defaults = Response("", "")
    plain = {
        one.name: getattr(response, one.name)
        for one in fields(response)
        if _differs(getattr(response, one.name), getattr(defaults, one.name))
    }
    if "completions" in plain:
        plain["completions"] = [[c.text, c.n_tokens, c.finish_reason] for c in plain["completions"]]
    return plain


def response_of(plain: Mapping[str, Any]) -> Response:
    """The response that was made plain."""
    found = {"request_id": "", "variant": "", **plain}
    if "completions" in found:
        found["completions"] = tuple(Completion(*one) for one in found["completions"])
    return Response(**_with_tuples(found))


def _differs(value: object, default: object) -> bool:
    """-0.0 equals 0.0 and is another answer, bit for bit."""
    return value != default or str(value) != str(default)


def variant_of(plain: Mapping[str, Any]) -> Variant:
    """The variant that was made plain by ``asdict``."""
    return Variant(**plain)


def facts_of(plain: Mapping[str, Any]) -> VariantFacts:
    """The facts that were made plain by ``asdict``."""
    return VariantFacts(**_with_tuples(plain))
