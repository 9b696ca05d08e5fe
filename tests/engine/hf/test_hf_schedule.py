"""Plans are plain data; their promises hold for any lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuneval.engine.hf.schedule import padded_batches


@given(st.lists(st.integers(1, 50)), st.integers(1, 200), st.integers(1, 9))
def test_padded_batches_hold_each_row_once(lengths, budget, max_rows) -> None:
    batches = padded_batches(lengths, token_budget=budget, max_rows=max_rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[index] for index in batch)
        assert len(batch) == 1 or (len(batch) <= max_rows and width * len(batch) <= budget)
