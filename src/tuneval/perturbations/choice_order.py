"""The choices of a multiple-choice question in every cyclic order; the right one moves along.

Models favour positions (Pezeshkpour and Hruschka 2023, arXiv:2308.11483; Zheng et al. 2023,
arXiv:2309.03882): report mean, minimum and the share that is right under all orders.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tuneval.types import Case


class ChoiceOrder:
    """All cyclic shifts but the original: n - 1 twins for n choices."""

    name = "choice_order"
    levels = ("all",)

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return one twin for each shift; nothing for a case without choices."""
        choices = case.inputs.get("choices")
        if not isinstance(choices, tuple):
            return ()
        n = len(choices)
        return tuple(
            replace(
                case,
                inputs={**case.inputs, "choices": choices[-shift:] + choices[:-shift]},
                references=tuple(str((int(index) + shift) % n) for index in case.references),
            )
            for shift in range(1, n)
        )
