"""False claims where nothing differs, over metrics, sizes, seeds and clusters.

    PYTHONPATH=src:tests python evidence/error_rates.py [RUNS]

Prints the second table of "Error rates" in docs/statistics.md. The generators know nothing of
``tuneval.comparison``.
"""

from __future__ import annotations

import sys
from math import sqrt

import numpy as np

from comparison.fakes import Accuracy, Corpus, MacroF1, MeanScore, Perplexity, f1_rows, measured
from tuneval.comparison import Settings, compare_recipe

SETTINGS = Settings(resamples=300)
IN_CLUSTER = 5


def one_side(rng, shared, effect, kind):
    """Rows of one variant whose cases have these qualities."""
    quality = 0.8 * shared + 0.6 * rng.standard_normal(shared.size) + effect
    if kind == "accuracy":
        return np.stack([(quality > -0.4), np.ones_like(quality)], axis=1)
    if kind == "rouge":
        return np.stack([1 / (1 + np.exp(-quality)), np.ones_like(quality)], axis=1)
    if kind == "bleu":
        length = rng.integers(5, 40, quality.size)
        return np.stack([rng.binomial(length, 1 / (1 + np.exp(-quality))), length], axis=1)
    if kind == "perplexity":
        length = rng.integers(5, 40, quality.size)
        return np.stack([length * np.exp(-0.3 * quality), length], axis=1)
    references = np.arange(quality.size) % 3
    right = quality > -0.4
    return f1_rows(references, np.where(right, references, (references + 1) % 3), range(3))


METRICS = {
    "accuracy": Accuracy(),
    "macro-F1": MacroF1(),
    "rouge": MeanScore(),
    "bleu": Corpus(name="bleu"),
    "perplexity": Perplexity(),
}


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("| metric | n | seeds | clusters | false claims | runs |")
    print("|---|---|---|---|---|---|")
    for kind, metric in METRICS.items():
        for n in (30, 100, 400, 1500):
            for n_seeds in (1, 3):
                for clustered in (False, True):
                    rng = np.random.default_rng([n, n_seeds, clustered])
                    found = [once(rng, kind, metric, n, n_seeds, clustered) for _ in range(runs)]
                    wrong = np.mean(found)
                    print(
                        f"| {kind} | {n:,} | {n_seeds} | {'yes' if clustered else 'no'} | "
                        f"{wrong:.1%} | {runs} |",
                        flush=True,
                    )
    print(f"Monte Carlo error {sqrt(0.05 * 0.95 / runs):.1%}")


def once(rng, kind, metric, n, n_seeds, clustered):
    """Nothing differs: was a difference claimed?"""
    codes = np.arange(n) // (IN_CLUSTER if clustered else 1)
    shared = rng.standard_normal(codes.max() + 1)[codes]
    lean = (0.3 * rng.standard_normal(codes.max() + 1))[codes] if clustered else 0.0
    base = [measured(None, "base", metric.name, rows=one_side(rng, shared, 0.0, kind))]
    seeds = [
        measured(
            None,
            f"s{seed}",
            metric.name,
            rows=one_side(
                rng, shared, lean + (0.05 * rng.standard_normal() if n_seeds > 1 else 0.0), kind
            ),
        )
        for seed in range(n_seeds)
    ]
    found = compare_recipe(
        base,
        seeds,
        metric,
        SETTINGS,
        case_set="t",
        baseline_name="base",
        candidate_name="lora",
        clusters=[str(code) for code in codes] if clustered else None,
    )
    return found.p_value < 0.05


if __name__ == "__main__":
    main()
