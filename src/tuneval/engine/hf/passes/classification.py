"""Asks a head over labels: one forward pass a text, whatever the number of labels.

Rows of like length go together, so that (almost) nothing is padded. Not for: which output is which
label (``weights/labels.py``), or how texts become ids (``text/bare.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuneval.engine.hf.passes.speaker import Speaker
from tuneval.engine.hf.text.bare import Encoded, Texts, encode
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.labels import HeadLabels, places_of
from tuneval.types import Completion, Request, Response

NAME = "rows of like length"
_MOST_PADDING = 1 / 16
"""Share of a batch that may be padding."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the head gave for one text: log-probabilities or, of a regression, values; and the sigmoids."""

    numbers: tuple[float, ...]
    sigmoids: tuple[float, ...]
    seconds: float


def answer(
    speaker: Speaker, requests: Sequence[Request], known: Collection[str]
) -> Iterator[Response]:
    """Answer with the head's log-probability of each label, or with its number as text.

    The log-probability is the log softmax over all outputs (with several labels at once: the log
    sigmoid of each), in nats, computed in float64 from the model's own logits. Such a response has no
    tokens. Without texts a label has no probability of its own: 0. A request with ``labels`` is answered
    with the sigmoid of each, as a JSON object.
    """
    labels = speaker.labels
    assert labels is not None, speaker.variant
    asked: dict[Texts, list[Request]] = {}
    for request in requests:
        if request.texts and (request.label or request.decoding is not None):
            asked.setdefault(request.texts, []).append(request)
        elif request.id not in known:
            yield _without_answer(speaker, request)
    texts = list(asked)
    rows = encode(speaker.renderer.tokenizer, texts, speaker.renderer.context_length)
    is_known = [all(request.id in known for request in asked[one]) for one in texts]
    places: dict[tuple[str, ...], Mapping[str, int]] = {}
    for batch in batches([len(row.ids) for row in rows], speaker):
        if all(is_known[n] for n in batch):
            continue
        answers = _ask(speaker, [rows[n] for n in batch], labels)
        for n, found in zip(batch, answers, strict=True):
            waiting = [request for request in asked[texts[n]] if request.id not in known]
            own = tuple(one.label for one in waiting if one.label)
            for request in waiting:
                names = request.labels or own
                if names not in places:
                    places[names] = places_of(names, labels, speaker.variant) if names else {}
                yield _response(speaker, request, rows[n], found, labels, places[names])


def _without_answer(speaker: Speaker, request: Request) -> Response:
    if request.label:
        return Response(request.id, speaker.variant, loglikelihood=0.0)
    problem = "a head over labels gives no words a likelihood"
    return Response(request.id, speaker.variant, problem=problem)


def batches(lengths: Sequence[int], speaker: Speaker) -> Iterator[list[int]]:
    """Indices of rows that run together, longest first; rows without a token are left alone."""
    # Virtual tokens come as embeddings, and a decoder then takes the last place for the end of a text.
    may_pad = speaker.network.can_pad and speaker.network.own_forward is None
    batch: list[int] = []
    n_tokens = 0
    for index in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        longest = lengths[batch[0]] if batch else lengths[index]
        n_padded = longest * (len(batch) + 1) - n_tokens - lengths[index]
        is_full = (
            len(batch) >= speaker.max_rows or longest * (len(batch) + 1) > speaker.token_budget
        )
        most = _MOST_PADDING * longest * (len(batch) + 1) if may_pad else 0
        if batch and (is_full or n_padded > most or lengths[index] == 0):
            yield batch
            batch, n_tokens = [], 0
        batch.append(index)
        n_tokens += lengths[index]
    if batch:
        yield batch


def _ask(speaker: Speaker, rows: Sequence[Encoded], labels: HeadLabels) -> list[_Answer | str]:
    """What the head gives for rows that run together; where memory runs out, in halves.

    A text says why there is no answer.
    """
    if not rows[0].ids:
        return ["the tokenizer makes no token of this text"] * len(rows)
    started = time.perf_counter()
    try:
        logits = _logits(speaker, rows)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        memory.release(speaker.network.device)
        if len(rows) == 1:
            return ["out of memory with one text"]
        half = len(rows) // 2
        return _ask(speaker, rows[:half], labels) + _ask(speaker, rows[half:], labels)
    sigmoids = logits.sigmoid().tolist()
    if labels.kind == "one":
        logits = logits.log_softmax(dim=-1)
    elif labels.kind == "several":
        logits = torch.nn.functional.logsigmoid(logits)
    seconds = (time.perf_counter() - started) / len(rows)
    return [
        _Answer(tuple(numbers), tuple(own), seconds)
        for numbers, own in zip(logits.tolist(), sigmoids, strict=True)
    ]


@torch.inference_mode()
def _logits(speaker: Speaker, rows: Sequence[Encoded]) -> Tensor:
    """The head's outputs for rows, by the model's own forward pass; float64, (rows, outputs)."""
    network = speaker.network
    longest = max(len(row.ids) for row in rows)
    pad = network.pad_token
    is_padded = any(len(row.ids) < longest for row in rows)

    def filled(values: Sequence[Sequence[int]], filler: int) -> Tensor:
        listed = [[*one, *[filler] * (longest - len(one))] for one in values]
        return torch.tensor(listed, device=network.device)

    mask = filled([[1] * len(row.ids) for row in rows], 0) if is_padded else None
    types = None
    if network.takes_types and all(row.type_ids is not None for row in rows):
        types = filled([row.type_ids or () for row in rows], 0)
    ids = filled([row.ids for row in rows], 0 if pad is None else pad)
    return network.label_logits(ids, mask, types).double().cpu()


def _response(
    speaker: Speaker,
    request: Request,
    row: Encoded,
    found: _Answer | str,
    labels: HeadLabels,
    places: Mapping[str, int],
) -> Response:
    if isinstance(found, str):
        return Response(request.id, speaker.variant, problem=found)
    seconds = found.seconds
    if request.decoding is not None:
        said = Completion(_said(found, labels, places if request.labels else {}), 1, "stop")
        return Response(
            request.id,
            speaker.variant,
            completions=(said,) * request.decoding.n_completions,
            prompt_tokens=len(row.ids),
            is_truncated=row.n_cut > 0,
            seconds=seconds,
        )
    number = found.numbers[places[request.label]]
    return Response(
        request.id,
        speaker.variant,
        loglikelihood=number,
        is_greedy=number == max(found.numbers),
        prompt_tokens=len(row.ids),
        is_truncated=row.n_cut > 0,
        seconds=seconds,
    )


def _said(found: _Answer, labels: HeadLabels, several: Mapping[str, int]) -> str:
    """The number, or the likeliest label's name (its place where it has none), or the probability of each
    of several that may fit."""
    if several:
        return json.dumps({label: found.sigmoids[place] for label, place in several.items()})
    if labels.kind == "number":
        return f"{found.numbers[0]:.9g}"  # as many digits as float32 has
    place = max(range(len(found.numbers)), key=lambda n: found.numbers[n])
    return labels.names[place] if labels.are_named else str(place)
