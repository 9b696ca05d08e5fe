"""Longer input: sentences that say nothing to the point, before and after the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tuneval.errors import ConfigError
from tuneval.perturbations.text import is_prompt, rewritten
from tuneval.types import Case

FACTORS = {"2x": 2.0, "4x": 4.0}
"""Length in words, as a multiple of the original."""

MAX_FACTOR = 8.0
"""Level "max" where no context length is known."""

CHARACTERS_PER_TOKEN = 3.0
"""Few, so that "max" stays inside the context: tokenizers of English need four or more on average."""

SHARE_OF_CONTEXT = 0.75
"""What "max" fills; the rest is for instructions, examples and the answer."""

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

    Levels are multiples of the length in words ("2x", "4x", any other "3x"); "max" fills the
    smallest context of the variants, as far as characters tell. What a model had to cut all the
    same is recorded by the engine and counted.

    Parameters
    ----------
    factor : float or None
        Length in words as a multiple of the original, in place of the level's own.
    context_tokens : int or None
        Context length that "max" fills; `tuneval.plan.resolve` knows it where model folders say it.
    """

    name = "long"
    levels = (*FACTORS, "max")
    aliases: Mapping[str, str] = {"light": "2x", "medium": "4x", "heavy": "max"}
    fills_context = "max"

    def __init__(self, factor: float | None = None, context_tokens: int | None = None) -> None:
        if factor is not None and not (isinstance(factor, int | float) and factor > 1):
            raise ConfigError(f'long: factor "{factor}" must be a number above 1.')
        self.factor = factor
        self.context_tokens = context_tokens

    @classmethod
    def understand(cls, word: str) -> tuple[str, dict[str, Any]] | None:
        """Take "3x" for a factor of 3."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)x", word)
        return ("2x", {"factor": float(found[1])}) if found else None

    def label(self, level: str) -> str:
        """Name the level after the factor that is in force."""
        return level if self.factor is None else f"{self.factor:g}x"

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the padded twin, or nothing where every sentence holds a protected word."""
        neutral = [s for s in SENTENCES if not _words(s) & protected]
        if not neutral:
            return ()

        def pad(text: str) -> str:
            factor = self.factor or self._factor(level, text)
            return padded(text, factor, random, neutral, before_only=is_prompt(case))

        return rewritten(case, pad)

    def _factor(self, level: str, text: str) -> float:
        if level in FACTORS:
            return FACTORS[level]
        if self.context_tokens is None or not text:
            return MAX_FACTOR
        return SHARE_OF_CONTEXT * CHARACTERS_PER_TOKEN * self.context_tokens / len(text)


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
