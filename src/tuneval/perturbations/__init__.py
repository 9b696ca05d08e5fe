"""Case + random generator -> changed Case. The reference stays; no models.

A perturbation changes ``inputs["text"]`` (or the last user turn of ``inputs["messages"]``, or
``inputs["question"]``/``["input"]``/``["prompt"]``, whichever the layout has) and keeps everything
a label-preserving change must keep: digits, URLs, e-mail addresses, code, negations, label words.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tuneval.types import Case


class Perturbation(Protocol):
    """One way to change an input without changing its right answer."""

    name: str
    levels: tuple[str, ...]

    def perturb(self, case: Case, level: str, random: np.random.Generator) -> Case | None:
        """Return the twin (same references, groups; ``origin`` set), None if nothing changed."""


PERTURBATIONS = {
    "typos": "tuneval.perturbations.typos:Typos",
}
