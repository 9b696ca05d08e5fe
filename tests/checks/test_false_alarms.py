"""How often a warning is raised where there is nothing to warn of (make test-slow).

200 made-up runs of a base and an adapter each, through the checks themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from checks.finished import case_set, said, scene, sure
from tuneval.checks.calibration import CalibrationCheck
from tuneval.checks.groups import Groups
from tuneval.comparison import Settings, adjust, compare
from tuneval.comparison.decision.forgetting import forgetting
from tuneval.metrics import build
from tuneval.types import Measurement

RUNS = 200
MOST = 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS)
"""5% and two standard errors of the simulation."""
FEW_DRAWS = Settings(resamples=400)


def equal_groups(run: int) -> bool:
    """Two arms, an attribute of 2 and one of 5 groups, 400 cases, all groups equally hard."""
    rng = np.random.default_rng(run)
    groups = [
        {"writer": str(rng.integers(2)), "channel": str(rng.choice(5, p=[0.4, 0.3, 0.1, 0.1, 0.1]))}
        for _ in range(400)
    ]
    cases = case_set(["yes"] * 400, groups)
    hard = rng.beta(4, 1, 400)
    own = {
        name: said(cases, ["yes" if rng.random() < p else "no" for p in hard])
        for name in ("base", "lora")
    }
    found = Groups().look(scene(cases, own, settings=FEW_DRAWS))
    return any(one.level == "warning" for one in found)


def equal_groups_in_clusters(run: int) -> bool:
    """40 clusters of 10 with an accuracy of their own, each wholly in one of two groups."""
    rng = np.random.default_rng(run)
    of_cluster = rng.beta(2, 1, 40)
    cases = case_set(
        ["yes"] * 400,
        [{"writer": str(n // 10 % 2)} for n in range(400)],
        [str(n // 10) for n in range(400)],
    )
    own = said(cases, ["yes" if rng.random() < of_cluster[n // 10] else "no" for n in range(400)])
    found = Groups().look(scene(cases, {"base": own}, settings=FEW_DRAWS))
    return any(one.level == "warning" for one in found)


def equal_groups_over_seeds(run: int) -> bool:
    """Three training seeds that err on much the same cases."""
    rng = np.random.default_rng(run)
    cases = case_set(["yes"] * 300, [{"writer": str(n % 3)} for n in range(300)])
    hard = rng.beta(2, 0.5, 300)
    own = {
        f"lora-{seed}": said(cases, ["yes" if rng.random() < p else "no" for p in hard])
        for seed in range(3)
    }
    found = Groups().look(scene(cases, {"base": own["lora-0"], **own}, settings=FEW_DRAWS))
    return any(one.level == "warning" for one in found if one.variant == "lora")


def _calibrated(run: int, words: str) -> bool:
    rng = np.random.default_rng(run)
    labels = tuple("abcdefgh")
    told = rng.dirichlet([0.3] * 8, 400)
    cases = case_set([labels[rng.choice(8, p=p)] for p in told], labels=labels)
    own = sure(cases, [dict(zip(labels, map(float, p), strict=True)) for p in told])
    lora = next(iter(CalibrationCheck().look(scene(cases, {"base": own}))))
    if words == "miscalibrated":
        return lora.values["ece"] > lora.values["ece_null_95"]
    return any(word in lora.sentence for word in words.split("|"))


def calibrated_but_called_too_sure(run: int) -> bool:
    return _calibrated(run, "too sure|too unsure")


def calibrated_but_called_miscalibrated(run: int) -> bool:
    return _calibrated(run, "miscalibrated")


def nothing_forgotten(run: int) -> bool:
    """Accuracy on 400 questions; base and adapter disagree on 15% of them, either way."""
    rng = np.random.default_rng(run)
    base = (rng.random(400) < 0.6).astype(float)
    tuned = np.where(rng.random(400) < 0.15, 1 - base, base)
    swap = rng.random(400) < 0.5  # as often to the one side as to the other
    base, tuned = np.where(swap, tuned, base), np.where(swap, base, tuned)
    return _forgot("accuracy", np.c_[base, np.ones(400)], np.c_[tuned, np.ones(400)])


def no_loss_forgotten(run: int) -> bool:
    """Perplexity on 120 texts, whose losses differ by chance alone."""
    rng = np.random.default_rng(run)
    tokens = rng.integers(20, 200, 120).astype(float)
    nats = tokens * rng.normal(3, 0.4, 120)
    sides = [np.c_[nats + tokens * rng.normal(0, 0.3, 120), tokens] for _ in range(2)]
    return _forgot("perplexity", *sides)


def _forgot(metric: str, base: np.ndarray, tuned: np.ndarray) -> bool:
    ids = tuple(map(str, range(len(base))))
    sides = [
        Measurement(name, metric, ids, rows) for name, rows in (("base", base), ("lora", tuned))
    ]
    one = compare(*sides, build(metric), FEW_DRAWS, case_set="guard")
    return forgetting(adjust([one])[0], "guard")[0] == "forgot"


@pytest.mark.slow
@pytest.mark.parametrize(
    "alarm",
    [
        equal_groups,
        equal_groups_in_clusters,
        equal_groups_over_seeds,
        calibrated_but_called_too_sure,
        calibrated_but_called_miscalibrated,
        nothing_forgotten,
        no_loss_forgotten,
    ],
    ids=lambda one: one.__name__,
)
def test_false_alarms(alarm: Callable[[int], bool]) -> None:
    share = np.mean([alarm(run) for run in range(RUNS)])
    assert share <= MOST, f"{alarm.__name__}: {share:.1%} of {RUNS} runs"
