"""Words -> ids, and where each word begins among them, for heads over words.

Encoded as the scripts of the field do it: each word by itself (``is_split_into_words``), cut to the longest
input from its end. Not for: texts without words of their own (``bare.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.errors import VariantError
from tuneval.types import Request, ShownPrompt

OUTSIDE = "O"
"""Tag of a word that was not read."""
_N_ENCODED = 2048
"""Texts that are encoded at once."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """A text as ids. ``firsts``: place of the first token of each word, None where there is none;
    ``n_lost``: how many of these do not fit."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None
    firsts: tuple[int | None, ...]
    n_lost: int = 0


def align(tokenizer: Any, texts: Sequence[str], longest: int) -> list[Aligned]:
    """Encode texts, whose words stand between blanks, each cut to ``longest`` tokens."""
    found: list[Aligned] = []
    for start in range(0, len(texts), _N_ENCODED):
        block = [text.split() for text in texts[start : start + _N_ENCODED]]
        rows = tokenizer(
            block,
            is_split_into_words=True,
            truncation=True,
            max_length=longest,
            padding=False,
            verbose=False,
        )
        types = rows.get("token_type_ids")
        for n, words in enumerate(block):
            firsts: dict[int, int] = {}
            for place, word in enumerate(rows.word_ids(n)):
                if word is not None:
                    firsts.setdefault(word, place)
            # Words without any token (a lone joiner) in the middle are not lost to length.
            n_lost = len(words) - 1 - max(firsts, default=len(words) - 1)
            found.append(
                Aligned(
                    tuple(rows["input_ids"][n]),
                    None if types is None else tuple(types[n]),
                    tuple(firsts.get(word) for word in range(len(words))),
                    n_lost if len(rows["input_ids"][n]) >= longest else 0,
                )
            )
    return found


def shown(
    tokenizer: Any, longest: int, given: str, requests: Sequence[Request]
) -> list[ShownPrompt]:
    """The words of every request as a head over words reads them, cut where they are cut.

    Raises
    ------
    VariantError
        Something else than tags is asked for, or the tokenizer cannot say where a word begins.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise VariantError(
            f'"{given}": its tokenizer is one of Python\'s own, which cannot say which token belongs to '
            "which word.\nSave the fast one (tokenizer.json) into the folder."
        )
    for request in requests:
        if not request.texts or request.decoding is None:
            raise VariantError(
                f'"{given}" has a head over words, and the task of "{request.case_id}" asks for something else.\n'
                'Compare it on a file with a list of words and a list of tags ("tokens", "ner_tags").'
            )
    rows = align(tokenizer, [request.texts[0] for request in requests], longest)
    whole = [
        _read(tokenizer, request.texts[0].split(), row)
        for request, row in zip(requests, rows, strict=True)
    ]
    return [
        ShownPrompt(
            text,
            None,
            row.n_lost,
            len(text) if row.n_lost else None,
            is_question_lost=2 * row.n_lost > len(row.firsts),
        )
        for text, row in zip(whole, rows, strict=True)
    ]


def _read(tokenizer: Any, words: Sequence[str], row: Aligned) -> str:
    """The words that fit, and the special tokens around them."""
    places = [first for first in row.firsts if first is not None]
    tokens = tokenizer.convert_ids_to_tokens(list(row.ids))
    special = set(tokenizer.all_special_tokens)
    before = tokens[: places[0]] if places else []
    after = [token for token in tokens[-1:] if token in special]
    return " ".join([*before, *words[: len(words) - row.n_lost], *after])
