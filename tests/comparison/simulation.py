"""What the statistics do over many made-up data sets whose truth is known.

Each entry of ``SIMULATIONS`` returns one figure; ``test_simulation.py`` holds it to its bounds, and
running this file prints the table of ``docs/statistics.md``. Seeds are fixed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from math import log

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from comparison.fakes import Accuracy, MacroF1, f1_rows, measured
from tuneval.comparison import Settings, compare, score
from tuneval.comparison.beyond.checkpoints import judge_checkpoints
from tuneval.comparison.beyond.overfitting import is_overfitted, running_median
from tuneval.comparison.decision.sequential import (
    confidence_sequence,
    log_e_mcnemar,
    log_e_whole_benchmark,
)
from tuneval.comparison.estimate import bounded, exact, power
from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.multiplicity import benjamini_hochberg, holm
from tuneval.comparison.estimate.seeds import linear, two_way

N = 14_042


@dataclass(frozen=True)
class Simulation:
    """A figure with the bounds it must keep and the sentence that the table prints."""

    what: str
    figure: object
    low: float
    high: float
    runs: str


SIMULATIONS: dict[str, Simulation] = {}


def simulation(name, what, low, high, runs):
    """Enter a function that returns one figure."""

    def enter(figure):
        SIMULATIONS[name] = Simulation(what, figure, low, high, runs)
        return figure

    return enter


@simulation("wilson", "coverage of Wilson, n=100, p=.9", 0.9359, 0.9369, "exact")
def wilson_coverage():
    covered = [low <= 0.9 <= high for low, high in (exact.wilson(x, 100) for x in range(101))]
    return float(stats.binom.pmf(np.arange(101), 100, 0.9) @ np.array(covered, float))


def _discordant(n, share):
    """Probability of every (b, c) with b + c discordant of n, b and c equally likely."""
    for total in range(n + 1):
        weight = stats.binom.pmf(total, n, share)
        if weight > 1e-14:
            yield total, weight


@simulation("mcnemar", "type I error of McNemar mid-p, n=200, D=.2", 0.0478, 0.0488, "exact")
def mcnemar_type_one():
    wrong = 0.0
    for total, weight in _discordant(200, 0.2):
        b = np.arange(total + 1)
        rejected = np.array([exact.mcnemar(int(x), int(total - x)).p_mid < 0.05 for x in b])
        wrong += weight * float(stats.binom.pmf(b, total, 0.5) @ rejected)
    return wrong


@simulation(
    "agresti_min", "coverage of Agresti-Min, n=100, D=.05, true 3 points", 0.9586, 0.9606, "exact"
)
def agresti_min_coverage():
    covered = 0.0
    for total, weight in _discordant(100, 0.05):
        b = np.arange(total + 1)
        intervals = [exact.agresti_min(int(x), int(total - x), 100).interval() for x in b]
        inside = np.array([low <= 0.03 <= high for low, high in intervals])
        covered += weight * float(stats.binom.pmf(b, total, 0.04 / 0.05) @ inside)
    return covered


def _closeness(n, share_full, share_lora, margin=0.02):
    """Chance of calling LoRA close, as the verdict does: the one-sided bound is inside."""
    told = 0.0
    for total, weight in _discordant(n, share_full + share_lora):
        b = np.arange(total + 1)
        p = stats.binom.pmf(b, total, share_full / (share_full + share_lora))
        for x, chance in zip(b, p, strict=True):
            if chance * weight < 1e-7:
                continue
            d = np.repeat([1.0, 0.0, -1.0], [int(x), n - total, int(total - x)])
            bounds = bounded.of_differences(d, None, (0.0, 1.0))
            told += weight * chance * (bounds(0.90)[1] < margin)
    return told


@simulation(
    "closeness_rare",
    'type I error of "within 2 points" at a true gap of 2, n=200, D=.02',
    0.0,
    0.05,
    "exact",
)
def closeness_rare():
    return _closeness(200, 0.02, 1e-9)


@simulation(
    "closeness_bold",
    "the same by Agresti-Min alone (why few disagreements prove nothing)",
    0.08,
    0.10,
    "exact",
)
def closeness_by_interval_alone():
    b = np.arange(201)
    told = [exact.agresti_min(int(x), 0, 200).interval(0.90)[1] < 0.02 for x in b]
    return float(stats.binom.pmf(b, 200, 0.02) @ np.array(told, float))


@simulation("closeness", "the same at n=2000, D=.05 (3.5% against 1.5%)", 0.03, 0.05, "exact")
def closeness_usual():
    return _closeness(2000, 0.035, 0.015)


@simulation("cr1", "coverage of CR1 with t, 20 clusters of 10", 0.93, 0.96, "4,000")
def clustered_coverage():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(20), 10)
    inside = 0
    for _ in range(4000):
        p = expit(logit(0.7) + rng.normal(0, 0.8, 20))[codes]
        low, high = means.estimate_mean((rng.random(200) < p).astype(float), codes).interval()
        inside += low <= _CLUSTERED_TRUTH <= high
    return inside / 4000


_CLUSTERED_TRUTH = float(
    np.sum(expit(logit(0.7) + 0.8 * stats.norm.ppf((np.arange(20000) + 0.5) / 20000))) / 20000
)


@simulation("naive", "the same without clusters", 0.55, 0.86, "4,000")
def naive_coverage():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(20), 10)
    inside = 0
    for _ in range(4000):
        p = expit(logit(0.7) + rng.normal(0, 0.8, 20))[codes]
        low, high = means.estimate_mean((rng.random(200) < p).astype(float)).interval()
        inside += low <= _CLUSTERED_TRUTH <= high
    return inside / 4000


def _seeds(rng, n_seeds, n, seed_sd=0.2, case_sd=1.5, mean=1.5):
    """Right or wrong of n_seeds checkpoints on n cases; cases and seeds vary on the logit scale."""
    p = expit(mean + rng.normal(0, seed_sd, (n_seeds, 1)) + rng.normal(0, case_sd, n))
    return (rng.random((n_seeds, n)) < p).astype(float)


def _seeds_truth(seed_sd=0.2, case_sd=1.5, mean=1.5):
    total = float(np.hypot(seed_sd, case_sd))
    z = stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    return float(expit(mean + total * z).mean())


def _recipe_coverage(seed_sd, what):
    rng = np.random.default_rng(2)
    truth, inside = _seeds_truth(seed_sd), 0
    for _ in range(4000):
        found = two_way(_seeds(rng, 3, 200, seed_sd))
        low, high = getattr(found, what).interval()
        inside += low <= truth <= high
    return inside / 4000


@simulation(
    "two_way", "coverage of the two-way interval, 3 seeds, n=200, seed sd .2", 0.93, 0.97, "4,000"
)
def two_way_coverage():
    return _recipe_coverage(0.2, "estimate")


@simulation("two_way_large", "the same, seed sd .5", 0.91, 0.98, "4,000")
def two_way_coverage_large():
    return _recipe_coverage(0.5, "estimate")


@simulation(
    "cases_only", "the same by cases alone (seeds averaged), seed sd .5", 0.6, 0.93, "4,000"
)
def cases_only_coverage():
    return _recipe_coverage(0.5, "cases")


@simulation(
    "recipe_difference",
    "coverage of base against 3 seeds, difference 0 to 10 points",
    0.93,
    0.98,
    "3,000",
)
def recipe_difference_coverage():
    rng = np.random.default_rng(3)
    z = stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    truth = _seeds_truth(0.2, 1.5, 1.5) - float(expit(1.2 + 1.5 * z).mean())
    inside = 0
    for _ in range(3000):
        case = rng.normal(0, 1.5, 200)
        base = (rng.random((1, 200)) < expit(1.2 + case)).astype(float)
        tuned = rng.random((3, 200)) < expit(1.5 + rng.normal(0, 0.2, (3, 1)) + case)
        low, high = two_way(tuned.astype(float), base).estimate.interval()
        inside += low <= truth <= high
    return inside / 3000


@simulation(
    "two_recipes", "coverage of 3 seeds against 3 seeds, no difference", 0.93, 0.985, "3,000"
)
def two_recipes_coverage():
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(3000):
        case = rng.normal(0, 1.5, 200)
        sides = [
            (rng.random((3, 200)) < expit(1.5 + rng.normal(0, 0.2, (3, 1)) + case)).astype(float)
            for _ in range(2)
        ]
        low, high = two_way(*sides).estimate.interval()
        inside += low <= 0 <= high
    return inside / 3000


def _labels(rng, n, accuracy=0.8, classes=(0.5, 0.35, 0.15)):
    reference = rng.choice(3, n, p=classes)
    slip = rng.random(n) > accuracy
    return reference, np.where(slip, (reference + rng.integers(1, 3, n)) % 3, reference)


@simulation(
    "recipe_f1", "coverage of the two-way interval of macro-F1, 3 seeds, n=200", 0.92, 0.98, "1,500"
)
def recipe_f1_coverage():
    """Through jackknife pseudo-values; the truth from one very large data set."""
    rng = np.random.default_rng(5)
    settings, metric = Settings(), MacroF1()

    def rows(n):
        reference = rng.choice(3, n, p=(0.5, 0.35, 0.15))
        hard = rng.normal(0, 1.5, n)
        made = []
        for _ in range(3):
            slip = rng.random(n) > expit(1.5 + rng.normal(0, 0.2) + hard)
            predicted = np.where(slip, (reference + rng.integers(1, 3, n)) % 3, reference)
            made.append(f1_rows(reference, predicted, range(3)))
        return np.stack(made)

    values = [metric.from_totals(one.sum(axis=0)) for _ in range(100) for one in rows(10_000)]
    truth, inside = float(np.mean(values)), 0
    for _ in range(1500):
        low, high = two_way(linear(metric, rows(200), None, settings)[0]).estimate.interval()
        inside += low <= truth <= high
    return inside / 1500


@simulation("randomisation", "type I error of randomisation, macro-F1, n=100", 0.0, 0.06, "1,000")
def randomisation_type_one():
    rng = np.random.default_rng(6)
    wrong = 0
    for run in range(1000):
        reference, first = _labels(rng, 100)
        agree = rng.random(100) < 0.8
        _, second = reference, np.where(agree, first, _labels_like(rng, reference))
        first = np.where(agree, first, _labels_like(rng, reference))
        a, b = (f1_rows(reference, one, range(3)) for one in (first, second))
        p = again.randomisation(
            a, b, MacroF1().from_totals, 1000, again.generator(run, "simulation")
        )
        wrong += p < 0.05
    return wrong / 1000


def _labels_like(rng, reference, accuracy=0.5):
    slip = rng.random(reference.size) > accuracy
    return np.where(slip, (reference + rng.integers(1, 3, reference.size)) % 3, reference)


@simulation("bca", "coverage of BCa, macro-F1 with a class of 15%, n=200", 0.93, 0.975, "1,000")
def bca_coverage():
    rng = np.random.default_rng(7)
    reference, predicted = _labels(rng, 2_000_000)
    truth = float(MacroF1().from_totals(f1_rows(reference, predicted, range(3)).sum(axis=0)))
    settings, inside = Settings(resamples=2000), 0
    for run in range(1000):
        rows = f1_rows(*_labels(rng, 200), range(3))
        found = score(
            measured(None, f"v{run}", "f1_macro", rows), MacroF1(), settings, case_set="t"
        )
        inside += found.interval.low <= truth <= found.interval.high
    return inside / 1000


@simulation("holm", "family-wise error of Holm, 10 metrics correlated .5", 0.0, 0.055, "20,000")
def holm_error():
    return _family(holm)


@simulation("bh", "the same by Benjamini-Hochberg", 0.0, 0.06, "20,000")
def bh_error():
    return _family(benjamini_hochberg)


@simulation("unadjusted", "the same without adjustment", 0.25, 0.35, "20,000")
def unadjusted_error():
    return _family(np.asarray)


def _family(adjust):
    rng = np.random.default_rng(8)
    shared = rng.standard_normal((20_000, 1))
    z = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal((20_000, 10))
    p = 2 * stats.norm.sf(np.abs(z))
    return float(np.mean([np.min(adjust(row)) < 0.05 for row in p]))


def benchmark(rng, difference, discordant, n=N):
    """Paired differences of a finite benchmark with exactly these shares, in random order."""
    b = round(n * (discordant + difference) / 2)
    c = round(n * (discordant - difference) / 2)
    d = np.zeros(n)
    d[:b], d[b : b + c] = 1, -1
    rng.shuffle(d)
    return d


def stream(rng, difference, discordant, n=N):
    """Paired differences of independent cases."""
    share = [(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2]
    return rng.choice([-1.0, 0.0, 1.0], n, p=share)


def first_crossing(log_e, alpha=0.05):
    """Cases drawn when the e-value first suffices; n + 1 if never."""
    over = log_e >= log(1 / alpha)
    return int(np.argmax(over)) + 1 if over.any() else over.size + 1


def streams(form, difference, discordant, runs, seed, draw=benchmark):
    """Cases until decision, and whether the decision was wrong, of many runs."""
    rng = np.random.default_rng(seed)
    items, wrong = [], 0
    for _ in range(runs):
        d = draw(rng, difference, discordant)
        log_e = {
            "mcnemar": lambda d: log_e_mcnemar(np.cumsum(d > 0), np.cumsum(d < 0)),
            "whole": lambda d: log_e_whole_benchmark(d, N),
        }[form](d)
        n = first_crossing(log_e)
        items.append(n)
        if n <= N:
            wrong += d[:n].sum() * difference <= 0
    return np.array(items), wrong / runs


@simulation(
    "sequential_null",
    "wrong decisions of sequential McNemar, 14,042 independent items, D=.2, no difference",
    0.0,
    0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000),
    "2,000",
)
def sequential_null():
    return streams("mcnemar", 0.0, 0.2, 2000, 9, stream)[1]


@simulation(
    "sequential_null_finite",
    "the same in a random order of one benchmark whose total difference is 0",
    0.0,
    0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000),
    "2,000",
)
def sequential_null_finite():
    return streams("mcnemar", 0.0, 0.2, 2000, 9)[1]


@simulation(
    "whole_null",
    "one benchmark with total 0, by betting without replacement",
    0.0,
    0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000),
    "2,000",
)
def whole_null():
    items, _ = streams("whole", 0.0, 0.2, 2000, 11)
    return float(np.mean(items <= N))


@simulation(
    "sequential_median", "median items of sequential McNemar at 5 points, D=.2", 530, 660, "1,000"
)
def sequential_median():
    return float(np.median(streams("mcnemar", 0.05, 0.2, 1000, 12)[0]))


@simulation("sequential_wrong", "its wrong decisions there", 0.0, 0.01, "1,000")
def sequential_wrong():
    return streams("mcnemar", 0.05, 0.2, 1000, 12)[1]


@simulation(
    "whole_median", "median items at 1 point, D=.2, without replacement", 6000, 10000, "400"
)
def whole_median():
    return float(np.median(streams("whole", 0.01, 0.2, 400, 14)[0]))


@simulation("whole_decided", "share decided there", 0.97, 1.0, "400")
def whole_decided():
    return float(np.mean(streams("whole", 0.01, 0.2, 400, 14)[0] <= N))


@simulation("plain_decided", "the same by sequential McNemar", 0.2, 0.6, "400")
def plain_decided():
    return float(np.mean(streams("mcnemar", 0.01, 0.2, 400, 14)[0] <= N))


@simulation("peeking", "wrong decisions of a z test looked at every 100 items", 0.30, 0.45, "2,000")
def peeking():
    rng = np.random.default_rng(15)
    wrong = 0
    for _ in range(2000):
        d = stream(rng, 0.0, 0.2)[: N // 100 * 100]
        k = np.arange(100, d.size + 1, 100)
        total, square = np.cumsum(d)[k - 1], np.cumsum(d**2)[k - 1]
        wrong += bool(np.any(np.abs(total) / np.sqrt(square) > 1.96))
    return wrong / 2000


@simulation(
    "sequence",
    "runs in which the confidence sequence ever misses the benchmark's value, D=.2, 5 points",
    0.0,
    0.05,
    "500",
)
def sequence_miss():
    rng = np.random.default_rng(16)
    missed = 0
    for _ in range(500):
        d = benchmark(rng, 0.05, 0.2)
        low, high = confidence_sequence((d + 1) / 2)
        missed += bool(np.any((2 * low[:-1] - 1 > d.mean()) | (2 * high[:-1] - 1 < d.mean())))
    return missed / 500


def _curve(rng, n, noise, rise, drop=1.5, fall=0.125):
    """Validation losses: a drop to a plateau of .5, from the middle on rising by ``rise``."""
    level = 0.5 + drop * np.exp(-np.arange(n) / (n * fall))
    bottom = n // 2
    level[bottom:] *= 1 + rise * np.arange(n - bottom) / (n - 1 - bottom)
    return level * (1 + noise * rng.standard_normal(n))


def _alarms(rule, runs, seed, **curve):
    rng = np.random.default_rng(seed)
    return float(np.mean([rule(_curve(rng, noise=0.017, **curve)) for _ in range(runs)]))


def _noise_of_whole_curve(losses):
    """The rule with noise from all second differences, the steep start included."""
    smooth = running_median(losses)
    noise = float(np.median(np.abs(np.diff(losses, 2)))) / (0.6745 * np.sqrt(6))
    at = int(np.argmin(smooth))
    rise = losses[-2:].mean() - smooth[at]
    return at <= losses.size - 2 and rise > max(0.02 * smooth[at], 3 * noise)


@simulation(
    "overfit_false",
    "overfitting: false alarms, plateau after a steep drop, E=20",
    0,
    0.05,
    "10,000",
)
def overfitting_false_alarms():
    return _alarms(is_overfitted, 10_000, 17, n=20, rise=0.0, fall=0.05)


@simulation("overfit_flat", "false alarms on a plateau from the start, E=20", 0, 0.06, "10,000")
def overfitting_false_alarms_flat():
    return _alarms(is_overfitted, 10_000, 17, n=20, rise=0.0, drop=0.0)


@simulation("overfit_few", "false alarms of the 3-7 rule, plateau, E=5", 0, 0.075, "10,000")
def overfitting_false_alarms_few():
    return _alarms(is_overfitted, 10_000, 17, n=5, rise=0.0, drop=0.0)


@simulation("overfit_hit", "a rise of 25% caught after a steep drop, E=20", 0.99, 1.0, "10,000")
def overfitting_hits():
    return _alarms(is_overfitted, 10_000, 18, n=20, rise=0.25)


@simulation("overfit_hit_10", "the same, E=10", 0.82, 1.0, "10,000")
def overfitting_hits_of_ten():
    return _alarms(is_overfitted, 10_000, 18, n=10, rise=0.25)


@simulation(
    "overfit_whole", "the same with noise estimated from the whole curve", 0.0, 0.2, "10,000"
)
def overfitting_hits_whole_curve():
    return _alarms(_noise_of_whole_curve, 10_000, 18, n=10, rise=0.25)


def _brittle(clean, perturbed, n, runs, seed):
    rng = np.random.default_rng(seed)
    told = 0
    for _ in range(runs):
        x = (rng.random(n) < clean).astype(float)
        # A perturbation breaks some of the right ones and mends none.
        y = x * (rng.random(n) < perturbed / clean)
        told += means.estimate_mean(y - 0.9 * x).interval(0.90)[1] < 0
    return told / runs


@simulation("brittle_edge", '"brittle" at exactly 90% of clean, n=200', 0.0, 0.06, "4,000")
def brittle_at_the_edge():
    return _brittle(0.9, 0.81, 200, 4000, 19)


@simulation("brittle_hit", '"brittle" at 80% of clean, n=200', 0.9, 1.0, "4,000")
def brittle_hit():
    return _brittle(0.9, 0.72, 200, 4000, 20)


@simulation("power", "power at the detectable difference, n=500, D=.1", 0.76, 0.84, "4,000")
def power_at_the_detectable_difference():
    rng = np.random.default_rng(21)

    delta = power.detectable(500, 0.1)
    b = rng.multinomial(500, [(0.1 + delta) / 2, (0.1 - delta) / 2, 1 - 0.1], size=4000)
    return float(np.mean([exact.mcnemar(int(x), int(y)).p_mid < 0.05 for x, y, _ in b]))


@cache
def _equal_checkpoints(correlation, runs, seed):
    """Five equally good checkpoints, n=200: how often one is told apart, the best's interval misses, and
    how often each of these happens to plain 95% intervals."""
    rng = np.random.default_rng(seed)
    share, n = 0.8, 200
    counts = np.zeros(4)
    for _ in range(runs):
        common, own = rng.standard_normal(n), rng.standard_normal((5, n))
        latent = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        right = (latent < stats.norm.ppf(share)).astype(float)
        at = [measured(row, f"checkpoint-{k}") for k, row in enumerate(right)]
        curve = judge_checkpoints(at, Accuracy(), Settings(), case_set="t")
        best = curve.best
        paid = curve.scores[best].interval
        plain = score(at[best], Accuracy(), Settings(), case_set="t").interval
        against = [
            compare(at[best], one, Accuracy(), Settings(), case_set="t").interval.high < 0
            for one in at[:best] + at[best + 1 :]
        ]
        counts += [
            any(curve.is_told),
            not paid.low <= share <= paid.high,
            any(against),
            not plain.low <= share <= plain.high,
        ]
    return counts / runs


@simulation(
    "checkpoints_told",
    "5 equal checkpoints (correlation .8), n=200: one is called worse than the best",
    0.0,
    0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000),
    "2,000",
)
def checkpoints_told():
    return _equal_checkpoints(0.8, 2000, 22)[0]


@simulation("checkpoints_plain", "the same by plain intervals", 0.06, 0.3, "2,000")
def checkpoints_told_by_plain_intervals():
    return _equal_checkpoints(0.8, 2000, 22)[2]


@simulation(
    "checkpoints_best", "the interval of the best of them misses its value", 0.0, 0.05, "2,000"
)
def checkpoints_best():
    return _equal_checkpoints(0.8, 2000, 22)[1]


@simulation(
    "checkpoints_told_apart",
    "one of 5 independent equal checkpoints is called worse than the best",
    0.0,
    0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000),
    "1,000",
)
def independent_checkpoints_told():
    return _equal_checkpoints(0.0, 1000, 23)[0]


@simulation(
    "checkpoints_best_apart", "the interval of the best of these misses its value", 0, 0.05, "1,000"
)
def independent_checkpoints_best():
    return _equal_checkpoints(0.0, 1000, 23)[1]


@simulation("checkpoints_best_plain", "the same by the plain interval", 0.06, 0.3, "1,000")
def independent_checkpoints_best_plain():
    return _equal_checkpoints(0.0, 1000, 23)[3]


def main() -> None:
    """Print the table."""
    chosen = sys.argv[1:] or SIMULATIONS
    sys.stdout.write("| what | must be | measured | data sets |\n|---|---|---|---|\n")
    for name in chosen:
        one = SIMULATIONS[name]
        began = time.perf_counter()
        value = one.figure()
        shown = f"{value:,.0f}" if value > 1 else f"{value:.4f}"
        bounds = f"{one.low:,.4g} to {one.high:,.4g}"
        sys.stdout.write(f"| {one.what} | {bounds} | {shown} | {one.runs} |\n")
        sys.stderr.write(f"{name}: {time.perf_counter() - began:.1f} s\n")


if __name__ == "__main__":
    main()
