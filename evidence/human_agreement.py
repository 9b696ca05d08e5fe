"""How far our metrics agree with people: SummEval's experts and WMT19's judges.

TUNEVAL_SHARED=... python evidence/human_agreement.py
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import Metric, build
from tuneval.types import Case, Prediction

DATA = Path(os.environ.get("TUNEVAL_SHARED", Path(__file__).parents[2] / "shared")) / "data"
QUALITIES = ("coherence", "consistency", "fluency", "relevance")
SUMMARY_METRICS = ("rouge1", "rouge2", "rougeL", "bleu", "chrf", "meteor")
PAIR_METRICS = ("bleu", "chrf", "chrf++", "ter", "rouge1", "rougeL", "meteor")


def rows_of(*parts: str) -> list[dict]:
    with gzip.open(DATA.joinpath(*parts), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def made(name: str) -> Metric | None:
    """The metric, None where its data is not here. Single sentences need BLEU's effective order."""
    os.environ.setdefault("NLTK_DATA", str(DATA / "nltk_data"))
    metric = build(name, **({"effective_order": True} if name == "bleu" else {}))
    try:
        getattr(metric, "check", lambda: None)()
    except MetricError as error:
        print(error, file=sys.stderr)
        return None
    return metric


def scores(metric: Metric, references: list[str], texts: list[str]) -> np.ndarray:
    """Score of each text; more is better."""
    cases = [Case(id=str(n), inputs={}, references=(one,)) for n, one in enumerate(references)]
    answers = [Prediction(case_id=str(n), text=text) for n, text in enumerate(texts)]
    found = metric.from_totals(metric.per_case(cases, answers))
    return found if metric.higher_is_better else -found


def summeval(names: tuple[str, ...] = SUMMARY_METRICS) -> dict[str, dict[str, float]]:
    """Kendall's tau-b of system means with expert means, per metric and quality."""
    from scipy.stats import kendalltau

    rows = rows_of("cnndm_summeval", "summeval.jsonl.gz")
    systems = sorted(rows[0]["systems"])
    # Two systems have the same mean, which rounding in the last digit must not untie.
    human = {
        quality: np.round(
            [np.mean([row["systems"][one][quality] for row in rows]) for one in systems], 9
        )
        for quality in QUALITIES
    }
    found = {}
    for metric in filter(None, map(made, names)):
        means = [
            scores(
                metric,
                [row["reference"] for row in rows],
                [row["systems"][one]["summary"] for row in rows],
            ).mean()
            for one in systems
        ]
        found[metric.name] = {
            quality: float(kendalltau(means, human[quality]).statistic) for quality in QUALITIES
        }
    return found


def wmt19(names: tuple[str, ...] = PAIR_METRICS) -> dict[str, dict[str, float]]:
    """Pairs in which the metric prefers the text that people did; ties count against it."""
    rows = rows_of("human_wmt19_darr", "kk-en.jsonl.gz")
    references = [row["reference"] for row in rows]
    found = {}
    for metric in filter(None, map(made, names)):
        better, worse = (
            scores(metric, references, [row[side]["text"] for row in rows])
            for side in ("better", "worse")
        )
        concordant, ties = int((better > worse).sum()), int((better == worse).sum())
        found[metric.name] = {
            "concordant": concordant,
            "discordant": len(rows) - concordant - ties,
            "ties": ties,
            "tau_like_ties_discordant": (2 * concordant - len(rows)) / len(rows),
        }
    return found


def main() -> None:
    print("| SummEval, Kendall tau of 16 systems | " + " | ".join(QUALITIES) + " |")
    print("|---|" + "---:|" * len(QUALITIES))
    for name, taus in summeval().items():
        print(f"| {name} | " + " | ".join(f"{taus[one]:.3f}" for one in QUALITIES) + " |")
    print("\n| WMT19 kk-en, 2,000 pairs | concordant | discordant | ties | tau |")
    print("|---|---:|---:|---:|---:|")
    for name, one in wmt19().items():
        print(
            f"| {name} | {one['concordant']} | {one['discordant']} | {one['ties']} | "
            f"{one['tau_like_ties_discordant']:.3f} |"
        )


if __name__ == "__main__":
    main()
