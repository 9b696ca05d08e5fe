"""What is sent arrives as it was, to the last bit."""

from __future__ import annotations

import math
from dataclasses import asdict, fields

import pytest

from tuneval.engine.pool import wire
from tuneval.types import (
    Completion,
    Decoding,
    Message,
    Request,
    Response,
    Variant,
    VariantFacts,
)

TEXT = 'a "text" with \n, \u2028, \u00fc and \udc80'
REQUESTS = [
    Request(
        "a",
        "c",
        TEXT,
        continuation=" yes",
        with_token_logprobs=True,
        texts=("one", TEXT),
        label="yes",
    ),
    Request("b", "c", TEXT, decoding=Decoding(7, ("x", TEXT), 0.7, 0.9, 3, 5)),
    Request("c", "d", (Message("user", TEXT), Message("system", "")), continuation=""),
    Request("d", "d", "", decoding=Decoding()),
    Request(
        "e", "e", (Message("user", "a b", '{"name": "x"}', ((0, 1), (2, 3))),), continuation="y"
    ),
    Request("f", "e", (Message("user", "a b", '{"name": "x"}', ((0, 3),)),), continuation="y"),
    Request("g", "g", TEXT, continuation=TEXT, stride=7),
    Request("h", "h", "", decoding=Decoding(), tools=TEXT, labels=("one", TEXT)),
]
RESPONSES = [
    Response("a", "base", loglikelihood=-0.1 - 1e-17, n_tokens=2, is_greedy=False, token_logprobs=(-0.1, -0.0)),
    Response("b", "base", (Completion(TEXT, 3, "stop"), Completion("", 0, "length")), prompt_tokens=3, seconds=0.1),
    Response("c", "base", loglikelihood=-0.0, is_greedy=True, is_truncated=True),
    Response("", "", problem=TEXT),
    Response("d", "base", loglikelihood=-math.inf),
]  # fmt: skip


def test_requests_arrive_as_they_were() -> None:
    sent = wire.read(wire.line(wire.requests_to_plain(REQUESTS)))
    found = wire.requests_of(sent)
    assert found == REQUESTS
    # Where a turn may be cut is no part of its equality.
    turns = [[m.fields for m in one.prompt] for one in (found[4], found[5])]
    assert turns == [[((0, 1), (2, 3))], [((0, 3),)]]
    assert sent["prompts"].count(TEXT) == 1, "a prompt that requests share is sent once"


@pytest.mark.parametrize("response", RESPONSES, ids=lambda one: one.request_id or "problem")
def test_responses_arrive_as_they_were(response: Response) -> None:
    found = wire.response_of(wire.read(wire.line(wire.response_to_plain(response))))
    assert found == response
    assert repr(found) == repr(response), "-0.0 is not 0.0"


def test_every_field_is_sent() -> None:
    """A field that comes to a record later has to be shown here."""
    for records, kind in ((REQUESTS, Request), (RESPONSES, Response)):
        for one in fields(kind):
            values = {repr(getattr(record, one.name)) for record in records}
            assert len(values) > 1, f"{kind.__name__}.{one.name} is the same in all of these"


def test_variants_and_facts_arrive_as_they_were() -> None:
    variant = Variant("lora", "adapter", "m", "a", "rev", "float32", "r", 3, "log", True, "run", 5)
    assert wire.variant_of(wire.read(wire.line(asdict(variant)))) == variant
    facts = VariantFacts(
        "lora", "f", "hf", "cpu", "float32", 5, settings={"r": "4"}, warnings=("w", "v")
    )
    assert wire.facts_of(wire.read(wire.line(asdict(facts)))) == facts
