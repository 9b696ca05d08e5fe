"""What a server says is believed only as far as it can be held against what else it says."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine import fake_server
from engine.fake_server import logprob, reply, saying, serving, tokens_of
from engine.test_openai_server import CHAT, SMALL, ask, connected
from tuneval.engine import openai_server
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.openai_server import OpenAIServer
from tuneval.engine.retry import GONE_SECONDS, Refused, RetryPolicy
from tuneval.engine.server import echo
from tuneval.engine.server.canary import PROBES
from tuneval.errors import BackendUnavailable, VariantError
from tuneval.types import Decoding, Request, Variant

LORA = Variant("lora", "adapter", "small", adapter="tuned")
LABEL = Request("r", "c", "Text of a case.\nLabel:", continuation=" card arrival")


def expected(text: str, n: int) -> float:
    tokens = tokens_of(text)
    return sum(logprob("".join(tokens[:k]), tokens[k]) for k in range(len(tokens) - n, len(tokens)))


# ---- which numbers belong to a continuation ----------------------------------------------------------


@pytest.mark.parametrize(
    "habits",
    [
        {},
        {"start_token": "counted"},
        {"start_token": "echoed"},
        {"echoes_next": False},
        {"start_token": "counted", "echoes_next": False},
        {"start_token": "echoed", "echoes_next": False},
    ],
    ids=lambda habits: ", ".join(f"{name} {value}" for name, value in habits.items()) or "plain",
)
def test_numbers_are_cut_by_tokens_and_not_by_counts(habits: dict[str, Any]) -> None:
    with serving(**habits) as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, LABEL)
    assert response.loglikelihood == pytest.approx(
        expected("Text of a case.\nLabel: card arrival", 2)
    )
    assert response.n_tokens == 2


def choice(tokens: list[str], text: str, offsets: list[int] | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "tokens": tokens,
        "token_logprobs": [-1.0 - n for n in range(len(tokens))],
    }
    return {"text": text, "logprobs": told | ({} if offsets is None else {"text_offset": offsets})}


@pytest.mark.parametrize(
    ("tokens", "offsets", "text", "n"),
    [
        pytest.param(["a", " b", " c"], None, "a b", 2, id="spelled"),
        pytest.param(["<s>", "a", " b", " c"], [0, 3, 4, 6], "a b", 3, id="after a start token"),
        pytest.param([" a", " b", " c"], None, "a b", 2, id="a space taken for granted"),
        pytest.param(["a", " b"], None, " a b", 2, id="a space left out"),
        pytest.param(["a", " \ufffd", "\ufffd", " c", " d"], [0, 1, 3, 3, 5], "a \u00e9 c", 4, id="parts, true offsets"),
        pytest.param(["a", " \ufffd", "\ufffd", " c", " d"], [0, 1, 3, 4, 6], "a \u00e9 c", 4, id="parts, drifting"),
        pytest.param(["<s>", "\ufffd", "\ufffd", "\ufffd", " c", " d"], [0, 3, 4, 5, 6, 8], "\u4eac c", 5, id="parts first"),
        pytest.param(["a", "\ufffd", "\ufffd", " d"], [0, 1, 2, 3], "a\u00e9", 3, id="parts last"),
        pytest.param(["<s>", "a", "", "", "", "8", " d"], [0, 3, 4, 4, 4, 4, 5], "a\ufffd8", 6, id="parts not spelled"),
    ],
)  # fmt: skip
def test_the_tokens_of_a_text_are_told_from_what_follows(
    tokens: list[str], offsets: list[int] | None, text: str, n: int
) -> None:
    found = echo.of_text(choice(tokens, text, offsets), text)
    assert found is not None
    assert [one.token for one in found] == tokens[:n]


def test_tokens_that_do_not_spell_the_text_are_no_answer() -> None:
    with pytest.raises(ValueError, match="do not spell the text"):
        echo.of_text(choice(["x", " y"], "a b"), "a b")


# ---- before the first case ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "letters"),
    [("billing", None), ("billing", {"bill": -0.5, "card": -1.5})],
    ids=["texts", "numbers"],
)
def test_a_server_that_answers_every_name_with_one_model_is_caught(
    content: str, letters: dict[str, float] | None
) -> None:
    with (
        serving(has_one_model=True, content=content, letters=letters) as fake,
        connected(fake) as (backend, _),
        pytest.raises(VariantError, match='answers for "tuned" exactly as for "small"'),
    ):
        backend.shown(SMALL, [CHAT])
        backend.prepare([SMALL, LORA])


def test_one_model_is_caught_by_its_echo(tmp_path: Path) -> None:
    with (
        serving(has_one_model=True) as fake,
        connected(fake) as (backend, _),
        pytest.raises(VariantError, match="It may answer every name with its one model"),
    ):
        backend.shown(SMALL, [LABEL])
        backend.prepare([SMALL, LORA])


def test_an_echo_that_disagrees_with_what_is_written_scores_nothing() -> None:
    with serving(slip=1) as fake, connected(fake) as (backend, _):
        backend.shown(SMALL, [LABEL])
        facts = backend.prepare([SMALL])
        assert facts["base"].settings["scoring"] == "none"
        with pytest.raises(BackendUnavailable, match=r"draws .* and echoes it at .*") as caught:
            ask(backend, LABEL)
    assert "Use --scoring generate" in str(caught.value)


@pytest.mark.parametrize("has_memory", [True, False])
@pytest.mark.parametrize(
    "change",
    [{"version": "retrained"}, {"listed": {"small": {"root": "/elsewhere", "parent": "other"}}}],
    ids=["other weights", "another root"],
)
def test_a_model_that_was_swapped_under_its_name_is_another_one(
    tmp_path: Path, change: dict[str, Any], has_memory: bool
) -> None:
    def met(fake: fake_server.Fake) -> str:
        folder = tmp_path / "canaries" if has_memory else None
        backend = OpenAIServer(base_url=fake.url, canaries=folder)
        try:
            return backend.fingerprint(SMALL)
        finally:
            backend.close()

    with serving() as fake:
        first = met(fake)
        assert met(fake) == first
        for name, value in change.items():
            setattr(fake, name, value)
        assert met(fake) != first


def test_answers_of_a_swapped_model_are_not_reused(tmp_path: Path) -> None:
    with serving() as fake:
        for version in ("", "retrained", "retrained"):
            fake.version = version
            with connected(fake) as (backend, _), Journal(tmp_path / "answers") as journal:
                answer(backend, SMALL, [LABEL], journal)
                n_reused = journal.n_reused
                warnings = list(journal.warnings)
            if version and not n_reused:
                assert "model behind the name (canary)" in warnings[0]
    assert n_reused == 1
    assert len(list((tmp_path / "answers").glob("*/variant.json"))) == 2


def test_a_server_without_an_echo_is_known_again_by_what_it_writes(tmp_path: Path) -> None:
    def met(fake: fake_server.Fake) -> str:
        backend = OpenAIServer(base_url=fake.url, canaries=tmp_path)
        try:
            backend.shown(SMALL, [CHAT])
            return backend.fingerprint(SMALL)
        finally:
            backend.close()

    with serving(letters={"bill": -0.5}, refuses=("texts",)) as fake:
        first = met(fake)
        fake.letters = {"bill": -0.7}
        assert met(fake) == first, "the same words, at another probability"
        fake.version = "retrained"
        assert met(fake) != first


def test_noise_of_a_server_keeps_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def met(fake: fake_server.Fake) -> str:
        backend = OpenAIServer(base_url=fake.url, canaries=tmp_path)
        try:
            return backend.fingerprint(SMALL)
        finally:
            backend.close()

    plain = fake_server.number
    with serving() as fake:
        first = met(fake)
        monkeypatch.setattr(fake_server, "number", lambda *one: plain(*one) + 0.01)
        assert met(fake) == first
        monkeypatch.setattr(fake_server, "number", lambda *one: plain(*one) + 0.05)
        assert met(fake) != first


# ---- endpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "refuses", "paths"),
    [
        (LABEL, ("chat",), {"/v1/completions"}),
        (Request("r", "c", "Topic:", decoding=Decoding()), ("chat",), {"/v1/completions"}),
        (CHAT, ("texts",), {"/v1/chat/completions"}),
    ],
    ids=["scored text", "text", "messages"],
)
def test_only_what_is_needed_is_tried(
    request_: Request, refuses: tuple[str, ...], paths: set[str]
) -> None:
    with serving(refuses=refuses) as fake, connected(fake) as (backend, _):
        backend.shown(SMALL, [request_])
        backend.prepare([SMALL])
        (response,) = ask(backend, request_)
    assert response.problem is None
    assert {one["path"] for one in fake.seen} == paths


def test_a_base_without_a_chat_template_is_told_what_to_do() -> None:
    with (
        serving(refuses=("chat",)) as fake,
        connected(fake) as (backend, _),
        pytest.raises(BackendUnavailable, match="takes no chat messages") as caught,
    ):
        backend.shown(SMALL, [CHAT])
        backend.prepare([SMALL])
    assert "--prompt-style text" in str(caught.value)


@pytest.mark.parametrize("refuses", [(), ("several",)], ids=["together", "one by one"])
def test_many_continuations_go_in_one_call(refuses: tuple[str, ...]) -> None:
    requests = [Request(f"r{n}", "c", "Label:", continuation=f" word {n}") for n in range(12)]
    with serving(refuses=refuses) as fake, connected(fake) as (backend, _):
        backend.shown(SMALL, requests)
        backend.prepare([SMALL])
        n_before = len(fake.seen)
        responses = ask(backend, *requests)
    assert [one.loglikelihood for one in responses] == [
        pytest.approx(expected(f"Label: word {n}", 2)) for n in range(12)
    ]
    assert len(fake.seen) - n_before == (13 if refuses else 2)


def test_one_text_that_is_refused_spoils_no_other() -> None:
    def picky(handler: Any) -> None:
        asked = fake.seen[-1]
        if "word 3" in json.dumps(asked["prompt"]):
            return reply(handler, 400, {"error": {"message": "too long"}})
        return reply(handler, 200, fake_server.completed(fake, asked, is_chat=False))

    requests = [Request(f"r{n}", "c", "Label:", continuation=f" word {n}") for n in range(6)]
    with serving() as fake, connected(fake) as (backend, _):
        backend.shown(SMALL, requests)
        backend.prepare([SMALL])
        fake.always = picky
        responses = ask(backend, *requests)
    assert [one.problem for one in responses if one.problem] == [responses[3].problem]
    assert responses[3].problem is not None and "too long" in responses[3].problem


# ---- a server that is gone, and answers that are none ------------------------------------------------


class Clock:
    """Time that passes only by waiting, and by what the waiting is for."""

    def __init__(self, seconds_per_attempt: float = 0.0) -> None:
        self.now = 0.0
        self.seconds_per_attempt = seconds_per_attempt

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.mark.fault
@pytest.mark.parametrize("seconds_per_attempt", [0.0, 8.0], ids=["refused", "no route"])
def test_a_server_that_is_gone_is_given_up_within_a_minute(seconds_per_attempt: float) -> None:
    clock = Clock()

    def act() -> None:
        clock.now += seconds_per_attempt
        raise Refused("retry", "ConnectError", is_gone=True)

    policy = RetryPolicy(sleep=clock.sleep, clock=clock)
    with pytest.raises(Refused) as caught:
        policy.run(act)
    assert caught.value.kind == "fatal"
    assert 20 < clock.now < 60


@pytest.mark.fault
def test_a_server_that_answers_others_is_not_gone() -> None:
    clock = Clock()

    def act() -> None:
        clock.now += 1
        policy.note_contact()
        clock.now += 1
        raise Refused("retry", "ConnectError", is_gone=True)

    policy = RetryPolicy(sleep=clock.sleep, clock=clock, attempts=3)
    with pytest.raises(Refused) as caught:
        policy.run(act)
    assert caught.value.kind == "fatal"
    assert clock.now < GONE_SECONDS


@pytest.mark.fault
def test_a_server_that_goes_away_ends_the_run_and_keeps_what_was_answered(tmp_path: Path) -> None:
    requests = [
        replace(CHAT, id=f"r{n}", prompt=(replace(CHAT.prompt[1], content=f"q{n}"),))
        for n in range(8)
    ]  # type: ignore[union-attr, type-var]
    with serving() as fake, connected(fake) as (backend, _), Journal(tmp_path) as journal:
        backend.shown(SMALL, requests)
        backend.prepare([SMALL])
        answer(backend, SMALL, requests[:4], journal)
        backend._connection._root = "http://127.0.0.1:9/v1"  # nobody listens there
        with pytest.raises(BackendUnavailable, match="cannot be reached: ConnectError") as caught:
            answer(backend, SMALL, requests, journal)
    assert "What was answered is kept" in str(caught.value)
    assert "the same command goes on" in str(caught.value)
    stored = [line for path in tmp_path.glob("*/*.jsonl") for line in path.read_text().splitlines()]
    assert len(stored) == 4


@pytest.mark.fault
def test_a_server_that_is_gone_without_a_word_is_noticed_before_it_would_be_silent_for_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connections stay open, and no new one is taken."""
    monkeypatch.setattr(openai_server, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(openai_server, "GONE_SECONDS", 0.2)
    is_over = threading.Event()

    def keep_silent(handler: Any) -> None:
        handler.server.socket.close()  # nobody listens any more
        is_over.wait(60)
        handler.close_connection = True

    with serving() as fake, connected(fake, timeout_seconds=60.0) as (backend, _):
        backend.shown(SMALL, [CHAT])
        backend.prepare([SMALL])
        fake.always = keep_silent
        with pytest.raises(BackendUnavailable, match="nobody takes a connection"):
            ask(backend, CHAT)
        is_over.set()


DEEP = b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SAID = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}


@pytest.mark.fault
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (DEEP, "no JSON but"),
        ({**SAID, "usage": {"completion_tokens": "many"}}, "usage.completion_tokens is 'many'"),
        ({**SAID, "usage": {"completion_tokens": [1]}}, "usage.completion_tokens is"),
        ({**SAID, "usage": {"prompt_tokens": 2.5}}, "usage.prompt_tokens is '2.5'"),
        ({**SAID, "usage": {"prompt_tokens": math.inf}}, "of another form"),
    ],
    ids=["deep", "text", "list", "half", "infinite"],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_answer(body: Any, reason: str) -> None:
    def bad(handler: Any) -> None:
        return reply(handler, 200, body) if isinstance(body, bytes) else saying(body)(handler)

    with serving(always=bad) as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, CHAT)
    assert response.problem is not None
    assert reason in response.problem
    assert "after 4 attempts" in response.problem


@pytest.mark.parametrize(
    "usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": 3.0}]
)
def test_a_count_that_is_missing_or_whole_is_fine(usage: Any) -> None:
    with serving(always=saying({**SAID, "usage": usage})) as fake, connected(fake) as (backend, _):
        (response,) = ask(backend, CHAT)
    assert response.problem is None


# ---- prompts that are written here -------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with a chat template and a start token, and the length of its model."""
    from tiny_models import build_tokenizer

    place = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(chat=True, bos=True).save_pretrained(place)
    (place / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    return place


def toy(ids: list[int], n_scored: int) -> float:
    return sum(logprob(ids[:k], ids[k]) for k in range(len(ids) - n_scored, len(ids)))


QUESTION = tuple(CHAT.prompt)
ANSWERS = (" refund", " shipping account", " login")


@pytest.mark.parametrize("refuses", [(), ("targets",)], ids=["named tokens", "echo"])
@pytest.mark.parametrize("prompt", ["Message: my card\nTopic:", QUESTION], ids=["text", "messages"])
def test_likelihoods_are_those_of_the_ids_that_the_local_backend_reads(
    folder: Path, refuses: tuple[str, ...], prompt: Any
) -> None:
    from transformers import AutoTokenizer

    from tuneval.engine.hf.text.render import Renderer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    renderer = Renderer(tokenizer, template=tokenizer.chat_template, context_length=64)
    requests = [
        Request(f"r{n}", "c", prompt, continuation=text, with_token_logprobs=True)
        for n, text in enumerate(ANSWERS)
    ]
    with serving(tokenizer=tokenizer, refuses=refuses) as fake:
        backend = OpenAIServer(base_url=fake.url, tokenizers={"*": str(folder)})
        backend.shown(SMALL, requests)
        facts = backend.prepare([SMALL])["base"]
        n_before = len(fake.seen)
        found = {one.request_id: one for one in backend.answer(SMALL, requests)}
        backend.close()
    assert facts.prompt_format == "own chat template"
    assert facts.settings["scoring"] == ("echo, by ids" if refuses else "named tokens, by ids")
    assert len(fake.seen) - n_before == 1, "all of them in one call"
    for request, scoring in zip(requests, renderer.scorings(requests), strict=True):
        (window,) = scoring.windows
        response = found[request.id]
        assert response.loglikelihood == pytest.approx(toy(list(window.ids), window.n_scored))
        assert (response.n_tokens, response.prompt_tokens) == (window.n_scored, scoring.n_prompt)


def test_completions_are_asked_by_the_ids_of_the_template(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with serving(tokenizer=tokenizer, refuses=("chat",)) as fake:
        backend = OpenAIServer(base_url=fake.url, tokenizers={"base": str(folder)})
        shown = backend.shown(SMALL, [CHAT])
        backend.prepare([SMALL])
        (response,) = backend.answer(SMALL, [CHAT])
        backend.close()
    turns = [{"role": one.role, "content": one.content} for one in QUESTION]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert shown[0].text == text
    assert fake.seen[-1]["prompt"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert response.problem is None


def test_a_server_that_takes_no_ids_gets_the_written_text(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    request = Request("r", "c", QUESTION, continuation=" refund")
    with serving(tokenizer=tokenizer, refuses=("chat", "ids")) as fake:
        backend = OpenAIServer(base_url=fake.url, tokenizers={"*": str(folder)})
        backend.shown(SMALL, [request])
        facts = backend.prepare([SMALL])["base"]
        (response,) = backend.answer(SMALL, [request])
        backend.close()
    assert facts.settings["scoring"] == "echo, by text"
    ids = tokenizer(fake.seen[-1]["prompt"])["input_ids"]
    n = len(tokenizer(" refund", add_special_tokens=False)["input_ids"])
    assert response.loglikelihood == pytest.approx(toy(ids, n))


def test_prompts_are_cut_as_by_the_local_backend(folder: Path) -> None:
    from transformers import AutoTokenizer

    from tuneval.engine.hf.text.render import Renderer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    renderer = Renderer(tokenizer, template=tokenizer.chat_template, context_length=64)
    long = (replace(QUESTION[1], content="the quick brown fox " * 40),)  # type: ignore[type-var]
    request = replace(CHAT, prompt=long, decoding=Decoding(max_tokens=8))
    with serving(tokenizer=tokenizer) as fake:
        backend = OpenAIServer(base_url=fake.url, tokenizers={"*": str(folder)})
        backend.shown(SMALL, [request])
        backend.prepare([SMALL])
        (response,) = backend.answer(SMALL, [request])
        backend.close()
    (prompt,) = renderer.prompts([request])
    assert fake.seen[-1]["prompt"] == list(prompt.ids)
    assert fake.seen[-1]["max_tokens"] == prompt.max_tokens
    assert response.is_truncated


def test_another_tokenizer_than_the_servers_is_refused(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from tiny_models import build_tokenizer

    other = build_tokenizer(chat=True)
    other.add_tokens(["capital of"])
    other.save_pretrained(tmp_path)
    with serving(tokenizer=AutoTokenizer.from_pretrained(folder)) as fake:
        backend = OpenAIServer(base_url=fake.url, tokenizers={"*": str(tmp_path)})
        backend.shown(SMALL, [CHAT])
        with pytest.raises(VariantError, match="is not the one that the server"):
            backend.prepare([SMALL])
        backend.close()


def test_the_probes_are_no_strings_of_the_tests() -> None:
    assert len(set(PROBES)) == len(PROBES) >= 4
    assert not any(re.search(r"\s$", one) for one in PROBES), "a token may begin with that space"


def test_a_tokenizer_is_loaded_without_torch(folder: Path) -> None:
    """transformers imports it wherever it is installed, which costs a served run two seconds."""
    code = """
        import sys
        from tuneval.engine.openai_server import OpenAIServer
        from tuneval.types import Message, Request, Variant
        backend = OpenAIServer(base_url="http://127.0.0.1:9/v1", tokenizers={"*": sys.argv[1]})
        asked = Request("1", "1", (Message("user", "Hello"),), continuation=" refund")
        (shown,) = backend.shown(Variant("base", "base", "small"), [asked])
        assert "Hello" in shown.text, shown
        sys.exit("torch" in sys.modules)
    """
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
