"""Gaffke's bound against betting: how wide the interval of a bounded mean is, and how often it holds.

    PYTHONPATH=src python evidence/bounds.py [RUNS]

Prints the table of "Closeness, and bounds that know the range" in docs/statistics.md. Betting is the
hedged capital of Waudby-Smith & Ramdas (2023), Estimating means of bounded random variables by betting,
at a fixed number of cases: its validity is proved for every distribution.
"""

from __future__ import annotations

import sys

import numpy as np

from tuneval.comparison.estimate import bounded

GRID = (np.arange(1_000) + 0.5) / 1_000
MOST_BET = 0.5

SCORES = {
    "Beta(.7, .7)": (lambda rng, n: rng.beta(0.7, 0.7, n), 0.5),
    "near 98": (lambda rng, n: np.where(rng.random(n) < 0.04, rng.random(n), 1.0), 0.98),
    "right and wrong, 80": (lambda rng, n: (rng.random(n) < 0.8).astype(float), 0.8),
    "difference, 4% of cases change": (
        lambda rng, n: (rng.choice([-1.0, 0.0, 1.0], n, p=[0.01, 0.96, 0.03]) + 1) / 2,
        0.51,
    ),
    "difference of scores, sd .15": (
        lambda rng, n: np.clip(0.51 + 0.075 * rng.standard_normal(n), 0, 1),
        0.51,
    ),
}
"""Draws on [0, 1] and their true mean; a difference on [-1, 1] is halved and moved."""


def hedged(x: np.ndarray, alpha: float = 0.05) -> tuple[float, float]:
    """The means against which neither bet has ever multiplied its capital by 2 / alpha."""
    seen = np.arange(1, x.size + 1) + 1
    mean = (0.5 + np.cumsum(x)) / seen
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / seen
    before = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2 * np.log(2 / alpha) / (x.size * before))[:, None]
    away = x[:, None] - GRID
    up = np.cumsum(np.log1p(np.minimum(bet, MOST_BET / GRID) * away), axis=0)
    down = np.cumsum(np.log1p(-np.minimum(bet, MOST_BET / (1 - GRID)) * away), axis=0)
    held = GRID[(np.maximum(up, down) < np.log(2 / alpha)).all(axis=0)]
    half = 0.5 / GRID.size
    return (held[0] - half, held[-1] + half) if held.size else (mean[-1], mean[-1])


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(
        "| scores | n | Gaffke: width | covers | betting: width | covers |\n|---|---|---|---|---|---|"
    )
    for name, (draw, truth) in SCORES.items():
        for n in (30, 100, 400):
            rng = np.random.default_rng(n)
            samples = [draw(rng, n) for _ in range(runs)]
            shown = []
            for method in (lambda x: bounded.interval(x, np.ones(x.size), (0.0, 1.0)), hedged):
                low, high = np.array([method(x) for x in samples]).T
                covers = np.mean((low <= truth) & (truth <= high))
                shown.append(f"{100 * np.mean(high - low):.1f} | {covers:.1%}")
            print(f"| {name} | {n} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
