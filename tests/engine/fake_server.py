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

Fault = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Fake:
    """What the server does and saw. ``faults`` are used up first, one per request; ``content`` is
    what it says, or says to a request; ``letters``: first token -> log-probability, likewise."""

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


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def logprob(context: str, token: str) -> float:
    digest = hashlib.sha256(f"{context}|{token}".encode()).digest()
    return -1 - int.from_bytes(digest[:4]) / 2**32


def completed(fake: Fake, asked: dict[str, Any], *, is_chat: bool) -> dict[str, Any]:
    n = fake.n_choices if fake.n_choices is not None else asked.get("n", 1)
    choice: dict[str, Any] = {"finish_reason": "stop"}
    prompt_tokens = 3
    content = fake.content(asked) if callable(fake.content) else fake.content
    if is_chat:
        choice["message"] = {"role": "assistant", "content": content}
        letters = fake.letters(asked) if callable(fake.letters) else fake.letters
        if letters and asked.get("logprobs"):
            told = [{"token": token, "logprob": nats} for token, nats in letters.items()]
            choice["logprobs"] = {"content": [{**told[0], "top_logprobs": told}]}
    elif asked.get("echo"):
        tokens = tokens_of(asked["prompt"])
        prompt_tokens = len(tokens)
        choice["text"] = asked["prompt"] + " next"
        own = [
            None if n == 0 else logprob("".join(tokens[:n]), token)
            for n, token in enumerate(tokens)
        ]
        if fake.has_logprobs:
            choice["logprobs"] = {
                "tokens": [*tokens, " next"],
                "token_logprobs": [*own, -0.5],
                "top_logprobs": [None if one is None else {"x": -1.2} for one in [*own, -0.5]],
            }
    else:
        choice["text"] = content
    return {
        "model": fake.echoes_as or asked["model"],
        "choices": [choice] * n,
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": n},
    }


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
            return reply(self, 200, {"data": [{"id": name} for name in fake.models]})

        def do_POST(self) -> None:
            fake.headers.append(dict(self.headers))
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.seen.append({"path": self.path, **asked})
            fault = fake.faults.popleft() if fake.faults else fake.always
            if fault:
                return fault(self)
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
