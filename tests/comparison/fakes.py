"""Metrics of each kind and measurements from plain numbers, for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared import shared_json
from tuneval.types import Measurement


@dataclass
class Accuracy:
    """Rows (right, 1)."""

    name: str = "accuracy"
    unit: str = "share"
    higher_is_better: bool = True
    statistic: str = "proportion"

    def from_totals(self, totals):
        return totals[..., 0] / totals[..., 1]

    def signature(self):
        return self.name


@dataclass
class MeanScore(Accuracy):
    """Rows (value, 1)."""

    name: str = "token_f1"
    statistic: str = "mean"


@dataclass
class Corpus(Accuracy):
    """The mean, declared as a function of sums: must agree with MeanScore nearly."""

    name: str = "corpus_mean"
    statistic: str = "corpus"


@dataclass
class MacroF1(Accuracy):
    """Rows (tp, fp, fn) per label."""

    name: str = "f1_macro"
    statistic: str = "corpus"

    def from_totals(self, totals):
        cells = totals.reshape(*totals.shape[:-1], -1, 3)
        tp, fp, fn = cells[..., 0], cells[..., 1], cells[..., 2]
        denominator = 2 * tp + fp + fn
        return (2 * tp / np.where(denominator == 0, 1, denominator)).mean(axis=-1)


@dataclass
class Perplexity(Accuracy):
    """Rows (nats, tokens)."""

    name: str = "perplexity"
    unit: str = "perplexity"
    higher_is_better: bool = False
    statistic: str = "corpus"

    def from_totals(self, totals):
        return np.exp(totals[..., 0] / totals[..., 1])


@dataclass
class Auroc(Accuracy):
    """Rows (score, is_inside)."""

    name: str = "auroc"
    statistic: str = "ranks"

    def from_rows(self, rows):
        scores, inside = rows[:, 0], rows[:, 1] == 1
        n_in, n_out = inside.sum(), (~inside).sum()
        if n_in == 0 or n_out == 0:
            return float("nan")
        _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
        rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
        return float((rank[inside].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


def measured(values, variant="base", metric="accuracy", rows=None, prefix="c"):
    """A measurement of one value per case (or of ready rows)."""
    if rows is None:
        values = np.asarray(values, dtype=float)
        rows = np.stack([values, np.ones_like(values)], axis=1)
    rows = np.asarray(rows, dtype=float)
    return Measurement(variant, metric, tuple(f"{prefix}{i}" for i in range(len(rows))), rows)


def f1_rows(references, predictions, labels):
    """Rows (tp, fp, fn) per label."""
    references, predictions = np.asarray(references), np.asarray(predictions)
    columns = []
    for label in labels:
        is_reference, is_predicted = references == label, predictions == label
        columns += [
            is_reference & is_predicted,
            ~is_reference & is_predicted,
            is_reference & ~is_predicted,
        ]
    return np.stack(columns, axis=1).astype(float)


def from_table(b, c, both_right, both_wrong):
    """Right and wrong of baseline and candidate from a paired 2 x 2 table."""
    x = [0] * b + [1] * c + [1] * both_right + [0] * both_wrong
    y = [1] * b + [0] * c + [1] * both_right + [0] * both_wrong
    return np.array(x, float), np.array(y, float)


def vector(name):
    """A worked case of the shared statistics by its id."""
    found = {v["id"]: v for v in shared_json("vectors", "statistics.json")["vectors"]}
    return found[name]
