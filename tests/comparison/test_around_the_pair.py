"""What stands around a single pair keeps its error rate (make test-slow).

Each row: what is simulated, its figure, the bounds that it must keep (nominal rate and two standard
errors of the simulation). Data are made with numpy alone. Running this file prints the rows of
"Around the pair" in docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import Accuracy, measured
from tuneval.comparison import Settings, adjust, compare, judge_robustness
from tuneval.comparison.beyond.groups import largest_gap
from tuneval.comparison.beyond.overfitting import is_overfitted
from tuneval.comparison.beyond.preference import position_bias
from tuneval.comparison.beyond.robustness import hold, support
from tuneval.comparison.decision.gap import adapter_to_full
from tuneval.comparison.estimate.multiplicity import holm

FEW = Settings(resamples=300)


def paired(rng, n, gain, loss):
    """Right or wrong of two variants: the second mends a share ``gain`` and breaks a share ``loss``."""
    u = rng.random(n)
    first = np.where(u < gain, 0, np.where(u < gain + loss, 1, rng.random(n) < 0.7))
    second = np.where(u < gain, 1, np.where(u < gain + loss, 0, first))
    return first.astype(float), second.astype(float)


def claims_of_closeness(n_adapters, runs=400):
    """Any of so many adapters called within 2 points, each truly 2 behind: n=1000, D=.06."""
    settings = Settings(closeness_claims=n_adapters)
    rng, wrong = np.random.default_rng(n_adapters), 0
    for _ in range(runs):
        for k in range(n_adapters):
            lora, full = paired(rng, 1000, 0.04, 0.02)
            found = compare(
                measured(lora, f"lora-{k}"),
                measured(full, "full"),
                Accuracy(),
                settings,
                case_set="t",
            )
            if "is within" in adapter_to_full(found).text:
                wrong += 1
                break
    return wrong / runs


def brittle_at_the_border(is_held, runs=300):
    """Any of 3 arms x 4 kinds called brittle where each keeps exactly 90% of 80%, n=300."""
    rng, wrong = np.random.default_rng(4), 0
    origins = {f"{n}~p": str(n) for n in range(300)}
    for _ in range(runs):
        found = []
        for arm in range(3):
            clean = (rng.random(300) < 0.8).astype(float)
            for kind in range(4):
                kept = clean * (rng.random(300) < 0.9)
                twins = replace(measured(kept, f"arm-{arm}"), case_ids=tuple(origins))
                found.append(
                    judge_robustness(
                        [measured(clean, f"arm-{arm}")],
                        [twins],
                        Accuracy(),
                        FEW,
                        case_set="t",
                        kind=f"kind-{kind}",
                        origins={
                            twin: measured(clean).case_ids[n] for n, twin in enumerate(origins)
                        },
                        name=f"arm-{arm}",
                    )
                )
        held = hold(found, 0.05) if is_held else found
        wrong += any(support(one) == "brittle" for one in held)
    return wrong / runs


def duplicates(clusters, runs=1000):
    """A claim, with 12 texts each 10 times and variants that are equally good."""
    rng, wrong = np.random.default_rng(5), 0
    ids = [str(n % 12) for n in range(120)]
    for _ in range(runs):
        pair = [np.tile((rng.random(12) < 0.6).astype(float), 10) for _ in range(2)]
        found = compare(
            measured(pair[0], "base"),
            measured(pair[1], "lora"),
            Accuracy(),
            FEW,
            case_set="t",
            clusters=ids if clusters else None,
        )
        wrong += found.p_value < 0.05
    return wrong / runs


def unreliable_judge(share, lean, runs=2000):
    """Called unreliable: 100 verdicts in both orders, the candidate preferred in ``share`` of them,
    the answer shown first taken unseen in a share ``lean``."""
    rng, told = np.random.default_rng(6), 0
    for _ in range(runs):
        is_led = rng.random(100) < lean
        wins = [np.where(is_led, order == 0, rng.random(100) < share) for order in (0, 1)]
        first = int(np.sum(wins[0] & ~wins[1]))
        second = int(np.sum(~wins[0] & wins[1]))
        told += position_bias(first, second, 100).is_unreliable
    return told / runs


def power_at_detectable(n_tests, runs=1500):
    """Shown at its own "n detects": the hardest step of Holm, n=400, D=.2."""
    rng, shown = np.random.default_rng(7), 0
    probe = [
        compare(
            measured(np.r_[np.zeros(40), np.ones(40), np.ones(320)], "base"),
            measured(np.r_[np.ones(40), np.zeros(40), np.ones(320)], f"lora-{k}"),
            Accuracy(),
            FEW,
            case_set="t",
        )
        for k in range(n_tests)
    ]
    size = adjust(probe)[0].detectable_difference
    for _ in range(runs):
        base, tuned = paired(rng, 400, (0.2 + size) / 2, (0.2 - size) / 2)
        found = compare(
            measured(base, "base"), measured(tuned, "lora"), Accuracy(), FEW, case_set="t"
        )
        shown += found.p_value < 0.05 / n_tests
    return shown / runs


def gap_of_groups(what, n=100, runs=3000):
    """Five groups of n around 84%, truly 8 points apart."""
    truth = np.array([0.88, 0.84, 0.84, 0.84, 0.80])
    rng = np.random.default_rng(8)
    found = []
    for _ in range(runs):
        right = rng.binomial(n, truth) / n
        if right.max() == 1:  # an error of its own, and no table
            continue
        gap, low, high = largest_gap(right, np.sqrt(right * (1 - right) / (n - 1)))
        is_warned = stats.chi2_contingency([right * n, n - right * n]).pvalue < 0.05
        found.append((gap, right.max() - right.min(), low <= 0.08 <= high, is_warned))
    gap, seen, covered, warned = map(np.array, zip(*found, strict=True))
    return {
        "printed": 100 * gap[warned].mean(),
        "seen": 100 * seen[warned].mean(),
        "covered": covered.mean(),
    }[what]


def flat_curve(n, noise, rise=0.0, runs=1500):
    """An alarm: flat with noise, or a fall to 1 and a steady rise from the middle on."""
    rng = np.random.default_rng(n)
    middle = n // 2
    level = np.ones(n)
    if rise:
        level[:middle] = np.linspace(1.6, 1, middle)
        level[middle:] = np.linspace(1, 1 + rise, n - middle + 1)[1:]
    return np.mean(
        [is_overfitted(level * (1 + noise * rng.standard_normal(n))) for _ in range(runs)]
    )


def best_left_out(runs=2000):
    """The truly best of 4 arms called behind the observed best: z tests of all pairs, Holm."""
    rng, wrong = np.random.default_rng(9), 0
    truth = np.array([0.02, 0.02, 0.02, 0.0])
    for _ in range(runs):
        seen = truth + 0.01 * rng.standard_normal(4)
        best = int(seen.argmax())
        first, second = np.triu_indices(4, 1)
        p = holm(2 * stats.norm.sf(np.abs(seen[first] - seen[second]) / (0.01 * sqrt(2))))
        lost = {
            int(j if i == best else i)
            for i, j, one in zip(first, second, p, strict=True)
            if one < 0.05 and best in (i, j)
        }
        wrong += bool(lost & {0, 1, 2})
    return wrong / runs


def selected_best(confidence_of, runs=1000):
    """Coverage of the interval of the best of 6 equally good adapters, n=400."""
    rng, inside = np.random.default_rng(10), 0
    settings = Settings(confidence=confidence_of)
    for _ in range(runs):
        base = (rng.random(400) < 0.6).astype(float)
        arms = [np.where(rng.random(400) < 0.2, 1 - base, base) for _ in range(6)]
        best = max(arms, key=np.mean)
        truth = 0.2 * 0.4 - 0.2 * 0.6  # given nothing of the cases
        found = compare(
            measured(base, "base"), measured(best, "x"), Accuracy(), settings, case_set="t"
        )
        inside += found.interval.low <= truth <= found.interval.high
    return inside / runs


def upto(rate, runs):
    return rate + 2 * sqrt(rate * (1 - rate) / runs)


ROWS: dict[str, tuple[Callable[[], float], float, float]] = {
    "within 2 points at a true 2, any of 1 adapter": (
        lambda: claims_of_closeness(1), 0, upto(0.05, 400)),
    "the same, any of 6": (lambda: claims_of_closeness(6), 0, upto(0.05, 400)),
    "the same, any of 12": (lambda: claims_of_closeness(12, 200), 0, upto(0.05, 200)),
    "brittle at exactly 90%, any of 3 arms x 4 kinds": (
        lambda: brittle_at_the_border(True),
        0,
        upto(0.05, 300),
    ),
    "the same, each by itself": (lambda: brittle_at_the_border(False), 0.2, 0.6),
    "a claim from 12 texts ten times each, equal inputs one cluster": (
        lambda: duplicates(True), 0, upto(0.05, 1000)),
    "the same, every row for itself": (lambda: duplicates(False), 0.3, 1),
    "unbiased judge, equal answers, called unreliable": (
        lambda: unreliable_judge(0.5, 0), 0, 0.01),
    "unbiased judge, true win rate 70%, called unreliable": (
        lambda: unreliable_judge(0.7, 0), 0, 0.01),
    "judge that takes the first unseen in 60%, called unreliable": (
        lambda: unreliable_judge(0.5, 0.6), 0.95, 1),
    "power at \"n detects\", 1 test": (lambda: power_at_detectable(1), 0.76, 0.86),
    "the same, 3 tests": (lambda: power_at_detectable(3), 0.76, 0.86),
    "the same, 13 tests": (lambda: power_at_detectable(13), 0.76, 0.86),
    "group gap printed where warned, true 8 points": (lambda: gap_of_groups("printed"), 6, 12.5),
    "the same with groups of 30": (lambda: gap_of_groups("printed", 30), 6, 14),
    "coverage of its interval": (lambda: gap_of_groups("covered"), 0.94, 1),
    "overfitting, flat, noise 2%, E=5": (lambda: flat_curve(5, 0.02), 0, upto(0.05, 1500)),
    "overfitting, flat, noise 4%, E=5": (lambda: flat_curve(5, 0.04), 0, upto(0.05, 1500)),
    "overfitting, flat, noise 2%, E=12": (lambda: flat_curve(12, 0.02), 0, upto(0.05, 1500)),
    "overfitting, flat, noise 4%, E=12": (lambda: flat_curve(12, 0.04), 0, upto(0.05, 1500)),
    "overfitting, flat, noise 4%, E=40": (lambda: flat_curve(40, 0.04), 0, upto(0.05, 1500)),
    "a rise of 25% is caught, noise 2%, E=5": (lambda: flat_curve(5, 0.02, 0.25), 0.95, 1),
    "the same, noise 2%, E=12": (lambda: flat_curve(12, 0.02, 0.25), 0.95, 1),
    "the same, noise 4%, E=20": (lambda: flat_curve(20, 0.04, 0.25), 0.88, 1),
    "the same, noise 4%, E=10": (lambda: flat_curve(10, 0.04, 0.25), 0.66, 1),
    "the same, noise 4%, E=8": (lambda: flat_curve(8, 0.04, 0.25), 0.5, 1),
    "a truly best arm left out of \"best and ties\"": (best_left_out, 0, upto(0.05, 2000)),
    "coverage, best of 6 selected, its own interval": (
        lambda: selected_best(1 - 0.05 / 6), 0.95 - 2 * sqrt(0.05 * 0.95 / 1000), 1),
    "the same, interval that forgets the selection": (lambda: selected_best(0.95), 0.6, 0.94),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_error_rate(name: str) -> None:
    figure, low, high = ROWS[name]
    assert low <= figure() <= high


if __name__ == "__main__":
    for what, (run, lowest, highest) in ROWS.items():
        sys.stdout.write(f"| {what} | {lowest:.3f} to {highest:.3f} | {run():.3f} |\n")
