"""How long the statistics of a large run take: 3 variants x 14,042 cases x 10 metrics.

    python evidence/large_run.py [n_cases]

Scores with intervals of every variant, paired comparisons of every pair, adjustment. Half of the
metrics are closed forms or take few distinct rows; the other half (marked "dense") have a different
row for every case, which is the worst case for resampling.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tuneval.comparison import Settings, adjust, compare, score
from tuneval.types import Measurement


@dataclass
class Metric:
    """A metric as comparison sees it."""

    name: str
    statistic: str
    from_totals: object
    unit: str = "share"
    higher_is_better: bool = True

    def signature(self) -> str:
        """Nothing to sign."""
        return self.name


def ratio(totals):
    """First sum over second."""
    return totals[..., 0] / totals[..., 1]


def macro_f1(totals):
    """From (tp, fp, fn) per label."""
    cells = totals.reshape(*totals.shape[:-1], -1, 3)
    return (2 * cells[..., 0] / np.maximum(2 * cells[..., 0] + cells[..., 1:].sum(-1), 1)).mean(-1)


def ece(totals):
    """From (confidence - right) per bin and the count."""
    return np.abs(totals[..., :-1]).sum(-1) / totals[..., -1]


def bleu(totals):
    """From n-gram matches, totals and lengths."""
    precision = np.log(np.maximum(totals[..., :4], 1e-9) / totals[..., 4:8]).mean(-1)
    return 100 * np.exp(precision + np.minimum(0, 1 - totals[..., 9] / totals[..., 8]))


def exp_ratio(totals):
    """Perplexity."""
    return np.exp(ratio(totals))


def make(n: int, rng: np.random.Generator):
    """Each metric with a function that makes one variant's rows."""
    one = np.ones(n)
    label = rng.integers(0, 4, n)

    def right():
        return np.stack([rng.random(n) < 0.7, one], 1).astype(float)

    def f1_rows():
        predicted = np.where(rng.random(n) < 0.7, label, rng.integers(0, 4, n))
        return np.concatenate(
            [
                np.stack(
                    [
                        (label == k) & (predicted == k),
                        (label != k) & (predicted == k),
                        (label == k) & (predicted != k),
                    ],
                    1,
                )
                for k in range(4)
            ],
            1,
        ).astype(float)

    def ece_rows():
        confidence = rng.beta(4, 2, n)
        rows = np.zeros((n, 16))
        rows[np.arange(n), (confidence * 15).astype(int)] = confidence - (rng.random(n) < 0.7)
        rows[:, 15] = 1
        return rows

    def bleu_rows():
        length = rng.integers(8, 40, n).astype(float)
        matches = [np.floor(length * rng.beta(8 - k, 4 + k, n)) for k in range(4)]
        return np.stack([*matches, *(length - k for k in range(4)), length, length + 1], 1)

    def nats():
        return np.stack([rng.gamma(20, 2, n), rng.integers(5, 60, n)], 1).astype(float)

    return [
        (Metric("accuracy", "proportion", ratio), right),
        (Metric("exact match", "proportion", ratio), right),
        (Metric("token F1", "mean", ratio), lambda: np.stack([rng.random(n), one], 1)),
        (Metric("Brier", "mean", ratio), lambda: np.stack([rng.random(n), one], 1)),
        (Metric("macro-F1", "corpus", macro_f1), f1_rows),
        (Metric("weighted F1", "corpus", macro_f1), f1_rows),
        (Metric("ECE (dense)", "corpus", ece), ece_rows),
        (Metric("BLEU (dense)", "corpus", bleu, "points"), bleu_rows),
        (Metric("perplexity (dense)", "corpus", exp_ratio, "perplexity", False), nats),
        (Metric("loss (dense)", "corpus", ratio, "nats", False), nats),
    ]


def main() -> None:
    """Time each metric and print the peak memory."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 14_042
    rng, settings = np.random.default_rng(0), Settings()
    ids = tuple(str(i) for i in range(n))
    comparisons, whole = [], time.perf_counter()
    for metric, rows in make(n, rng):
        variants = [Measurement(v, metric.name, ids, rows()) for v in ("base", "lora", "full")]
        began = time.perf_counter()
        for one in variants:
            score(one, metric, settings, case_set="mmlu")
        scored = time.perf_counter()
        for a, b in combinations(variants, 2):
            comparisons.append(compare(a, b, metric, settings, case_set="mmlu"))
        compared = time.perf_counter()
        print(f"{metric.name:20} scores {scored - began:5.2f} s  pairs {compared - scored:5.2f} s")
    adjust(comparisons[:3], comparisons[3:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"all: {time.perf_counter() - whole:.1f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
