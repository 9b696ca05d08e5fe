"""Proves by numbers that vLLM answers as the variant: as transformers does, adapter on and off.

Pure arithmetic on log-probabilities of the same tokens after the same texts. Not for: asking.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.engine.hf.text.render import Renderer, Window
from tuneval.engine.hf.weights.proof import PROBES
from tuneval.errors import VariantError

_N_PLACES = 4
"""Places of each probe text in which the next token is looked at."""
_ROUNDING = 1e-5
"""Nats by which float32 sums in another order move a log-probability, and more."""
BOUNDS = {"float32": 5e-3}
HALF_BOUND = 0.1
"""Mean nats a token between both engines at most: kernels of half precision move single tokens by
some hundredths, a wrong adapter, scale or position by whole ones."""

Nats = Sequence[float]


def windows(renderer: Renderer, n_embeddings: int) -> list[Window]:
    """Beginnings of the probe texts, the last token of each scored."""
    found = []
    for text in PROBES:
        ids = renderer.with_bos(list(renderer.encode_all([text])[text]))
        ids = ids[: renderer.context_length]
        if len(ids) < 2 or max(ids) >= n_embeddings:
            continue
        step = max(1, (len(ids) - 1) // _N_PLACES)
        places = range(len(ids) - 1, 0, -step)
        found += [Window(tuple(ids[: place + 1]), 1) for place in list(places)[:_N_PLACES]]
    return found


def gap(some: Nats, others: Nats) -> float:
    """Mean distance in nats."""
    return sum(abs(a - b) for a, b in zip(some, others, strict=True)) / max(1, len(some))


def check(name: str, dtype: str, here: Nats, there: Nats) -> None:
    """Hold the numbers of vLLM (``there``) to those of transformers (``here``).

    Raises
    ------
    VariantError
        They differ by more than rounding, or are no numbers.
    """
    bound = BOUNDS.get(dtype, HALF_BOUND)
    found = gap(here, there)
    if not found <= bound:  # nan, too
        raise VariantError(
            f'"{name}": vLLM gives other numbers than transformers: {found:.3g} nats a token on probe texts, '
            f"{bound:g} at most in {dtype}.\nUse backend.kind: hf for this model."
        )


def check_adapter(name: str, here: Nats, there: Nats, base_here: Nats, base_there: Nats) -> None:
    """Show that vLLM answers with this adapter, and with all of it.

    What the adapter moves the log-probabilities by is known from transformers. vLLM has to be nearer to
    the adapter than to half of that, as far as rounding lets it be told (twice the distance of
    both engines on the base).

    Raises
    ------
    VariantError
        It answers as the base, or somewhere between.
    """
    if list(there) == list(base_there):
        raise VariantError(
            f'adapter "{name}": vLLM answers with it exactly as without it.\nUse backend.kind: hf for '
            "this adapter."
        )
    effect, found = gap(here, base_here), gap(here, there)
    if found > max(_ROUNDING, 2 * gap(base_here, base_there), effect / 2):
        raise VariantError(
            f'adapter "{name}": vLLM answers with a part of it only: {found:.3g} nats a token from what '
            f"transformers answers, where the whole adapter moves the base by {effect:.3g}.\n"
            "Use backend.kind: hf for this adapter."
        )
