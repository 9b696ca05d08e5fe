"""What is tried on the first few layers of a model instead of all of them."""

from __future__ import annotations

import pytest
import torch

from tiny_models import build_model
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes.tree import MaskedTree, find_tree
from tuneval.engine.hf.resident import packed
from tuneval.engine.hf.weights.folder import describe
from tuneval.engine.hf.weights.loading import load_weights
from tuneval.engine.hf.weights.network import Network, is_near
from tuneval.types import Request, Variant

PROBE = list(range(2, 22))


def network_of(folder):
    return load_weights(describe(folder), device="cpu", dtype="float32").network


@pytest.mark.parametrize(
    ("family", "n_layers", "expected"),
    [("llama", 2, 2), ("llama", 6, 2), ("gpt2", 5, 2), ("gemma3_text", 8, 6)],
)
def test_the_first_layers_show_every_kind(tmp_path, family, n_layers, expected) -> None:
    """gemma3: five layers that slide, then one that does not."""
    network = network_of(build_model(tmp_path / "m", family, num_hidden_layers=n_layers))
    seen = []

    def count(*_) -> None:
        seen.append(1)

    layers = next(m for m in network.model.modules() if isinstance(m, torch.nn.ModuleList))
    for layer in layers:
        layer.register_forward_hook(count)
    before = network.logits(torch.tensor([PROBE]))
    with network.shallow() as is_shallow:
        seen.clear()
        shorter = network.logits(torch.tensor([PROBE]))
        assert len(seen) == expected
    assert is_shallow == (expected < n_layers) == (not torch.equal(before, shorter))
    assert torch.equal(network.logits(torch.tensor([PROBE])), before)
    network.check(PROBE)
    assert network.is_split and network.can_pad and network.can_pad_left
    tree = find_tree(network, None, 100)
    assert tree is not None and tree.can_generate
    assert torch.equal(network.logits(torch.tensor([PROBE])), before)


def test_a_layer_of_another_kind_far_up_is_among_them(tmp_path) -> None:
    network = network_of(build_model(tmp_path / "m", num_hidden_layers=6))
    network.model.model.layers[4].self_attn.o_proj.bias = torch.nn.Parameter(torch.zeros(32))
    with network.shallow():
        assert len(network.model.model.layers) == 5


def test_a_forward_that_counts_its_layers_is_tried_whole(tmp_path, monkeypatch) -> None:
    network = network_of(build_model(tmp_path / "m", num_hidden_layers=6))
    body, inner = network.body, network.body.forward

    def counting(*args, **kwargs):
        body.layers[5]  # IndexError where there are fewer
        return inner(*args, **kwargs)

    monkeypatch.setattr(body, "forward", counting)
    network.check(PROBE)
    assert network.is_split and network.can_pad and network.can_pad_left
    monkeypatch.setattr("tuneval.engine.hf.passes.tree.fits", lambda model: False)
    assert isinstance(find_tree(network, None, 100), MaskedTree)


@pytest.mark.parametrize(
    ("probes", "longest", "expected"),
    [
        ([[1, 2], [3], [4]], None, [[1, 2, 3, 4]]),
        ([[1, 2], [3], [4]], 6, [[1, 2, 3], [4]]),
        ([[1, 2], [3], [4]], 2, [[1, 2], [3], [4]]),  # never shorter than one
    ],
)
def test_probes_share_rows(probes, longest, expected) -> None:
    assert packed(probes, longest) == expected


@pytest.mark.parametrize(("change", "n_checks"), [({}, 1), ({"rms_norm_eps": 1e-3}, 2)])
def test_an_architecture_is_checked_once(tmp_path, monkeypatch, change, n_checks) -> None:
    """A full fine-tune of the base's architecture answers the same with and without the check."""
    base = build_model(tmp_path / "base", "gpt2" if not change else "llama")
    full = build_model(tmp_path / "full", "gpt2" if not change else "llama", seed=3, **change)
    monkeypatch.setattr("tuneval.engine.hf.passes.tree.fits", lambda model: False)
    variants = [Variant("base", "base", str(base)), Variant("full", "full", str(full))]
    requests = [Request("r", "c", "Once upon a time", continuation=" there was")]
    checked = []
    inner = Network.check
    monkeypatch.setattr(Network, "check", lambda self, p: (checked.append(p), inner(self, p))[1])
    both = HFBackend(HFBackend.Options(offline=True))
    facts = both.prepare(variants)
    assert len(checked) == n_checks
    alone = HFBackend(HFBackend.Options(offline=True))
    alone.prepare(variants[1:])
    (together,), (apart,) = (list(b.answer(variants[1], requests)) for b in (both, alone))
    assert together.loglikelihood == apart.loglikelihood
    assert facts["full"].fingerprint == alone.fingerprint(variants[1])
    both.close()
    alone.close()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", [0, 1])
def test_numbers_without_bound_are_never_near(place, value, side) -> None:
    """Wherever they stand: a later row that is right must not hide them."""
    sides = [torch.ones(3, 4), torch.ones(3, 4)]
    assert is_near(*sides, 1e-3)
    sides[side][place, 2] = value
    assert not is_near(*sides, 1e-3)


def test_near_is_a_share_of_the_largest_number() -> None:
    right = torch.tensor([[1.0, 2.0], [100.0, 3.0]])
    assert is_near(right + 0.09, right, 1e-3)
    assert not is_near(right + 0.11, right, 1e-3)
