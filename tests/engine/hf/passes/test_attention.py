import pytest
import torch
from torch.nn import functional

from tuneval.engine.hf.passes import attention

SHAPES = [  # rows, heads, kv heads, columns, width
    (1, 1, 1, 1, 8),
    (5, 4, 2, 128, 16),
    pytest.param(7, 6, 1, 300, 16, id="all heads read the same keys, columns no multiple"),
    pytest.param(3, 4, 4, 256, 64, id="each head has keys of its own"),
]


@pytest.mark.parametrize("has_onednn", [True, False])
@pytest.mark.parametrize(("n", "heads", "kv_heads", "columns", "width"), SHAPES)
def test_rows_mix_what_they_see_as_in_torch(
    n, heads, kv_heads, columns, width, has_onednn, monkeypatch
):
    if has_onednn and not attention.has_onednn():
        pytest.skip("torch has no oneDNN here")
    monkeypatch.setattr(attention, "has_onednn", lambda: has_onednn)
    draw = torch.Generator().manual_seed(0)
    q = torch.randn((n, heads, width), generator=draw)
    # A part of larger buffers, as in the tree.
    keys, values = torch.randn((2, kv_heads, columns + 9, width), generator=draw)[:, :, :columns]
    sees = torch.rand((n, columns), generator=draw) < 0.5
    sees[:, 0] = True
    mask = torch.zeros(n, columns).masked_fill_(~sees, float("-inf"))
    groups = heads // kv_heads
    right = functional.scaled_dot_product_attention(
        q.double().transpose(0, 1),
        keys.double().repeat_interleave(groups, dim=0),
        values.double().repeat_interleave(groups, dim=0),
        attn_mask=mask.double(),
    )
    found = attention.attended(q, keys, values, mask)
    torch.testing.assert_close(
        found.double(), right.transpose(0, 1).reshape(n, -1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("n", "expected"), [(1, 128), (128, 128), (129, 256)])
def test_columns_come_in_few_numbers_where_products_are_set_up_for_each(n, expected, monkeypatch):
    monkeypatch.setattr(attention, "has_onednn", lambda: True)
    assert attention.padded(n) == expected
    monkeypatch.setattr(attention, "has_onednn", lambda: False)
    assert attention.padded(n) == n
