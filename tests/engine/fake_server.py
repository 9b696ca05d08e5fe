"""A small OpenAI-compatible server on this machine, and the faults that real ones show."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tuneval.engine.server.canary import PROBES

Fault = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Fake:
    """What the server does and saw. ``faults`` are used up first, one per request; ``content`` is
    what it says, or says to a request; ``letters``: first token -> log-probability, likewise.

    Its numbers are those of a toy model: a hash of name, context and token. A ``tokenizer`` of
    transformers makes it read texts with that, and take ids. The rest are habits of real servers.
    """

    url: str = ""
    models: tuple[str, ...] | None = ("small", "tuned")
    echoes_as: str | None = None
    has_logprobs: bool = True
    content: Any = "billing"
    letters: Any = None
    n_choices: int | None = None
    faults: deque[Fault] = field(default_factory=deque)
    always: Fault | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tokenizer: Any = None
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> more that ``/models`` tells of it."""
    refuses: tuple[str, ...] = ()
    """Of "texts", "chat", "ids", "targets", "several": what gets status 400."""
    has_one_model: bool = False
    """Every name is answered by one model."""
    version: str = ""
    """Of the weights: another one has other numbers under the same names."""
    start_token: str = ""
    """"echoed" before the text, or "counted" in the usage alone (llama-cpp-python)."""
    echoes_next: bool = True
    """The token drawn after an echoed text is told as well."""
    slip: int = 0
    """Tokens by which the log-probabilities of an echo lie beside it."""


def is_probe(asked: dict[str, Any]) -> bool:
    """Whether something is asked before the first case, to meet the model."""
    texts = (asked.get("prompt"), *(one["content"] for one in asked.get("messages", ())))
    return any(one.startswith(PROBES) for one in texts if isinstance(one, str))


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def logprob(context: object, token: object, model: str = "") -> float:
    digest = hashlib.sha256(f"{context}|{token}{model}".encode()).digest()
    return -1 - int.from_bytes(digest[:4]) / 2**32


LIKELIEST = -1.2
"""Told as the likeliest in every place of an echo."""


def read_by(fake: Fake, prompt: Any) -> list[Any]:
    """A prompt as the toy model's tokens: words, or ids where there is a tokenizer."""
    if isinstance(prompt, list):
        return list(prompt)
    return list(fake.tokenizer(prompt)["input_ids"]) if fake.tokenizer else tokens_of(prompt)


def spelled(fake: Fake, asked: dict[str, Any], token: Any) -> str:
    if fake.tokenizer is None:
        return str(token)
    if asked.get("return_tokens_as_token_ids"):
        return f"token_id:{token}"
    return str(fake.tokenizer.decode([token]))


def number(fake: Fake, asked: dict[str, Any], before: list[Any], token: Any) -> float:
    salt = "" if fake.has_one_model or asked["model"] == "small" else asked["model"]
    context: Any = "".join(before) if fake.tokenizer is None else before
    return logprob(context, token, salt + fake.version)


def completed(fake: Fake, asked: dict[str, Any], *, is_chat: bool) -> dict[str, Any]:
    n = fake.n_choices if fake.n_choices is not None else asked.get("n", 1)
    content = fake.content(asked) if callable(fake.content) else fake.content
    prompt_tokens = 3
    if is_probe(asked) and isinstance(content, str) and not fake.has_one_model:
        content += f" {asked['model']}{fake.version}"  # no two models say the same to everything
    if is_chat:
        choice: dict[str, Any] = {"finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": content}
        letters = fake.letters(asked) if callable(fake.letters) else fake.letters
        if letters and asked.get("logprobs"):
            told = [{"token": token, "logprob": nats} for token, nats in letters.items()]
            choice["logprobs"] = {"content": [{**told[0], "top_logprobs": told}]}
        choices = [choice] * n
    else:
        prompt = asked["prompt"]
        is_several = isinstance(prompt, list) and not isinstance(prompt[0], int)
        prompts = prompt if is_several else [prompt]
        choices = [
            {**one, "index": place * n + number_}
            for place, prompt in enumerate(prompts)
            for number_, one in enumerate([_text_choice(fake, asked, prompt, content)] * n)
        ]
        prompt_tokens = sum(len(read_by(fake, one)) for one in prompts)
        prompt_tokens += fake.start_token == "counted"
    return {
        "model": fake.echoes_as or asked["model"],
        "choices": choices[::-1],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": n},
    }


def _text_choice(fake: Fake, asked: dict[str, Any], prompt: Any, content: Any) -> dict[str, Any]:
    tokens = read_by(fake, prompt)
    if not asked.get("echo"):
        if not (asked.get("logprobs") and fake.has_logprobs and isinstance(content, str)):
            return {"finish_reason": "stop", "text": content}
        text = f" {content}"  # it goes on with a word of its own
        drawn = (
            fake.tokenizer(text, add_special_tokens=False)["input_ids"]
            if fake.tokenizer
            else tokens_of(text)
        )
        own = [number(fake, asked, tokens + drawn[:k], one) for k, one in enumerate(drawn)]
        named = asked.get("logprob_token_ids") or ()
        tops = [
            {
                spelled(fake, asked, one): number(fake, asked, tokens + drawn[:k], one)
                for one in named
            }
            for k in range(len(drawn))
        ]
        told = [spelled(fake, asked, one) for one in drawn]
        logprobs = {"tokens": told, "token_logprobs": own, "top_logprobs": tops}
        return {"finish_reason": "stop", "text": text, "logprobs": logprobs}
    own = [None if k == 0 else number(fake, asked, tokens[:k], one) for k, one in enumerate(tokens)]
    told = [spelled(fake, asked, one) for one in tokens]
    if fake.slip:
        own = [own[0], *own[1 + fake.slip :], *[-0.05] * fake.slip]
    if fake.start_token == "echoed":
        own, told = [None, -3.0, *own[1:]], ["<s>", *told]
    if fake.echoes_next:
        own, told = [*own, -0.05], [*told, " next"]
    choice: dict[str, Any] = {"finish_reason": "length"}
    choice["text"] = prompt + " next" if isinstance(prompt, str) else ""
    if fake.has_logprobs:
        choice["logprobs"] = {
            "tokens": told,
            "token_logprobs": own,
            "top_logprobs": [None if one is None else {"x": LIKELIEST} for one in own],
            "text_offset": [sum(map(len, told[:k])) for k in range(len(told))],
        }
    return choice


def _refused(fake: Fake, asked: dict[str, Any], *, is_chat: bool) -> str | None:
    """What of a call this server does not take."""
    prompt = asked.get("prompt")
    is_list = isinstance(prompt, list)
    wanted = {
        "chat": is_chat,
        "texts": not is_chat,
        "ids": is_list and not isinstance(prompt[0], str),
        "several": is_list and len(prompt) > 1,
        "targets": "logprob_token_ids" in asked,
    }
    return next((name for name in fake.refuses if wanted[name]), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    """More than ask at a time: one that is turned away waits a second before it knocks again."""


@contextmanager
def serving(**settings: Any) -> Iterator[Fake]:
    """Run the server while the block runs."""
    fake = Fake(**settings)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            fake.headers.append(dict(self.headers))
            if fake.always:
                return fake.always(self)
            if fake.models is None:
                return reply(self, 500, {"error": "no list"})
            data = [{"id": name, **fake.listed.get(name, {})} for name in fake.models]
            return reply(self, 200, {"data": data})

        def do_POST(self) -> None:
            fake.headers.append(dict(self.headers))
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.seen.append({"path": self.path, **asked})
            fault = fake.faults.popleft() if fake.faults else fake.always
            if fault:
                return fault(self)
            refused = _refused(fake, asked, is_chat="chat" in self.path)
            if refused:
                return reply(self, 400, {"error": {"message": f"{refused}: not supported"}})
            return reply(self, 200, completed(fake, asked, is_chat="chat" in self.path))

    server = _Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(
    handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


# ---- faults ----------------------------------------------------------------------------------------


def status(code: int, text: str = "no", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: reply(handler, code, {"error": {"message": text}}, named)


def saying(body: Any) -> Fault:
    return lambda handler: reply(handler, 200, body)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.close()


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than comes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"model": "small", "choices": [')
    handler.wfile.flush()
    handler.close_connection = True


def late(seconds: float) -> Fault:
    """Answer in full, after the asker has given up."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        choice = {"finish_reason": "stop", "message": {"content": "too late"}}
        try:
            reply(handler, 200, {"model": "small", "choices": [choice]})
        except OSError:
            handler.close_connection = True

    return answer
