"""Sets of labels: read from lists, and scored as scikit-learn scores indicators."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from sklearn import metrics as sklearn

from metrics.making import made_cases, value
from tuneval.metrics import build
from tuneval.metrics.multilabel import read_labels
from tuneval.types import Prediction

LABELS = ("amber", "teal", "dark plum", "ochre, pale")
READ = [
    ('["teal", "Amber"]', ("teal", "amber")),
    ('{"labels": ["teal"]}', ("teal",)),
    ('{"amber": 0.5, "teal": 0.49, "dark plum": 1, "ochre, pale": 0}', ("amber", "dark plum")),
    ('{"amber": 0.5, "teal": 0.9}', None),  # not of each label
    ("teal, dark  plum", ("teal", "dark plum")),
    ("Labels: teal; AMBER.", ("teal", "amber")),
    ("- teal\n- amber", ("teal", "amber")),
    ("1. teal\n2. ochre, pale", ("teal", "ochre, pale")),
    ("ochre, pale", ("ochre, pale",)),
    ("teal, blue", ("teal", "blue")),
    ("[]", ()),
    ("None.", ()),
    ("no labels", ()),
    ("blue", None),
    ("I think this is about teal things", None),
]


@pytest.mark.parametrize(("text", "found"), READ)
def test_what_is_read(text: str, found: tuple[str, ...] | None) -> None:
    assert read_labels(text, LABELS) == found


ORACLES = {
    "multilabel_f1_micro": partial(sklearn.f1_score, average="micro", zero_division=0),
    "multilabel_f1_macro": partial(sklearn.f1_score, average="macro", zero_division=0),
    "jaccard": partial(sklearn.jaccard_score, average="samples", zero_division=1),
    "subset_accuracy": sklearn.accuracy_score,
    "hamming_loss": sklearn.hamming_loss,
}


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("name", ORACLES)
def test_as_scikit_learn(name: str, share: float) -> None:
    rng = np.random.default_rng(3)
    expected, given = (rng.random((2, 60, len(LABELS))) < share).astype(int)

    def listed(row: np.ndarray) -> str:
        return json.dumps([label for label, own in zip(LABELS, row, strict=True) if own])

    cases = made_cases(list(map(listed, expected)))
    predictions = [
        Prediction(case.id, text=listed(row)) for case, row in zip(cases, given, strict=True)
    ]
    wanted = ORACLES[name](expected, given)
    assert value(build(name, labels=LABELS), cases, predictions) == pytest.approx(wanted, abs=1e-12)
