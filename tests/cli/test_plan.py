"""``tuneval plan`` prints what the power formulas give, and names wrong words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneval.cli.main import exit_code
from tuneval.comparison.estimate.power import cases_for, detectable


def test_a_file_and_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text("".join(f'{{"text": "row {n}"}}\n' for n in range(250)))
    assert exit_code(["plan", str(path), "--detect", "3", "--disagreement", "0.15"]) == 0
    said = capsys.readouterr().out
    assert "250 cases can show" in said
    assert f"differences of {100 * detectable(250, 0.15):.1f} points" in said
    assert f"{cases_for(0.03, 0.15):,.0f} cases to be seen" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a test file or a number of cases"),
        (["0"], "0 cases show nothing"),
        (["--detect", "0"], '--detect "0" is not a difference'),
        (["100", "--disagreement", "2"], '--disagreement "2" is not a share'),
        (["nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_wrong_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["plan", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_difference_larger_than_the_disagreement(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["plan", "--detect", "30"]) == 0
    assert "raise --disagreement" in capsys.readouterr().out
