"""The table of evidence/human_agreement.py equals the shared figures."""

import runpy
from pathlib import Path

import pytest

from shared import shared_json, shared_path


@pytest.fixture(scope="module")
def agreement():
    shared_path("human_wmt19_darr")
    return runpy.run_path(str(Path(__file__).parents[2] / "evidence" / "human_agreement.py"))


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_kendall_with_the_experts_of_summeval(name, agreement):
    expected = shared_json("cnndm_summeval", "expected_rouge.json")["system_level_kendall"]
    assert agreement["summeval"]((name,))[name] == pytest.approx(expected[name], abs=5.1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_pairs_of_wmt19(name, agreement):
    expected = shared_json("human_wmt19_darr", "expected_kk-en.json")["metrics"][f"sentence_{name}"]
    found = agreement["wmt19"]((name,))[name]
    assert found == pytest.approx(expected, abs=5e-4)
