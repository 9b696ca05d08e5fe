"""Every metric of the table keeps the room's contract; a new one is found by its line there."""

from __future__ import annotations

import inspect
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrics.making import UNPARSED, made_cases, value
from tuneval.errors import MetricError
from tuneval.metrics import DEFAULTS, METRICS, build, describe, try_out
from tuneval.types import Prediction

LABELS = ("billing", "technical", "account")
VERDICTS = ("candidate", "baseline", "tie")
JUDGED = ("win_rate", "discrete_win_rate")
TEXTS = (
    "the cat sat",
    "the cat sat on the mat, and the dog runs.",
    "Four score and seven years ago!",
    "return x + 1 ;",
    "naïve café — 東京 📈 العربية e\u0301\u200d",
    "a b c d e f g",
)
# Metrics of completions run programs; their contract is tested with the sandbox.
NAMES = [name for name in METRICS if "completions" not in describe(name).needs]
# Of texts that are numbers.
NUMBER_NAMES = ["kendall_tau", "mae", "mse", "pearson", "r2", "rmse", "spearman"]
NUMBERS = ("1.5", "-2", "0", "3.25", "7e2", "4")
TEXT_NAMES = [
    name for name in NAMES if describe(name).needs == ("text",) and name not in NUMBER_NAMES
]
BEST = {
    **dict.fromkeys(NAMES, 1.0),
    **dict.fromkeys(("bleu", "chrf", "chrf++", "codexglue_bleu", "codexglue_text_bleu"), 100.0),
    **dict.fromkeys(("ter", "loss", "bits_per_byte", "log_loss", "aurc", "ece", "ece_width"), 0.0),
    **dict.fromkeys(("brier", "brier_top_label", "mae", "mse", "rmse"), 0.0),
    **dict.fromkeys(JUDGED, 1.0),
    **dict.fromkeys(("refused", "xstest_over_refusal"), 0.0),
}
# A learned network gives no text the same score; METEOR gives full marks to endless texts alone.
NO_BEST = {"bleurt", "meteor", "xstest_unsafe_compliance"}
# The program smooths the lengths too, so that an empty text keeps a fraction of a point.
NO_WORST = {
    "bleurt",
    "codexglue_text_bleu",
    "refused",
    "xstest_over_refusal",
    "xstest_unsafe_compliance",
}
# Made cases are all safe, so that nothing is known of unsafe ones.
ONE_SIDED = "xstest_unsafe_compliance"
# Entities are undefined where there are none.
UNDEFINED = {
    "cohen_kappa", "kendall_tau", "pearson", "r2", "spearman", ONE_SIDED, *(name for name in NAMES if name.startswith("entity_")),
}  # fmt: skip
# Counts of several references are merged, and TER divides by their mean length.
MERGED = {"bleu", "codexglue_bleu", "codexglue_text_bleu", "ter"}


@pytest.fixture
def make(request):
    """Build a metric, with the data and networks that it needs."""

    def built(name, **options):
        if name == "meteor":
            request.getfixturevalue("wordnet_data")
        if name.startswith("bertscore"):
            options.setdefault("encoder", str(request.getfixturevalue("encoder")))
        if name == "bleurt":
            options["checkpoint"] = str(request.getfixturevalue("bleurt_checkpoint"))
        if name.endswith("_binary"):
            options["positive"] = LABELS[0]
        return build(name, labels=LABELS, **options)

    return built


def answered(name, cases, given):
    """Predictions of any field from one text each: a label, a text, or how sure to be of it."""
    rng = np.random.default_rng(len(cases))
    sure = rng.dirichlet(np.ones(len(LABELS)), size=len(cases))
    return [
        Prediction(
            case_id=case.id,
            text=text,
            label=text,
            label_probabilities=None
            if name in JUDGED
            else {label: float(share) for label, share in zip(LABELS, row, strict=True)},
            nll=float(len(text) + 1),
            n_tokens=len(text.split()) + 1,
            n_bytes=len(text.encode("utf-8", "replace")) + 1,
        )
        for case, text, row in zip(cases, given, sure, strict=True)
    ]


def workload(name, n=12):
    """Cases, and predictions that are partly right."""
    values = VERDICTS if name in JUDGED else TEXTS if name in TEXT_NAMES else LABELS
    values = NUMBERS if name in NUMBER_NAMES else values
    rng = np.random.default_rng(7)
    cases = made_cases([values[k] for k in rng.integers(0, len(values), size=n)])
    given = [
        case.references[0] if k % 2 else values[rng.integers(0, len(values))]
        for k, case in enumerate(cases)
    ]
    return cases, answered(name, cases, given)


@pytest.mark.parametrize("name", NAMES)
def test_class_says_what_it_is(name, make):
    found, kind = describe(name), type(make(name))
    assert kind.name == name
    assert found.summary.endswith(".")
    assert len(found.summary) < 100
    assert found.reference
    assert found.unit in {"share", "points", "nats", "bits", "perplexity", "number"}
    assert kind.statistic in {"proportion", "mean", "corpus", "ranks"}
    assert "References" in inspect.getdoc(kind) or kind.reference != "own"
    assert make(name).signature() == make(name).signature() != ""


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_the_shape_of_the_kind(name, make):
    metric = make(name)
    rows = metric.per_case(*workload(name))
    assert rows.dtype == np.float64
    assert rows.shape[0] == 12
    assert np.isfinite(rows).all()
    if metric.statistic in {"proportion", "mean"}:
        assert rows.shape[1] == 2
        assert set(rows[:, 1]) <= {0.0, 1.0}
    if metric.statistic == "proportion":
        assert set(rows[:, 0]) <= {0.0, 1.0}


@pytest.mark.parametrize("name", NAMES)
def test_order_of_cases_does_not_matter(name, make):
    metric = make(name)
    cases, predictions = workload(name)
    order = np.random.default_rng(1).permutation(len(cases))
    rows = metric.per_case(cases, predictions)
    shuffled = metric.per_case([cases[k] for k in order], [predictions[k] for k in order])
    assert shuffled == pytest.approx(rows[order], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [0, 1, 5, 12])
def test_any_split_of_the_cases_gives_the_same_rows(name, cut, make):
    metric = make(name)
    cases, predictions = workload(name)
    whole = metric.per_case(cases, predictions)
    parts = [
        metric.per_case(cases[:cut], predictions[:cut]),
        metric.per_case(cases[cut:], predictions[cut:]),
    ]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_totals_of_many_draws_at_once(name, make):
    metric = make(name)
    rows = metric.per_case(*workload(name))
    if metric.statistic == "ranks":
        pytest.skip("a metric of ranks has no totals")
    weights = np.random.default_rng(2).integers(0, 3, size=(4, 5, len(rows))).astype(float)
    weights[0, 0] = 0
    totals = weights @ rows
    together = metric.from_totals(totals)
    assert together.shape == (4, 5)
    assert math.isnan(together[0, 0]) or name == "ter"
    one_by_one = [[float(metric.from_totals(one)) for one in row] for row in totals]
    assert together == pytest.approx(np.array(one_by_one), nan_ok=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_BEST])
def test_perfect_predictions_reach_the_best_value(name, make):
    cases = made_cases(
        ["candidate"] * 3
        if name in JUDGED
        else ["the cat sat on #### 1", "a b c d #### 22", "one two three #### 4"]
        if name.startswith("gsm8k")
        else ["the cat sat on the mat", "a b c d e", "one two three four"]
        if name in TEXT_NAMES
        else NUMBERS
        if name in NUMBER_NAMES
        else LABELS
    )
    perfect = [
        replace(
            one,
            nll=0.0,
            label_probabilities=None
            if name in JUDGED
            else dict.fromkeys(LABELS, 0.0) | {case.references[0]: 1.0},
        )
        for case, one in zip(
            cases, answered(name, cases, [case.references[0] for case in cases]), strict=True
        )
    ]
    assert value(make(name), cases, perfect) == pytest.approx(BEST[name], abs=1e-6)


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_empty_texts_are_the_worst(name, make):
    cases = made_cases(["the cat sat on the mat", "a b c d e"])
    found = value(make(name), cases, answered(name, cases, ["", ""]))
    if name in NO_WORST:
        assert math.isfinite(found) or name == ONE_SIDED
    else:
        assert found == pytest.approx(100.0 if name == "ter" else 0.0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_failed(name, make):
    cases, _ = workload(name)
    metric = make(name)
    failed = [Prediction(case_id=case.id, problem="unparsed: no answer") for case in cases]
    rows = metric.per_case(cases, failed)
    if metric.needs == ("text",):
        as_empty = metric.per_case(cases, answered(name, cases, [""] * len(cases)))
        assert rows == pytest.approx(as_empty, abs=1e-6)
    elif metric.needs == ("label",) and name not in JUDGED:
        assert metric.from_totals(rows.sum(axis=0)) == pytest.approx(0.0)
    else:
        assert not rows.any()


@pytest.mark.parametrize("name", NAMES)
def test_one_case_and_none(name, make):
    metric = make(name)
    cases, predictions = workload(name)
    # Agreement beyond chance is undefined where one label is all there is, as in scikit-learn.
    assert math.isfinite(value(metric, cases[:1], predictions[:1])) or name in UNDEFINED
    none = metric.per_case([], [])
    assert none.shape == (0, metric.per_case(cases, predictions).shape[1])
    if name != "ter":
        assert math.isnan(value(metric, [], []))


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_within_bounds(name, make):
    metric = make(name)
    cases, predictions = workload(name, n=40)
    found = value(metric, cases, predictions)
    if name in {"mae", "mse", "r2", "rmse"}:  # in the unit of the references, or below any bound
        assert math.isfinite(found)
        return
    low = (
        -1.0
        if name in {"mcc", "cohen_kappa", "bleurt", *NUMBER_NAMES} or name.startswith("bertscore")
        else 0.0
    )
    high = {"share": 1.0, "points": 100.0, "number": 2.0}.get(metric.unit, math.inf)
    assert low - 1e-9 <= found <= high + 1e-9 or name == ONE_SIDED


@pytest.mark.parametrize("name", [name for name in NAMES if describe(name).needs == ("label",)])
def test_labels_outside_the_set_are_wrong(name, make):
    if name in JUDGED:
        pytest.skip("a verdict outside the set is refused, see test_win_rate.py")
    metric = make(name)
    cases, predictions = workload(name)
    unseen = [replace(one, label=UNPARSED) for one in predictions]
    unparsed = [replace(one, label=None, problem="unparsed") for one in predictions]
    assert metric.per_case(cases, unseen).tolist() == metric.per_case(cases, unparsed).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_named_with_its_case(name, make):
    cases, _ = workload(name, n=1)
    with pytest.raises(MetricError, match=r"test\.jsonl:1") as caught:
        make(name).per_case(cases, [Prediction(case_id=cases[0].id)])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", [name for name in TEXT_NAMES if name not in {"squad_em", "squad_f1", "refused"}]
)
def test_a_case_without_reference_is_named(name, make):
    cases = made_cases([()])
    with pytest.raises(MetricError, match=r'case "test\.jsonl:1" has no (reference|answer)'):
        make(name).per_case(cases, answered(name, cases, ["x"]))


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_any_text_is_scored(name, make):
    odd = [
        "",
        " \n\t",
        "\ud83d",  # half a character, as broken JSON may hold
        "\x00\x1b[31m",
        "東京 دبي ไทย",
        "e\u0301 \u200b \ufeff",
        "<script>alert(1)</script>",
        "=1+1",
        "ǅ İ ß",
    ]
    cases = made_cases([one or "x" for one in odd])
    rows = make(name).per_case(cases, answered(name, cases, odd[::-1]))
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_the_best_of_several_references_counts(name, make):
    metric = make(name)
    texts = ["the dog runs in the park", "a cat sat on the mat"]
    given = answered(name, made_cases(["x"]), ["the cat sat on the mat"])
    both = float(metric.from_totals(metric.per_case(made_cases([texts]), given)[0]))
    apart = [
        float(metric.from_totals(metric.per_case(made_cases([one]), given)[0])) for one in texts
    ]
    if name in MERGED:
        assert both >= max(apart) or name == "ter"
    else:
        assert both == pytest.approx(max(apart), abs=1e-6, nan_ok=name == ONE_SIDED)


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_texts_of_ten_thousand_tokens(name, make):
    rng = np.random.default_rng(0)
    # sacrebleu's TER moves phrases about in plain Python: a quarter of an hour for such
    # a text, so a short one.
    n = 40 if name == "ter" else 10_000
    long, other = (" ".join(f"w{k}" for k in rng.integers(0, 500, size=n)) for _ in range(2))
    cases = made_cases([long, "short", long])
    began = time.perf_counter()
    rows = make(name).per_case(cases, answered(name, cases, [other, other, long]))
    assert np.isfinite(rows).all()
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("name", NAMES)
def test_try_out_runs_every_metric_before_the_models(name, make):
    try_out(make(name), VERDICTS if name in JUDGED else LABELS)


@pytest.mark.parametrize("task", DEFAULTS)
def test_default_metrics_exist_and_run_without_data(task):
    for name in DEFAULTS[task]:
        try_out(build(name, labels=None))


def test_the_page_lists_every_metric():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name in NAMES:
        found = describe(name)
        better = "higher" if found.higher_is_better else "lower"
        needs = ", ".join(found.needs)
        assert (
            f"| `{name}` | {found.summary} | {found.unit}, {better} | {needs} | {found.reference} |"
        ) in page
    for task, names in DEFAULTS.items():
        assert f"| {task} | {', '.join(names)} |" in page
