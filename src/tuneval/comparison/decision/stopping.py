"""When a pair needs no more cases: as soon as what would be said of it is proved.

Not for: the confidence sequences that make looking allowed (sequential.py).
"""

from __future__ import annotations

from tuneval.comparison.decision.gap import adapter_to_full
from tuneval.comparison.decision.tuned import outcome_of
from tuneval.types import Comparison


def is_settled(comparison: Comparison, kinds: tuple[str, str]) -> bool:
    """Is the verdict on this pair proved by the cases drawn so far?

    Parameters
    ----------
    comparison : Comparison
        Of a look, with its adjusted p-value.
    kinds : pair of str
        What baseline and candidate are: an adapter against a full fine-tune is graded.
    """
    if set(kinds) == {"adapter", "full"}:
        is_adapter_baseline = kinds[0] == "adapter"
        reading = adapter_to_full(comparison, is_adapter_baseline=is_adapter_baseline)
        return reading.support == "proved"
    return outcome_of(comparison) != "unclear"
