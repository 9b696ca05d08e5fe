"""Answers of a model with an encoder: log-likelihoods and completions from its decoder.

A text is encoded once, whatever the number of answers to it; the decoder's first token is read once, too, and
all answers go on from there in one pass. Not for: a decoder alone (``loglikelihood.py``, ``generation.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from tuneval.engine.hf.passes.generation import (
    Drawn,
    Job,
    Row,
    Speller,
    advance,
    choose,
    finish,
    row_of,
)
from tuneval.engine.hf.passes.padded import HEAD_ROWS, WindowScore, finite, from_logits
from tuneval.engine.hf.passes.responses import (
    beyond,
    drawn_response,
    jobs_of,
    scored_response,
)
from tuneval.engine.hf.passes.schedule import padded_batches
from tuneval.engine.hf.passes.speaker import Speaker
from tuneval.engine.hf.text.render import Window
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.encoder_decoder import EncoderDecoder, gathered
from tuneval.types import Request, Response

Ids = tuple[int, ...]
Piece = TypeVar("Piece", bound="Window | Job")
Found = TypeVar("Found")


def answer(
    speaker: Speaker, requests: Sequence[Request], known: Collection[str]
) -> Iterator[Response]:
    """Answer requests as a variant with an encoder; see ``Pass``."""
    network = speaker.network
    assert isinstance(network, EncoderDecoder), speaker.variant
    scored = [request for request in requests if request.continuation is not None]
    if scored:
        scorings = speaker.renderer.scorings(scored)
        yield from _by_piece(
            speaker,
            scored,
            known,
            [one.windows for one in scorings],
            lambda windows, done: score(network, windows, speaker, known=done),
            lambda n, parts: scored_response(scored[n], speaker.variant, scorings[n], parts),
        )
    drawn = [request for request in requests if request.decoding is not None]
    if drawn:
        prompts = speaker.renderer.prompts(drawn)
        yield from _by_piece(
            speaker,
            drawn,
            known,
            [jobs_of(n, *one) for n, one in enumerate(zip(drawn, prompts, strict=True))],
            lambda jobs, done: draw(network, jobs, speaker, known=done),
            lambda n, parts: drawn_response(drawn[n], speaker.variant, prompts[n], parts),
        )


def _by_piece(
    speaker: Speaker,
    requests: Sequence[Request],
    known: Collection[str],
    pieces: Sequence[Sequence[Piece]],
    run: Callable[[Sequence[Piece], set[int]], Iterator[tuple[int, Found]]],
    respond: Callable[[int, Sequence[Found]], Response],
) -> Iterator[Response]:
    """Run the pieces of all requests; each request is answered with its last piece."""
    flat: list[Piece] = []
    owners: list[int] = []
    pending: dict[int, dict[int, Found]] = {}
    for owner, (request, own) in enumerate(zip(requests, pieces, strict=True)):
        problem = beyond(max(map(_largest, own)), speaker.n_embeddings)
        if problem is None:
            pending[owner] = {}
            flat += own
            owners += [owner] * len(own)
        elif request.id not in known:
            yield Response(request.id, speaker.variant, problem=problem)
    done = {place for place, owner in enumerate(owners) if requests[owner].id in known}
    for place, part in run(flat, done):
        owner = owners[place]
        pending[owner][place] = part
        if len(pending[owner]) == len(pieces[owner]):
            parts = pending.pop(owner)
            yield respond(owner, [parts[n] for n in sorted(parts)])


def _largest(piece: Window | Job) -> int:
    ids = piece if isinstance(piece, Window) else piece.prompt
    return max((*ids.source, *ids.ids), default=0)


# ---------------------------------------------------------------------------------- log-likelihoods


@dataclass(frozen=True, slots=True)
class _Root:
    """A text that is encoded once, the token that the decoder begins with, and all that goes on from there.

    ``answers``: what the decoder reads in whole -> the windows that want its rows.
    """

    source: Ids
    first: int
    answers: dict[Ids, list[int]]

    @property
    def places(self) -> list[int]:
        """Windows of all answers."""
        return [place for places in self.answers.values() for place in places]


def score(
    network: EncoderDecoder,
    windows: Sequence[Window],
    speaker: Speaker,
    *,
    known: Collection[int] = (),
) -> Iterator[tuple[int, WindowScore]]:
    """Log-probabilities of what the decoder writes, all answers to one text in one pass.

    What runs together is planned over all windows; those in ``known`` are not yielded.

    Yields
    ------
    int, WindowScore
        Index into ``windows`` and its score, in no particular order.
    """
    for place, window in enumerate(windows):
        if window.n_scored == 0 and place not in known:
            yield place, WindowScore()
    roots = _roots(windows)
    lengths = [len(root.source) for root in roots]
    for batch in padded_batches(
        lengths, token_budget=speaker.token_budget, max_rows=_rows_of(network, speaker)
    ):
        chosen = [roots[number] for number in batch]
        if all(place in known for root in chosen for place in root.places):
            continue
        for place, found in _halving(network, chosen, windows, speaker):
            if place not in known:
                yield place, found


def _rows_of(network: EncoderDecoder, speaker: Speaker) -> int:
    return 1 if network.own_forward is not None or not network.can_pad else speaker.max_rows


def _roots(windows: Sequence[Window]) -> list[_Root]:
    roots: dict[tuple[Ids, int], _Root] = {}
    for place, window in enumerate(windows):
        if window.n_scored:
            key = (window.source, window.ids[0])
            root = roots.setdefault(key, _Root(*key, {}))
            root.answers.setdefault(window.ids[:-1], []).append(place)
    return list(roots.values())


def _halving(
    network: EncoderDecoder, roots: list[_Root], windows: Sequence[Window], speaker: Speaker
) -> Iterator[tuple[int, WindowScore]]:
    """Score texts together; where memory runs out, each half of them; at one text, say so and go on."""
    started = time.perf_counter()
    try:
        scored = list(_score_together(network, roots, windows, speaker))
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        scored = None
    if scored is not None:
        seconds = (time.perf_counter() - started) / max(1, len(scored))
        yield from ((place, finite(*found, seconds)) for place, found in scored)
        return
    memory.release(network.device)
    if len(roots) == 1:
        problem = f"out of memory: a text of {len(roots[0].source)} tokens does not fit"
        yield from ((place, WindowScore(problem=problem)) for place in roots[0].places)
        return
    middle = len(roots) // 2
    yield from _halving(network, roots[:middle], windows, speaker)
    yield from _halving(network, roots[middle:], windows, speaker)


@torch.inference_mode()
def _score_together(
    network: EncoderDecoder, roots: list[_Root], windows: Sequence[Window], speaker: Speaker
) -> list[tuple[int, tuple[list[float], bool]]]:
    ids, mask = _padded([root.source for root in roots], network)
    answers = [(row, answer) for row, root in enumerate(roots) for answer in root.answers]
    if not network.shares:
        logits = _apart(network, ids, mask, answers, speaker)
    else:
        logits = _from_beginnings(network, roots, ids, mask, answers, speaker)
    scored = []
    for (row, answer), own in logits:
        for place in roots[row].answers[answer]:
            window = windows[place]
            targets = torch.tensor(window.ids[-window.n_scored :], device=own.device)
            rows = own[len(answer) - window.n_scored :]
            scored.append((place, _of_targets(rows, targets)))
    return scored


def _of_targets(logits: Tensor, targets: Tensor) -> tuple[list[float], bool]:
    """Log-probability of each target from its row of logits, and whether all are the likeliest."""
    values: list[float] = []
    is_best = True
    for start in range(0, len(targets), HEAD_ROWS):
        some = targets[start : start + HEAD_ROWS]
        order = torch.arange(len(some), device=some.device)
        logprobs, greedy = from_logits(logits[start : start + HEAD_ROWS], order, some)
        values += logprobs.tolist()
        is_best = is_best and bool(greedy.all())
    return values, is_best


Answers = Sequence[tuple[int, Ids]]
"""Row of the text, and what the decoder reads after it."""


def _apart(
    network: EncoderDecoder, ids: Tensor, mask: Tensor, answers: Answers, speaker: Speaker
) -> Iterator[tuple[tuple[int, Ids], Tensor]]:
    """Logits of every answer by the model's own forward on text and answer."""
    lengths = [ids.shape[1] + len(answer) for _, answer in answers]
    for batch in padded_batches(
        lengths, token_budget=speaker.token_budget, max_rows=_rows_of(network, speaker)
    ):
        some = [answers[place] for place in batch]
        rows = torch.tensor([row for row, _ in some], device=ids.device)
        written, _ = _padded([answer for _, answer in some], network)
        is_alone = len(some) == 1 and bool(mask[rows].all())
        logits = network.whole(ids[rows], None if is_alone else mask[rows], written)
        yield from ((one, logits[n, : len(one[1])]) for n, one in enumerate(some))


def _from_beginnings(
    network: EncoderDecoder,
    roots: list[_Root],
    ids: Tensor,
    mask: Tensor,
    answers: Answers,
    speaker: Speaker,
) -> Iterator[tuple[tuple[int, Ids], Tensor]]:
    """Logits of every answer, all of which go on from one reading of text and first token."""
    states = network.encode(ids, mask)
    begin = torch.tensor([[root.first] for root in roots], device=network.device)
    first, cache = network.decode(begin, states, mask)
    short = [one for one in answers if len(one[1]) == 1]
    yield from ((one, first[one[0]]) for one in short)
    longer = [one for one in answers if len(one[1]) > 1]
    lengths = [ids.shape[1] + len(answer) for _, answer in longer]
    for batch in padded_batches(
        lengths, token_budget=speaker.token_budget, max_rows=speaker.max_rows
    ):
        some = [longer[place] for place in batch]
        rows = torch.tensor([row for row, _ in some], device=ids.device)
        written, _ = _padded([answer[1:] for _, answer in some], network)
        logits, _ = network.decode(written, states[rows], mask[rows], gathered(cache, rows))
        for n, (row, answer) in enumerate(some):
            yield (row, answer), torch.cat([first[row], logits[n, : len(answer) - 1]])


def _padded(rows: Sequence[Ids], network: EncoderDecoder) -> tuple[Tensor, Tensor]:
    """Rows of ids, padded on the right, and their mask."""
    filling = getattr(network.model.config, "pad_token_id", None) or 0
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), filling, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = torch.tensor(row)
        mask[n, : len(row)] = 1
    return ids.to(network.device), mask.to(network.device)


# -------------------------------------------------------------------------------------- completions


def draw(
    network: EncoderDecoder, jobs: Sequence[Job], speaker: Speaker, *, known: Collection[int] = ()
) -> Iterator[tuple[int, Drawn]]:
    """Draw completions in batches of texts of similar length; rows that have ended leave the batch.

    Batches are planned over all jobs; those in ``known`` are not yielded.

    Yields
    ------
    int, Drawn
        Index into ``jobs`` and its completion.
    """
    speller = Speller(speaker.renderer.tokenizer)
    lengths = [len(job.prompt.source) + job.prompt.max_tokens for job in jobs]
    for batch in padded_batches(
        lengths, token_budget=speaker.drawn_budget, max_rows=_rows_of(network, speaker)
    ):
        if all(place in known for place in batch):
            continue
        for place, drawn in _drawn_by_halves(network, jobs, batch, speller, speaker.end_tokens):
            if place not in known:
                yield place, drawn


def _drawn_by_halves(
    network: EncoderDecoder,
    jobs: Sequence[Job],
    batch: list[int],
    speller: Speller,
    ends: frozenset[int],
) -> Iterator[tuple[int, Drawn]]:
    started = time.perf_counter()
    rows = [row_of(place, jobs[place], speller) for place in batch]
    has_memory = True
    try:
        _write(network, rows, ends)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        has_memory = False
    if has_memory:
        seconds = (time.perf_counter() - started) / len(batch)
        yield from ((row.index, finish(row, seconds)) for row in rows)
        return
    memory.release(network.device)
    if len(batch) == 1:
        length = len(jobs[batch[0]].prompt.source)
        yield batch[0], Drawn(None, 0.0, f"out of memory: a text of {length} tokens does not fit")
        return
    middle = len(batch) // 2
    yield from _drawn_by_halves(network, jobs, batch[:middle], speller, ends)
    yield from _drawn_by_halves(network, jobs, batch[middle:], speller, ends)


@torch.inference_mode()
def _write(network: EncoderDecoder, rows: list[Row], ends: frozenset[int]) -> None:
    """Write until every row has ended."""
    for row in rows:
        if row.job.prompt.max_tokens <= 0:
            row.finish_reason = "length"
    active = [row for row in rows if not row.is_ended]
    if not active:
        return
    writing = _Shared(network, active) if network.shares else _Whole(network, active)
    while True:
        for row, token in zip(writing.rows, choose(writing.logits, writing.rows), strict=True):
            if not row.is_ended:
                advance(row, token, ends)
        n_active = sum(not row.is_ended for row in writing.rows)
        if not n_active:
            return
        writing.step(is_thinned=2 * n_active <= len(writing.rows))


class _Shared:
    """Rows under way that keep the encoder's states and the decoder's keys and values."""

    def __init__(self, network: EncoderDecoder, rows: list[Row]) -> None:
        self.rows = rows
        self._network = network
        sources = list(dict.fromkeys(row.job.prompt.source for row in rows))
        ids, self._mask = _padded(sources, network)
        self._states = network.encode(ids, self._mask)
        places = {source: n for n, source in enumerate(sources)}
        self._take([places[row.job.prompt.source] for row in rows])
        begin = torch.tensor([row.job.prompt.ids for row in rows], device=network.device)
        logits, cache = network.decode(begin, self._states, self._mask)
        self._cache: Any = cache
        self.logits = logits[:, -1]

    def _take(self, places: list[int]) -> Tensor:
        chosen = torch.tensor(places, device=self._states.device)
        self._states, self._mask = self._states[chosen], self._mask[chosen]
        return chosen

    def step(self, *, is_thinned: bool) -> None:
        """Read the last token of every row; with ``is_thinned`` those that have ended leave first."""
        if is_thinned:
            places = [n for n, row in enumerate(self.rows) if not row.is_ended]
            self.rows = [self.rows[n] for n in places]
            self._cache = gathered(self._cache, self._take(places))
        latest = [[row.ids[-1] if row.ids else 0] for row in self.rows]
        logits, self._cache = self._network.decode(
            torch.tensor(latest, device=self._network.device),
            self._states,
            self._mask,
            self._cache,
        )
        self.logits = logits[:, -1]


class _Whole:
    """Rows under way that are read anew for every token, by the model's own forward."""

    def __init__(self, network: EncoderDecoder, rows: list[Row]) -> None:
        self.rows = rows
        self._network = network
        self._ids, self._mask = _padded([row.job.prompt.source for row in rows], network)
        self._read()

    def _read(self) -> None:
        written = [(*row.job.prompt.ids, *row.ids) for row in self.rows]
        ids, _ = _padded(written, self._network)
        mask = None if len(written) == 1 else self._mask
        logits = self._network.whole(self._ids, mask, ids)
        last = torch.tensor([len(one) - 1 for one in written], device=logits.device)
        self.logits = logits[torch.arange(len(written), device=logits.device), last]

    def step(self, *, is_thinned: bool) -> None:
        """Read every row with its last token; with ``is_thinned`` those that have ended leave first."""
        if is_thinned:
            places = [n for n, row in enumerate(self.rows) if not row.is_ended]
            self.rows = [self.rows[n] for n in places]
            self._ids, self._mask = self._ids[places], self._mask[places]
        self._read()
