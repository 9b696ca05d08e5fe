"""The contract of a backend, over every backend that can be built in a test."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from engine.buildable import BUILDERS, build
from tuneval.engine import BACKENDS
from tuneval.types import Decoding, Message, Request, Response

WORDS = ("login", "billing", "delivery of a parcel")
TEXTS = ("I cannot log in\nLabel:", "My bill is wrong, and my bill was wrong last month.\nLabel:")
GREEDY = Decoding(max_tokens=4)


def requests() -> list[Request]:
    """Likelihoods and completions after texts, messages and nothing at all, mixed."""
    asked = []
    for number, text in enumerate(TEXTS):
        for prompt in (text, (Message("user", text),)):
            kind = "text" if isinstance(prompt, str) else "chat"
            lead = " " if kind == "text" else ""
            asked += [
                Request(f"{number}-{kind}-{word}", str(number), prompt, continuation=lead + word)
                for word in WORDS
            ]
            asked.append(Request(f"{number}-{kind}", str(number), prompt, decoding=GREEDY))
    asked.append(
        Request("text", "whole", "", continuation="Once upon a time", with_token_logprobs=True)
    )
    return asked


def without_time(response: Response) -> Response:
    return replace(response, seconds=0.0)


@pytest.fixture(params=sorted(BUILDERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answers(name: str, folder: Path, batch_size: int, order: int) -> dict[str, dict[str, Response]]:
    """Variant name -> request id -> response; ``order`` -1 asks backwards."""
    backend, variants = build(name, folder, batch_size)
    try:
        backend.prepare(variants)
        return {
            variant.name: {
                response.request_id: without_time(response)
                for response in backend.answer(variant, requests()[::order])
            }
            for variant in variants
        }
    finally:
        backend.close()


def test_every_buildable_backend_is_in_the_table() -> None:
    assert set(BUILDERS) <= set(BACKENDS)


def test_each_request_is_answered_exactly_once(name: str, tmp_path: Path) -> None:
    backend, variants = build(name, tmp_path, 3)
    backend.prepare(variants)
    for variant in variants:
        answered = [response.request_id for response in backend.answer(variant, requests())]
        assert sorted(answered) == sorted(request.id for request in requests())
    backend.close()


def test_order_and_batch_size_do_not_move_an_answer(name: str, tmp_path: Path) -> None:
    expected = answers(name, tmp_path, 1, 1)
    for batch_size, order in ((1, -1), (4, 1), (64, -1)):
        again = answers(name, tmp_path, batch_size, order)
        for variant, by_id in expected.items():
            for request_id, response in by_id.items():
                same_answer(again[variant][request_id], response)


def same_answer(one: Response, other: Response) -> None:
    """Equal but for the last digits of log-likelihoods: sums in another order differ there."""
    assert one.completions == other.completions
    assert (one.n_tokens, one.is_greedy) == (other.n_tokens, other.is_greedy)
    assert one.problem is other.problem is None
    if other.loglikelihood is not None:
        assert one.loglikelihood == pytest.approx(other.loglikelihood, abs=1e-4)


def test_answers_have_the_form_that_was_asked_for(name: str, tmp_path: Path) -> None:
    by_id = {request.id: request for request in requests()}
    for variant, responses in answers(name, tmp_path, 8, 1).items():
        for request_id, response in responses.items():
            assert response.variant == variant
            if by_id[request_id].decoding is not None:
                assert [type(one.text) for one in response.completions] == [str]
                assert response.completions[0].finish_reason in ("stop", "length")
                assert response.completions[0].n_tokens <= GREEDY.max_tokens
                assert response.loglikelihood is None
            else:
                assert response.completions == ()
                assert response.loglikelihood is not None
                assert math.isfinite(response.loglikelihood) and response.loglikelihood < 0
                assert response.n_tokens > 0


def test_token_logprobs_come_when_asked_and_add_up(name: str, tmp_path: Path) -> None:
    for responses in answers(name, tmp_path, 8, 1).values():
        one = responses["text"]
        assert one.token_logprobs is not None
        assert len(one.token_logprobs) == one.n_tokens
        assert sum(one.token_logprobs) == pytest.approx(one.loglikelihood, abs=1e-4)
        assert responses["0-text-login"].token_logprobs is None


def test_variants_differ_in_fingerprint_and_keep_their_own(name: str, tmp_path: Path) -> None:
    first, variants = build(name, tmp_path, 1)
    second, _ = build(name, tmp_path, 16)
    for backend in (first, second):
        backend.prepare(variants)
    fingerprints = [first.fingerprint(variant) for variant in variants]
    assert len(set(fingerprints)) == len(variants)
    assert [second.fingerprint(variant) for variant in variants] == fingerprints
    assert all(len(one) >= 32 for one in fingerprints)
    first.close()
    second.close()


def test_facts_name_every_variant(name: str, tmp_path: Path) -> None:
    backend, variants = build(name, tmp_path, 1)
    facts = backend.prepare(variants)
    assert list(facts) == [variant.name for variant in variants]
    for variant in variants:
        assert facts[variant.name].fingerprint == backend.fingerprint(variant)
    backend.close()


@pytest.mark.parametrize("n_known", [1, 4, 9, 16])
def test_what_is_known_is_not_answered_again_and_moves_no_bit_of_the_rest(
    name: str, n_known: int, tmp_path: Path
) -> None:
    backend, variants = build(name, tmp_path, 4)
    backend.prepare(variants)
    asked = requests()
    try:
        for variant in variants:
            whole = {one.request_id: without_time(one) for one in backend.answer(variant, asked)}
            known = frozenset(list(whole)[:n_known])
            rest = {
                one.request_id: without_time(one) for one in backend.answer(variant, asked, known)
            }
            assert rest == {key: one for key, one in whole.items() if key not in known}
    finally:
        backend.close()
