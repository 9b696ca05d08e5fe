"""How often the sentences are wrong: made-up outputs of two variants whose truth is known.

The generators share nothing with ``comparison/``: they draw right and wrong or scores, and the whole
way from rows to sentence is walked. ``test_rates.py`` holds each figure to its bounds; running this
file prints the table of ``docs/statistics.md``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from comparison.fakes import Accuracy, MacroF1, MeanScore, f1_rows, measured
from tuneval.assess.assess import assess
from tuneval.assess.measure import choose_metrics
from tuneval.comparison import Settings, adjust, compare, compare_recipe, score
from tuneval.comparison.beyond.preference import length_controlled
from tuneval.comparison.decision.gap import adapter_to_full
from tuneval.comparison.decision.sequential import look
from tuneval.comparison.decision.stopping import is_settled
from tuneval.comparison.decision.tuned import outcome_of
from tuneval.plan.spec import MetricsSpec
from tuneval.types import Case, CaseSet, Prediction, Variant

QUICK = Settings(resamples=1000)


@dataclass(frozen=True)
class Rate:
    """A share of runs (or their median) with its bounds, and what an audit measured before."""

    what: str
    one_run: Callable[[np.random.Generator], float]
    runs: int
    before: str
    low: float
    high: float
    is_median: bool = False

    def figure(self) -> float:
        """Mean or median over the runs."""
        rng = np.random.default_rng(14)
        found = [float(self.one_run(rng)) for _ in range(self.runs)]
        return float(np.median(found) if self.is_median else np.mean(found))


RATES: dict[str, Rate] = {}


def at_most(name, what, nominal, runs, before, one_run):
    """An error rate: the nominal one plus two Monte Carlo errors."""
    high = nominal + 2 * sqrt(nominal * (1 - nominal) / runs)
    RATES[name] = Rate(what, one_run, runs, before, 0.0, high)


def at_least(name, what, nominal, runs, before, one_run):
    """A coverage or a power: the nominal one less two Monte Carlo errors."""
    low = nominal - 2 * sqrt(nominal * (1 - nominal) / runs)
    RATES[name] = Rate(what, one_run, runs, before, low, 1.0)


def compared(x, y, metric=None, **more):
    metric = metric or Accuracy()
    names = measured(x, "lora", metric.name), measured(y, "full", metric.name)
    return compare(*names, metric, QUICK, case_set="t", **more)


# Closeness (row 1)


def rare_failures(rng, n):
    """Scores around 60; the adapter breaks down on one case in thirty: a gap of 2.0."""
    full = rng.uniform(0.4, 0.8, n)
    return np.where(rng.random(n) < 1 / 30, 0.0, full), full


def said_close(n):
    def one_run(rng):
        reading = adapter_to_full(compared(*rare_failures(rng, n), MeanScore()))
        return reading.support == "proved" and reading.grade in {"excellent", "lora ahead"}

    return one_run


def said_unchanged(n):
    def one_run(rng):
        base = (rng.random(n) < 0.7).astype(float)
        gained = rng.random(n) < 0.01 / 0.3
        return outcome_of(compared(base, np.maximum(base, gained))) == "no change"

    return one_run


for cases, old in ((30, "57%"), (60, "31%"), (150, "19%")):
    what = f'"within 2 points" for ROUGE at a true gap of 2.0, n={cases}'
    at_most(f"close_{cases}", what, 0.05, 2000, old, said_close(cases))
for cases, old in ((163, "19%"), (200, "13%"), (500, "12%")):
    what = f'"did not change by more than 1 point" at a true +1.0, n={cases}'
    at_most(f"unchanged_{cases}", what, 0.05, 2000, old, said_unchanged(cases))


# Stopping early (row 2)


def until_decided(rng, difference, discordant=0.2, n_total=6000):
    """Look as the corridor does; the last look, and whether it was settled."""
    share = [(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2]
    d = rng.choice([-1.0, 0.0, 1.0], n_total, p=share)
    x, y = (d < 0).astype(float), (d > 0).astype(float)
    drawn = 0
    while drawn < n_total:
        drawn = min(n_total, drawn + max(100, drawn // 4))
        seen = [measured(x[:drawn], "base")], [measured(y[:drawn], "lora")]
        names = {"case_set": "t", "baseline_name": "base", "candidate_name": "lora"}
        found = look(*seen, Accuracy(), Settings(), n_total=n_total, **names).comparison
        if is_settled(found, ("base", "adapter")):
            return found, True
    return found, False


def cases_drawn(rng):
    return until_decided(rng, 0.05)[0].n_cases


def stop_is_verdict(rng):
    found, _ = until_decided(rng, 0.05)
    return outcome_of(found) == "better" and found.interval.low >= 0


def stopped_covers(rng):
    interval = until_decided(rng, 0.05)[0].interval
    return interval.low <= 0.05 <= interval.high


RATES["drawn"] = Rate(
    "median cases until decided, +5, D=.2, N=6,000", cases_drawn, 400, "625", 1, 800, is_median=True
)
at_least(
    "verdict",
    "stopped runs whose verdict is what they stopped for",
    1.0,
    400,
    "9%",
    stop_is_verdict,
)
at_least("sequence", "coverage of the printed interval at the stop", 0.95, 400, "-", stopped_covers)
at_most(
    "stop_null",
    "better or worse in the end at no difference, N=6,000",
    0.05,
    400,
    "-",
    lambda rng: outcome_of(until_decided(rng, 0.0)[0]) in {"better", "worse"},
)


# Unread answers (row 4)

UNREAD_CASES = 400
BASE, LORA = Variant("base", "base", "b"), Variant("lora", "adapter", "b", adapter="a")


def unread_outcome(base_right, base_read, lora_right):
    """What is said of a base whose answers could not always be read: the whole way from answers."""
    cases = CaseSet(
        "t",
        "t",
        "labelled text",
        "classify",
        tuple(Case(str(n), {"text": str(n)}, ("yes",)) for n in range(UNREAD_CASES)),
        labels=("no", "yes"),
    )

    def answers(right, read):
        return [
            Prediction(str(n), label="yes" if one else "no")
            if was_read
            else Prediction(str(n), problem="unparsed: no label")
            for n, (one, was_read) in enumerate(zip(right, read, strict=True))
        ]

    told = {
        "base": answers(base_right, base_read),
        "lora": answers(lora_right, np.ones(UNREAD_CASES)),
    }
    chosen = choose_metrics(MetricsSpec(primary="accuracy", also=("accuracy",)), cases)
    found = assess(cases, chosen, told, [BASE, LORA], "base", QUICK)
    return outcome_of(adjust(found.confirmatory)[0])


def claimed_though_equal(share):
    """Nothing differs but that this share of the base's answers, right ones all, is not readable."""

    def one_run(rng):
        base, lora = rng.random((2, UNREAD_CASES)) < 0.6
        read = ~(base & (rng.random(UNREAD_CASES) < share / 0.6))
        return unread_outcome(base, read, lora) == "better"

    return one_run


def claimed_though_unread(share):
    """45% right, unread at random, against 96%."""

    def one_run(rng):
        base, lora = rng.random((2, UNREAD_CASES)) < np.array([[0.45], [0.96]])
        return unread_outcome(base, rng.random(UNREAD_CASES) > share, lora) == "better"

    return one_run


for unread in (0.1, 0.27):
    what = f'"improved", nothing differs, {unread:.0%} unread and all of them right'
    at_most(f"unread_null_{unread}", what, 0.05, 500, "-", claimed_though_equal(unread))
    what = f'"improved" at +51 points, {unread:.0%} of the base unread'
    at_least(f"unread_power_{unread}", what, 0.99, 300, "0%", claimed_though_unread(unread))


# Win rates at equal length (row 7)


def equal_length_covers(has_difficulty, n=805):
    """Verdicts that follow length, the difficulty of the instruction, and who is better."""
    spread = 1.5 if has_difficulty else 0.0

    def one_run(rng):
        difficulty, length = rng.standard_normal(n), 300 * rng.standard_normal(n)
        drawn = np.random.default_rng(5).standard_normal(200_000)
        truth = 100 * float(np.mean(1 / (1 + np.exp(-(0.4 + spread * drawn)))))
        chance = 1 / (1 + np.exp(-(0.4 + spread * difficulty + 0.8 * np.tanh(length / 300))))
        won = (rng.random(n) < chance).astype(float)
        found = length_controlled(won, length, difficulty if has_difficulty else None)
        return abs(found.rate - truth) <= 1.96 * found.sampling_error

    return one_run


what = "coverage of a win rate at equal length, 805 instructions"
at_least(
    "length", f"{what}, difficulties known", 0.95, 1000, "24 to 43%", equal_length_covers(True)
)
at_least("length_plain", f"{what}, without", 0.95, 1000, "-", equal_length_covers(False))


# Intervals of bounded scores (row 7)


def covers(n, truth, draw, metric, clusters=None):
    def one_run(rng):
        rows = draw(rng, n)
        found = score(measured(rows, metric=metric.name), metric, QUICK, case_set="t")
        return found.interval.low <= truth <= found.interval.high

    return one_run


def nearly_perfect(rng, n):
    return np.where(rng.random(n) < 0.04, rng.uniform(0, 1, n), 1.0)


at_least(
    "ceiling",
    "coverage of a mean score of 98, n=30",
    0.95,
    2000,
    "55 to 60%",
    covers(30, 0.98, nearly_perfect, MeanScore()),
)
at_least(
    "middle",
    "coverage of a mean score of 50, n=30",
    0.95,
    2000,
    "-",
    covers(30, 0.5, lambda rng, n: rng.beta(0.7, 0.7, n), MeanScore()),
)


def macro_f1_covers(rng):
    references = rng.integers(0, 2, 30)
    predictions = np.where(rng.random(30) < 0.02, 1 - references, references)
    rows = f1_rows(references, predictions, range(2))
    interval = score(
        measured(None, metric="f1_macro", rows=rows), MacroF1(), QUICK, case_set="t"
    ).interval
    return interval.low <= 0.98 <= interval.high


at_least(
    "f1_ceiling", "coverage of a macro-F1 of 98, n=30", 0.95, 1000, "[100, 100]", macro_f1_covers
)


# Seeds (row 8)


def seeds_cover(rng):
    """Five adapters against one full fine-tune, all of true accuracy 70, seeds of sd 4 points."""
    n = 1000
    level = np.clip(0.7 + 0.04 * rng.standard_normal(6), 0, 1)
    answers = [(rng.random(n) < one).astype(float) for one in level]
    found = compare_recipe(
        [measured(one, f"s{i}") for i, one in enumerate(answers[:5])],
        [measured(answers[5], "full")],
        Accuracy(),
        QUICK,
        case_set="t",
        baseline_name="lora",
        candidate_name="full",
        is_spread_shared=True,
    )
    return found.interval.low <= 0 <= found.interval.high


what = "coverage, 5 adapters against 1 full, seed sd 4"
at_least("seeds", what, 0.95, 5000, "78%", seeds_cover)


# Clusters (row 13), small samples (row 12), test against interval (row 14)


def clustered_rejects(groups):
    def one_run(rng):
        codes = np.repeat(np.arange(groups), 10)
        lean = rng.normal(0, 0.15, groups)[codes]
        x, y = (rng.random(codes.size) < 0.6 - lean), (rng.random(codes.size) < 0.6 + lean)
        found = compared(x, y, clusters=[str(code) for code in codes])
        return found.p_value < 0.05

    return one_run


for groups, old in ((12, "2.8%"), (20, "4.1%"), (40, "3.5%")):
    what = f"type I error of sign flips, right and wrong in {groups} clusters"
    at_most(f"clusters_{groups}", what, 0.05, 2000, old, clustered_rejects(groups))


def small_null(rng):
    x, y = rng.random((2, 20)) < 0.5
    return outcome_of(compared(x, y)) in {"better", "worse"}


at_most("small", "better or worse at no difference, 20 cases", 0.05, 4000, "0%", small_null)


def disagree(rng):
    b, c = rng.integers(0, 31, 2)
    d = np.array([1.0] * b + [-1.0] * c + [0.0] * int(rng.integers(0, 100)) + [0.0])
    found = compared((d < 0).astype(float), (d > 0).astype(float))
    inside = found.interval.low <= 0 <= found.interval.high
    touches = 0 in (found.interval.low, found.interval.high)
    return not touches and (found.p_value < 0.05) == inside


at_most("disagree", "test and interval disagree about 0", 0.0, 2000, "2.3%", disagree)


def main() -> None:
    """Print the table of the documentation."""
    print("| what | must be | before | measured | runs |\n|---|---|---|---|---|")
    for one in RATES.values():
        start = time.perf_counter()
        figure = one.figure()
        shown = f"{figure:,.0f}" if one.is_median else f"{figure:.1%}"
        bounds = (
            f"at most {one.high:,.0f}"
            if one.is_median
            else f"at most {one.high:.1%}"
            if one.low == 0
            else f"at least {one.low:.1%}"
        )
        print(f"| {one.what} | {bounds} | {one.before} | {shown} | {one.runs:,} |", flush=True)
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
