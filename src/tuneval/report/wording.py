"""Numbers and names as a reader sees them: rounding, units, titles. No markup, no layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tuneval.types import Case, Comparison, FindingLevel, Interval, Unit, Verdict

SIGNS: Mapping[FindingLevel, str] = {"warning": "!", "unclear": "?", "clear": "+", "note": "="}
"""The sign before a finding's sentence, in the order in which sentences stand."""

SAME_COMMAND = "Give the same command again: it goes on from there."

# Titles of the metrics whose name alone reads badly; the rest show their name with blanks.
_TITLES = {
    "aurc": "AURC",
    "auroc": "AUROC",
    "bertscore": "BERTScore",
    "bits_per_byte": "bits per byte",
    "bleu": "BLEU",
    "brier": "Brier score",
    "chrf": "chrF",
    "cohen_kappa": "Cohen's kappa",
    "codebleu": "CodeBLEU",
    "ece": "calibration error",
    "ece_width": "calibration error (equal width)",
    "f1_binary": "F1",
    "f1_macro": "F1 macro",
    "f1_micro": "F1 micro",
    "f1_weighted": "F1 weighted",
    "mcc": "MCC",
    "meteor": "METEOR",
    "log_loss": "log-loss",
    "pass_at_1": "pass@1",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "rouge_lsum": "ROUGE-Lsum",
    "squad_em": "SQuAD exact match",
    "squad_f1": "SQuAD F1",
}
SAME_NUMBERS = (("balanced_accuracy", "recall_macro"),)
"""Two names of one number, wherever every label has a case."""

# What the field usually sees; context for the reader, never a pass or a fail.
_READING_AIDS = {
    "accuracy": "fine-tuned models usually reach 80 to 95",
    "f1_macro": "every label counts the same, however rare",
    "f1_weighted": "labels count as often as they occur",
    "ece": "how far confidence is from being right; read it beside its noise level",
    "perplexity": "in-domain 10 to 50 is usual; comparable only with the same tokenizer",
    "loss": "mean negative log-likelihood per token",
    "bleu": "25 to 35 is usual, 35 to 50 good",
    "rouge_1": "30 to 40 is usual, 40 to 50 good",
}
_DECIMALS: Mapping[Unit, int] = {
    "share": 1,
    "points": 1,
    "nats": 3,
    "bits": 3,
    "perplexity": 2,
    "number": 3,
}
_GRADES = {
    "LORA AHEAD": "+",
    "EXCELLENT": "+",
    "ACCEPTABLE": "=",
    "LARGE GAP": "!",
    **dict.fromkeys((f"LOOKS {one}" for one in ("LORA AHEAD", "EXCELLENT", "ACCEPTABLE")), "?"),
    "LOOKS LARGE GAP": "!",
}
_MARKS = {"better": "+", "equivalent": "=", "undecided": "?", "worse": "!"}
SIGNIFICANT = 0.05


def number(value: float | None, unit: Unit) -> str:
    """Round to what the unit deserves; a share is printed times 100, nan as "n/a"."""
    if value is None or math.isnan(value):
        return "n/a"
    return f"{_scaled(value, unit):.{_DECIMALS[unit]}f}".replace("inf", "infinite")


def difference(value: float | None, unit: Unit) -> str:
    """As ``number``, with its sign; what rounds to zero carries none."""
    if value is None or math.isnan(value):
        return "n/a"
    text = f"{_scaled(value, unit):+.{_DECIMALS[unit]}f}"
    return text[1:] if float(text) == 0 else text


def shown_difference(found: Comparison) -> str:
    """The difference; what is shown to differ is never "0.0"."""
    text = difference(found.difference, found.unit)
    if not is_significant(found) or not found.difference or float(text):
        return text
    decimals = _DECIMALS[found.unit]
    return f"{'+' if found.difference > 0 else '-'}<{10**-decimals:.{decimals}f}"


def starred(found: Comparison) -> str:
    """The difference with the mark of its correction."""
    mark = "" if not is_significant(found) else " *" if is_holm(found) else " (*)"
    return shown_difference(found) + mark


def star_legend(comparisons: Iterable[Comparison]) -> list[str]:
    """What the marks that ``starred`` sets mean, as far as they occur."""
    marked = [one for one in comparisons if is_significant(one)]
    legend = []
    if any(map(is_holm, marked)):
        legend.append("* p < .05, Holm")
    if not all(map(is_holm, marked)):
        legend.append("(*) suggests: Benjamini-Hochberg")
    return legend


def level_legend(comparisons: Iterable[Comparison]) -> list[str]:
    """What the level of a verdict's intervals means, where several hold at once."""
    levels = [one.details.get("shared_confidence") for one in comparisons]
    known = [one for one in levels if one is not None]
    return [f"{100 * max(known):.3g}% CI: 95% for all verdicts at once"] if known else []


def is_holm(comparison: Comparison) -> bool:
    """Was it corrected by Holm, so that it may be claimed, or does it only suggest?"""
    return bool(comparison.details.get("holm", comparison.details.get("confirmatory", 1.0)))


def interval(value: Interval | None, unit: Unit, *, between: str = " to ") -> str:
    """Both bounds, or nothing where there is no interval."""
    if value is None:
        return ""
    return f"{number(value.low, unit)}{between}{number(value.high, unit)}"


def signed_interval(value: Interval | None, unit: Unit) -> str:
    """Both bounds of a difference."""
    if value is None:
        return ""
    return f"{difference(value.low, unit)} to {difference(value.high, unit)}"


def p_value(value: float | None) -> str:
    """Three decimals without the leading zero, as journals print it."""
    if value is None or math.isnan(value):
        return ""
    if value < 0.001:
        return "< .001"
    return f"{value:.3f}".removeprefix("0")


def count(value: int) -> str:
    """Thousands parted by commas."""
    return f"{value:,}"


def quantity(value: int) -> str:
    """A large count in three figures: "1.07 M"."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where needed."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def metric_title(name: str) -> str:
    """Name of a metric as the field writes it."""
    return _TITLES.get(name) or name.replace("_", " ")


def reading_aid(name: str, *, higher_is_better: bool) -> str:
    """One line that helps to read the number."""
    direction = "higher is better" if higher_is_better else "lower is better"
    return f"{direction}; {_READING_AIDS[name]}" if name in _READING_AIDS else direction


def slice_title(name: str) -> str:
    """ "writer=learner" -> "writer: learner", "typos:medium" -> "typos, medium"."""
    key, _, value = name.partition("=")
    return f"{key}: {value}" if value else name.replace(":", ", ")


def mark(verdict: Verdict) -> str:
    """The sign before what a verdict says: + good, = equivalent, ? undecided, ! worse.

    Of an adapter against a full fine-tune the grade counts: a LoRA that is ahead is no bad news.
    """
    return _GRADES.get(verdict.headline) or _MARKS[verdict.decision]


def is_significant(comparison: Comparison) -> bool:
    """Whether the adjusted p is below .05."""
    return comparison.p_adjusted is not None and comparison.p_adjusted < SIGNIFICANT


def main_text(case: Case) -> str:
    """The input that a person would call the question: the text that perturbations change."""
    inputs = case.inputs
    turns = inputs.get("messages")
    if isinstance(turns, tuple) and turns:
        return str(getattr(turns[-1], "content", turns[-1]))
    for key in ("text", "question", "prompt", "article", "context"):
        if inputs.get(key) is not None:
            return str(inputs[key])
    parts = [str(inputs[key]) for key in ("instruction", "input") if inputs.get(key)]
    return "\n".join(parts) or "\n".join(str(value) for value in inputs.values())


def input_text(value: object) -> str:
    """Any input of a case as text: turns with their role, choices with their index."""
    if isinstance(value, tuple):
        return "\n".join(
            f"{item.role}: {item.content}" if hasattr(item, "role") else f"{index}: {item}"
            for index, item in enumerate(value)
        )
    return str(value)


def _scaled(value: float, unit: Unit) -> float:
    return value * 100 if unit == "share" else value
