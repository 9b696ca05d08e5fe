"""Label metrics against scikit-learn, and what an unparsed prediction does to each."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from metrics.making import UNPARSED, labelled, made_cases, value, vector
from tuneval.errors import MetricError
from tuneval.metrics import METRICS, build
from tuneval.metrics.confusion import confusion_matrix, per_class

LABELS = ("billing", "technical", "account", "refund", "other")


def f_score(kind, average):
    function = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[kind]
    return lambda gold, pred: function(
        gold,
        pred,
        average=average,
        zero_division=0,
        labels=sorted({*gold, *pred} - {UNPARSED}),
    )


ORACLES = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "mcc": sk.matthews_corrcoef,
    "cohen_kappa": sk.cohen_kappa_score,
    **{
        f"{kind}_{average}": f_score(kind, average)
        for kind in ("precision", "recall", "f1")
        for average in ("macro", "weighted", "micro")
    },
}


def drawn(n_labels, n, unparsed, rng):
    gold = rng.choice(LABELS[:n_labels], size=n)
    pred = np.where(rng.random(n) < 0.5, gold, rng.choice(LABELS[:n_labels], size=n))
    return gold.tolist(), np.where(rng.random(n) < unparsed, UNPARSED, pred).tolist()


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize(
    ("n_labels", "n", "unparsed"),
    [
        (2, 50, 0.0),
        (5, 200, 0.1),
        pytest.param(5, 4, 0.3, id="most labels absent"),
        pytest.param(3, 30, 1.0, id="nothing parsed"),
    ],
)
def test_equals_scikit_learn(name, n_labels, n, unparsed):
    rng = np.random.default_rng(n)
    gold, pred = drawn(n_labels, n, unparsed, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of labels that were never predicted
        expected = ORACLES[name](gold, pred)
    metric = build(name, labels=LABELS)
    answers = labelled([None if label == UNPARSED else label for label in pred])
    assert value(metric, made_cases(gold), answers) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["precision", "recall", "f1"])
@pytest.mark.parametrize("positive", ["billing", "technical"])
def test_binary_equals_scikit_learn(kind, positive):
    gold, pred = drawn(2, 60, 0.0, np.random.default_rng(0))
    oracle = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[kind]
    metric = build(f"{kind}_binary", labels=LABELS[:2], positive=positive)
    assert value(metric, made_cases(gold), labelled(pred)) == pytest.approx(
        oracle(gold, pred, pos_label=positive)
    )
    assert f"positive:{positive}" in metric.signature()


def test_binary_needs_a_positive_label():
    with pytest.raises(
        MetricError, match=r'needs two labels or a positive one, and there are 5.*"f1_macro"'
    ):
        build("f1_binary", labels=LABELS)
    with pytest.raises(MetricError, match='"yes" is not one of the labels'):
        build("f1_binary", labels=LABELS, positive="yes")


def test_vector_classification_scores():
    given = vector("classification_scores")
    labels, expected = given["input"]["labels"], given["expected"]
    cases = made_cases(given["input"]["gold"])
    answers = labelled([None if one == UNPARSED else one for one in given["input"]["pred"]])
    for name in ("accuracy", "f1_macro", "f1_weighted", "mcc", "cohen_kappa"):
        metric = build(name, labels=labels)
        assert value(metric, cases, answers) == pytest.approx(
            expected[name], abs=given["tolerance"]
        )
    counts = confusion_matrix(cases, answers, labels)
    assert counts[:, :-1].tolist() == expected["confusion"]
    assert counts.sum() == len(cases)
    assert counts[:, -1].tolist() == [0, 0, 1]
    _, _, f1 = per_class(counts)
    assert f1 == pytest.approx([expected["f1_per_class"][label] for label in labels])


def test_confusion_matrix_has_a_column_for_the_unparsed_and_the_unknown():
    cases = made_cases(["a", "a", "b"])
    counts = confusion_matrix(cases, labelled(["a", None, "z"]), ("a", "b", "c"))
    assert counts.tolist() == [[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_per_class_is_nan_where_undefined():
    precision, recall, f1 = per_class([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    assert precision.tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert recall.tolist() == pytest.approx([1.0, 0.0, np.nan], nan_ok=True)
    assert f1.tolist() == pytest.approx([2 / 3, 0.0, np.nan], nan_ok=True)


def test_a_reference_outside_the_label_set_is_named():
    with pytest.raises(MetricError, match=r'case "test.jsonl:2" has the label "z".*one of the 2'):
        build("f1_macro", labels=("a", "b")).per_case(made_cases(["a", "z"]), labelled(["a", "b"]))
    with pytest.raises(MetricError, match="names a label twice"):
        build("f1_macro", labels=("a", "a")).per_case(made_cases(["a"]), labelled(["a"]))


def test_without_declared_labels_the_columns_come_from_the_references_alone():
    cases = made_cases(["10", "2", "0"])
    metric = build("f1_macro")
    few, many = (
        metric.per_case(cases, labelled(labels)) for labels in (["0"] * 3, ["10", "7", "0"])
    )
    assert few.shape == many.shape == (3, 9)
    assert many[0].tolist() == [0, 0, 1, *[0] * 6]  # "10" comes after "2"


@pytest.mark.parametrize("name", [name for name in METRICS if name in ORACLES])
def test_bounds_of_empty_and_perfect(name):
    metric = build(name, labels=LABELS)
    cases = made_cases(["billing", "technical", "account"])
    assert value(metric, cases, labelled(["billing", "technical", "account"])) == pytest.approx(1)
    assert value(metric, cases, labelled([None] * 3)) == pytest.approx(0)
