"""Time of sums over draws where there are many labels: with the zeros, and without, side by side.

python evidence/many_labels.py
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from tuneval.comparison.estimate.resampling import summing

N_CASES, N_DRAWS = 800, 2_000


def main() -> None:
    """Print a line of the table for each number of labels."""
    rng = np.random.default_rng(0)
    weights = rng.multinomial(N_CASES, np.full(N_CASES, 1 / N_CASES), size=N_DRAWS).astype(float)
    for n_labels in (20, 150, 500):
        rows = np.zeros((N_CASES, 3 * n_labels))
        rows[np.arange(N_CASES), rng.integers(0, 3 * n_labels, N_CASES)] = 1
        started = time.process_time()
        whole = weights @ rows
        between = time.process_time()
        sparse = summing(rows)(weights)
        ended = time.process_time()
        assert np.array_equal(whole, sparse)
        print(f"| {n_labels} | {between - started:.4f} | {ended - between:.4f} |")


if __name__ == "__main__":
    main()
