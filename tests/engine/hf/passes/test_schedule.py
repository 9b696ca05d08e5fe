"""Plans are plain data; their promises hold for any requests."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneval.engine.hf.passes import schedule
from tuneval.engine.hf.passes.schedule import (
    build_trie,
    chunks,
    is_visible,
    padded_batches,
    shelves,
    stems,
)

sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), max_size=12)


def test_it_needs_no_torch() -> None:
    code = "import sys, tuneval.engine.hf.passes.schedule; print('torch' in sys.modules)"
    source = Path(__file__).parents[4] / "src"
    environment = {"PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "False", done.stderr


@given(st.lists(st.integers(1, 50)), st.integers(1, 200), st.integers(1, 9))
def test_padded_batches_hold_each_row_once(lengths, budget, max_rows) -> None:
    batches = padded_batches(lengths, token_budget=budget, max_rows=max_rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[index] for index in batch)
        assert len(batch) == 1 or (len(batch) <= max_rows and width * len(batch) <= budget)


@given(sequences)
def test_a_trie_holds_each_distinct_prefix_once(given_sequences) -> None:
    trie = build_trie(given_sequences)
    prefixes = {tuple(ids[: n + 1]) for ids in given_sequences for n in range(len(ids))}
    assert trie.n_nodes == len(prefixes)
    for ids, leaf in zip(given_sequences, trie.leaf, strict=True):
        nodes = trie.path(int(leaf))
        assert [int(trie.tokens[node]) for node in nodes] == ids
        assert [int(trie.depth[node]) for node in nodes] == list(range(len(ids)))
        assert trie.last(int(leaf), len(ids)).tolist() == nodes.tolist()


@given(sequences, st.integers(1, 7), st.one_of(st.none(), st.integers(1, 4)))
def test_each_node_runs_once_and_sees_its_own_path(given_sequences, size, window) -> None:
    trie = build_trie(given_sequences)
    seen: list[int] = []
    kept: list[int] = []
    for chunk in chunks(trie, size):
        assert chunk.path.tolist() == kept  # what the chunk before kept is what this one needs
        columns = [*chunk.path.tolist(), *range(chunk.start, chunk.stop)]
        visible = is_visible(trie, chunk, window)
        for row, node in enumerate(range(chunk.start, chunk.stop)):
            path = trie.path(node).tolist()
            expected = path if window is None else path[-window:]
            assert [columns[c] for c in np.flatnonzero(visible[row])] == expected
        seen += range(chunk.start, chunk.stop)
        kept = [columns[c] for c in chunk.kept]
    assert seen == list(range(trie.n_nodes))
    assert kept == []


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=12),
    st.integers(1, 5),
    st.data(),
)
def test_left_out_chunks_change_nothing_for_the_others(
    sequences: list[list[int]], size: int, data: st.DataObject
) -> None:
    """A run that goes on pushes some of the planned chunks, each with the path it always had."""
    trie = build_trie(sequences)
    whole = {chunk.start: chunk for chunk in chunks(trie, size)}
    wanted = data.draw(st.lists(st.integers(0, trie.n_nodes - 1), min_size=1, max_size=4))
    some = list(chunks(trie, size, np.array(wanted)))
    assert {node // size * size for node in wanted} <= {chunk.start for chunk in some}
    for chunk in some:
        assert chunk.stop == whole[chunk.start].stop
        assert chunk.path.tolist() == whole[chunk.start].path.tolist()


def test_nothing_missing_pushes_nothing() -> None:
    trie = build_trie([[1, 2, 3], [1, 2, 4]])
    assert list(chunks(trie, 2, np.array([], dtype=np.int64))) == []


def spared(rows: int, depth: int, most: int) -> int:
    return depth * (rows - -(-rows // most)) - schedule._STEM


@given(sequences, st.integers(1, 5), st.integers(0, 6), st.data())
def test_stems_are_real_beginnings_and_spare_most_reading(
    given_sequences, most, price, data: st.DataObject
) -> None:
    n = len(given_sequences)
    n_rows = data.draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    trie = build_trie(given_sequences)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "_STEM", price)
        lengths = stems(trie, n_rows, most).tolist()
        groups: dict[tuple[int, ...], int] = {}
        for ids, length, rows in zip(given_sequences, lengths, n_rows, strict=True):
            assert 0 <= length <= len(ids)
            if length:
                key = tuple(ids[:length])
                groups[key] = groups.get(key, 0) + rows
        found = sum(spared(rows, len(key), most) for key, rows in groups.items())

        def best(prefix: tuple[int, ...]) -> int:
            """By trying every prefix: share it, or what lies below it."""
            below = [
                (ids, rows)
                for ids, rows in zip(given_sequences, n_rows, strict=True)
                if tuple(ids[: len(prefix)]) == prefix
            ]
            further = {tuple(ids[: len(prefix) + 1]) for ids, _ in below} - {prefix}
            apart = sum(best(longer) for longer in further)
            return max(apart, spared(sum(r for _, r in below), len(prefix), most), 0)

        assert found == (best(()) if given_sequences else 0)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 9)), max_size=7))
def test_shelves_are_the_cheapest(sizes) -> None:
    lengths, readers = [size[0] for size in sizes], [size[1] for size in sizes]
    groups = shelves(lengths, readers)
    assert sorted(place for group in groups for place in group) == list(range(len(sizes)))

    def cost(groups: list[list[int]]) -> int:
        return sum(
            len(group)
            * max(lengths[place] for place in group)
            * (schedule._READ + max(readers[place] for place in group))
            + schedule._SHELF
            for group in groups
        )

    order = [place for group in groups for place in group]
    assert [lengths[place] for place in order] == sorted(lengths, reverse=True)
    cuts = (
        [0, *inner, len(order)]
        for n in range(len(order))
        for inner in itertools.combinations(range(1, len(order)), n)
    )
    costs = [cost([order[a:b] for a, b in itertools.pairwise(cut)]) for cut in cuts]
    assert cost(groups) == min(costs, default=0)
