"""Heads over words that were trained here give the tags and the F1 that a plain script counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import tuneval

pytestmark = pytest.mark.filterwarnings("ignore")


def test_tags_and_scores_are_those_of_a_plain_script(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    train = script("ner/train.py")
    train.main(tmp_path, steps=40, n_train=200, n_test=60)

    result = tuneval.compare(
        base=str(tmp_path / "base"),
        adapters=str(tmp_path / "lora"),
        full=str(tmp_path / "full"),
        data=str(tmp_path / "test.jsonl"),
        backend={"head_labels": list(train.TAGS)},
        output={"dir": str(tmp_path / "runs")},
    )

    counted = script("ner/check.py").main(tmp_path)
    f1 = {
        score.variant: score.value
        for score in result.scores
        if (score.metric, score.slice) == ("entity_f1", "all")
    }
    for name, expected in counted.items():
        assert [one.text for one in result.predictions[name]] == expected["tags"]
        assert f1[name] == pytest.approx(expected["f1"], abs=1e-12)
    assert f1["full"] > 0
    # A base without a head: the commonest tag stands for it.
    assert f1["majority"] == 0
    assert set(result.predictions["majority"][0].text.split()) == {"O"}
