"""Gendered words, pronouns and first names exchanged, both ways: does the answer stay?

Left column masculine, right column feminine.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tuneval.perturbations import SWAP
from tuneval.perturbations.swaps import Entry, Pair, read_pairs, swapped, table_of
from tuneval.types import Case

PAIRS: tuple[Pair, ...] = (
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"),
    ("boys", "girls"), ("father", "mother"), ("fathers", "mothers"), ("dad", "mom"),
    ("daddy", "mommy"), ("son", "daughter"), ("sons", "daughters"), ("brother", "sister"),
    ("brothers", "sisters"), ("husband", "wife"), ("husbands", "wives"), ("uncle", "aunt"),
    ("uncles", "aunts"), ("nephew", "niece"), ("nephews", "nieces"),
    ("grandfather", "grandmother"), ("grandpa", "grandma"), ("grandson", "granddaughter"),
    ("stepfather", "stepmother"), ("stepson", "stepdaughter"), ("boyfriend", "girlfriend"),
    ("boyfriends", "girlfriends"), ("gentleman", "lady"), ("gentlemen", "ladies"),
    ("sir", "madam"), ("mr", "ms"), ("male", "female"), ("males", "females"),
    ("masculine", "feminine"), ("groom", "bride"), ("widower", "widow"), ("prince", "princess"),
    ("actor", "actress"), ("actors", "actresses"), ("waiter", "waitress"),
    ("waiters", "waitresses"), ("policeman", "policewoman"), ("businessman", "businesswoman"),
    ("salesman", "saleswoman"), ("chairman", "chairwoman"), ("fireman", "firewoman"),
    ("schoolboy", "schoolgirl"), ("fatherhood", "motherhood"), ("paternal", "maternal"),
    ("him", "her"), ("his", "hers"),
)  # fmt: skip
"""Of "her", "his" and "hers" the text that follows decides; see ``AMBIGUOUS``."""

NAMES: tuple[Pair, ...] = (
    ("James", "Mary"), ("John", "Patricia"), ("Robert", "Jennifer"), ("Michael", "Linda"),
    ("David", "Elizabeth"), ("William", "Barbara"), ("Richard", "Susan"), ("Joseph", "Jessica"),
    ("Thomas", "Sarah"), ("Charles", "Karen"), ("Daniel", "Lisa"), ("Matthew", "Nancy"),
    ("Anthony", "Betty"), ("Paul", "Sandra"), ("Steven", "Ashley"), ("Andrew", "Emily"),
    ("Joshua", "Donna"), ("Kevin", "Michelle"), ("Brian", "Amanda"), ("Ronald", "Melissa"),
    ("Edward", "Deborah"), ("Jason", "Stephanie"), ("Jeffrey", "Rebecca"), ("Ryan", "Laura"),
    ("Jacob", "Helen"), ("Gary", "Sharon"), ("Nicholas", "Cynthia"), ("Eric", "Kathleen"),
    ("Jonathan", "Amy"), ("Stephen", "Angela"), ("Larry", "Shirley"), ("Justin", "Brenda"),
    ("Peter", "Anna"), ("Alexander", "Catherine"), ("Samuel", "Emma"), ("Benjamin", "Rachel"),
    ("Ahmed", "Fatima"), ("Mohammed", "Aisha"), ("Carlos", "Maria"), ("Jose", "Ana"),
)  # fmt: skip
"""Frequent names that are no other word; the two of a pair are about equally frequent."""

_ONE_WAY = {
    "mrs": Entry("Mr", "left"),
    "mum": Entry("dad", "left"),
    "mama": Entry("papa", "left"),
    "papa": Entry("mama", "right"),
}

_FUNCTION_WORDS = """
a about after again all also although an and any are around as at away back because before
but by can could did do does down during each either ever every for from had has have he here
how i if in into is it later may might more most much must never next not now of off on once
only or out over own quite she should since so some soon than that the then there these they
this those though through till to today together tomorrow tonight too under until up upon very
was we well were what when where whether which while who why will with within without would
yesterday yet you
"""
_NO_NOUN = frozenset(_FUNCTION_WORDS.split())
"""Words that open no noun phrase after "her"; any other word is taken for its noun or adjective."""


def _is_before_noun(rest: str) -> bool:
    following = re.match(r"\s+([^\W\d_][\w'’-]*)", rest)
    return following is not None and following[1].lower() not in _NO_NOUN


AMBIGUOUS = {
    "her": lambda rest: "his" if _is_before_noun(rest) else "him",
    "his": lambda rest: "her" if _is_before_noun(rest) else "hers",
    "hers": lambda rest: "his",
    "him": lambda rest: "her",
}


class Gender:
    """He and she, his and her, husband and wife, John and Mary exchanged.

    Parameters
    ----------
    file : str or Path, optional
        More pairs ("left, right", a line each; or YAML); they come before those of the list.
    """

    name = "gender"
    levels = (SWAP,)

    def __init__(self, file: str | Path | None = None) -> None:
        own = read_pairs(file)
        self.table = table_of([*own, *PAIRS, *NAMES], _ONE_WAY)
        given = {word.lower() for pair in own for word in pair}
        self.ambiguous = {word: one for word, one in AMBIGUOUS.items() if word not in given}
        self.names = frozenset(name.lower() for pair in NAMES for name in pair) - given

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the swapped twin, or nothing where no such word stands."""
        return swapped(case, self.table, self.ambiguous, protected, capitalised=self.names)
