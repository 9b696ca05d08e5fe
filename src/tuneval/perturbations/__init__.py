"""Case + random generator -> changed Cases. The right answer stays; no models.

A perturbation changes the main text of a case (see ``text.main_text``) or the order of its choices
and keeps everything a label-preserving change must keep: digits, URLs, e-mail addresses, code,
negations, label words, spans that are the reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from tuneval.errors import ConfigError
from tuneval.registry import load, unknown
from tuneval.types import Case


class Perturbation(Protocol):
    """One way to change an input without changing its right answer."""

    name: str
    levels: tuple[str, ...]

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the case with changed inputs, once or several times; empty if nothing changed.

        ``protected`` holds words in lower case that must stay as they are. Identity (id, origin,
        perturbation, cluster) is set by `perturb` below, not here.
        """


PERTURBATIONS = {
    "casing": "tuneval.perturbations.casing:Casing",
    "choice_order": "tuneval.perturbations.choice_order:ChoiceOrder",
    "long": "tuneval.perturbations.lengthen:Long",
    "paraphrase": "tuneval.perturbations.paraphrase:Paraphrase",
    "synonyms": "tuneval.perturbations.synonyms:Synonyms",
    "typos": "tuneval.perturbations.typos:Typos",
}

STANDARD_SUITE = ("casing:medium", "typos:medium", "long:medium")
"""What ``--robustness`` tries: it needs no file and no word list, and fits any text."""


def perturb(
    cases: Sequence[Case],
    name: str,
    level: str,
    perturbation_seed: int,
    protected: Iterable[str] = (),
    **options: object,
) -> tuple[tuple[Case, ...], int]:
    """Make the perturbed twins of cases.

    Each case has its own generator, seeded with blake2b(seed | kind | level | case id): neither the
    order of the cases nor the choice of a subset changes what happens to a case.

    Parameters
    ----------
    name : str
        A name of ``PERTURBATIONS`` or of another package's entry point.
    level : str
        One of the perturbation's ``levels``.
    protected : iterable of str
        Words never to be touched, in any case; for labels see `label_words`.
    **options
        Settings of the perturbation itself, e.g. ``factor=3`` for "long".

    Returns
    -------
    twins : tuple of Case
        ``id`` is "ORIGIN~KIND:LEVEL" (and ":N" where a case has several twins), ``origin`` the id of
        the case, ``perturbation`` "KIND:LEVEL", ``cluster`` that of the case or else its id.
    n_unchanged : int
        Cases without a twin, because nothing could be changed.

    Raises
    ------
    ConfigError
        No such perturbation, level or option.
    """
    kind = _make(name, options)
    if level not in kind.levels:
        raise ConfigError(f"{name}: as a level {unknown(level, kind.levels)}.")
    words = frozenset(word.lower() for word in protected)
    twins: list[Case] = []
    n_unchanged = 0
    for case in cases:
        random = generator(perturbation_seed, name, level, case.id)
        made = kind.perturb(case, level, random, words)
        twins += _identified(case, f"{name}:{level}", made)
        n_unchanged += not made
    return tuple(twins), n_unchanged


def _make(name: str, options: dict[str, object]) -> Perturbation:
    maker = load(PERTURBATIONS, name, room="perturbations")
    try:
        made: Perturbation = maker(**options)
    except TypeError as error:
        raise ConfigError(f"perturbation {name}: {error}.") from error
    return made


def generator(perturbation_seed: int, kind: str, level: str, case_id: str) -> np.random.Generator:
    """Return the random generator that belongs to one case under one perturbation."""
    key = f"{perturbation_seed}|{kind}|{level}|{case_id}"
    return np.random.default_rng(
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest())
    )


def _identified(case: Case, perturbation: str, made: Sequence[Case]) -> list[Case]:
    several = len(made) > 1
    return [
        replace(
            twin,
            id=f"{case.id}~{perturbation}" + (f":{n}" if several else ""),
            origin=case.id,
            perturbation=perturbation,
            cluster=case.cluster or case.id,
        )
        for n, twin in enumerate(made, 1)
    ]


def label_words(labels: Iterable[str]) -> frozenset[str]:
    """Words to protect for a label set: each label and the words it is made of ("card_arrival")."""
    words: set[str] = set()
    for label in labels:
        words.add(label.lower())
        words.update(part for part in re.split(r"[\W_]+", label.lower()) if part)
    return frozenset(words)
