"""Nothing that a run leaves or says holds a secret that it was given."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine import fake_server
from engine.fake_server import Fake, reply, serving
from pipeline.conftest import write_rows

PASSWORD, KEY, QUERY = "pass-7f3a91c2d4", "sk-5be0c7712fa9", "query-90d1e4b7aa"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asked = [{"instruction": f"Say {n}.", "output": f"the number {n}"} for n in range(12)]
    return write_rows(tmp_path / "texts.jsonl", asked)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A server that lets in who shows a secret, and repeats what it was sent in what it answers."""
    accepted = (f"Basic {BASIC}", f"Bearer {KEY}")

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent = handler.headers.get("Authorization", "")
        if sent not in accepted and QUERY not in handler.path:
            return reply(handler, 401, {"error": f"who is {handler.path} {sent}?"})
        if handler.command == "GET":
            return reply(handler, 200, {"data": [{"id": "base"}, {"id": "lora"}]})
        asked = fake.seen[-1]
        if "number" not in json.dumps(asked) and "Say 3." in json.dumps(asked):
            return reply(handler, 400, {"error": f"no {handler.path} {sent}"})
        return reply(handler, 200, fake_server.completed(fake, asked, is_chat=True))

    def echo(_asked: dict[str, Any]) -> str:
        return f"A of {fake.seen[-1]['path']} {sorted(fake.headers[-1].items())}"

    with serving(content=echo) as fake:
        fake.always = answer
        yield fake


def addresses(fake: Fake) -> dict[str, tuple[str, dict[str, str]]]:
    """How a secret is given: the address, and the environment."""
    inside = fake.url.replace("http://", f"http://me:{PASSWORD}@")
    return {
        "password": (inside, {}),
        "query": (f"{fake.url}?api-key={QUERY}", {}),
        "key": (fake.url, {"OPENAI_API_KEY": KEY}),
    }


@pytest.mark.fault
@pytest.mark.parametrize("way", ["password", "query", "key"])
def test_fault_40_nothing_that_a_run_leaves_holds_a_secret(
    way: str, guarded: Fake, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, environment = addresses(guarded)[way]
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = ("--adapter", "lora", "--base-url", url, "--data", str(data), "--resamples", "200")
    judge = ("--judge", "openai:base", "--judge-url", url, "--report", "html,md,csv")
    said = [tuneval("compare", "base", *words, *judge, exits=1)]  # one question is refused
    (run,) = runs_in(tmp_path)
    said.append(tuneval("report", str(run), exits=0))

    # Without the secret the server lets nobody in; with it in the environment the run goes on.
    n_asked = len(guarded.seen)
    if way != "key":
        refused = tuneval("run", str(run / "run.yaml"), exits=2)
        assert "Set OPENAI_API_KEY" in refused
        said.append(refused)
        n_asked = len(guarded.seen)
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    said.append(tuneval("run", str(run / "run.yaml"), exits=1))
    assert runs_in(tmp_path) == [run]
    asked_again = [one for one in guarded.seen[n_asked:] if not fake_server.is_probe(one)]
    assert len(asked_again) < 12, "what was answered is not asked again"

    said.append(tuneval("compare", "base", f"http://me:{PASSWORD}@host/v1?key={QUERY}", exits=2))
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".html" for path in left)
    texts = {str(path): path.read_text("utf-8") for path in left} | dict(enumerate(said))  # type: ignore[operator]
    for place, text in texts.items():
        for secret in (PASSWORD, KEY, QUERY, BASIC):
            assert secret not in text, place


def runs_in(place: Path) -> list[Path]:
    """The folders of runs; the link to the last one is none."""
    return [one for one in (place / "tuneval-runs").iterdir() if not one.is_symlink()]


def tuneval(*words: str, exits: int) -> str:
    """Run the command line in a process of its own; all that it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tuneval", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout + done.stderr
