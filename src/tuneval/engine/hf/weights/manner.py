"""How a model must be called while an adapter is on, found by trying and not by the adapter's type.

An adapter may want PEFT's own call (it looks at the text, or puts virtual tokens in front), and it may
mix the rows of a batch. Not for: attaching (``attachment.py``) or whether it acts (``proof.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.network import Network, is_near
from tuneval.errors import AdapterError


@dataclass(frozen=True, slots=True)
class Manner:
    """What was found.

    Attributes
    ----------
    is_own : bool
        PEFT's wrapper must be called, for the model inside of it gives other numbers.
    is_split, can_pad, can_pad_left : bool
        As of ``Network``, with the adapter on.
    looks_ahead : bool
        A token's logits depend on tokens that come after it.
    """

    is_own: bool
    is_split: bool
    can_pad: bool
    can_pad_left: bool
    looks_ahead: bool = False

    def put_on(self, network: Network, peft: Any) -> None:
        """Have a network called in this manner from now on."""
        network.own_forward = peft if self.is_own else None
        network.is_split = self.is_split
        network.can_pad, network.can_pad_left = self.can_pad, self.can_pad_left


def manner_of(network: Network) -> Manner:
    """How a network is called now."""
    return Manner(
        network.own_forward is not None,
        network.is_split,
        network.can_pad,
        network.can_pad_left,
    )


@torch.inference_mode()
def find_manner(
    network: Network, peft: Any, adapter: ModelFolder, probes: Sequence[list[int]]
) -> Manner:
    """Try an adapter that is on; the network is left as it was.

    Raises
    ------
    AdapterError
        PEFT's own forward takes no plain text with this adapter.
    """
    before, own_forward = manner_of(network), network.own_forward
    try:
        if not _is_same_inside(network, peft, adapter, probes):
            network.own_forward = peft
            return Manner(
                True, False, before.can_pad, before.can_pad_left, _looks_ahead(network, probes)
            )
        network.check(probes[0])
        is_apart = _keeps_rows_apart(network, probes)
        return Manner(
            False,
            network.is_split and _is_split(network, probes),
            network.can_pad and is_apart,
            network.can_pad_left and is_apart,
            _looks_ahead(network, probes),
        )
    finally:
        before.put_on(network, own_forward)


def _is_same_inside(
    network: Network, peft: Any, adapter: ModelFolder, probes: Sequence[list[int]]
) -> bool:
    """Whether the model inside of PEFT's wrapper gives the wrapper's own logits."""
    network.own_forward = None
    rows = [torch.tensor([probe], device=network.device) for probe in probes]
    try:
        own = [peft(input_ids=ids, use_cache=False).logits.float() for ids in rows]
    except _REFUSALS as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise AdapterError(
            f'adapter "{adapter.given}": PEFT\'s own forward does not take a text alone with an '
            f"adapter of type {adapter.adapter_settings.get('peft_type')} "
            f"({type(error).__name__}: {first}).\nIf it can be merged, merge it and compare the merged "
            "folder with --full; otherwise write its predictions to a file: tuneval score"
        ) from error
    try:
        # After all of the wrapper's calls, and from the last to the first: some leave a state behind.
        inside = [network.logits(ids) for ids in reversed(rows)][::-1]
    except _REFUSALS:
        return False
    return all(
        a.shape == b.shape and is_near(a, b, _bound(network))
        for a, b in zip(own, inside, strict=True)
    )


_REFUSALS = (ValueError, TypeError, RuntimeError, KeyError, AttributeError, IndexError)
"""What a forward pass ends in that was not made for this call."""


def _is_split(network: Network, probes: Sequence[list[int]]) -> bool:
    """Whether body and head give the model's own logits, and not by what a call before has left behind."""
    rows = [torch.tensor([probe], device=network.device) for probe in probes]
    whole = [network.logits(ids) for ids in rows]
    try:
        apart = [
            network.head(network.hidden(ids, None, use_cache=False).last_hidden_state)
            for ids in reversed(rows)
        ]
    except _REFUSALS:
        return False
    return all(
        is_near(a, b, 1e-4 if network.is_exact else 5e-2)
        for a, b in zip(apart[::-1], whole, strict=True)
    )


def _keeps_rows_apart(network: Network, probes: Sequence[list[int]]) -> bool:
    """Whether rows that run together give what each gives alone."""
    width = min(map(len, probes))
    rows = [probe[:width] for probe in probes]
    together = network.logits(torch.tensor(rows, device=network.device))
    return all(
        is_near(
            together[place],
            network.logits(torch.tensor([row], device=network.device))[0],
            _bound(network),
        )
        for place, row in enumerate(rows)
    )


def _looks_ahead(network: Network, probes: Sequence[list[int]]) -> bool:
    """Whether what comes later changes the logits of what came before."""
    whole = max(probes, key=len)
    n = max(1, len(whole) // 2)
    ids = torch.tensor([whole], device=network.device)
    short = network.logits(ids[:, :n])
    return not is_near(network.logits(ids)[:, :n], short, _bound(network))


def _bound(network: Network) -> float:
    """Largest difference that comes from the order of sums alone, as a share of the largest logit."""
    return 3e-5 if network.is_exact else 2e-2
