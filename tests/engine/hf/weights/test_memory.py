"""A long run stays flat: what ten thousand requests hold beyond a thousand is their answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_models import build_model

ALLOWED_KB = {"scoring": 4, "generation": 8}
"""Per request of about 60 tokens: its ids, its place in the tree, what the allocator rounds up.
Keys and values, hidden rows or logits that were kept would each be several times that."""

MEASURE = """
import gc, json, os, sys, threading, time
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from tuneval.engine.hf.backend import HFBackend
from tuneval.types import Decoding, Request, Variant

variant, kind, n, path = Variant("base", "base", sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
if path != "packed":
    import tuneval.engine.hf.resident as module
    module.find_tree = lambda *_: None
if path == "padded":
    module.prefix.can_expand = lambda *_: False


def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def request(i):
    text = "Message: " + f"card {i * 7919 % 10007} was refused twice " * 2 + "\\nTopic:"
    if kind == "scoring":
        return Request(f"{i}", f"{i}", text, continuation=f" login {i % 77} refund")
    return Request(f"{i}", f"{i}", text, decoding=Decoding(max_tokens=4 + i % 9))


peak, stop = 0, False


def watch():
    global peak
    while not stop:
        peak = max(peak, rss())
        time.sleep(0.005)


backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
backend.prepare([variant])
list(backend.answer(variant, [request(i) for i in range(50)]))
requests = [request(i) for i in range(n)]
gc.collect()
before = rss()
thread = threading.Thread(target=watch)
thread.start()
kept = list(backend.answer(variant, requests))
stop = True
thread.join()
assert len(kept) == n
held = [len(a.completions[0].text) + 300 if a.completions else 250 for a in kept]
print(json.dumps({"peak": (max(peak, rss()) - before) / 2**20, "answers": sum(held) / 2**20}))
"""


def measure(base: Path, kind: str, n: int, path: str = "packed") -> dict[str, float]:
    source = Path(__file__).parents[4] / "src"
    command = [sys.executable, "-c", MEASURE, str(source), str(base), kind, str(n), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize(
    ("kind", "path", "few", "many"),
    [
        ("scoring", "packed", 1_000, 10_000),
        ("scoring", "expanded", 1_000, 10_000),
        ("scoring", "padded", 1_000, 10_000),
        ("generation", "packed", 500, 4_000),
    ],
)
def test_a_long_run_stays_flat(tmp_path, kind, path, few, many) -> None:
    base = build_model(tmp_path / "base")
    first, second = measure(base, kind, few, path), measure(base, kind, many, path)
    grown = second["peak"] - first["peak"]
    answers = second["answers"] - first["answers"]
    assert grown <= answers + (many - few) * ALLOWED_KB[kind] / 1024, (first, second)
