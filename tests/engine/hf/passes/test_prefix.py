"""Prefix expansion: planned without waste, equal to plain forwards in every family with keys and values."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.hf.passes.test_tree import build, network_of, plain, random_windows
from tiny_models import build_model
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes import prefix
from tuneval.engine.hf.passes.branches import n_pushed, plan_branches
from tuneval.engine.hf.passes.loglikelihood import score
from tuneval.engine.hf.passes.prefix import can_expand, score_branches
from tuneval.engine.hf.passes.schedule import build_trie
from tuneval.engine.hf.text.render import Window
from tuneval.types import Request, Variant

SEQUENCES = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=12).map(tuple), max_size=14, unique=True
)


@given(SEQUENCES, st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_a_plan_spells_every_sequence_once(sequences, min_saved) -> None:
    branches = plan_branches(sequences, min_saved=min_saved)
    rows = [row for branch in branches for row in branch.rows]
    assert sorted(rows) == list(range(len(sequences)))
    spelled: list[tuple[int, ...]] = []
    for branch in branches:
        assert branch.stop - branch.start == len(branch.ids)
        head = spelled[branch.above] if branch.above >= 0 else ()
        assert len(head) == branch.start
        spelled.append(head + branch.ids)
        for row in branch.rows:
            assert sequences[row][: branch.stop] == spelled[-1]
    # Depth first: a branch stands directly below the one before it or one of that one's ancestors.
    for number in range(1, len(branches)):
        ancestors, at = set(), number - 1
        while at >= 0:
            ancestors.add(at)
            at = branches[at].above
        assert branches[number].above in ancestors


@given(SEQUENCES)
@settings(max_examples=100, deadline=None)
def test_a_plan_saves_what_it_promises(sequences) -> None:
    least = build_trie(sequences).n_nodes if sequences else 0
    assert n_pushed(sequences, plan_branches(sequences, min_saved=1)) == least
    shy = n_pushed(sequences, plan_branches(sequences, min_saved=10**6))
    assert shy == sum(map(len, sequences))


def test_many_labels_after_one_context() -> None:
    context = tuple(range(100))
    labels = [(7, 1), (7, 2, 3), (8,), (9, 9)]
    other = tuple(range(60)) + (5,) * 40
    sequences = [head + label for head in (context, other) for label in labels]
    branches = plan_branches(sequences)
    assert [(b.above, b.start, b.stop, len(b.rows)) for b in branches] == [
        (-1, 0, 0, 0),
        (0, 0, 60, 0),
        (1, 60, 100, 4),
        (1, 60, 100, 4),
    ]


FAMILIES = ["bloom", "mpt", "llama", "gpt2", "gemma2", "mistral", "gpt_oss"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_plain_forwards(family) -> None:
    """Beyond sliding windows, too; with branches of any size and batches of any number of rows."""
    model = build(family)
    network = network_of(model)
    assert can_expand(network, 119)
    windows = random_windows(20)
    windows += [windows[0], Window(windows[3].ids, 1), Window((5, 6), 0), Window((5, 6), 1)]
    for min_saved, max_rows, budget in ((1, 1, 16), (4, 3, 64), (32, 64, 10**6), (10**6, 4, 64)):
        found = dict(
            score_branches(
                network, windows, token_budget=budget, max_rows=max_rows, min_saved=min_saved
            )
        )
        assert sorted(found) == list(range(len(windows)))
        for index, window in enumerate(windows):
            expected = plain(model, window) if window.n_scored else []
            assert list(found[index].logprobs) == pytest.approx(expected, abs=2e-4)


def test_what_is_known_is_left_out_and_the_rest_keeps_its_bits(monkeypatch) -> None:
    network = network_of(build("bloom"))
    windows = random_windows(40)
    whole = dict(score_branches(network, windows, token_budget=64, max_rows=4))
    pushed = 0
    forward = prefix._Run._forward

    def counted(self, lines, start, above):
        nonlocal pushed
        pushed += sum(map(len, lines))
        return forward(self, lines, start, above)

    monkeypatch.setattr(prefix._Run, "_forward", counted)
    list(score_branches(network, windows, token_budget=64, max_rows=4))
    n_all, pushed = pushed, 0
    known = set(random.Random(1).sample(range(40), 30))
    rest = dict(score_branches(network, windows, token_budget=64, max_rows=4, known=known))
    assert set(rest) == set(range(40)) - known
    for index, found in rest.items():
        assert found.logprobs == whole[index].logprobs
    assert pushed < n_all
    inputs = list(dict.fromkeys(window.ids[:-1] for window in windows))
    assert n_all == n_pushed(inputs, plan_branches(inputs))


def test_out_of_memory_goes_on_in_padded_batches(monkeypatch) -> None:
    model = build("bloom")
    network = network_of(model)
    windows = random_windows(20)
    calls = 0
    forward = prefix._Run._forward

    def narrow(self, *arguments):
        nonlocal calls
        calls += 1
        if calls > 3:
            raise torch.OutOfMemoryError("x")
        return forward(self, *arguments)

    monkeypatch.setattr(prefix._Run, "_forward", narrow)
    found = dict(score(network, None, windows, token_budget=64, max_rows=4, can_expand=True))
    assert calls == 4
    for index, window in enumerate(windows):
        assert list(found[index].logprobs) == pytest.approx(plain(model, window), abs=2e-4)


def test_a_wrong_cache_is_found_out(monkeypatch) -> None:
    network = network_of(build("bloom"))
    monkeypatch.setattr(prefix, "_repeated", lambda kept, n: kept.expand(n, *kept.shape[1:]) * 0.9)
    assert not can_expand(network, 119)


def test_the_facts_say_which_path_was_taken(tmp_path) -> None:
    folder = build_model(tmp_path / "bloom", "bloom", n_layer=2, n_head=4)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    variant = Variant("base", "base", str(folder))
    assert backend.prepare([variant])["base"].settings["scoring"] == "prefix expansion"
    requests = [
        Request(f"{i}-{rest}", "c", "Message: my card was refused\nTopic: " * i, continuation=rest)
        for i in (1, 2)
        for rest in (" card payment", " refund", " login")
    ]
    found = {a.request_id: a.loglikelihood for a in backend.answer(variant, requests)}
    backend._resident.expands = dict.fromkeys(backend._resident.expands, False)
    for answer in backend.answer(variant, requests):
        assert answer.loglikelihood == pytest.approx(found[answer.request_id], abs=1e-4)
