"""A raw text file, in windows that overlap: the perplexity that transformers' recipe gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from shared import shared_json, shared_path
from tuneval.data.read import read
from tuneval.engine.hf.backend import HFBackend
from tuneval.tasks import build
from tuneval.types import Variant


@pytest.mark.parametrize("stride", [256, 512])
def test_strided_perplexity_of_the_shared_model(tmp_path: Path, stride: int) -> None:
    long = shared_json("models", "stories260k_expected.json")["long_text"]
    figures = [one for one in long["strided"] if one["window"] == 512 and one["stride"] == stride]
    if not figures:
        pytest.skip("no figures of this window and stride")
    path = tmp_path / "story.txt"
    path.write_text(long["text"], encoding="utf-8")
    found = read(path)
    assert (found.task, len(found.cases)) == ("language_model", 1)
    (case,) = found.cases
    task = build("language_model", stride=stride)
    model = str(shared_path("models", "stories260k"))
    backend = HFBackend(HFBackend.Options(device="cpu", offline=True))
    answers = list(backend.answer(Variant("base", "base", model), task.ask(case)))
    backend.close()
    read_back = task.read(case, answers)
    assert read_back.n_tokens == figures[0]["n_predicted"]
    assert read_back.nll == pytest.approx(figures[0]["sum_nll"], rel=1e-5)
    assert math.exp(read_back.nll / read_back.n_tokens) == pytest.approx(
        figures[0]["perplexity"], rel=1e-5
    )
