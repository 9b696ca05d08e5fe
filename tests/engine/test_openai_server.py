from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine import fake_server
from engine.fake_server import Fake, logprob, reply, reset, saying, serving, status, tokens_of
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.openai_server import OpenAIServer
from tuneval.engine.retry import RetryPolicy
from tuneval.errors import BackendError, BackendUnavailable, ConfigError, VariantError
from tuneval.types import Decoding, Message, Request, Response, Variant

SMALL = Variant("base", "base", "small")
CHAT = Request("r0", "c", (Message("system", "s"), Message("user", "hi")), decoding=Decoding())


@contextmanager
def connected(
    fake: Fake, *, attempts: int = 4, timeout_seconds: float = 5.0
) -> Iterator[tuple[OpenAIServer, list[float]]]:
    """A backend that does not really wait; the waits it would have made are listed."""
    waits: list[float] = []
    policy = RetryPolicy(attempts=attempts, sleep=waits.append, draw=lambda: 1.0)
    backend = OpenAIServer(
        base_url=fake.url, batch_size=4, retry=policy, timeout_seconds=timeout_seconds
    )
    try:
        yield backend, waits
    finally:
        backend.close()


def ask(backend: OpenAIServer, *requests: Request) -> list[Response]:
    found = {one.request_id: one for one in backend.answer(SMALL, requests)}
    return [found[request.id] for request in requests]


def test_messages_go_to_the_chat_endpoint() -> None:
    drawn = Decoding(max_tokens=7, stop=("END",), temperature=0.5, top_p=0.9, sampling_seed=3)
    with serving(content="yes END no") as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, replace(CHAT, decoding=drawn))
    assert response.completions[0].text == "yes "
    assert response.completions[0].finish_reason == "stop"
    assert fake.seen == [
        {
            "path": "/v1/chat/completions",
            "model": "small",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
            "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "n": 1, "seed": 3, "stop": ["END"],
        }
    ]  # fmt: skip


def test_tools_are_sent_and_the_calls_that_the_server_read_come_back() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    call = {"type": "function", "function": {"name": "find", "arguments": '{"gate": 7}'}}
    asked = replace(CHAT, tools=json.dumps(tools))
    with serving() as fake, connected(fake) as (backend, _):
        for message in ({"content": None, "tool_calls": [call]}, {"content": "No tool fits."}):
            choice = {
                "message": message,
                "finish_reason": "tool_calls" if len(message) > 1 else "stop",
            }
            fake.faults.append(saying({"model": "small", "choices": [choice]}))
        called, said = ask(backend, asked, replace(asked, id="r1"))
        (shown,) = backend.shown(SMALL, [asked])
    texts = {one.completions[0].text for one in (called, said)}
    assert texts == {json.dumps({"tool_calls": [call]}), "No tool fits."}
    assert {one.completions[0].finish_reason for one in (called, said)} == {"stop"}
    assert all(one["tools"] == tools for one in fake.seen)
    assert json.loads(shown.text)["tools"] == tools


def test_a_text_goes_to_the_completions_endpoint() -> None:
    with serving() as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, Request("r", "c", "Topic:", decoding=Decoding()))
    assert response.completions[0].text == "billing"
    assert fake.seen[0]["path"] == "/v1/completions"
    assert fake.seen[0]["prompt"] == "Topic:"


def test_an_adapter_is_served_under_its_own_name() -> None:
    lora = Variant("lora", "adapter", "small", adapter="tuned")
    with serving() as fake, connected(fake) as (backend, _):
        backend.prepare([SMALL, lora])
        n_asked = len(fake.seen)
        list(backend.answer(lora, [CHAT]))
        assert backend.fingerprint(lora) != backend.fingerprint(SMALL)
    assert {one["model"] for one in fake.seen[:n_asked]} == {"small", "tuned"}
    assert [one["model"] for one in fake.seen[n_asked:]] == ["tuned"]


@pytest.mark.parametrize("prompt", ["Text of a case.\nLabel:", "Label: "])
def test_a_continuation_is_scored_by_the_echo(prompt: str) -> None:
    continuation = " card arrival" if prompt.endswith(":") else "card arrival"
    request = Request("r", "c", prompt, continuation=continuation, with_token_logprobs=True)
    with serving() as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, request)
    tokens = tokens_of(prompt + continuation)
    n = len(tokens)
    expected = [logprob("".join(tokens[:k]), tokens[k]) for k in (n - 2, n - 1)]
    assert response.token_logprobs == pytest.approx(expected)
    assert response.loglikelihood == pytest.approx(sum(expected))
    assert (response.n_tokens, response.prompt_tokens) == (2, n - 2)
    assert response.is_greedy == all(one >= -1.2 for one in expected)


def test_labels_of_one_prompt_share_its_count() -> None:
    requests = [Request(f"r{n}", "c", "Label:", continuation=f" {n}") for n in range(4)]
    with serving() as fake, connected(fake) as (backend, _):
        ask(backend, *requests)
    assert sorted(one["prompt"] for one in fake.seen) == [
        "Label:", "Label: 0", "Label: 1", "Label: 2", "Label: 3",
    ]  # fmt: skip


def test_a_whole_text_is_scored_from_its_second_token_on() -> None:
    with serving() as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, Request("r", "c", "", continuation="Once upon a time"))
    assert response.n_tokens == 3


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"has_logprobs": False}, Request("r", "c", "x", continuation=" y")),
        ({"always": status(400, "echo is not supported")}, Request("r", "c", "x", continuation=" y")),
    ],
    ids=["ignored", "refused"],
)  # fmt: skip
def test_a_server_without_logprobs_is_told_apart(settings: dict[str, Any], asked: Request) -> None:
    with (
        serving(**settings) as fake,
        connected(fake) as (backend, _),
        pytest.raises(BackendUnavailable, match="returned no log-probabilities") as caught,
    ):
        ask(backend, asked)
    assert "Use --scoring generate for this server" in str(caught.value)


def test_chat_messages_cannot_be_scored() -> None:
    asked = replace(CHAT, decoding=None, continuation="yes")
    with (
        serving() as fake,
        connected(fake) as (backend, _),
        pytest.raises(BackendUnavailable, match="Use --scoring generate"),
    ):
        ask(backend, asked)
    assert fake.seen == []


# ---- before the run --------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"models": ("smal", "other")}, VariantError, 'there is no "small" \\(did you mean "smal"'),
        ({"echoes_as": "another"}, VariantError, 'asked for "small" and answers as "another"'),
        ({"always": status(401)}, BackendUnavailable, "status 401.*\nSet OPENAI_API_KEY"),
        ({"always": status(403)}, BackendUnavailable, "status 403.*\nThis key may not use"),
        ({"always": status(404)}, BackendUnavailable, "status 404.*\nCheck --base-url"),
        ({"always": status(500)}, BackendUnavailable, "status 500.*after 2 attempts.*\nCheck that"),
    ],
)
def test_fault_28_a_run_that_cannot_begin(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with (
        serving(**settings) as fake,
        connected(fake, attempts=2) as (backend, _),
        pytest.raises(error, match=message),
    ):
        backend.prepare([SMALL])


@pytest.mark.parametrize(
    ("echoes_as", "models"), [("small-2026-01-01", ("small",)), ("small", None), (None, ())]
)
def test_a_dated_name_and_no_list_are_fine(
    echoes_as: str | None, models: tuple[str, ...] | None
) -> None:
    with serving(echoes_as=echoes_as, models=models) as fake, connected(fake) as (backend, _):
        facts = backend.prepare([SMALL])
    assert facts["base"].settings["served as"] == (echoes_as or "small")


@pytest.mark.fault
def test_fault_28_another_name_during_the_run() -> None:
    with serving() as fake, connected(fake) as (backend, _):
        backend.prepare([SMALL])
        fake.echoes_as = "another"
        with pytest.raises(VariantError, match='answers as "another"'):
            ask(backend, CHAT)


def test_nothing_listens_there() -> None:
    with serving() as fake:
        pass
    with (
        connected(fake, attempts=2) as (backend, _),
        pytest.raises(BackendUnavailable, match=r"ConnectError.*\nCheck that the server runs"),
    ):
        backend.prepare([SMALL])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "the server has no address. Give --base-url"),
        ("localhost:8000", "is no address of a server"),
        ("ftp://user:secret@host/v1", '"ftp://host/v1" is no address'),
    ],
)
def test_addresses_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, url: str | None, message: str
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match=message):
        OpenAIServer(base_url=url)


# ---- faults during the run -------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (status(429, Retry_After="7"), [7.1, 7.2]),
        (status(429, Retry_After="9999"), [120.1, 120.2]),
        (status(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), [0.1, 0.2]),
        (status(429, Retry_After="soon"), [1.0, 2.0]),
        (status(429), [1.0, 2.0]),
        (status(500), [1.0, 2.0]),
        (status(503, Retry_After="3"), [3.1, 3.2]),
        (status(408), [1.0, 2.0]),
        (reset, [1.0, 2.0]),
        (fake_server.cut, [1.0, 2.0]),
        (lambda handler: reply(handler, 200, b"<html>busy</html>"), [1.0, 2.0]),
        (lambda handler: reply(handler, 200, b'{"choices": [{"mess'), [1.0, 2.0]),
        (saying([1, 2]), [1.0, 2.0]),
        (saying({}), [1.0, 2.0]),
        (saying({"choices": []}), [1.0, 2.0]),
        (saying({"choices": [None]}), [1.0, 2.0]),
        (saying({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}), [1.0, 2.0]),
        (saying({"choices": [{"message": {}, "finish_reason": "stop"}]}), [1.0, 2.0]),
        (saying({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}] * 2}), [1.0, 2.0]),
    ],
)  # fmt: skip
def test_fault_23_24_26_what_may_pass_is_tried_again(
    fault: fake_server.Fault, waits: list[float]
) -> None:
    with serving() as fake, connected(fake) as (backend, waited):
        fake.faults.extend([fault, fault])
        (response,) = ask(backend, CHAT)
    assert response.completions[0].text == "billing"
    assert waited == pytest.approx(waits)
    assert backend.retry.n_attempts == 3


@pytest.mark.fault
@pytest.mark.parametrize(
    ("fault", "reason", "n"),
    [
        (status(500, "broken"), "server: status 500: .*broken.* \\(after 4 attempts\\)", 4),
        (saying({"choices": []}), "server: 0 choices instead of 1 \\(after 4 attempts\\)", 4),
        (lambda handler: reply(handler, 200, b"<html>"), "server: no JSON but '<html>'", 4),
        (status(400, "too long"), "server: status 400: .*too long", 1),
        (status(413), "server: status 413", 1),
        (status(422), "server: status 422", 1),
        (saying({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
         'server: the completion ended by "content_filter"', 1),
    ],
)  # fmt: skip
def test_fault_24_26_what_does_not_pass_spoils_one_request(
    tmp_path: Path, fault: fake_server.Fault, reason: str, n: int
) -> None:
    def only_bad(handler: Any) -> None:
        if fake.seen[-1]["messages"][-1]["content"] == "bad":
            return fault(handler)
        body = fake_server.completed(fake, fake.seen[-1], is_chat=True)
        return reply(handler, 200, body)

    bad = replace(CHAT, id="bad", prompt=(Message("user", "bad"),))
    with serving() as fake, connected(fake) as (backend, _), Journal(tmp_path) as journal:
        backend.prepare([SMALL])
        n_before = backend.retry.n_attempts
        fake.always = only_bad
        for request in (CHAT, bad):
            answers = answer(backend, SMALL, [request], journal)
        assert backend.retry.n_attempts == n_before + 1 + n
        problem = answers["bad"].problem
        assert problem is not None
        assert re.match(reason, problem), problem
        assert answers["bad"].completions == ()
        fake.always = None
        again = answer(backend, SMALL, [CHAT, bad], journal)
    assert again["bad"].completions[0].text == "billing"
    assert journal.n_reused == 1


@pytest.mark.fault
@pytest.mark.parametrize("code", [401, 403, 404, 302])
def test_fault_25_what_spoils_every_request_stops_the_run(code: int) -> None:
    requests = [replace(CHAT, id=f"r{n}") for n in range(50)]
    with (
        serving(always=status(code)) as fake,
        connected(fake) as (backend, waits),
        pytest.raises(BackendError, match=f"refused: status {code}"),
    ):
        ask(backend, *requests)
    assert waits == []
    assert len(fake.seen) < 50


@pytest.mark.fault
def test_fault_27_a_late_answer_is_not_counted_twice(tmp_path: Path) -> None:
    with (
        serving() as fake,
        connected(fake, timeout_seconds=0.3) as (backend, _),
        Journal(tmp_path) as journal,
    ):
        backend.prepare([SMALL])
        fake.faults.append(fake_server.late(0.6))
        answers = answer(backend, SMALL, [CHAT], journal)
    assert answers["r0"].completions[0].text == "billing"
    (shard,) = tmp_path.glob("*/*.jsonl")
    assert len(shard.read_text().splitlines()) == 1
    assert "too late" not in shard.read_text()


@pytest.mark.fault
def test_fault_23_a_busy_server_loses_and_doubles_nothing() -> None:
    requests = [replace(CHAT, id=f"r{n}", prompt=(Message("user", f"q{n}"),)) for n in range(40)]
    with serving() as fake, connected(fake, attempts=31) as (backend, _):
        fake.faults.extend([status(429), reset, status(503)] * 10)
        responses = list(backend.answer(SMALL, requests))
    answered = [one.request_id for one in responses if one.problem is None]
    assert sorted(answered) == sorted(request.id for request in requests)
    assert backend.retry.n_attempts >= len(fake.seen) == 70  # a closed connection is met unseen


@pytest.mark.fault
def test_fault_40_the_key_is_in_the_header_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving() as fake, connected(fake) as (backend, _), Journal(tmp_path) as journal:
        facts = backend.prepare([SMALL])
        fake.faults.append(status(400, f"your key {key} is fine"))
        answers = answer(backend, SMALL, [CHAT], journal)
        fake.always = status(401, f"bad key {key}")
        with pytest.raises(BackendUnavailable) as caught:
            backend.prepare([replace(SMALL, name="again")])
    assert f"Bearer {key}" in fake.headers[0].values()
    told = [str(caught.value), repr(answers), repr(facts)]
    told += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert all(key not in text for text in told)
    assert "***" in repr(answers)


def test_a_password_in_the_address_is_used_and_not_shown() -> None:
    with serving() as fake:
        fake.url = fake.url.replace("http://", "http://me:hidden@")
        with connected(fake) as (backend, _):
            facts = backend.prepare([SMALL])
            assert "hidden" not in repr(facts) + backend.url + backend.fingerprint(SMALL)
    assert any("Basic" in json.dumps(headers) for headers in fake.headers)


def test_stopping_early_asks_no_more() -> None:
    requests = [replace(CHAT, id=f"r{n}") for n in range(60)]
    with serving() as fake, connected(fake) as (backend, _):
        answers = backend.answer(SMALL, requests)
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        assert len(fake.seen) < 60
        assert ask(backend, CHAT)[0].problem is None


# ---- letters of a chat answer ------------------------------------------------------------------------


def letter(text: str, name: str = "r") -> Request:
    return replace(CHAT, id=name, decoding=None, continuation=text)


def test_a_letter_is_scored_as_the_first_token_of_an_answer() -> None:
    told = {"A": -0.5, " A": -2.0, "B": -1.5, "The": -4.0}
    with serving(letters=told) as fake, connected(fake) as (backend, _):
        first, second, third = ask(backend, *(letter(text, text) for text in ("A", "B", "C")))
        again = ask(backend, letter("A"))
    assert first.loglikelihood == pytest.approx(math.log(math.exp(-0.5) + math.exp(-2.0)))
    assert (second.loglikelihood, third.loglikelihood) == (-1.5, -4.0), "C is bounded by the least"
    assert (first.is_greedy, second.is_greedy) == (True, False)
    assert again[0].loglikelihood == first.loglikelihood
    (asked,) = fake.seen  # one call for all letters of a question
    assert (asked["max_tokens"], asked["logprobs"], asked["top_logprobs"]) == (1, True, 20)
    assert sum(one.prompt_tokens for one in (first, second, third)) == 3


def test_an_answer_that_begins_with_no_letter_is_unparsed() -> None:
    with serving(letters={"Sure": -0.1, "the": -3.0}) as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, letter("A"))
    assert response.problem == "unparsed: the answer begins with 'Sure', no letter"


def test_a_chat_server_without_logprobs_is_told_apart() -> None:
    with (
        serving() as fake,
        connected(fake) as (backend, _),
        pytest.raises(BackendUnavailable, match="returned no log-probabilities"),
    ):
        ask(backend, letter("A"))


def test_a_folder_is_asked_for_though_no_list_has_it() -> None:
    judge = Variant("judge", "judge", "/models/judge")
    with serving(echoes_as="/models/judge@main") as fake, connected(fake) as (backend, waits):
        facts = backend.prepare([judge])
    assert facts["judge"].settings["served as"] == "/models/judge@main"
    assert waits == []
