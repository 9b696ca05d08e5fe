"""Case + random generator -> changed Cases. The right answer stays; no models.

A perturbation changes the main text of a case (see ``text.main_text``), the order of its choices or
the wording of its prompt, and keeps everything a label-preserving change must keep: digits, URLs,
e-mail addresses, code, negations, label words, spans that are the reference.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from tuneval.errors import ConfigError
from tuneval.registry import load, unknown
from tuneval.types import Case

SWAP = "swap"
"""Level of perturbations that exchange words about people. What they show is whether the answer
stays, never whether 90% of the score does."""

STANDARD = "standard"
"""Word for the suite that ``standard_suite`` chooses."""


class Perturbation(Protocol):
    """One way to change an input without changing its right answer.

    A class may offer besides: ``aliases`` (other word -> level), ``understand(level)`` (settings
    that a word after the colon stands for, None where it stands for none) and, on the instance,
    ``remarks()`` (sentences for the user once all cases were changed).
    """

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
    "first_names": "tuneval.perturbations.first_names:FirstNames",
    "format": "tuneval.perturbations.prompt_format:PromptFormat",
    "gender": "tuneval.perturbations.gender:Gender",
    "long": "tuneval.perturbations.lengthen:Long",
    "paraphrase": "tuneval.perturbations.paraphrase:Paraphrase",
    "synonyms": "tuneval.perturbations.synonyms:Synonyms",
    "typos": "tuneval.perturbations.typos:Typos",
}


def standard_suite(cases: Iterable[Case]) -> tuple[str, ...]:
    """What ``--robustness`` tries: needs no file and fits any text.

    The order of choices joins where some case has choices, synonyms where the WordNet data are.
    """
    from tuneval.perturbations.synonyms import has_wordnet

    has_choices = any("choices" in case.inputs for case in cases)
    return (
        "casing:medium",
        "typos:medium",
        "long:4x",
        *(["choice_order:all"] if has_choices else []),
        *(["synonyms:medium"] if has_wordnet() else []),
    )


def understand(
    name: str, level: str | None, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Read what stands after a perturbation's name: a level, another word for one, or a setting.

    Returns
    -------
    level : str
        One of the kind's own, by default "medium" or else its first.
    options : dict

    Raises
    ------
    ConfigError
        No such perturbation, or a word that it does not know.
    """
    kind = load(PERTURBATIONS, name, room="perturbations")
    levels: tuple[str, ...] = kind.levels
    if level is None:
        level = "medium" if "medium" in levels else levels[0]
    aliases: Mapping[str, str] = getattr(kind, "aliases", {})
    level = aliases.get(level, level)
    if level in levels:
        return level, dict(options)
    meant = kind.understand(level) if hasattr(kind, "understand") else None
    if meant is None:
        raise ConfigError(f"perturbation {name}: {unknown(level, [*levels, *aliases])}")
    return meant[0], {**meant[1], **options}


def make(name: str, options: Mapping[str, Any] | None = None) -> Perturbation:
    """Build a perturbation; one that reads a file reads it here.

    Raises
    ------
    ConfigError, DataError
        No such perturbation or option, or a file that cannot be used.
    """
    maker = load(PERTURBATIONS, name, room="perturbations")
    accepted = list(inspect.signature(maker).parameters)
    for option in options or {}:
        if option not in accepted:
            raise ConfigError(f"perturbation {name}: {unknown(option, ['level', *accepted])}")
    made: Perturbation = maker(**(options or {}))
    return made


def perturb(
    cases: Sequence[Case],
    name: str,
    level: str,
    perturbation_seed: int,
    protected: Iterable[str] = (),
    **options: object,
) -> tuple[tuple[Case, ...], int]:
    """Make the perturbed twins of cases: `make`, then `apply`.

    Parameters
    ----------
    name : str
        A name of ``PERTURBATIONS`` or of another package's entry point.
    level : str
        One of the perturbation's ``levels``, or another word that `understand` knows.
    **options
        Settings of the perturbation itself, e.g. ``factor=3`` for "long".

    Raises
    ------
    ConfigError
        No such perturbation, level or option.
    """
    level, options = understand(name, level, options)
    return apply(make(name, options), cases, level, perturbation_seed, protected)


def apply(
    kind: Perturbation,
    cases: Sequence[Case],
    level: str,
    perturbation_seed: int,
    protected: Iterable[str] = (),
) -> tuple[tuple[Case, ...], int]:
    """Make the perturbed twins of cases.

    Each case has its own generator, seeded with blake2b(seed | kind | level | case id): neither the
    order of the cases nor the choice of a subset changes what happens to a case.

    Parameters
    ----------
    protected : iterable of str
        Words never to be touched, in any case; for labels see `label_words`.

    Returns
    -------
    twins : tuple of Case
        ``id`` is "ORIGIN~KIND:LEVEL" (and ":N" where a case has several twins), ``origin`` the id of
        the case, ``perturbation`` "KIND:LEVEL", ``cluster`` that of the case or else its id.
    n_unchanged : int
        Cases without a twin, because nothing could be changed.
    """
    words = frozenset(word.lower() for word in protected)
    label = kind.label(level) if hasattr(kind, "label") else level
    twins: list[Case] = []
    n_unchanged = 0
    for case in cases:
        random = generator(perturbation_seed, kind.name, label, case.id)
        made = kind.perturb(case, level, random, words)
        twins += identified(case, f"{kind.name}:{label}", made)
        n_unchanged += not made
    return tuple(twins), n_unchanged


def generator(perturbation_seed: int, kind: str, level: str, case_id: str) -> np.random.Generator:
    """Return the random generator that belongs to one case under one perturbation."""
    key = f"{perturbation_seed}|{kind}|{level}|{case_id}"
    return np.random.default_rng(
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest())
    )


def identified(case: Case, perturbation: str, made: Sequence[Case]) -> list[Case]:
    """Give twins of a case their ids and tie them to it."""
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
