"""Items used and wrong decisions of --until-decided beside the fixed-size test.

    python evidence/until_decided.py [repetitions]

A benchmark of 14,042 items on which the candidate is truly better by d points (and 0), drawn in
random order, looked at every 100 items through the same function as the command; the fixed-size
test uses the number of items that has 80% power.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from tuneval.comparison import Settings, compare
from tuneval.comparison.decision.sequential import Look, look
from tuneval.comparison.estimate import power
from tuneval.types import Measurement

N, EVERY = 14_042, 100


@dataclass
class Accuracy:
    """Rows (right, 1)."""

    name: str = "accuracy"
    unit: str = "share"
    higher_is_better: bool = True
    statistic: str = "proportion"

    def from_totals(self, totals):
        """Share right."""
        return totals[..., 0] / totals[..., 1]

    def signature(self) -> str:
        """Nothing to sign."""
        return self.name


def variants(rng: np.random.Generator, difference: float, discordant: float):
    """Right or wrong of two variants on every item, with exactly these shares."""
    b = round(N * (discordant + difference) / 2)
    c = round(N * (discordant - difference) / 2)
    x, y = (rng.random(N) < 0.6).astype(float), np.empty(N)
    y[:] = x
    x[:b], y[:b] = 0, 1
    x[b : b + c], y[b : b + c] = 1, 0
    order = rng.permutation(N)
    return x[order], y[order]


def measured(name: str, values) -> list[Measurement]:
    """One variant's rows."""
    ids = tuple(map(str, range(len(values))))
    return [Measurement(name, "accuracy", ids, np.stack([values, np.ones(len(values))], 1))]


def until_decided(x, y, *, whole: bool) -> Look:
    """Look every 100 items until there is a reason to stop."""
    for n in [*range(EVERY, N, EVERY), N]:
        found = look(
            measured("base", x[:n]),
            measured("lora", y[:n]),
            Accuracy(),
            Settings(),
            case_set="mmlu",
            n_total=N,
            baseline_name="base",
            candidate_name="lora",
            is_whole_benchmark=whole,
        )
        if found.stop:
            return found
    raise AssertionError("the last look always stops")


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(
        "| true points | discordant | form | median items | 90th pct | decided right | wrong "
        "| fixed n | right | wrong |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for points, discordant, whole in [
        (5, 0.2, False),
        (5, 0.2, True),
        (2, 0.2, False),
        (1, 0.2, False),
        (1, 0.2, True),
        (0, 0.2, False),
        (0, 0.2, True),
    ]:
        rng = np.random.default_rng([points, whole])
        fixed = min(N, power.cases_for(points / 100, discordant)) if points else 621
        items, told, fixed_told = [], [], []
        for _ in range(runs):
            x, y = variants(rng, points / 100, discordant)
            found = until_decided(x, y, whole=whole)
            items.append(found.comparison.n_cases)
            told.append(found.stop)
            n = int(fixed)
            one = compare(
                *measured("base", x[:n]),
                *measured("lora", y[:n]),
                Accuracy(),
                Settings(),
                case_set="mmlu",
            )
            fixed_told.append(np.sign(one.difference) if one.p_value < 0.05 else 0)
        right = np.mean([one == "decided better" for one in told]) if points else float("nan")
        wrong = np.mean(
            [one == "decided worse" or (not points and one != "budget used") for one in told]
        )
        fixed_array = np.array(fixed_told)
        fixed_right = np.mean(fixed_array > 0) if points else float("nan")
        fixed_wrong = np.mean(fixed_array < 0) if points else np.mean(fixed_array != 0)
        form = "whole benchmark" if whole else "sequential McNemar"
        print(
            f"| {points} | {discordant} | {form} | {np.median(items):,.0f} | "
            f"{np.quantile(items, 0.9):,.0f} | {right:.1%} | {wrong:.1%} | {fixed:,.0f} | "
            f"{fixed_right:.1%} | {fixed_wrong:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
