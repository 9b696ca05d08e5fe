"""A language model with an encoder before its decoder, as scoring and generation call it.

Not for: a decoder alone (``network.py``).
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor

from tuneval.engine.hf.weights.network import Network, is_near
from tuneval.types import Head


class EncoderDecoder(Network):
    """A sequence-to-sequence model.

    ``can_share``: the encoder's states, and the keys and values that the decoder makes of them, may be
    kept for several answers; found by trying, as is whether rows may be padded. Otherwise the model's
    own forward runs on each pair of texts.
    """

    def __init__(
        self, model: Any, *, device: str, bits: str | None = None, kind: Head = "seq2seq"
    ) -> None:
        super().__init__(model, device=device, bits=bits, kind=kind)
        self.can_share = False
        self.takes_positions = False

    @property
    def way(self) -> str:
        """How texts go through it, in words."""
        if self.shares:
            return "encoder once per text"
        return f"encoder and decoder together, {super().way}"

    @property
    def shares(self) -> bool:
        """Whether encoder and decoder are called apart now."""
        return self.can_share and self.own_forward is None

    def logits(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of the ids, read by the encoder, as they are written by the decoder."""
        start = torch.full_like(ids[:, :1], self._start)
        return self.whole(ids, mask, torch.cat([start, ids[:, :-1]], dim=1))

    @property
    def _start(self) -> int:
        """A token to begin a probe with: the decoder's own where one is named."""
        for config in (getattr(self.model, "generation_config", None), self.model.config):
            for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
                number = getattr(config, name, None)
                if isinstance(number, int):
                    return number
        return 0

    def whole(self, ids: Tensor, mask: Tensor | None, written: Tensor) -> Tensor:
        """Logits after every written token by the model's own forward, float32, (rows, tokens, vocabulary)."""
        model = self.own_forward or self.model
        mask = torch.ones_like(ids) if mask is None else mask
        output = model(
            input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False
        )
        # Virtual tokens stand in front of the text.
        logits: Tensor = output.logits
        return logits[:, -written.shape[1] :].float()

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States of the texts, (rows, tokens, width)."""
        states: Tensor = self.model.get_encoder()(
            input_ids=ids, attention_mask=mask
        ).last_hidden_state
        return states

    def decode(
        self, written: Tensor, states: Tensor, mask: Tensor, cache: Any = None
    ) -> tuple[Tensor, Any]:
        """Logits after written tokens, float32, and the cache that then holds them."""
        from transformers.modeling_outputs import BaseModelOutput

        output = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=written,
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits
        return logits.float(), output.past_key_values

    def check(self, probe: list[int]) -> None:
        """Find out whether encoder and decoder may be called apart, and whether rows may be padded."""
        ids = torch.tensor([probe], device=self.device)
        written = torch.cat([torch.full_like(ids[:, :1], self._start), ids[:, :-1]], dim=1)
        expected = self.whole(ids, None, written)
        bound = 1e-3 if self.is_exact else 5e-2
        short = max(1, len(probe) // 2)
        # What a network raises that offers no such call: then its whole pass is taken instead.
        try:
            self.can_share = self._is_shared(ids, written, expected, bound)
        except (AttributeError, TypeError, RuntimeError, ValueError, NotImplementedError):
            self.can_share = False
        self.can_pad = self.can_pad_left = self._is_padded(ids, short, written, bound)

    def _is_shared(self, ids: Tensor, written: Tensor, expected: Tensor, bound: float) -> bool:
        """Do two rows that go on from one beginning come out as the whole pass has them?"""
        mask = torch.ones_like(ids)
        states = self.encode(ids, mask)
        first, cache = self.decode(written[:, :1], states, mask)
        if written.shape[1] == 1:
            return is_near(first, expected, bound)
        rows = torch.tensor([0, 0], device=ids.device)
        rest, _ = self.decode(
            written[:, 1:].expand(2, -1), states[rows], mask[rows], gathered(cache, rows)
        )
        return is_near(torch.cat([first, rest[1:]], dim=1), expected, bound)

    def _is_padded(self, ids: Tensor, short: int, written: Tensor, bound: float) -> bool:
        """Does a text give the same beside a longer one?"""
        plain = self.whole(ids[:, :short], None, written)
        mask = torch.ones_like(ids)
        mask[:, short:] = 0
        both, masks = torch.cat([ids, ids]), torch.cat([torch.ones_like(ids), mask])
        try:
            padded = self.whole(both, masks, torch.cat([written, written]))
        except (TypeError, RuntimeError, ValueError):
            return False
        return is_near(padded[1:], plain, bound)


def gathered(cache: Any, rows: Tensor) -> Any:
    """A cache of these rows of another, which stays as it is; a row may be taken several times."""
    from transformers import EncoderDecoderCache

    return EncoderDecoderCache(
        *(
            _gathered(half, rows)
            for half in (cache.self_attention_cache, cache.cross_attention_cache)
        )
    )


def _gathered(half: Any, rows: Tensor) -> Any:
    taken = copy(half)
    taken.layers = [copy(layer) for layer in half.layers]
    for layer in taken.layers:
        layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return taken
