"""A limit of memory makes batches smaller and changes no answer; one below the weights is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes import generation, loglikelihood
from tuneval.engine.hf.weights import memory, placement
from tuneval.engine.hf.weights.folder import describe
from tuneval.errors import VariantError
from tuneval.types import Decoding, Request, Response, Variant


def requests() -> list[Request]:
    texts = [f"Message: card {n * 7919} was refused\nTopic:" for n in range(40)]
    scored = [
        Request(f"s{n}", f"{n}", text, continuation=" refund") for n, text in enumerate(texts)
    ]
    decoding = Decoding(max_tokens=6)
    drawn = [Request(f"d{n}", f"{n}", text, decoding=decoding) for n, text in enumerate(texts)]
    return [*scored, *drawn]


def ask(folder: Path, limit: int | None) -> dict[str, Response]:
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", memory=limit))
    found = backend.answer(Variant("base", "base", str(folder)), requests())
    answers = {one.request_id: one for one in found}
    backend.close()
    return answers


def test_a_small_limit_asks_in_smaller_batches_with_the_same_answers(
    base: Path, monkeypatch
) -> None:
    sizes: dict[str, list[int]] = {"chunk": [], "rows": []}
    score_tree, by_slots = loglikelihood.score_tree, generation._by_slots

    def scored(tree: Any, windows: Any, size: int, **options: Any) -> Any:
        sizes["chunk"].append(size)
        return score_tree(tree, windows, size, **options)

    def drawn(tree: Any, slots: Any, *rest: Any) -> Any:
        sizes["rows"].append(slots.n_free)
        return by_slots(tree, slots, *rest)

    monkeypatch.setattr(loglikelihood, "score_tree", scored)
    monkeypatch.setattr(generation, "_by_slots", drawn)
    wide = ask(base, None)
    # The weights, their copy in the fused pass, and a few kilobytes for a batch.
    weights = placement.needed_bytes(describe(base), "float32", None)
    narrow = ask(base, memory.own_bytes("cpu") + 2 * weights + 40_000)
    assert sizes["chunk"][1] < sizes["chunk"][0]
    assert sizes["rows"][1] < sizes["rows"][0]
    assert wide.keys() == narrow.keys()
    for key, answer in wide.items():
        if answer.completions:
            assert narrow[key].completions[0].text == answer.completions[0].text
        else:
            assert narrow[key].loglikelihood == pytest.approx(answer.loglikelihood, abs=1e-4)


def test_a_limit_that_cannot_hold_the_weights_is_refused_with_both_numbers(base: Path) -> None:
    needed = placement.needed_bytes(describe(base), "float32", None)
    limit = memory.own_bytes("cpu") + needed - 1
    words = f"weights take {needed / 1e6:,.0f} MB in float32, and the program about 400 MB"
    with pytest.raises(VariantError, match=re.escape(words)) as caught:
        ask(base, limit)
    assert f"backend.memory allows {limit / 1e6:,.0f} MB" in str(caught.value)


def test_models_that_fit_one_by_one_take_turns(base: Path, other_base: Path) -> None:
    needed = placement.needed_bytes(describe(base), "float32", None)
    # The first one and its copy in the fused pass, and no other beside it.
    limit = memory.own_bytes("cpu") + 5 * needed // 2
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", memory=limit))
    folders = {"base": base, "full": other_base}
    variants = [Variant(name, name, str(folder)) for name, folder in folders.items()]
    backend.prepare(variants)
    for variant in (*variants, *variants):
        assert all(one.problem is None for one in backend.answer(variant, requests()[:5]))
        assert len(backend._resident.held) == 1
