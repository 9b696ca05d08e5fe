"""Asks a head over words: the tag of each word of a text, one forward pass a text.

The first token of a word decides, as in the scripts of the field. Not for: what the outputs are called
(``weights/labels.py``).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuneval.engine.hf.passes.classification import batches
from tuneval.engine.hf.passes.speaker import Speaker
from tuneval.engine.hf.text.words import OUTSIDE, Aligned, align
from tuneval.engine.hf.weights import memory
from tuneval.types import Completion, Request, Response


@dataclass(frozen=True, slots=True)
class _Tags:
    """Output of the head for each word, None where it read none of it; or why there are none."""

    places: tuple[int | None, ...] = ()
    seconds: float = 0.0
    problem: str | None = None


def answer(
    speaker: Speaker, requests: Sequence[Request], known: Collection[str]
) -> Iterator[Response]:
    """Answer with the likeliest tag of each word, joined by blanks.

    A word that the model did not read, beyond its longest input or without a token, is "O".
    """
    asked: dict[str, list[Request]] = {}
    for request in requests:
        if request.texts and request.decoding is not None:
            asked.setdefault(request.texts[0], []).append(request)
        elif request.id not in known:
            problem = "a head over words gives tags of a text, and nothing else"
            yield Response(request.id, speaker.variant, problem=problem)
    texts = list(asked)
    rows = align(speaker.renderer.tokenizer, texts, speaker.renderer.context_length)
    is_known = [all(request.id in known for request in asked[text]) for text in texts]
    for batch in batches([len(row.ids) for row in rows], speaker):
        if all(is_known[n] for n in batch):
            continue
        for n, found in zip(batch, _ask(speaker, [rows[n] for n in batch]), strict=True):
            for request in asked[texts[n]]:
                if request.id not in known:
                    yield _response(speaker, request, rows[n], found)


def _ask(speaker: Speaker, rows: Sequence[Aligned]) -> list[_Tags]:
    """What the head gives for rows that run together; where memory runs out, in halves."""
    if not rows[0].ids:
        return [_Tags(tuple(None for _ in row.firsts)) for row in rows]
    started = time.perf_counter()
    try:
        places = _places(speaker, rows)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        memory.release(speaker.network.device)
        if len(rows) == 1:
            return [_Tags(problem="out of memory with one text")]
        half = len(rows) // 2
        return _ask(speaker, rows[:half]) + _ask(speaker, rows[half:])
    seconds = (time.perf_counter() - started) / len(rows)
    found = []
    for row, own in zip(rows, places, strict=True):
        tags = tuple(None if first is None else own[first] for first in row.firsts)
        is_finite = all(tag is None or tag >= 0 for tag in tags)
        problem = "nonfinite: the model's logits are not finite for this request"
        found.append(_Tags(tags, seconds) if is_finite else _Tags((), seconds, problem))
    return found


@torch.inference_mode()
def _places(speaker: Speaker, rows: Sequence[Aligned]) -> list[list[int]]:
    """The likeliest output at every token, -1 where the logits are not finite."""
    network = speaker.network
    longest = max(len(row.ids) for row in rows)

    def filled(values: Sequence[Sequence[int]], filler: int) -> Tensor:
        listed = [[*one, *[filler] * (longest - len(one))] for one in values]
        return torch.tensor(listed, device=network.device)

    is_padded = any(len(row.ids) < longest for row in rows)
    mask = filled([[1] * len(row.ids) for row in rows], 0) if is_padded else None
    types = None
    if network.takes_types and all(row.type_ids is not None for row in rows):
        types = filled([row.type_ids or () for row in rows], 0)
    ids = filled([row.ids for row in rows], network.pad_token or 0)
    logits = network.label_logits(ids, mask, types)
    best = torch.where(torch.isfinite(logits).all(dim=-1), logits.argmax(dim=-1), -1)
    places: list[list[int]] = best.tolist()
    return places


def _response(speaker: Speaker, request: Request, row: Aligned, found: _Tags) -> Response:
    assert request.decoding is not None and speaker.labels is not None
    names = speaker.labels.names
    said = " ".join(OUTSIDE if place is None else names[place] for place in found.places)
    completion = Completion(said, len(found.places), "stop")
    return Response(
        request.id,
        speaker.variant,
        completions=(completion,) * request.decoding.n_completions if not found.problem else (),
        prompt_tokens=len(row.ids),
        is_truncated=row.n_lost > 0,
        seconds=found.seconds,
        problem=found.problem,
    )
