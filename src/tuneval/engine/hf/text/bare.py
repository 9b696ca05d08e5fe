"""The bare texts of cases -> ids, for heads that are no language models: no prompt, no template.

Encoded as transformers' own pipeline does: one text or a pair, the tokenizer's own special tokens, cut
to the longest input where the tokenizer cuts (of a pair: the longer one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.engine.hf.weights.labels import HeadLabels, check_several, check_whole
from tuneval.errors import VariantError
from tuneval.types import Request, ShownPrompt

Texts = tuple[str, ...]
_N_ENCODED = 2048
"""Texts that are encoded at once."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as ids, ``n_cut`` of them left out. ``type_ids`` tell the first text of a pair from the
    second, for models that were trained with that."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None
    n_cut: int = 0


def encode(tokenizer: Any, texts: Sequence[Texts], longest: int) -> list[Encoded]:
    """Encode single texts and pairs, each cut to ``longest`` tokens."""
    found: list[Encoded] = []
    for start in range(0, len(texts), _N_ENCODED):
        block = texts[start : start + _N_ENCODED]
        whole = _encode(tokenizer, block, None)
        too_long = [n for n, (ids, _) in enumerate(whole) if len(ids) > longest]
        cut = dict(
            zip(too_long, _encode(tokenizer, [block[n] for n in too_long], longest), strict=True)
        )
        for n, (ids, _) in enumerate(whole):
            kept, types = cut.get(n, whole[n])
            found.append(Encoded(kept, types, len(ids) - len(kept)))
    return found


def _encode(
    tokenizer: Any, texts: Sequence[Texts], longest: int | None
) -> list[tuple[tuple[int, ...], tuple[int, ...] | None]]:
    found: list[tuple[tuple[int, ...], tuple[int, ...] | None]] = [((), None)] * len(texts)
    for size in {len(one) for one in texts}:
        chosen = [n for n, one in enumerate(texts) if len(one) == size]
        sides = [[texts[n][side] for n in chosen] for side in range(min(size, 2))]
        rows = tokenizer(
            *sides, truncation=longest is not None, max_length=longest, padding=False, verbose=False
        )
        types = rows.get("token_type_ids")
        for place, n in enumerate(chosen):
            found[n] = (
                tuple(rows["input_ids"][place]),
                tuple(types[place]) if types is not None else None,
            )
    return found


def shown(
    tokenizer: Any, longest: int, head: HeadLabels, given: str, requests: Sequence[Request]
) -> list[ShownPrompt]:
    """The text of every request as a head over labels reads it, cut where it is cut.

    Raises
    ------
    VariantError
        The head has another set of labels than the requests ask about, or the requests are not of
        labels at all.
    """
    _check_labels(head, given, requests)
    distinct = list(dict.fromkeys(request.texts for request in requests))
    rows = dict(zip(distinct, encode(tokenizer, distinct, longest), strict=True))
    texts = {
        key: tokenizer.decode(row.ids, clean_up_tokenization_spaces=False)
        for key, row in rows.items()
    }
    return [_shown(tokenizer, texts[one.texts], rows[one.texts], one) for one in requests]


def _shown(tokenizer: Any, text: str, row: Encoded, request: Request) -> ShownPrompt:
    cut_at = 0 if getattr(tokenizer, "truncation_side", "right") == "left" else len(text)
    return ShownPrompt(
        text,
        request.label or request.continuation,
        row.n_cut,
        cut_at if row.n_cut else None,
        is_question_lost=row.n_cut > len(row.ids),
    )


def _check_labels(head: HeadLabels, given: str, requests: Sequence[Request]) -> None:
    asked: dict[str, set[str]] = {}
    for request in requests:
        is_of_words = request.continuation is not None and not request.label
        if is_of_words or not (request.texts or request.label):
            raise VariantError(
                f'"{given}" has a head over labels: it reads texts, and the task of '
                f'"{request.case_id}" asks for words.\nCompare it on a file with labels '
                "(--task classify)."
            )
        if request.label:
            asked.setdefault(request.case_id, set()).add(request.label)
    for several in {request.labels for request in requests if request.labels}:
        check_several(several, head, given)
    for labels in {frozenset(one) for one in asked.values() if len(one) > 1}:
        check_whole(sorted(labels), head, given)
