"""A metric over runs: the right numbers in order, other cases marked, wrong words named."""

from __future__ import annotations

import re
import xml.etree.ElementTree as tree
from pathlib import Path

import pytest

from runs.conftest import Make, questions
from tuneval.cli import main as front
from tuneval.errors import ConfigError
from tuneval.runs.history import history, lines

RUNS = Path("tuneval-runs")
SHARES = (2, 4, 10)


@pytest.fixture
def three(make_run: Make) -> list[Path]:
    """Three weeks; the last on other cases."""
    return [
        make_run(
            f"week{share}",
            questions(range(60 if share < 10 else 90)),
            {"base": lambda n: n % 3 == 0, "lora": lambda n, every=share: n % every == 0},
        )
        for share in SHARES
    ]


def test_scores_stand_in_the_order_of_the_runs(three: list[Path]) -> None:
    points = history(RUNS, arms=["lora"])
    assert [point.run for point in points] == [folder.name for folder in three]
    assert [point.score.value for point in points] == [0.5, 0.75, 0.9]
    assert [point.is_same_data for point in points] == [True, True, False]


def test_the_chart_places_values_and_intervals(three: list[Path]) -> None:
    shown = list(lines(history(RUNS, arms=["lora"])))
    assert shown[0] == "accuracy on refs.jsonl"
    bars = [line.split("|")[1] for line in shown if line.count("|") == 2]
    places = [bar.index("o") for bar in bars]
    assert places == sorted(places)
    assert bars[0].startswith("-"), "the lowest bound is the left end"
    assert bars[-1].endswith("-"), "the highest bound is the right end"
    assert sum("(other cases than before)" in line for line in shown) == 1
    assert max(map(len, shown)) <= 80


def test_a_set_that_the_last_run_does_not_have_keeps_its_own_metric(
    three: list[Path], make_run: Make
) -> None:
    result = three[-1] / "result.json"
    result.write_text(result.read_text().replace('"refs.jsonl"', '"other.jsonl"'))
    assert len(history(RUNS, arms=["lora"])) == 1
    points = history(RUNS, arms=["lora"], case_set="refs.jsonl")
    assert [point.score.metric for point in points] == ["accuracy", "accuracy"]


def test_the_command_prints_it(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code(["history", "--metric", "f1_macro"]) == 0
    assert capsys.readouterr().out.startswith("F1 macro on refs.jsonl\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"metric": "acuracy"}, '--metric: there is no "acuracy" (did you mean "accuracy"?).'),
        ({"arms": ["lor"]}, '--arm: there is no "lor" (did you mean "lora"?).'),
        (
            {"case_set": "refs.json"},
            '--case-set: there is no "refs.json" (did you mean "refs.jsonl"?).',
        ),
    ],
)
def test_wrong_words_are_named(three: list[Path], words: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        history(RUNS, **words)  # type: ignore[arg-type]


def test_the_chart_as_a_file(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Marks stand at the heights of the scores; nothing outside is asked for."""
    assert front.exit_code(["history", "-o", "chart.svg"]) == 0
    text = Path("chart.svg").read_text(encoding="utf-8")
    root = tree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    circles = [float(one.attrib["cy"]) for one in root.iter(f"{name}circle")]
    squares = [float(one.attrib["y"]) for one in root.iter(f"{name}rect")]
    assert len(circles) == len(squares) == len(three)
    assert len({round(one) for one in circles}) == 1, "the base is always right twice in three"
    assert squares == sorted(squares, reverse=True), "every week's adapter is better: higher up"
    texts = [one.text for one in root.iter(f"{name}text")]
    assert texts.count("other cases") == 1
    assert {"base", "lora", "accuracy on refs.jsonl"} <= set(texts)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_chart_of_another_kind(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code(["history", "-o", "chart.png"]) == 2
    assert "Give a name in .svg." in capsys.readouterr().err
