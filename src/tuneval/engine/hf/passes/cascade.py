"""Keys and values of rows under way in our own pass: what rows share at the front is read once.

A row's keys lie in two places: those of a beginning that it shares with others (a stem), and its
own. Both stand on shelves, sequences of similar length side by side, so that attention is a few
matrix products and little padding. Not for: deciding what is shared or which lengths stand
together (``schedule.py``), or other passes (``tree.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tuneval.engine.hf.passes.fused import FusedBody
from tuneval.engine.hf.passes.schedule import shelves

KeysValues = list[tuple[Tensor, Tensor]]
"""Per layer keys and values, each of shape (kv heads, tokens, width)."""

_MOST_SHELVES = 6
"""New rows get shelves of their own, unless there are so many already."""
_ROOM = 32
"""Tokens that a shelf can take when it is set up, or an eighth of its length if that is more."""


@dataclass(slots=True)
class Begun:
    """A row whose prompt has been read.

    Attributes
    ----------
    key : int
        Name of the row.
    stem_key : int or None
        Name of the shared beginning that it goes on from.
    stem : KeysValues
        Keys and values of that beginning; looked at where they are not held yet.
    own : KeysValues
        Keys and values of the rest of its prompt.
    n_more : int
        Tokens that it may still grow by.
    """

    key: int
    stem_key: int | None
    stem: KeysValues
    own: KeysValues
    n_more: int


@dataclass(slots=True)
class _Sequence:
    """Keys and values of a stem, or those that a row holds alone."""

    key: int
    kept: KeysValues
    stem_key: int | None = None
    most: int = 0
    """Tokens that it may have in the end."""

    @property
    def length(self) -> int:
        return int(self.kept[0][0].shape[1])


class _Shelf:
    """Sequences side by side that all end at the same column.

    Attributes
    ----------
    keys, values : list of Tensor
        Per layer, shape (sequences x kv heads, columns, width).
    hidden : Tensor
        Minus infinity in front of shorter sequences, shape (sequences x kv heads, 1, columns).
    """

    def __init__(self, sequences: list[_Sequence], room: int) -> None:
        self.sequences = sequences
        self.stop = max(sequence.length for sequence in sequences)
        self.size = self.stop + room
        self.starts = [self.stop - sequence.length for sequence in sequences]
        self.heads, _, self.width = sequences[0].kept[0][0].shape
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        hidden = torch.zeros((len(sequences), 1, self.size))
        for place, start in enumerate(self.starts):
            hidden[place, :, :start] = float("-inf")
        self.hidden = hidden.repeat_interleave(self.heads, dim=0)

    def move_in(self, layer: int) -> None:
        """Copy one layer of all sequences, which let go of where it was."""
        shape = (len(self.sequences), self.heads, self.size, self.width)
        keys, values = torch.empty(shape), torch.empty(shape)
        for place, (sequence, start) in enumerate(zip(self.sequences, self.starts, strict=True)):
            for new, old in zip((keys, values), sequence.kept[layer], strict=True):
                new[place, :, :start] = 0  # what is hidden is multiplied all the same
                new[place, :, start : self.stop] = old
            sequence.kept[layer] = (
                keys[place, :, start : self.stop],
                values[place, :, start : self.stop],
            )
        self.keys.append(keys.view(-1, self.size, self.width))
        self.values.append(values.view(-1, self.size, self.width))

    def move_out(self) -> list[_Sequence]:
        """The sequences with their keys and values as they are now."""
        for place, (sequence, start) in enumerate(zip(self.sequences, self.starts, strict=True)):
            part = slice(place * self.heads, (place + 1) * self.heads)
            sequence.kept = [
                (keys[part, start : self.stop], values[part, start : self.stop])
                for keys, values in zip(self.keys, self.values, strict=True)
            ]
        return self.sequences

    def remove(self, place: int) -> None:
        """Take a sequence out; the last one takes its place."""
        last, start = self.sequences.pop(), self.starts.pop()
        if place == len(self.sequences):
            return
        self.sequences[place], self.starts[place] = last, start
        new, old = (
            slice(number * self.heads, (number + 1) * self.heads)
            for number in (place, len(self.sequences))
        )
        for buffer in (*self.keys, *self.values):
            buffer[new, : self.stop] = buffer[old, : self.stop]
        self.hidden[new] = self.hidden[old]

    def attend(
        self, layer: int, queries: Tensor, scale: float, top: Tensor, total: Tensor, mixed: Tensor
    ) -> None:
        """Mix the values that queries (sequences x kv heads, n, width) attend to.

        Writes, per query, its largest score into ``top``, the sum of the exponentials of its
        scores over ``top`` into ``total``, and the values mixed by them (not divided) into
        ``mixed``.
        """
        n = len(queries)
        keys, values = self.keys[layer][:n, : self.stop], self.values[layer][:n, : self.stop]
        hidden = self.hidden[:n, :, : self.stop]
        scores = torch.baddbmm(hidden, queries, keys.transpose(1, 2), alpha=scale)
        torch.amax(scores, -1, keepdim=True, out=top)
        scores.sub_(top).exp_()
        torch.sum(scores, -1, keepdim=True, out=total)
        torch.bmm(scores, values, out=mixed)

    def attend_alone(self, layer: int, queries: Tensor, scale: float, mixed: Tensor) -> None:
        """The same for queries that attend to nothing else; ``mixed`` is divided."""
        n = len(queries)
        keys, values = self.keys[layer][:n, : self.stop], self.values[layer][:n, : self.stop]
        hidden = self.hidden[:n, :, : self.stop]
        scores = torch.baddbmm(hidden, queries, keys.transpose(1, 2), alpha=scale)
        torch.bmm(scores.softmax(-1), values, out=mixed)


class _Stems:
    """Shared beginnings, and at which seat each query reads its own.

    The queries of a stem's rows stand together, as many for each stem of a shelf.
    """

    def __init__(self) -> None:
        self.n_readers: dict[int, int] = {}
        self._new: list[_Sequence] = []
        self._shelves: list[_Shelf] = []
        self._seats: list[int] = []
        self._readers = torch.empty(0, dtype=torch.long)
        self._places = torch.empty(0, dtype=torch.long)

    def __bool__(self) -> bool:
        return bool(self._shelves)

    def join(self, key: int, kept: KeysValues) -> None:
        """Count a reader; a stem that is not held yet is taken."""
        if key not in self.n_readers:
            self._new.append(_Sequence(key, list(kept)))
        self.n_readers[key] = self.n_readers.get(key, 0) + 1

    def leave(self, key: int) -> int:
        """Count a reader less; the tokens that nobody reads any more."""
        self.n_readers[key] -= 1
        if self.n_readers[key]:
            return 0
        del self.n_readers[key]
        shelf, place = _find(self._shelves, key)
        length = shelf.sequences[place].length
        shelf.remove(place)
        self._shelves = [shelf for shelf in self._shelves if shelf.sequences]
        return length

    def settle(self) -> None:
        """Put new stems on shelves."""
        if not self._new:
            return
        sequences = [s for shelf in self._shelves for s in shelf.move_out()] + self._new
        self._new, self._shelves = [], []
        readers = [self.n_readers[sequence.key] for sequence in sequences]
        groups = shelves([sequence.length for sequence in sequences], readers)
        self._shelves = _shelved([([sequences[i] for i in group], 0) for group in groups])

    def seat(self, stem_keys: list[int | None]) -> None:
        """Give each row its seat; ``stem_keys`` in the order of rows."""
        rows_of: dict[int | None, list[int]] = {}
        for row, key in enumerate(stem_keys):
            rows_of.setdefault(key, []).append(row)
        heads = np.arange(self._shelves[0].heads if self._shelves else 1)
        places = np.full((len(stem_keys), len(heads)), -1)
        readers, self._seats, low = [], [], 0
        for shelf in self._shelves:
            n_seats = max(len(rows_of[stem.key]) for stem in shelf.sequences)
            taken = np.zeros((len(shelf.sequences), len(heads), n_seats), dtype=np.int64)
            for place, stem in enumerate(shelf.sequences):
                rows = np.array(rows_of[stem.key])
                taken[place, :, : len(rows)] = rows * len(heads) + heads[:, None]
                first = low + (place * len(heads) + heads) * n_seats
                places[rows] = first + np.arange(len(rows))[:, None]
            readers.append(taken.reshape(-1))
            self._seats.append(n_seats)
            low += taken.size
        places[places < 0] = low  # behind the last seat, where nothing was attended to
        self._readers = torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *readers]))
        self._places = torch.from_numpy(places.reshape(-1))

    def attend(self, layer: int, queries: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        """``top``, ``total`` and ``mixed`` (see ``_Shelf.attend``) of every query."""
        n, (_, groups, width) = len(self._readers), queries.shape
        gathered = queries.index_select(0, self._readers)
        top, total = gathered.new_empty((n + 1, groups, 1)), gathered.new_empty((n + 1, groups, 1))
        mixed = gathered.new_empty((n + 1, groups, width))
        top[n], total[n], mixed[n] = float("-inf"), 0, 0
        low = 0
        for shelf, n_seats in zip(self._shelves, self._seats, strict=True):
            n_keys = len(shelf.sequences) * shelf.heads
            high = low + n_keys * n_seats
            part = [x[low:high].view(n_keys, n_seats * groups, -1) for x in (top, total, mixed)]
            seated = gathered[low:high].view(n_keys, n_seats * groups, width)
            shelf.attend(layer, seated, scale, *part)
            low = high
        places = self._places
        return (
            top.index_select(0, places),
            total.index_select(0, places),
            mixed.index_select(0, places),
        )


class Cascade:
    """Rows under way in our own pass.

    Parameters
    ----------
    head
        Makes logits of hidden rows.
    n_rows, n_tokens : int
        Most rows, and most tokens whose keys are held, those to come included.
    """

    def __init__(
        self, body: FusedBody, head: Callable[[Tensor], Tensor], n_rows: int, n_tokens: int
    ) -> None:
        self._body = body
        self._head = head
        self._n_rows = n_rows
        self._scale = body.width**-0.5
        self._n_free_tokens = n_tokens
        self._new: list[_Sequence] = []
        self._shelves: list[_Shelf] = []
        self._stems = _Stems()
        self._n_settled = 0
        self._is_seated = True

    @property
    def n_free(self) -> int:
        """How many rows more are welcome."""
        return self._n_rows - self._n_active - len(self._new)

    @property
    def n_free_tokens(self) -> int:
        """How many tokens more can be held, those to come included."""
        return self._n_free_tokens

    @property
    def _n_active(self) -> int:
        return sum(len(shelf.sequences) for shelf in self._shelves)

    def has_room(self, row: Begun) -> bool:
        """Whether a row more can be held; the first always is."""
        is_empty = self.n_free == self._n_rows
        return is_empty or (self.n_free > 0 and self._needed(row) <= self.n_free_tokens)

    def _needed(self, row: Begun) -> int:
        n = row.n_more + int(row.own[0][0].shape[1])
        if row.stem_key is not None and row.stem_key not in self._stems.n_readers:
            n += int(row.stem[0][0].shape[1])
        return n

    def add(self, row: Begun) -> None:
        """Let a row begin."""
        self._n_free_tokens -= self._needed(row)
        most = int(row.own[0][0].shape[1]) + row.n_more
        self._new.append(_Sequence(row.key, list(row.own), row.stem_key, most))
        if row.stem_key is not None:
            self._stems.join(row.stem_key, row.stem)

    def remove(self, key: int, *, is_dirty: bool) -> None:
        """End a row. Numbers that are not finite stay within their row: nothing is cleaned."""
        shelf, place = _find(self._shelves, key)
        sequence = shelf.sequences[place]
        shelf.remove(place)
        self._shelves = [shelf for shelf in self._shelves if shelf.sequences]
        self._n_free_tokens += sequence.most
        self._is_seated = False
        if sequence.stem_key is not None:
            self._n_free_tokens += self._stems.leave(sequence.stem_key)

    def order(self) -> list[int]:
        """Names of the rows in the order in which the next step takes and gives them."""
        is_full = any(shelf.stop == shelf.size for shelf in self._shelves)
        is_thin = len(self._shelves) > 1 and self._n_active <= self._n_settled // 2
        is_split = bool(self._new) and len(self._shelves) >= _MOST_SHELVES
        if is_full or is_thin or is_split:
            self._settle([s for shelf in self._shelves for s in shelf.move_out()] + self._new)
        elif self._new:
            self._settle(self._new, beside=self._shelves)
        if not self._is_seated:
            self._stems.seat([s.stem_key for shelf in self._shelves for s in shelf.sequences])
            self._is_seated = True
        return [sequence.key for shelf in self._shelves for sequence in shelf.sequences]

    def _settle(self, sequences: list[_Sequence], beside: Sequence[_Shelf] = ()) -> None:
        """Put rows on shelves by length, with room to grow, beside some that stay as they are."""
        self._new, self._shelves = [], []
        # Rows grow until they are put on shelves again; by then they are so much longer.
        lengths = [sequence.length + _ROOM // 2 for sequence in sequences]
        planned = []
        for group in shelves(lengths, [1] * len(lengths)):
            members = [sequences[place] for place in group]
            left = max(sequence.most - sequence.length for sequence in members)
            longest = max(sequence.length for sequence in members)
            planned.append((members, max(1, min(left, max(_ROOM, longest // 8)))))
        self._shelves = [*beside, *_shelved(planned)]
        self._stems.settle()
        self._n_settled = self._n_active
        self._is_seated = False

    def step(self, ids: list[int], positions: list[int]) -> Tensor:
        """Push one token per row, in the latest order; logits, shape (n, vocabulary)."""
        n, heads = len(ids), self._body.n_kv
        groups, width = self._body.n_heads // heads, self._body.width
        mixed = torch.empty((n * heads, groups, width))
        top, total = torch.empty((n * heads, groups, 1)), torch.empty((n * heads, groups, 1))
        for shelf in self._shelves:
            shelf.stop += 1

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            queries = q.reshape(n * heads, groups, width)
            k, v = k.reshape(n * heads, width), v.reshape(n * heads, width)
            low = 0
            for shelf in self._shelves:
                n_keys = len(shelf.sequences) * heads
                part = slice(low, low + n_keys)
                shelf.keys[layer][:n_keys, shelf.stop - 1] = k[part]
                shelf.values[layer][:n_keys, shelf.stop - 1] = v[part]
                if self._stems:
                    parts = (top[part], total[part], mixed[part])
                    shelf.attend(layer, queries[part], self._scale, *parts)
                else:
                    shelf.attend_alone(layer, queries[part], self._scale, mixed[part])
                low += n_keys
            if self._stems:
                _merge((top, total, mixed), self._stems.attend(layer, queries, self._scale))
            return mixed.view(n, -1)

        return self._head(self._body.run(torch.tensor(ids), torch.tensor(positions), attend))


def _shelved(planned: list[tuple[list[_Sequence], int]]) -> list[_Shelf]:
    """Shelves of sequences, moved layer by layer so that little is held twice."""
    new = [_Shelf(sequences, room) for sequences, room in planned]
    for layer in range(len(new[0].sequences[0].kept) if new else 0):
        for shelf in new:
            shelf.move_in(layer)
    return new


def _find(held: list[_Shelf], key: int) -> tuple[_Shelf, int]:
    return next(
        (shelf, place)
        for shelf in held
        for place, sequence in enumerate(shelf.sequences)
        if sequence.key == key
    )


def _merge(own: tuple[Tensor, Tensor, Tensor], stem: tuple[Tensor, Tensor, Tensor]) -> None:
    """Make the attended rows of two softmaxes over parts of the keys; written into ``own[2]``."""
    top = torch.maximum(own[0], stem[0])
    share, stem_share = (own[0] - top).exp_(), (stem[0] - top).exp_()
    total = (own[1] * share).addcmul_(stem[1], stem_share)
    own[2].mul_(share.div_(total)).addcmul_(stem[2], stem_share.div_(total))
