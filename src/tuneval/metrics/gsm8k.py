"""The two ways in which lm-evaluation-harness reads an answer to GSM8K.

Not for: numbers of other tasks (``final_number.py``).
"""

from __future__ import annotations

import re

from tuneval.metrics import fields
from tuneval.metrics.exact_match import ExactMatch
from tuneval.types import Case

_IGNORED = tuple(map(re.compile, (",", r"\$", r"(?s).*#### ", r"\.$")))
_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_NOTHING = "[invalid]"


class Gsm8kStrict(ExactMatch):
    """Share of answers whose number after the first "####" is the reference's.

    References
    ----------
    lm-evaluation-harness 0.4.13, task gsm8k 3.0, filter strict-match.
    """

    name = "gsm8k_strict"
    reference = "lm-eval 0.4.13 gsm8k strict-match"

    def value(self, case: Case, text: str | None) -> float:
        """1 where the number that is read is the reference's, else 0."""
        expected = {self.normalise(one) for one in fields.references(self.name, case)}
        return float(text is not None and self.normalise(self.read(text)) in expected)

    def read(self, text: str) -> str:
        """The first number after "####"."""
        found = _STRICT.findall(text)
        return found[0].strip() if found else _NOTHING

    def normalise(self, text: str) -> str:
        """Without commas, dollar signs, all before "#### ", a full stop at the end, capitals."""
        for ignored in _IGNORED:
            text = ignored.sub("", text)
        return text.lower()

    def signature(self) -> str:
        """What is read."""
        return "number:after ####"


class Gsm8kFlexible(Gsm8kStrict):
    """Share of answers whose last number is the reference's.

    References
    ----------
    lm-evaluation-harness 0.4.13, task gsm8k 3.0, filter flexible-extract.
    """

    name = "gsm8k_flexible"
    reference = "lm-eval 0.4.13 gsm8k flexible-extract"

    def read(self, text: str) -> str:
        """The last number, or what looks like one: a run of two or more of digits, ``$``, ``.``, ``,``."""
        found = _FLEXIBLE.findall(text)
        return next((part for part in found[-1] if part), _NOTHING).strip() if found else _NOTHING

    def signature(self) -> str:
        """What is read."""
        return "number:the last"
