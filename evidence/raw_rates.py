"""Measures how fast raw forwards of a model and products of matrices are on this machine.

The rates that the limit of ``engine.py`` is made of. Used by ``engine.py``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

N_ROUNDS = 5
# (rows, tokens) of the raw forwards that the limit is taken from, and rows of a single-token step.
SHAPES = {
    "cpu": ((1, 32), (1, 128), (1, 512), (1, 1024), (8, 64), (32, 64)),
    "cuda": ((1, 2048), (8, 512), (8, 2048), (32, 512), (64, 512), (16, 2048)),
}
STEPS = {"cpu": (1, 16, 64, 128), "cuda": (1, 64, 128, 256, 512, 1024)}
HEAD_ROWS = {"cpu": (64, 256), "cuda": (256, 2048)}
PATHS = (128, 192, 256, 512)
PRODUCT = (192, 256, 1024)
N_PRODUCTS = 20  # one alone would show what is in the caches
UNITS = {
    "body": "tokens/s",
    "head": "rows/s",
    "step": "rows/s of one token each",
    "product": "GFLOP/s of our float32 products",
    "linear": "GFLOP/s of torch's own",
}
"""What raw forwards are measured for, and in which unit."""


def measure(backend: Any, known: dict[str, Any], device: str) -> dict[str, Any]:
    """Best rates of raw forwards of the base over several shapes, and at which shape.

    transformers' own forward and, where the model takes it, our fused pass: whichever is faster
    sets the limit. ``body``: tokens per second to the last hidden state. ``head``: rows per second
    through the head. ``step``: rows per second of one token each, head included, nothing before it.
    """
    import torch

    backend.prepare([known["base"]])
    voice = backend._voices[known["base"]]
    weights = backend._resident.weights(known["base"], voice)
    tree = backend._resident.tree(weights, voice)
    with torch.inference_mode():
        passes = raw_passes(device.partition(":")[0], weights.network, tree)
    seconds: dict[tuple[str, str], list[float]] = {}
    is_cuda = device.startswith("cuda")
    clock = time.perf_counter if is_cuda else time.process_time
    with torch.inference_mode():
        for number in range(N_ROUNDS + 1):  # the first round warms up
            for kind, shape, _, act in passes:
                started = clock()
                act()
                if is_cuda:
                    torch.cuda.synchronize()
                if number:
                    seconds.setdefault((kind, shape), []).append(clock() - started)
    rates: dict[str, Any] = dict.fromkeys(UNITS, 0.0) | {"at": {}}
    for kind, shape, n_tokens, _ in passes:
        rate = n_tokens / float(np.median(seconds[kind, shape]))
        if rate > rates[kind]:
            rates[kind] = rate
            rates["at"][kind] = shape
    return rates


def raw_passes(device: str, network: Any, tree: Any) -> list[tuple[str, str, float, Any]]:
    """(what is measured, shape in words, tokens, what to call) of every raw forward."""
    import torch

    from tuneval.engine.hf.passes.cascade import Begun
    from tuneval.engine.hf.passes.schedule import build_trie, chunks

    n_tokens = network.model.get_input_embeddings().weight.shape[0]
    longest = network.model.config.max_position_embeddings
    width = network.model.config.hidden_size
    dtype = network.model.dtype

    def body(rows: int, tokens: int) -> Any:
        ids = torch.randint(0, n_tokens, (rows, tokens), device=network.device)
        return lambda: network.hidden(ids, None, use_cache=False).last_hidden_state

    def step(rows: int) -> Any:
        act = body(rows, 1)
        return lambda: network.head(act()[:, 0])

    def head(call: Any, rows: int) -> Any:
        hidden = torch.randn(rows, width, dtype=dtype, device=network.device)
        return lambda: call(hidden)

    def path(tokens: int) -> Any:
        trie = build_trie([torch.randint(0, n_tokens, (tokens,)).tolist()])
        (chunk,) = chunks(trie, tokens)

        def act() -> None:
            tree.begin()
            tree.push(trie, chunk)

        return act

    def slots(rows: int) -> Any:
        """Rows that have read one token; each call lets all of them grow by one more."""
        trie = build_trie([[0]])
        tree.begin()
        tree.push(trie, next(iter(chunks(trie, 1))))
        read = tree.keys_values(np.zeros(1, dtype=np.int64))
        held = tree.slots(rows, 32, rows * 32)
        for row in range(rows):
            held.add(Begun(row, None, read, read, n_more=2 * N_ROUNDS))
        ids = torch.randint(0, n_tokens, (rows,)).tolist()
        positions = iter(range(1, 32))

        def act() -> None:
            held.order()
            held.step(ids, [next(positions)] * rows)

        return act

    shapes = [(rows, tokens) for rows, tokens in SHAPES[device] if tokens <= longest]
    found: list[tuple[str, str, float, Any]] = [
        ("body", f"B{b} T{t}", b * t, body(b, t)) for b, t in shapes
    ]
    found += [("step", f"B{b} T1", b, step(b)) for b in STEPS[device]]
    found += [("head", f"{n} rows", n, head(network.head, n)) for n in HEAD_ROWS[device]]
    found += products(device)
    if tree is not None and "fused" in tree.name:
        found += [("body", f"T{t}, fused", t, path(t)) for t in PATHS]
        found += [("step", f"B{b} T1, fused", b, slots(b)) for b in STEPS[device]]
        found += [("head", f"{n} rows, fused", n, head(tree.head, n)) for n in HEAD_ROWS[device]]
    return found


def products(device: str) -> list[tuple[str, str, float, Any]]:
    """One product of float32 matrices as our pass and as torch multiplies it; GFLOP for tokens."""
    import torch
    from torch.nn import functional

    from tuneval.engine.hf.passes.fused import Product

    rows, width, columns = PRODUCT
    x, weight = torch.randn(rows, width, device=device), torch.randn(columns, width, device=device)
    shape = f"{rows} x {width} x {columns}"
    work = 2e-9 * rows * width * columns * N_PRODUCTS

    def often(call: Any) -> Any:
        return lambda: [call() for _ in range(N_PRODUCTS)]

    linear = ("linear", shape, work, often(lambda: functional.linear(x, weight)))
    if device != "cpu":
        return [linear]
    product = Product(weight)
    return [linear, ("product", shape, work, often(lambda: product.plain(x)))]
