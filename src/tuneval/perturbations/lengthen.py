"""Longer input: sentences that say nothing to the point, before and after the text."""

from __future__ import annotations

import re

import numpy as np

from tuneval.errors import ConfigError
from tuneval.perturbations.text import is_prompt, rewritten
from tuneval.types import Case

FACTORS = {"light": 2.0, "medium": 4.0, "heavy": 8.0}
"""Length in words, as a multiple of the original. No tokenizer lives here, so "heavy" is a multiple
as well and not the context length of a model; the engine records what it had to cut."""

SENTENCES = (
    "The sun had come up a little while before.",
    "A clock on the wall kept ticking.",
    "The radio was on in the next room.",
    "The window was open and the air was mild.",
    "A few leaves moved in the garden.",
    "The kettle had just been put on.",
    "Outside, a bicycle went by.",
    "The table stood by the window.",
    "It was an ordinary day of the week.",
    "A dog was asleep under the bench.",
    "The street was quiet at that hour.",
    "There was a cup of tea beside the notebook.",
    "A bus stopped at the corner and went on.",
    "The curtain moved a little.",
    "Some birds were sitting on the fence.",
    "The newspaper lay folded on the chair.",
    "A neighbour was watering the plants.",
    "The lamp stood next to the shelf.",
    "Somewhere a door was closed.",
    "The road runs past the old mill.",
    "A train could be heard in the distance.",
    "A page was turned.",
    "A pencil rolled across the desk.",
    "The hallway smelled of fresh bread.",
)
"""No digit, no negation, no judgement, nothing to answer; English only."""


class Long:
    """Pad the text with neutral sentences; the text itself stays whole.

    Parameters
    ----------
    factor : float or None
        Length in words as a multiple of the original, in place of the level's own.
    """

    name = "long"
    levels = tuple(FACTORS)

    def __init__(self, factor: float | None = None) -> None:
        if factor is not None and not factor > 1:
            raise ConfigError(f'long: factor "{factor}" must be above 1.')
        self.factor = factor

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the padded twin, or nothing where every sentence holds a protected word."""
        factor = self.factor or FACTORS[level]
        neutral = [s for s in SENTENCES if not _words(s) & protected]
        if not neutral:
            return ()

        def pad(text: str) -> str:
            return padded(text, factor, random, neutral, before_only=is_prompt(case))

        return rewritten(case, pad)


def padded(
    text: str,
    factor: float,
    random: np.random.Generator,
    neutral: list[str],
    *,
    before_only: bool = False,
) -> str:
    """Add sentences until the text is ``factor`` times as long in words; each on a random side."""
    before: list[str] = []
    after: list[str] = []
    missing = (factor - 1) * len(text.split())
    while missing > 0:
        for index in random.permutation(len(neutral)):
            side = before if before_only or random.random() < 0.5 else after
            side.append(neutral[index])
            missing -= len(neutral[index].split())
            if missing <= 0:
                break
    return " ".join((*before, text, *after))


def _words(sentence: str) -> set[str]:
    return set(re.findall(r"[a-z]+", sentence.lower()))
