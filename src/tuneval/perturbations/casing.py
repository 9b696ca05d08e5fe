"""Careless writing: small letters only, uneven spaces, contractions, no full stop at the end."""

from __future__ import annotations

import re

import numpy as np

from tuneval.perturbations.text import is_free, is_prompt, kept, rewritten
from tuneval.types import Case

CONTRACTIONS = {
    "i am": "i'm", "i have": "i've", "i will": "i'll", "i would": "i'd",
    "you are": "you're", "you have": "you've", "you will": "you'll",
    "we are": "we're", "we have": "we've", "we will": "we'll",
    "they are": "they're", "they have": "they've", "they will": "they'll",
    "it is": "it's", "it will": "it'll", "he is": "he's", "she is": "she's",
    "that is": "that's", "there is": "there's", "what is": "what's", "who is": "who's",
    "where is": "where's", "how is": "how's", "let us": "let's",
}  # fmt: skip
"""Negations ("do not") are left out: they stay as they are."""

_CONTRACTED = re.compile(
    rf"(?<!\w)(?:{'|'.join(sorted(CONTRACTIONS, key=len, reverse=True))})(?=\s+\w)", re.IGNORECASE
)


class Casing:
    """Light: small letters. Medium: contractions, too, and no mark at the end. Heavy: and one to
    three spaces between words."""

    name = "casing"
    levels = ("light", "medium", "heavy")

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the careless twin, or nothing where the text is like that already."""

        def rewrite(text: str) -> str:
            return careless(
                text, level, random, protected, case.references, keep_end=is_prompt(case)
            )

        return rewritten(case, rewrite)


def careless(
    text: str,
    level: str,
    random: np.random.Generator,
    protected: frozenset[str] = frozenset(),
    references: tuple[str, ...] = (),
    *,
    keep_end: bool = False,
) -> str:
    """Rewrite the characters that may change."""
    if level != "light":
        mask = kept(text, protected, references)

        def contract(match: re.Match[str]) -> str:
            free = is_free(mask, *match.span())
            return CONTRACTIONS[" ".join(match[0].lower().split())] if free else match[0]

        text = _CONTRACTED.sub(contract, text)
        mask = kept(text, protected, references)
        end = len(text.rstrip(" .,;:!?"))
        if not keep_end and end and is_free(mask, end, len(text)):
            text = text[:end]
    mask = kept(text, protected, references)
    spaced = level == "heavy"
    return "".join(
        character if mask[n] else _change(character, random if spaced else None)
        for n, character in enumerate(text)
    )


def _change(character: str, random: np.random.Generator | None) -> str:
    if random is not None and character == " ":
        return " " * int(random.integers(1, 4))
    return character.lower()
