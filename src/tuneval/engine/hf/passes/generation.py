"""Draws completions from prompts: greedy or sampled, each row ending on its own.

A sampled text depends on its seed, its prompt and its number alone, never on what else was in the
batch. Not for: rendering prompts.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tuneval.engine.hf.passes.cascade import Begun, KeysValues
from tuneval.engine.hf.passes.schedule import (
    Numbers,
    Trie,
    build_trie,
    chunks,
    columns_of,
    padded_batches,
    stems,
)
from tuneval.engine.hf.passes.tree import Slots, Tree
from tuneval.engine.hf.text.render import Prompt
from tuneval.engine.hf.weights import memory
from tuneval.engine.hf.weights.network import Network
from tuneval.types import Completion, Decoding

_MAX_REDRAWS = 64
"""A draw outside of top_p is drawn again; after so many the likeliest token is taken."""
_BLOCK = 128
"""Tokens of the vocabulary that are looked at together."""
_SHARE = 8
"""Rows are let in when one part in so many of the room is free."""
_CACHED = 1_000_000
"""Logits that are looked at together on CPU: their float32 numbers stay in the cache."""


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to draw: completion ``number`` of request ``owner``."""

    owner: int
    number: int
    prompt: Prompt
    decoding: Decoding


@dataclass(frozen=True, slots=True)
class Drawn:
    """A completion, or the problem that there is none."""

    completion: Completion | None
    seconds: float
    problem: str | None = None


@dataclass(slots=True)
class Row:
    """A job under way; ``index`` is its place among all jobs."""

    index: int
    job: Job
    reader: Reader
    stream: np.random.Generator
    ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    text: str | None = None
    problem: str | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is drawn for it."""
        return self.finish_reason is not None or self.problem is not None


class Reader:
    """Turns drawn ids into text and watches for stop strings.

    Text is decoded behind the last prompt token, for some vocabularies drop the blank in front of
    a text that begins with nothing (which would cost a program its indentation).
    """

    def __init__(self, speller: Speller, prompt: Sequence[int], stop: Sequence[str]) -> None:
        self._speller = speller
        self._anchor = list(prompt[-1:])
        special = speller.special
        self.ends = frozenset(special[text.strip()] for text in stop if text.strip() in special)
        """Special tokens that are stop strings: they never stand in the text of an answer."""
        self._stop = tuple(text for text in stop if text and text.strip() not in special)
        self._may_end = speller.enders(self._stop)
        # A stop string of n bytes spans at most n tokens; a few more for cut characters.
        self._tail = max((len(text.encode()) for text in self._stop), default=0) + 4

    def text(self, ids: Sequence[int]) -> str:
        """The text of drawn ids, without special tokens."""
        head = self._speller.decode(self._anchor)
        whole = self._speller.decode([*self._anchor, *ids])
        if head and whole.startswith(head):
            return whole[len(head) :]
        return self._speller.decode(ids)

    def until_stop(self, ids: Sequence[int]) -> str | None:
        """The text before the first stop string, or None where there is none yet."""
        if not self._stop or not self._may_end(ids[-1]):
            return None
        tail = self._speller.decode(ids[-self._tail :])
        if not any(text in tail for text in self._stop):
            return None
        whole = self.text(ids)
        found = [whole.find(text) for text in self._stop]
        starts = [start for start in found if start >= 0]
        return whole[: min(starts)] if starts else None


class Speller:
    """Spells ids with one tokenizer, and knows which tokens can complete a stop string."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._enders: dict[tuple[str, ...], Callable[[int], bool]] = {}
        self.special = {
            str(token): number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids without special tokens."""
        if self._backend is not None:
            return str(self._backend.decode(list(ids), skip_special_tokens=True))
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def enders(self, stop: tuple[str, ...]) -> Callable[[int], bool]:
        """A test whether a token can complete one of these stop strings. True where unsure."""
        if stop not in self._enders:
            self._enders[stop] = cache(lambda token: can_complete(self.decode([token]), stop))
        return self._enders[stop]


def can_complete(token: str, stop: Sequence[str]) -> bool:
    """Whether a token's text can hold the last character of a stop string.

    Then the string lies within the token, or the token begins with the end of the string. Blanks
    at the front of a token come and go with what stands before it, and cut characters say nothing.
    """
    if not token or "\ufffd" in token:
        return True
    bare = token.lstrip()
    spellings = (token, bare, f" {bare}")
    return any(
        text[-1].isspace()
        or any(text in spelling for spelling in spellings)
        or any(bare.startswith(text[start:].lstrip()) for start in range(1, len(text)))
        for text in stop
    )


def stream(job: Job) -> np.random.Generator:
    """The random numbers of one completion, from its seed, its prompt and its number."""
    ids = ",".join(map(str, (*job.prompt.source, *job.prompt.ids)))
    content = f"{job.decoding.sampling_seed}/{job.number}/{ids}"
    key = int.from_bytes(hashlib.sha256(content.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def generate_padded(
    network: Network,
    jobs: Sequence[Job],
    *,
    tokenizer: Any,
    end_tokens: frozenset[int],
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
) -> Iterator[tuple[int, Drawn]]:
    """Draw completions in batches of prompts of similar length, padded on the left.

    Batches are planned over all jobs; those in ``known`` are not yielded.

    Yields
    ------
    int, Drawn
        Index into ``jobs`` and its completion.
    """
    if network.own_forward is not None or not network.can_pad_left:
        max_rows = 1
    speller = Speller(tokenizer)
    lengths = [len(job.prompt.ids) + job.prompt.max_tokens for job in jobs]
    for batch in padded_batches(lengths, token_budget=token_budget, max_rows=max_rows):
        if all(index in known for index in batch):
            continue
        for index, drawn in _halving(network, jobs, batch, speller, end_tokens):
            if index not in known:
                yield index, drawn


def _halving(
    network: Network, jobs: Sequence[Job], batch: list[int], speller: Speller, ends: frozenset[int]
) -> Iterator[tuple[int, Drawn]]:
    started = time.perf_counter()
    rows = [row_of(index, jobs[index], speller) for index in batch]
    has_memory = True
    try:
        _run(network, rows, ends)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        has_memory = False
    if has_memory:
        seconds = (time.perf_counter() - started) / len(batch)
        yield from ((index, finish(row, seconds)) for index, row in zip(batch, rows, strict=True))
        return
    memory.release(network.device)
    if len(batch) == 1:
        length = len(jobs[batch[0]].prompt.ids)
        problem = f"out of memory: a prompt of {length} tokens does not fit"
        yield batch[0], Drawn(None, 0.0, problem)
        return
    middle = len(batch) // 2
    yield from _halving(network, jobs, batch[:middle], speller, ends)
    yield from _halving(network, jobs, batch[middle:], speller, ends)


def finish(row: Row, seconds: float) -> Drawn:
    """Make a completion of an ended row."""
    if row.problem:
        return Drawn(None, seconds, row.problem)
    text = row.text if row.text is not None else row.reader.text(row.ids)
    return Drawn(Completion(text, len(row.ids), row.finish_reason or "length"), seconds)


@torch.inference_mode()
def _run(network: Network, rows: list[Row], ends: frozenset[int]) -> None:
    """Prefill and decode one batch until every row has ended."""
    width = max(len(row.job.prompt.ids) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, width - len(row.job.prompt.ids) :] = torch.tensor(row.job.prompt.ids)
        mask[index, width - len(row.job.prompt.ids) :] = 1
    ids, mask = ids.to(network.device), mask.to(network.device)
    logits, cache = _first(network, ids, mask)
    active = [row for row in rows if row.job.prompt.max_tokens > 0]
    while active:
        drawn = choose(logits, rows)
        for row, token in zip(rows, drawn, strict=True):
            if row.finish_reason is None and row.problem is None:
                advance(row, token, ends)
        active = [row for row in rows if row.finish_reason is None and row.problem is None]
        if not active:
            break
        step = torch.tensor(drawn, device=network.device).clamp(min=0)[:, None]
        mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
        if cache is None:  # recurrent models keep their state under other names
            ids = torch.cat([ids, step], dim=1)
            logits, cache = _first(network, ids, mask)
        else:
            logits, cache = _next(network, step, mask, cache)


def _first(network: Network, ids: Tensor, mask: Tensor) -> tuple[Tensor, Any]:
    if network.own_forward is not None:
        keeps = network.own_keeps_cache
        output = network.own_forward(input_ids=ids, attention_mask=mask, use_cache=keeps)
        if not keeps:  # PEFT must see the whole text at every token
            return output.logits[:, -1].float(), None
        return output.logits[:, -1].float(), getattr(output, "past_key_values", None)
    options = {"use_cache": True, **_positions(network, mask, ids)}
    if not network.is_split:
        output = network.model(input_ids=ids, attention_mask=mask, **options)
        return output.logits[:, -1].float(), getattr(output, "past_key_values", None)
    # Logits of whole prompts would take more than all else: 40 GB for 65,536 tokens of 152,000 kinds.
    output = network.hidden(ids, mask, **options)
    logits = network.head(output.last_hidden_state[:, -1])
    return logits.float(), getattr(output, "past_key_values", None)


def _next(network: Network, step: Tensor, mask: Tensor, cache: Any) -> tuple[Tensor, Any]:
    if network.own_forward is not None:  # virtual tokens are in the cache by now
        extra = cache.get_seq_length() + 1 - mask.shape[1]
        mask = torch.cat([mask.new_ones((len(mask), max(0, extra))), mask], dim=1)
    output = network.model(
        input_ids=step,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        **_positions(network, mask, step),
    )
    return output.logits[:, -1].float(), output.past_key_values


def _positions(network: Network, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Positions that do not count padding, for models that take them."""
    if not network.takes_positions:
        return {}
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return {"position_ids": positions[:, -ids.shape[1] :]}


def advance(row: Row, token: int, ends: frozenset[int]) -> None:
    """Add a drawn token to a row, and end the row where it ends."""
    if token < 0:
        row.problem = "nonfinite: the model's logits are not finite for this request"
        return
    if token in ends or token in row.reader.ends:
        row.finish_reason = "stop"
        return
    row.ids.append(token)
    before = row.reader.until_stop(row.ids)
    if before is not None:
        row.finish_reason, row.text = "stop", before
    elif len(row.ids) >= row.job.prompt.max_tokens:
        row.finish_reason = "length"


def choose(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """Draw one token per row, -1 where the logits are not finite. ``logits``: (rows, vocabulary)."""
    tokens: list[int] = []
    size = max(1, _CACHED // logits.shape[1]) if logits.device.type == "cpu" else len(rows)
    for start in range(0, len(rows), size):
        some = logits[start : start + size].float()
        tokens += _choose(some, rows[start : start + size])
    return tokens


def _choose(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    blocks = _blocked(logits, float("-inf"))
    top, block = blocks.amax(dim=-1).max(dim=-1)
    is_sampled = [row.job.decoding.temperature > 0 and not row.is_ended for row in rows]
    if all(is_sampled):
        best = torch.zeros_like(block)
    else:  # the first likeliest token; by blocks that is five times faster on CPU
        inside = blocks[torch.arange(len(rows), device=logits.device), block].argmax(dim=-1)
        best = block * _BLOCK + inside
    tokens: list[int] = torch.where(torch.isfinite(top), best, -1).tolist()
    sampled = [place for place, token in enumerate(tokens) if token >= 0 and is_sampled[place]]
    if sampled:
        chosen = slice(None) if len(sampled) == len(rows) else sampled
        drawn = _sample(logits[chosen], top[chosen], [rows[place] for place in sampled])
        for place, token in zip(sampled, drawn, strict=True):
            tokens[place] = token
    return tokens


def _blocked(numbers: Tensor, filling: float) -> Tensor:
    """Rows in blocks of the vocabulary, shape (rows, blocks, numbers)."""
    n_rows, n_tokens = numbers.shape
    if n_tokens % _BLOCK:
        numbers = functional.pad(numbers, (0, -n_tokens % _BLOCK), value=filling)
    return numbers.view(n_rows, -1, _BLOCK)


def _sample(logits: Tensor, top: Tensor, rows: Sequence[Row]) -> list[int]:
    """Draw from the whole distribution, and again while the draw lies outside of top_p.

    A token is inside iff the mass of strictly likelier tokens is below top_p; so nothing is
    sorted. The draw goes by blocks first and then within one, which spares a running sum over the
    whole vocabulary. ``top``: the largest logit of each row.
    """
    warmth = torch.tensor([row.job.decoding.temperature for row in rows], device=logits.device)
    top_p = torch.tensor([row.job.decoding.top_p for row in rows], device=logits.device)
    shares = _blocked((logits - top[:, None]).div_(warmth[:, None]).exp_(), 0)
    drawn = torch.zeros(len(rows), dtype=torch.long, device=logits.device)
    left: list[int] = list(range(len(rows)))
    for _ in range(_MAX_REDRAWS):
        points = [rows[place].stream.random() for place in left]
        chosen = slice(None) if len(left) == len(rows) else left
        tokens, is_inside = _draw(shares[chosen], points, top_p[chosen])
        drawn[chosen] = tokens
        left = [place for place, done in zip(left, is_inside.tolist(), strict=True) if not done]
        if not left:
            break
    if left:
        drawn[left] = shares[left].flatten(1).argmax(dim=-1)
    return drawn.tolist()


def _draw(shares: Tensor, points: Sequence[float], top_p: Tensor) -> tuple[Tensor, Tensor]:
    """One draw per row, and whether it lies inside of top_p. ``shares``: (rows, blocks, tokens)."""
    n_rows, n_blocks, _ = shares.shape
    sums = shares.sum(dim=-1).double()
    ends = sums.cumsum(dim=-1)
    total = ends[:, -1:]
    point = torch.tensor(points, dtype=torch.float64, device=shares.device)[:, None] * total
    block = torch.searchsorted(ends, point, right=True).clamp_(max=n_blocks - 1)
    rest = point - (ends.gather(1, block) - sums.gather(1, block))
    row = torch.arange(n_rows, device=shares.device)[:, None]
    inner = shares[row, block][:, 0].double().cumsum(dim=-1)
    place = torch.searchsorted(inner, rest, right=True).clamp_(max=_BLOCK - 1)
    share = shares[row, block, place]
    likelier = shares.where(shares > share[:, :, None], 0).sum(dim=(1, 2))
    is_inside = (share[:, 0] > 0) & ((top_p >= 1.0) | (likelier < top_p * total[:, 0]))
    return (block * _BLOCK + place)[:, 0], is_inside


def row_of(index: int, job: Job, speller: Speller) -> Row:
    """A job that nothing was drawn for yet."""
    return Row(index, job, Reader(speller, job.prompt.ids, job.decoding.stop), stream(job))


# --------------------------------------------------------------------------------------- by slots


def generate(
    network: Network,
    tree: Tree | None,
    jobs: Sequence[Job],
    *,
    tokenizer: Any,
    end_tokens: frozenset[int],
    token_budget: int,
    max_rows: int,
    known: Collection[int] = (),
) -> Iterator[tuple[int, Drawn]]:
    """Draw completions from shared prefills by slots, or in padded batches where that is not known.

    Jobs in ``known`` are left out: which rows decode together changes with the lengths of others,
    so texts agree after an interruption, up to ties of two tokens, and their bits are not kept.

    Yields
    ------
    int, Drawn
        Index into ``jobs`` and its completion.
    """
    left = [index for index in range(len(jobs)) if index not in known]
    if tree is not None and tree.can_generate:
        speller = Speller(tokenizer)
        longest = max(
            (len(jobs[i].prompt.ids) + jobs[i].prompt.max_tokens for i in left), default=1
        )
        n_slots = max(1, min(max_rows, len(left)))
        apart: list[int] = []
        while left and n_slots > 0:
            done: set[int] = set()
            rows = [row_of(index, jobs[index], speller) for index in left]
            try:
                with torch.inference_mode():
                    slots = tree.slots(n_slots, longest, max(token_budget, longest))
                for row, drawn in _by_slots(tree, slots, rows, end_tokens):
                    done.add(row.index)
                    if drawn.problem is None:
                        yield row.index, drawn
                    else:  # numbers that are not finite spoil what shares a chunk with them
                        apart.append(row.index)
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                memory.release(network.device)
                n_slots //= 2
                token_budget //= 2
            left = [index for index in left if index not in done]
        left += apart
    rest = generate_padded(
        network,
        [jobs[index] for index in left],
        tokenizer=tokenizer,
        end_tokens=end_tokens,
        token_budget=token_budget,
        max_rows=max_rows,
    )
    for place, drawn in rest:
        yield left[place], drawn


def _by_slots(
    tree: Tree, slots: Slots, rows: Sequence[Row], ends: frozenset[int]
) -> Iterator[tuple[Row, Drawn]]:
    """Prefill prompts as one prefix tree, decode in slots, refill slots as rows end."""
    started = time.perf_counter()
    n_slots, n_tokens = slots.n_free, slots.n_free_tokens
    waiting = _prefilled(tree, rows, n_slots, ends)
    next_ = next(waiting, None)
    active: dict[int, Row] = {}
    n_done = 0
    while next_ is not None or active:
        # Rows are let in by the dozen: to find room for some costs about as much as a step.
        is_roomy = (
            slots.n_free >= max(1, n_slots // _SHARE) and slots.n_free_tokens >= n_tokens // _SHARE
        )
        while next_ is not None and (is_roomy or not active):
            row, begun = next_
            if row.is_ended:
                n_done += 1
                yield row, finish(row, (time.perf_counter() - started) / n_done)
            elif not slots.has_room(begun):
                break
            else:
                with torch.inference_mode():
                    slots.add(begun)
                active[row.index] = row
            next_ = next(waiting, None)
        if not active:
            continue
        for row in _step(slots, active, ends):
            del active[row.index]
            n_done += 1
            yield row, finish(row, (time.perf_counter() - started) / n_done)


@torch.inference_mode()
def _step(slots: Slots, active: dict[int, Row], ends: frozenset[int]) -> list[Row]:
    """Draw one token more for every row; those that end leave."""
    rows = [active[key] for key in slots.order()]
    ids = [row.ids[-1] for row in rows]
    positions = [len(row.job.prompt.ids) + len(row.ids) - 1 for row in rows]
    logits = slots.step(ids, positions)
    for row, token in zip(rows, choose(logits, rows), strict=True):
        advance(row, token, ends)
    ended = [row for row in rows if row.is_ended]
    for row in ended:
        slots.remove(row.index, is_dirty=row.problem is not None)
    return ended


def _prefilled(
    tree: Tree, rows: Sequence[Row], n_slots: int, ends: frozenset[int]
) -> Iterator[tuple[Row, Begun]]:
    """Rows with their first token drawn, and the keys and values of their prompts."""
    by_prompt: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        by_prompt.setdefault(row.job.prompt.ids, []).append(row)
    prompts = list(by_prompt)
    trie = build_trie(prompts)
    n_shared = np.zeros(len(prompts), dtype=np.int64)
    if tree.shares_stems:
        n_shared = stems(trie, [len(sharing) for sharing in by_prompt.values()], n_slots)
    order = np.argsort(trie.leaf, kind="stable")
    leaves = trie.leaf[order]
    stem: tuple[int | None, KeysValues] = (None, [])
    tree.begin()
    for chunk in chunks(trie, tree.chunk_size):
        low, high = np.searchsorted(leaves, [chunk.start, chunk.stop])
        with torch.inference_mode():
            hidden = tree.push(trie, chunk)
            places = order[low:high].tolist()
            if not places:
                continue
            logits = tree.head(hidden[torch.from_numpy(leaves[low:high] - chunk.start)])
            ready = []
            for place, last in zip(places, logits, strict=True):
                sharing = by_prompt[prompts[place]]
                columns = columns_of(trie, chunk, int(trie.leaf[place]))
                stem = _stem_of(tree, trie, place, columns, int(n_shared[place]), stem)
                own = tree.keys_values(columns[n_shared[place] :])
                drawn = choose(last.expand(len(sharing), -1), sharing)
                for row, token in zip(sharing, drawn, strict=True):
                    n_more = row.job.prompt.max_tokens
                    if n_more > 0:
                        advance(row, token, ends)
                    else:
                        row.finish_reason = "length"
                    ready.append((row, Begun(row.index, *stem, own, n_more)))
        yield from ready


def _stem_of(
    tree: Tree,
    trie: Trie,
    place: int,
    columns: Numbers,
    n_shared: int,
    latest: tuple[int | None, KeysValues],
) -> tuple[int | None, KeysValues]:
    """Name, keys and values of what a prompt shares with others; those before it, if the same."""
    if not n_shared:
        return None, []
    key = int(trie.path(int(trie.leaf[place]))[n_shared - 1])
    return latest if latest[0] == key else (key, tree.keys_values(columns[:n_shared]))
