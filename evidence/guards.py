"""Do the guards raise an alarm where nothing was lost? Twins of one base, really trained and really asked.

    python examples/forgetting/train.py base
    PYTHONPATH=src python -P evidence/guards.py FILE [RUNS]

A run trains two twins from the base of ``examples/forgetting``, a few steps on its own kind of texts,
each on texts of its own, and compares them with ``--guard standard``. The two are drawn alike, so neither
lost anything against the other in expectation, though they answer differently. Adds runs to FILE (a line
each) until it has RUNS of them, and prints the figures of "Nothing lost, nothing said" in docs/guards.md.
An alarm is any warning of the verdict, which has nothing but guards to judge.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "forgetting"))
import torch
import train as forgetting
from scipy.stats import binomtest
from training import Recipe

import tuneval

RECIPE = Recipe(learning_rate=1e-5, epochs=1, batch_size=16, steps=20)
SIZES = {"n_sums": 200, "n_orders": 70, "n_refusals": 50}
FIRST_SEED = 1_000


def twin(base: Path, training_seed: int, folder: Path) -> str:
    """The base after a few more steps of what it was taught, on texts of the twin's own."""
    pairs = forgetting.school_pairs(training_seed, forgetting.as_taught, SIZES)
    recipe = replace(RECIPE, training_seed=training_seed)
    with redirect_stdout(StringIO()):
        forgetting.learn(base, pairs, recipe, folder)
    return str(folder)


def one_run(base: Path, n: int) -> dict[str, object]:
    """Compare two twins; what was said, and in how many cases they answer differently."""
    with TemporaryDirectory() as place:
        places = [Path(place) / name for name in ("first", "second")]
        before, after = (
            twin(base, FIRST_SEED + 2 * n + k, folder) for k, folder in enumerate(places)
        )
        result = tuneval.compare(
            before,
            full={"twin": after},
            guards="standard",
            output={"dir": f"{place}/runs"},
            progress=False,
        )
    texts = [[one.text for one in result.predictions[name]] for name in ("base", "twin")]
    scores = [result.case_scores[name] for name in ("base", "twin")]
    return {
        "run": n,
        "alarms": [text for verdict in result.verdicts for text in verdict.warnings],
        "cases": len(texts[0]),
        "texts_differ": sum(a != b for a, b in zip(*texts, strict=True)),
        "worse": sum(b < a for a, b in _pairs(scores)),
        "better": sum(b > a for a, b in _pairs(scores)),
    }


def _pairs(scores: list[tuple[float | None, ...]]) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(*scores, strict=True) if a is not None and b is not None]


def show(runs: list[dict[str, object]]) -> None:
    """Alarms with their exact interval, and how different the twins are."""
    n, alarms = len(runs), [run for run in runs if run["alarms"]]
    interval = binomtest(len(alarms), n).proportion_ci(method="exact")
    print(
        f"{len(alarms)} of {n} runs raised an alarm "
        f"(95% interval {interval.low:.1%} to {interval.high:.1%})"
    )
    for key in ("cases", "texts_differ", "worse", "better"):
        values = sorted(run[key] for run in runs)
        print(f"{key}: median {values[n // 2]}, from {values[0]} to {values[-1]}")
    for run in alarms:
        print(f"run {run['run']}: {run['alarms']}")


def main() -> None:
    """Add the runs that are missing, then say what came of all."""
    path = Path(sys.argv[1])
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    base = forgetting.FOLDER / "out" / "base"
    torch.set_num_threads(1)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines]
    for n in range(len(runs), wanted):
        runs.append(one_run(base, n))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
    show(runs)


if __name__ == "__main__":
    main()
