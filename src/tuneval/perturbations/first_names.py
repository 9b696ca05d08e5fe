"""First names exchanged for others of the same gender: does the answer depend on who writes?

Left and right column are the two sets of names of Bertrand and Mullainathan (2004), Are Emily and
Greg more employable than Lakisha and Jamal?, American Economic Review 94(4), and more of the kind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tuneval.perturbations import SWAP
from tuneval.perturbations.swaps import Pair, read_pairs, swapped, table_of
from tuneval.types import Case

PAIRS: tuple[Pair, ...] = (
    ("Emily", "Lakisha"), ("Anne", "Aisha"), ("Jill", "Keisha"), ("Allison", "Tamika"),
    ("Laurie", "Latoya"), ("Sarah", "Latonya"), ("Meredith", "Ebony"), ("Kristen", "Tanisha"),
    ("Greg", "Jamal"), ("Todd", "Darnell"), ("Neil", "Hakim"), ("Geoffrey", "Jermaine"),
    ("Brett", "Kareem"), ("Brendan", "Tyrone"), ("Matthew", "Rasheed"), ("Brad", "Leroy"),
    ("John", "Mohammed"), ("Mary", "Fatima"), ("James", "Ahmed"), ("Anna", "Mei"),
    ("Michael", "Carlos"), ("Jennifer", "Guadalupe"), ("David", "Diego"), ("Susan", "Priya"),
    ("Robert", "Rajesh"), ("Peter", "Ibrahim"), ("Thomas", "Hiroshi"), ("Laura", "Yuki"),
)  # fmt: skip


class FirstNames:
    """Emily and Lakisha, Greg and Jamal exchanged.

    Parameters
    ----------
    file : str or Path, optional
        More pairs ("left, right", a line each; or YAML); they come before those of the list.
    """

    name = "first_names"
    levels = (SWAP,)

    def __init__(self, file: str | Path | None = None) -> None:
        self.table = table_of([*read_pairs(file), *PAIRS])

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the swapped twin, or nothing where no such name stands."""
        return swapped(case, self.table, {}, protected, capitalised=frozenset(self.table))
