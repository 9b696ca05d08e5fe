"""Which text of a case may change, and which characters of it must not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from tuneval.types import Case, Message

LETTER = "A-Za-zÀ-ÖØ-öø-ɏ"
WORD = re.compile(f"[{LETTER}]+(?:['’][{LETTER}]+)*")
"""A word in Latin letters, inner apostrophes included. Other scripts are left alone: a swapped
letter there is not the slip that a Latin keyboard makes."""

NEGATIONS = frozenset(
    [
        "no",
        "not",
        "nor",
        "none",
        "never",
        "nobody",
        "nothing",
        "nowhere",
        "neither",
        "without",
        "cannot",
        "hardly",
        "barely",
        "scarcely",
        "cant",
        "dont",
        "wont",
        "isnt",
    ]
)

_KEPT = re.compile(
    r"""
      ```.*?(?:```|\Z) | `[^`\n]*`                # code
    | ^(?:[ ]{4}|\t)[^\n]* | ^[^\n]*[;{}][ \t]*$ # lines that look like code
    | ^[ \t]*[A-Z][\w ]{0,30}:(?!\S)             # a field's name: "Topic:"
    | \{[^{}\n]*\} | <[^<>\n]{1,200}>             # placeholders, tags
    | \S*[@\#/\\_\d]\S*                           # addresses, paths, identifiers, numbers
    | \w+(?:\.\w+)+ | \w+\( | \b[a-z]+[A-Z]\w*    # example.com, call(, camelCase
    | \b\w*n['’]t\b                               # don't, isn't
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_MAX_SPAN = 300


def main_text(case: Case) -> str | None:
    """The text that perturbations change, None if there is none that may be changed."""
    key = _main_key(case)
    if key is None:
        return None
    if key == "messages":
        turn = _last_user(case)
        return None if turn is None else case.inputs["messages"][turn].content  # type: ignore[index]
    return str(case.inputs[key])


def with_main_text(case: Case, text: str) -> Case:
    """Return the case with another main text."""
    key = _main_key(case)
    assert key is not None, case.id
    if key != "messages":
        return replace(case, inputs={**case.inputs, key: text})
    turn = _last_user(case)
    assert turn is not None, case.id
    turns: tuple[Message, ...] = case.inputs["messages"]  # type: ignore[assignment]
    changed = (*turns[:turn], Message("user", text), *turns[turn + 1 :])
    return replace(case, inputs={**case.inputs, "messages": changed})


def rewritten(case: Case, rewrite: Callable[[str], str]) -> tuple[Case, ...]:
    """Apply ``rewrite`` to the main text; empty if that changes nothing."""
    text = main_text(case)
    if text is None:
        return ()
    changed = rewrite(text)
    return () if changed == text else (with_main_text(case, changed),)


class RewrittenShare:
    """The frame of a perturbation that changes a share of the words of the main text.

    ``rewrite(text, share, random, protected, references)`` is the subclass's own.
    """

    shares: Mapping[str, float]
    """Level -> share of the words."""
    rewrite: Callable[[str, float, np.random.Generator, frozenset[str], tuple[str, ...]], str]

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return the rewritten twin, or nothing where no word may change."""
        share = self.shares[level]
        return rewritten(
            case, lambda text: self.rewrite(text, share, random, protected, case.references)
        )


def is_prompt(case: Case) -> bool:
    """Is the main text a whole prompt, whose end the completion continues?"""
    return _main_key(case) == "prompt"


def _main_key(case: Case) -> str | None:
    inputs = case.inputs
    if "test" in inputs and "prompt" in inputs:
        return None  # a program
    for key in ("text", "messages", "instruction", "question", "article", "prompt", "input"):
        if key in inputs:
            return "input" if key == "instruction" and "input" in inputs else key
    return None


def _last_user(case: Case) -> int | None:
    turns: tuple[Message, ...] = case.inputs["messages"]  # type: ignore[assignment]
    return next((n for n in reversed(range(len(turns))) if turns[n].role == "user"), None)


def kept(text: str, protected: frozenset[str], references: tuple[str, ...] = ()) -> bytearray:
    """Mark the characters that must not change: 1 for each such character, else 0."""
    mask = bytearray(len(text))
    for match in _KEPT.finditer(text):
        _mark(mask, *match.span())
    whole = NEGATIONS | protected | {r.lower() for r in references if 0 < len(r) <= _MAX_SPAN}
    for match in _any_of(whole).finditer(text):
        _mark(mask, *match.span())
    return mask


def is_free(mask: bytearray, start: int, end: int) -> bool:
    """May all characters from ``start`` to ``end`` change?"""
    return mask.find(1, start, end) < 0


def _mark(mask: bytearray, start: int, end: int) -> None:
    mask[start:end] = b"\x01" * (end - start)


@lru_cache(maxsize=256)
def _any_of(words: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
