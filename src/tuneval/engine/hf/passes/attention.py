"""Attention of the rows of a chunk to a path and to one another, in our own pass on CPU.

Scores and mixed values are two products of plain matrices a head, through oneDNN where torch has it: torch's own
kernel multiplies through MKL, which on AMD's processors does not use their 512-bit units. Not for: rows
that take one token at a time (``cascade.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tuneval.engine.hf.passes.fused import has_onednn, multiplied

COLUMNS = 128
"""Columns are a multiple of so many: oneDNN sets a product up for each number of them."""


def padded(n_columns: int) -> int:
    """The number of columns, that many or some more, that attention runs over."""
    return -(-n_columns // COLUMNS) * COLUMNS if has_onednn() else n_columns


def attended(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Values mixed by what each row attends to, shape (n, heads * width).

    Parameters
    ----------
    q : Tensor, shape (n, heads, width)
    keys, values : Tensor, shape (kv heads, columns, width)
        Finite in every column, also in those that no row sees.
    mask : Tensor, shape (n, columns)
        0 where a row sees a column, else minus infinity.
    """
    n, heads, width = q.shape
    queries = q.transpose(0, 1)
    if not has_onednn():
        mixed = functional.scaled_dot_product_attention(
            queries[None], keys[None], values[None], attn_mask=mask, enable_gqa=True
        )[0]
        return mixed.transpose(0, 1).reshape(n, -1)
    groups = heads // len(keys)
    # Heads that read the same keys stand below one another: one product for all of them.
    queries = (queries * width**-0.5).reshape(len(keys), groups * n, width)
    mixed = torch.empty((n, len(keys), groups, width))
    for head, (own, key, value) in enumerate(zip(queries, keys, values, strict=True)):
        scores = multiplied(own, key)
        shares = scores.view(groups, n, -1).add_(mask).softmax(-1).view_as(scores)
        mixed[:, head] = multiplied(shares, value.t()).view(groups, n, width).transpose(0, 1)
    return mixed.view(n, -1)
