"""Share of worked answers that end in the right number. Not for: how the number was found."""

from __future__ import annotations

import re
from decimal import Decimal

from tuneval.metrics.exact_match import ExactMatch

MARK = "####"
"""What stands before the final number in GSM8K's references."""
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


class FinalNumber(ExactMatch):
    """Share of texts whose final number is a reference's: after "####", else the last there is.

    References
    ----------
    Cobbe et al. (2021), Training verifiers to solve math word problems.
    """

    name = "final_number"
    reference = "GSM8K's own rule, open to other endings"

    def normalise(self, text: str) -> str:
        """The final number, without commas and idle zeros; the whole text where there is none."""
        _, mark, after = text.rpartition(MARK)
        found = _NUMBER.findall(after)
        if not found:
            return text.strip()
        number = found[0] if mark else found[-1]
        return f"{Decimal(number.replace(',', '')).normalize():f}"

    def signature(self) -> str:
        """What is compared."""
        return f"number:after {MARK} or last"
