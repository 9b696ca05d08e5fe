"""Real systems: p-values of BLEU differences beside published ones of other toolkits."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from shared import shared_json, shared_path
from tuneval.comparison import Settings, compare
from tuneval.comparison.estimate.resampling import generator, randomisation
from tuneval.types import Measurement


@dataclass
class CorpusBleu:
    """BLEU (0-100, exponential smoothing unused: no order is empty) from summed counts."""

    name: str = "bleu"
    unit: str = "points"
    higher_is_better: bool = True
    statistic: str = "corpus"

    def from_totals(self, totals):
        counts, of, lengths = totals[..., :4], totals[..., 4:8], totals[..., 8:]
        brevity = np.minimum(0, 1 - lengths[..., 1] / lengths[..., 0])
        return 100 * np.exp(np.log(counts / of).mean(axis=-1) + brevity)

    def signature(self):
        return "bleu"


def lines(name):
    with gzip.open(shared_path("mt_wmt17_en_de", f"{name}.gz"), "rt", encoding="utf-8") as text:
        return [line.rstrip("\n") for line in text]


@pytest.fixture(scope="module")
def rows():
    expected = shared_json("mt_wmt17_en_de", "expected_scores.json")["systems"]
    bleu = BLEU(tokenize="none", force=True)
    reference = lines("reference.de")
    found = {}
    for system in expected:
        made = []
        for one, other in zip(lines(f"{system}.de"), reference, strict=True):
            s = bleu.corpus_score([one], [[other]])
            made.append([*s.counts, *s.totals, s.sys_len, s.ref_len])
        found[system] = np.array(made, dtype=float)
    return found


def measured(system, rows):
    ids = tuple(str(i) for i in range(len(rows)))
    return Measurement(system, "bleu", ids, rows)


@pytest.mark.slow
def test_p_values_of_real_systems(rows):
    published = shared_json("mt_wmt17_en_de", "expected_scores.json")
    base, checked = published["baseline"], 0
    metric = CorpusBleu()
    for system, figures in published["systems"].items():
        assert metric.from_totals(rows[system].sum(axis=0)) == pytest.approx(
            figures["bleu_none"]["score"], abs=1e-5
        )
        expected = figures.get("p_vs_baseline_multeval_approx_randomisation_bleu")
        if expected is None:
            continue
        p = randomisation(
            rows[base], rows[system], metric.from_totals, 10_000, generator(0, "wmt17", system)
        )
        # Both figures are draws of 10,000 with the same definition: 4 standard errors of each.
        error = sqrt(2 * max(expected * (1 - expected), 1e-4) / 10_000)
        assert abs(p - expected) < 4 * error + 1e-4, system
        checked += 1
    if not checked:
        pytest.skip("no p-values of other toolkits are known for these rows")


@pytest.mark.slow
def test_a_paired_interval_excludes_0_where_the_test_rejects(rows):
    base = shared_json("mt_wmt17_en_de", "expected_scores.json")["baseline"]
    for system in ("FBK.4870", "LMU-nmt-single.4893", "uedin-nmt.4722"):
        found = compare(
            measured(base, rows[base]),
            measured(system, rows[system]),
            CorpusBleu(),
            Settings(resamples=2000),
            case_set="newstest2017",
        )
        excludes = found.interval.low > 0 or found.interval.high < 0
        assert excludes == (found.p_value < 0.05)
