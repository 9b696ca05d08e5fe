"""The same case asked in other prompt formats: line breaks, capitals, dashes, empty lines.

The wording is the task's (``tasks/formats.py``); a twin only names the format. Not for: other words.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tuneval.types import PROMPT_FORMAT, PROMPT_FORMATS, Case


class PromptFormat:
    """Four fixed formats beside the run's own: report the spread between best and worst.

    Sclar et al. (2023), arXiv:2310.11324, measured spreads of up to 76 points.
    """

    name = "format"
    levels = ("all",)

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return a twin for each format; nothing for text that is scored as it stands, programs
        and prompts that are given to the character."""
        is_exact = "prompt" in case.inputs and "messages" not in case.inputs
        if is_exact or "test" in case.inputs or not case.references:
            return ()
        return tuple(
            replace(case, inputs={**case.inputs, PROMPT_FORMAT: name}) for name in PROMPT_FORMATS
        )
