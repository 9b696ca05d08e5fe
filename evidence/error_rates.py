"""Coverage, false claims and power of what a run says of 1, 3 and 12 adapters against their base.

    PYTHONPATH=src python evidence/error_rates.py FILE [RUNS]

Adds runs to FILE (one line of sums per piece) until every cell has RUNS of them, 200 where nothing is
said, and prints the table of "Coverage, false claims and power" in docs/statistics.md; what FILE has
already is not drawn again. The generators know nothing of ``tuneval.comparison``: of the package they
use the formulas that turn sums into BLEU, macro-F1 and perplexity.

A case has a latent quality, normal with sd 1, whose mean is raised by fine-tuning; 0.8 of it is the
case's own (or its cluster's, 5 cases each), the rest is the variant's: noise, the seed's level, and
what the cluster makes of the variant. Its distribution is the same for all variants of equal mean, so
that without a rise nothing differs, and the true difference at a rise is an integral.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import norm

from tuneval import metrics
from tuneval.comparison import Settings, adjust, compare_recipe
from tuneval.comparison.decision.tuned import outcome_of
from tuneval.types import Measurement

SIZES, SEEDS, ARMS = (30, 100, 400, 1500), (1, 3), (1, 3, 12)
IN_CLUSTER, OWN, LEAN, SEED_LEVEL = 5, 0.8, 0.3, 0.05
PIECE = 25
"""Runs between two lines of the file."""
PILOT = 200
SETTINGS = Settings(resamples=1_000)
LABELS = np.array([0.5, 0.3, 0.2])
LONGEST = 40
EIGHTY = float(norm.ppf(0.975) + norm.ppf(0.8))
"""A z test that knew the spread shows a difference of so many standard errors in 80 of 100 sets."""
RIGHT_ABOVE, WIN_BEYOND = 0.25, 0.3


# What a quality becomes, and the number that is true when qualities have mean ``rise`` and sd 1


def expected(function: Callable[[np.ndarray], np.ndarray], rise: float) -> float:
    """Mean of a function of a normal variable."""
    at, weights = hermegauss(80)
    return float(weights @ function(at + rise) / weights.sum())


def squashed(quality: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-quality))


def right_rows(quality, rng, labels):
    return np.stack([quality > RIGHT_ABOVE, np.ones_like(quality)], axis=1).astype(float)


def right_truth(rise):
    return float(norm.cdf(rise - RIGHT_ABOVE))


def f1_rows(quality, rng, labels):
    said = np.where(quality > RIGHT_ABOVE, labels, (labels + 1) % 3)[:, None]
    label, one = labels[:, None], np.arange(3)
    hit = label == one, said == one
    counts = hit[0] & hit[1], ~hit[0] & hit[1], hit[0] & ~hit[1]
    return np.concatenate(counts, axis=1).astype(float)


def f1_truth(rise):
    right = right_truth(rise) * LABELS
    wrong = LABELS - right
    return float(np.mean(2 * right / (2 * right + wrong + np.roll(wrong, 1))))


def rouge_rows(quality, rng, labels):
    return np.stack([squashed(quality), np.ones_like(quality)], axis=1)


def rouge_truth(rise):
    return expected(squashed, rise)


def bleu_rows(quality, rng, labels):
    """Words that match with a sentence's own probability; n-grams match where all their words do."""
    n = len(quality)
    length = rng.integers(6, LONGEST, n)
    inside = np.arange(LONGEST) < length[:, None]
    word = (rng.random((n, LONGEST)) < squashed(quality + 1)[:, None]) & inside
    run, matches = word, [word.sum(axis=1)]
    for order in range(1, 4):
        run = run[:, :-1] & word[:, order:]
        matches.append(run.sum(axis=1))
    sums = [length, length, *matches, *(length - order for order in range(4))]
    return np.stack(sums, axis=1).astype(float)


def bleu_truth(rise):
    lengths = np.arange(6, LONGEST)
    orders = range(1, 5)
    precisions = [expected(lambda q, k=k: squashed(q + 1) ** k, rise) for k in orders]
    totals = [float(np.mean(lengths - k + 1)) for k in orders]
    mean = float(lengths.mean())
    sums = [mean, mean, *(t * p for t, p in zip(totals, precisions, strict=True)), *totals]
    return float(METRICS["BLEU"].metric.from_totals(1e6 * np.array(sums)))


def perplexity_rows(quality, rng, labels):
    length = rng.integers(5, LONGEST, quality.size)
    return np.stack([length * np.exp(-0.3 * quality), length], axis=1)


def perplexity_truth(rise):
    return float(np.exp(expected(lambda q: np.exp(-0.3 * q), rise)))


def win_rows(quality, rng, labels):
    won = np.where(quality > WIN_BEYOND, 1.0, np.where(quality < -WIN_BEYOND, 0.0, 0.5))
    return np.stack([won, np.ones_like(won)], axis=1)


def win_truth(rise):
    return float((norm.cdf(rise - WIN_BEYOND) + norm.cdf(rise + WIN_BEYOND)) / 2)


@dataclass(frozen=True)
class Kind:
    """A metric, its rows from qualities, and its true value."""

    metric: object
    rows: Callable
    truth: Callable[[float], float]


METRICS = {
    "accuracy": Kind(metrics.build("accuracy"), right_rows, right_truth),
    "macro-F1": Kind(metrics.build("f1_macro"), f1_rows, f1_truth),
    "ROUGE": Kind(metrics.build("rougeL"), rouge_rows, rouge_truth),
    "BLEU": Kind(metrics.build("bleu"), bleu_rows, bleu_truth),
    "perplexity": Kind(metrics.build("perplexity"), perplexity_rows, perplexity_truth),
    "win rate": Kind(metrics.build("win_rate"), win_rows, win_truth),
}


@dataclass(frozen=True)
class Cell:
    """One place of the table, for any number of adapters."""

    kind: str
    n: int
    n_seeds: int
    is_clustered: bool

    @property
    def codes(self):
        return np.arange(self.n) // (IN_CLUSTER if self.is_clustered else 1)

    def rng(self, *more):
        """Random numbers of their own for each cell, world and piece."""
        place = list(METRICS).index(self.kind)
        return np.random.default_rng([place, self.n, self.n_seeds, int(self.is_clustered), *more])

    def draw(self, rng, rise):
        """Rows of the base, and of the seeds of each adapter."""
        n_units, kind = int(self.codes.max()) + 1, METRICS[self.kind]
        lean, level = LEAN * self.is_clustered, SEED_LEVEL * (self.n_seeds > 1)
        shared = OWN * rng.standard_normal(n_units)
        labels = rng.choice(3, self.n, p=LABELS)

        def rows(of_units, lean, level):
            noise = sqrt(1 - OWN**2 - lean**2 - level**2) * rng.standard_normal(self.n)
            quality = of_units[self.codes] + level * rng.standard_normal() + noise
            return kind.rows(quality, rng, labels)

        base = rows(shared, 0.0, 0.0)
        if self.kind == "win rate":  # against the base, which is as good as itself
            base = np.tile([0.5, 1.0], (self.n, 1))
        adapters = []
        for _ in range(max(ARMS)):
            of_units = rise + shared + lean * rng.standard_normal(n_units)
            adapters.append([rows(of_units, lean, level) for _ in range(self.n_seeds)])
        return base, adapters

    def gain(self, base, seeds):
        """What was seen, positive where the adapter is better."""
        metric = METRICS[self.kind].metric
        seen = np.mean([metric.from_totals(one.sum(axis=0)) for one in seeds])
        return float(seen - metric.from_totals(base.sum(axis=0))) * sign(self.kind)


def sign(kind):
    return 1 if METRICS[kind].metric.higher_is_better else -1


def true_gain(kind, rise):
    return (METRICS[kind].truth(rise) - METRICS[kind].truth(0.0)) * sign(kind)


@cache
def rise_of(cell: Cell) -> float:
    """The rise whose true difference is ``EIGHTY`` standard errors, found by trial draws."""
    rng = cell.rng(9)
    seen = [
        cell.gain(base, seeds)
        for base, adapters in (cell.draw(rng, 0.0) for _ in range(PILOT))
        for seeds in adapters
    ]
    wanted = EIGHTY * float(np.std(seen))
    low, high = 0.0, 6.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if true_gain(cell.kind, middle) < wanted else (low, middle)
    return high


def measured(name, kind, rows):
    ids = tuple(map(str, range(len(rows))))
    return Measurement(name, METRICS[kind].metric.name, ids, rows)


def compared(cell, base, adapters, n_arms):
    """Comparisons of the base with each of the adapters, in a run that has ``n_arms`` of them."""
    settings = replace(SETTINGS, difference_claims=n_arms)
    return [
        compare_recipe(
            [measured("base", cell.kind, base)],
            [measured(f"{place}-{n}", cell.kind, rows) for n, rows in enumerate(seeds)],
            METRICS[cell.kind].metric,
            settings,
            case_set="t",
            baseline_name="base",
            candidate_name=str(place),
            clusters=[str(code) for code in cell.codes] if cell.is_clustered else None,
        )
        for place, seeds in enumerate(adapters)
    ]


def once(cell: Cell, rng, rise: float) -> dict[str, float]:
    """One set of cases. With several adapters: any false claim, all intervals right, share proved.

    Of the most adapters, every one is a run with one adapter, and every three are a run with
    three; the intervals of three are looked at for the first three.
    """
    base, adapters = cell.draw(rng, rise)
    most = max(ARMS)
    every = compared(cell, base, adapters, most)
    truth = true_gain(cell.kind, rise) * sign(cell.kind)
    found = {}
    for n_arms in ARMS:
        runs = [adjust(every[start : start + n_arms]) for start in range(0, most, n_arms)]
        said = [[outcome_of(one) for one in run] for run in runs]
        is_said = [[one in {"better", "worse"} for one in run] for run in said]
        found[f"false {n_arms}"] = float(np.mean([any(run) for run in is_said]))
        found[f"power {n_arms}"] = float(np.mean([one == "better" for run in said for one in run]))
    if rise:
        holds = [one.interval.low <= truth <= one.interval.high for one in every]
        found["covered 1"] = float(np.mean(holds))
        three = adjust(compared(cell, base, adapters[:3], 3))
        for n_arms, run in ((3, three), (most, adjust(every))):
            ends = [(one.details["shared_low"], one.details["shared_high"]) for one in run]
            found[f"covered {n_arms}"] = float(all(low <= truth <= high for low, high in ends))
    return found


# The file of pieces, and the table


def cells():
    return [Cell(*one) for one in product(METRICS, SIZES, SEEDS, (False, True))]


def add_piece(cell: Cell, world: str, piece: int) -> dict:
    rise = rise_of(cell) if world == "better" else 0.0
    rng = cell.rng(1 if rise else 0, piece)
    runs = [once(cell, rng, rise) for _ in range(PIECE)]
    names = runs[0] if rise else [name for name in runs[0] if name.startswith("false")]
    wanted = [name for name in names if not rise or not name.startswith("false")]
    sums = {
        name: [sum(run[name] for run in runs), sum(run[name] ** 2 for run in runs)]
        for name in wanted
    }
    return {"cell": [*vars_of(cell)], "world": world, "piece": piece, "runs": PIECE, "sums": sums}


def vars_of(cell):
    return cell.kind, cell.n, cell.n_seeds, cell.is_clustered


def read(path: Path) -> dict[tuple, dict]:
    """Pieces that were drawn before, by cell, world and number."""
    lines = path.read_text().splitlines() if path.exists() else []
    pieces = [json.loads(line) for line in lines]
    return {(*one["cell"], one["world"], one["piece"]): one for one in pieces}


@dataclass(frozen=True)
class Share:
    """A rate over runs, with its Monte Carlo error."""

    rate: float
    error: float
    runs: int

    def beyond(self, nominal: float, side: int) -> float:
        """Errors by which the rate lies on the wrong side of the nominal one."""
        return side * (self.rate - nominal) / self.error


def share(pieces: list[dict], name: str, parts: int, nominal: float) -> Share:
    """The mean of runs; ``parts``: how many answers each run holds, if they were independent."""
    runs = sum(one["runs"] for one in pieces)
    total, squares = (sum(one["sums"][name][place] for one in pieces) for place in (0, 1))
    mean = total / runs
    expected = sqrt(nominal * (1 - nominal) / (runs * parts))
    # Answers of one run share its base: their error is seen in how runs differ.
    seen = sqrt(max(squares / runs - mean**2, 0) / runs) if parts > 1 else 0.0
    return Share(mean, max(seen, expected), runs)


def table(found: dict[tuple, dict]) -> None:
    """Print the table and how many cells lie beyond two errors."""
    print(
        "| metric | n | seeds | clusters | false claims, 1 / 3 / 12 adapters | coverage | power |"
    )
    print("|---|---|---|---|---|---|---|")
    every: dict[str, list[tuple[float, str]]] = {"false claims": [], "coverage": []}
    errors: dict[int, list[float]] = {}
    for cell in cells():
        world = {
            name: [one for key, one in found.items() if key[:5] == (*vars_of(cell), name)]
            for name in ("equal", "better")
        }
        if not all(world.values()):
            continue
        most = max(ARMS)
        false = [share(world["equal"], f"false {k}", most // k, 0.05) for k in ARMS]
        covered = [
            share(world["better"], f"covered {k}", most if k == 1 else 1, 0.95) for k in ARMS
        ]
        power = [share(world["better"], f"power {k}", most, 0.8) for k in ARMS]
        place = f"{cell.kind}, n={cell.n}, {cell.n_seeds} seeds" + ", clusters" * cell.is_clustered
        for k, one in zip(ARMS, false, strict=True):
            every["false claims"].append((one.beyond(0.05, 1), f"{place}, {k} adapters"))
        for k, one in zip(ARMS * 2, false + covered, strict=True):
            errors.setdefault(k, []).append(one.error)
        for k, one in zip(ARMS, covered, strict=True):
            every["coverage"].append((one.beyond(0.95, -1), f"{place}, {k} adapters"))
        columns = [
            " / ".join(f"{100 * one.rate:.1f}" for one in row) for row in (false, covered, power)
        ]
        clusters = "yes" if cell.is_clustered else "no"
        print(f"| {cell.kind} | {cell.n:,} | {cell.n_seeds} | {clusters} | {' | '.join(columns)} |")
    for name, cells_beyond in every.items():
        wrong = [where for errors, where in cells_beyond if errors > 2]
        print(
            f"\n{name}: {len(wrong)} of {len(cells_beyond)} beyond two Monte Carlo errors on the wrong "
            f"side ({norm.sf(2) * len(cells_beyond):.1f} expected by chance were all exactly nominal)"
        )
        for where in wrong:
            print(f"- {where}")
    print("\nMonte Carlo errors, in points, of false claims and coverage: ", end="")
    print(", ".join(f"{k} adapters {100 * np.median(each):.1f}" for k, each in errors.items()))
    runs = [
        sum(one["runs"] for key, one in found.items() if key[:5] == name)
        for name in {key[:5] for key in found}
    ]
    print(f"\nruns per cell: {min(runs)} to {max(runs)}")


def main() -> None:
    """Draw what is missing, then print."""
    path, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    found = read(path)
    for piece in range(-(-runs // PIECE)):
        for cell, world in product(cells(), ("equal", "better")):
            key = (*vars_of(cell), world, piece)
            if key not in found:
                found[key] = add_piece(cell, world, piece)
                with path.open("a") as file:
                    file.write(json.dumps(found[key]) + "\n")
    table(found)


if __name__ == "__main__":
    main()
