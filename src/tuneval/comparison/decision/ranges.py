"""Reading aids beside a score: what is usual, what is strong, what guessing would give.

Context only, never a pass or fail. The table is data: a metric that is not in it gets no aid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

from tuneval.comparison.estimate import power
from tuneval.types import Score


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds between weak, usual, (good) and strong, in the metric's unit on [0, 1] or natural.

    ``good`` is where a band between usual and strong begins, None where there is none.
    """

    weak: float | None
    strong: float
    good: float | None = None
    note: str = ""
    higher_is_better: bool = True


RANGES: Mapping[str, Range] = {
    "accuracy": Range(0.80, 0.95, note="usual is 80 to 95 for a tuned classifier"),
    "perplexity": Range(
        50,
        10,
        note="comparable only with the same tokenizer, else use bits per byte",
        higher_is_better=False,
    ),
    "bleu": Range(0.25, 0.50, good=0.35, note="usual is 25 to 35 points"),
    "rouge1": Range(0.30, 0.50, good=0.40, note="usual is 30 to 40 points"),
}

EXPECTED_DOMAIN_ACCURACY = (
    "On a domain task, accuracy is usually 60-70 zero-shot for the base, 90-98 after LoRA and "
    "99 or more after full fine-tuning."
)


def reading(score: Score) -> str:
    """ "weak", "usual", "good" or "strong" for a metric of the table, else ""."""
    found = RANGES.get(score.metric)
    if found is None or isnan(score.value):
        return ""
    value = score.value / 100 if score.unit == "points" else score.value
    if not found.higher_is_better:
        weak = found.weak is not None and value >= found.weak
        return "weak" if weak else "strong" if value < found.strong else "usual"
    if found.weak is not None and value < found.weak:
        # A low accuracy is weak only against guessing, which read_accuracy knows.
        return "" if score.metric == "accuracy" else "weak"
    if value > found.strong or (found.good is not None and value >= found.strong):
        return "strong"
    return "good" if found.good is not None and value > found.good else "usual"


def majority(class_counts: Mapping[str, int]) -> tuple[str, float]:
    """The most frequent reference label and the share that always answering it gets right."""
    label = max(class_counts, key=lambda one: class_counts[one])
    return label, class_counts[label] / sum(class_counts.values())


def chance(n_labels: int) -> float:
    """Share right when guessing evenly among the labels."""
    return 1 / n_labels


def against_majority(score: Score, class_counts: Mapping[str, int]) -> str:
    """ "no better than always answering X" where the score is below that plus what n detects.

    Whether the variant and the constant answer are right is taken as independent, which errs
    towards saying it.
    """
    if isnan(score.value) or not class_counts or score.n_cases == 0:
        return ""
    label, share = majority(class_counts)
    discordant = score.value * (1 - share) + share * (1 - score.value)
    if score.value < share + power.detectable(score.n_cases, discordant):
        return f"no better than always answering {label}"
    return ""
