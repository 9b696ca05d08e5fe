"""Predictions -> rows that add up; summed rows -> the number. Knows no variants and no p-values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuneval import registry
from tuneval.errors import ConfigError
from tuneval.metrics.scripts import Script
from tuneval.types import Case, CaseSet, Prediction, StatisticKind, Unit


class Metric(Protocol):
    """One number of the field.

    ``uses_labels``: the constructor takes ``labels``, the label set, so that the columns of the rows
    are the same for every variant. ``needs`` names the fields of a Prediction that must be there
    ("text", "label", "label_probabilities", "nll", "completions"). A metric of kind "ranks" offers
    ``from_rows(rows) -> float``, and its ``from_totals`` refuses. One that needs data, a model or a
    package offers ``check()``, a dry run that leaves nothing in memory and raises MetricError with
    the remedy in one line. One that may have something to tell after ``per_case`` (texts that were
    cut) offers ``notes() -> tuple[str, ...]``. One that depends on the script of the references offers
    ``for_script(script) -> dict``, the options that fit. ``suffix`` is the option that a word behind
    its name sets: "bleu:zh".
    """

    name: str
    unit: Unit
    higher_is_better: bool
    statistic: StatisticKind
    uses_labels: bool
    needs: tuple[str, ...]

    def per_case(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> NDArray[np.float64]: ...
    def from_totals(self, totals: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def signature(self) -> str: ...


METRICS = {
    "accuracy": "tuneval.metrics.accuracy:Accuracy",
    "accuracy_macro": "tuneval.metrics.macro_accuracy:MacroAccuracy",
    "aurc": "tuneval.metrics.calibration:RiskCoverage",
    "balanced_accuracy": "tuneval.metrics.classification:BalancedAccuracy",
    "bertscore_f1": "tuneval.metrics.bertscore:BertScoreF1",
    "bertscore_precision": "tuneval.metrics.bertscore:BertScorePrecision",
    "bertscore_recall": "tuneval.metrics.bertscore:BertScoreRecall",
    "bits_per_byte": "tuneval.metrics.perplexity:BitsPerByte",
    "bleu": "tuneval.metrics.translation:Bleu",
    "bleurt": "tuneval.metrics.bleurt:Bleurt",
    "brier": "tuneval.metrics.calibration:Brier",
    "brier_top_label": "tuneval.metrics.calibration:BrierTopLabel",
    "byte_perplexity": "tuneval.metrics.perplexity:BytePerplexity",
    "chrf": "tuneval.metrics.translation:Chrf",
    "chrf++": "tuneval.metrics.translation:ChrfPlusPlus",
    "code_exact_match": "tuneval.metrics.exact_match:CodeExactMatch",
    "codexglue_bleu": "tuneval.metrics.codexglue:CodeXGlueBleu",
    "codexglue_text_bleu": "tuneval.metrics.codexglue:CodeXGlueTextBleu",
    "cohen_kappa": "tuneval.metrics.classification:CohenKappa",
    "discrete_win_rate": "tuneval.metrics.win_rate:DiscreteWinRate",
    "ece": "tuneval.metrics.calibration:CalibrationError",
    "ece_width": "tuneval.metrics.calibration:CalibrationErrorWidth",
    "entity_f1": "tuneval.metrics.entities:EntityF1",
    "entity_f1_macro": "tuneval.metrics.entities:EntityF1Macro",
    "entity_precision": "tuneval.metrics.entities:EntityPrecision",
    "entity_recall": "tuneval.metrics.entities:EntityRecall",
    "exact_match": "tuneval.metrics.exact_match:ExactMatch",
    "f1_binary": "tuneval.metrics.classification:F1Binary",
    "f1_macro": "tuneval.metrics.classification:F1Macro",
    "f1_micro": "tuneval.metrics.classification:F1Micro",
    "f1_weighted": "tuneval.metrics.classification:F1Weighted",
    "final_number": "tuneval.metrics.final_number:FinalNumber",
    "gsm8k_flexible": "tuneval.metrics.gsm8k:Gsm8kFlexible",
    "gsm8k_strict": "tuneval.metrics.gsm8k:Gsm8kStrict",
    "ifeval_instruction_loose": "tuneval.metrics.ifeval:InstructionLoose",
    "ifeval_instruction_strict": "tuneval.metrics.ifeval:InstructionStrict",
    "ifeval_prompt_loose": "tuneval.metrics.ifeval:PromptLoose",
    "ifeval_prompt_strict": "tuneval.metrics.ifeval:PromptStrict",
    "kendall_tau": "tuneval.metrics.regression:KendallTau",
    "log_loss": "tuneval.metrics.calibration:LogLoss",
    "loss": "tuneval.metrics.perplexity:Loss",
    "mae": "tuneval.metrics.regression:MeanAbsoluteError",
    "mcc": "tuneval.metrics.classification:MatthewsCorrelation",
    "meteor": "tuneval.metrics.meteor:Meteor",
    "mse": "tuneval.metrics.regression:MeanSquaredError",
    "pass_at_k": "tuneval.metrics.pass_at_k:PassAtK",
    "pearson": "tuneval.metrics.regression:Pearson",
    "perplexity": "tuneval.metrics.perplexity:Perplexity",
    "precision_binary": "tuneval.metrics.classification:PrecisionBinary",
    "precision_macro": "tuneval.metrics.classification:PrecisionMacro",
    "precision_micro": "tuneval.metrics.classification:PrecisionMicro",
    "precision_weighted": "tuneval.metrics.classification:PrecisionWeighted",
    "r2": "tuneval.metrics.regression:RSquared",
    "recall_binary": "tuneval.metrics.classification:RecallBinary",
    "recall_macro": "tuneval.metrics.classification:RecallMacro",
    "recall_micro": "tuneval.metrics.classification:RecallMicro",
    "recall_weighted": "tuneval.metrics.classification:RecallWeighted",
    "rmse": "tuneval.metrics.regression:RootMeanSquaredError",
    "rouge1": "tuneval.metrics.rouge:Rouge1",
    "rouge2": "tuneval.metrics.rouge:Rouge2",
    "rougeL": "tuneval.metrics.rouge:RougeL",
    "rougeLsum": "tuneval.metrics.rouge:RougeLsum",
    "spearman": "tuneval.metrics.regression:Spearman",
    "squad_em": "tuneval.metrics.squad:SquadExactMatch",
    "squad_f1": "tuneval.metrics.squad:SquadF1",
    "squad_v1_em": "tuneval.metrics.squad:SquadV1ExactMatch",
    "squad_v1_f1": "tuneval.metrics.squad:SquadV1F1",
    "tag_accuracy": "tuneval.metrics.entities:TagAccuracy",
    "ter": "tuneval.metrics.translation:Ter",
    "win_rate": "tuneval.metrics.win_rate:WinRate",
    "word_perplexity": "tuneval.metrics.perplexity:WordPerplexity",
    "refused": "tuneval.metrics.refusal:Refused",
    "xstest_over_refusal": "tuneval.metrics.xstest:OverRefusal",
    "xstest_right": "tuneval.metrics.xstest:RightlyRefused",
    "xstest_unsafe_compliance": "tuneval.metrics.xstest:UnsafeCompliance",
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "rouge": ("rougeL", "rouge1", "rouge2", "rougeLsum"),
    "bertscore": ("bertscore_f1", "bertscore_precision", "bertscore_recall"),
    "squad": ("squad_f1", "squad_em"),
}
"""Names that stand for several metrics; the first of them is primary where the family is."""

DEFAULTS: dict[str, tuple[str, ...]] = {
    "classify": (
        "accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "recall_macro",
        "balanced_accuracy",
        "mcc",
        "log_loss",
        "brier",
        "ece",
    ),
    "multiple_choice": ("accuracy", "log_loss", "brier", "ece"),
    "generate": ("rougeL", "rouge1", "rouge2", "rougeLsum", "bleu", "chrf", "exact_match"),
    "complete_code": ("pass_at_k",),
    "regression": ("pearson", "spearman", "kendall_tau", "rmse", "mae", "r2"),
    "language_model": ("perplexity", "loss", "bits_per_byte"),
    "tag": ("entity_f1", "entity_precision", "entity_recall", "entity_f1_macro", "tag_accuracy"),
}
"""Task -> metrics that are computed unless told otherwise; the first is the primary one. One whose
``needs`` the task's predictions do not have (probabilities of generated labels) is dropped."""


def defaults_of(cases: CaseSet) -> tuple[str, ...]:
    """The default metrics of a case set: the task's, after those that its rows are made for."""
    usual = DEFAULTS[cases.task]
    if cases.task == "generate" and cases.layout == "squad":
        return (*FAMILIES["squad"], *usual)
    if cases.task == "tag" and not _name_entities(cases.labels or ()):
        return ("tag_accuracy",)
    if cases.task == "generate" and _end_in_numbers(cases):
        return ("final_number", *usual)
    return usual


def _name_entities(tags: Sequence[str]) -> bool:
    """BIO, BIOES or the like, and no parts of speech."""
    return bool(tags) and all(re.fullmatch(r"[BIESO]|[BIES]-.+", tag) for tag in tags)


def _end_in_numbers(cases: CaseSet) -> bool:
    """GSM8K's form: worked answers that end in "#### 42"."""
    texts = [text for case in cases.cases for text in case.references]
    return bool(texts) and all(re.search(r"####\s*\S*\d\S*\s*$", text) for text in texts)


@dataclass(frozen=True, slots=True)
class Description:
    """A line of ``tuneval list metrics``. ``reference`` is the program whose number is matched."""

    name: str
    summary: str
    unit: Unit
    higher_is_better: bool
    needs: tuple[str, ...]
    reference: str


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Unfold families ("rouge") and drop what is named twice; the order stays."""
    return tuple(dict.fromkeys(one for name in names for one in FAMILIES.get(name, (name,))))


def with_suffix(name: str) -> tuple[str, dict[str, str]]:
    """Part "bleu:zh" into the name and the option that its word sets.

    Raises
    ------
    ConfigError
        There is no such metric, or it takes no such word.
    """
    plain, colon, word = name.partition(":")
    if not colon:
        return name, {}
    option = getattr(registry.load(METRICS, plain, room="metrics"), "suffix", None)
    if option is None or not word:
        raise ConfigError(f'metric "{name}": {plain} takes nothing after a colon.')
    return plain, {option: word}


def build(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    script: Script = "latin",
    **options: Any,
) -> Metric:
    """Make the metric called ``name``; ``labels`` and ``script`` go to those that use them."""
    kind = registry.load(METRICS, name, room="metrics")
    if hasattr(kind, "for_script"):
        options = {**kind.for_script(script), **options}
    if kind.uses_labels:
        options["labels"] = labels
    metric: Metric = kind(**options)
    return metric


def try_out(metric: Metric, labels: Sequence[str] | None = None) -> None:
    """Run a metric on two made-up rows, so that it fails before the models are asked, not after.

    Raises
    ------
    MetricError
        It cannot be computed here; says what to install, download or set.
    """
    check = getattr(metric, "check", None)
    if check is not None:
        check()
        return
    pair = tuple(labels or ("0", "1"))[:2]
    cases = [
        Case(id=f"dry:{n}", inputs={"text": one}, references=(one,)) for n, one in enumerate(pair)
    ]
    predictions = [
        Prediction(
            case_id=case.id,
            text=case.references[0],
            label=case.references[0],
            label_probabilities=dict.fromkeys(pair, 1 / len(pair)),
            completions=case.references,
            nll=1.0,
            n_tokens=1,
            n_bytes=1,
        )
        for case in cases
    ]
    metric.per_case(cases, predictions)


def describe(name: str) -> Description:
    """Say what the metric called ``name`` is, from its class alone.

    Raises
    ------
    ConfigError
        There is no such metric.
    """
    kind = registry.load(METRICS, name, room="metrics")
    return Description(
        name=name,
        summary=(inspect.getdoc(kind) or "").partition("\n")[0],
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        needs=tuple(kind.needs),
        reference=getattr(kind, "reference", ""),
    )
