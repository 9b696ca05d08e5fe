"""A finished run as tables and as a drawing."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from tuneval.api import RunResult
from tuneval.errors import ConfigError, TunevalError

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"


@pytest.fixture(scope="module")
def result() -> RunResult:
    return RunResult.load(GOLDEN)


def same(one: Any, other: Any) -> bool:
    """Equal, where pandas makes an undefined number of what is missing."""
    is_missing = [x is None or (isinstance(x, float) and math.isnan(x)) for x in (one, other)]
    return all(is_missing) or bool(one == other)


def test_a_row_for_every_comparison(result: RunResult) -> None:
    frame = result.comparisons_frame()
    assert len(frame) == len(result.comparisons) > 0
    for row, one in zip(frame.to_dict("records"), result.comparisons, strict=True):
        for name in ("baseline", "candidate", "slice", "difference", "p_adjusted", "n_cases"):
            assert same(row[name], getattr(one, name)), name
        assert same(row["low"], one.interval.low if one.interval else None)


def test_a_row_for_every_finding(result: RunResult) -> None:
    frame = result.findings_frame()
    assert list(frame["sentence"]) == [one.sentence for one in result.findings]
    assert list(frame["values"]) == [dict(one.values) for one in result.findings]


def test_a_row_for_every_case_and_variant(result: RunResult) -> None:
    frame = result.cases_frame()
    cases = [(one.name, case) for one in result.case_sets for case in one.cases]
    assert len(frame) == len(cases) * len(result.predictions)
    for variant in result.predictions:
        own = frame[frame["variant"] == variant].to_dict("records")
        for place, (row, (name, case)) in enumerate(zip(own, cases, strict=True)):
            assert (row["case_set"], row["case"], row["references"]) == (
                name,
                case.id,
                case.references,
            )
            assert same(row["text"], result.predictions[variant][place].text)
            assert same(row["score"], result.case_scores[variant][place])
            for group, value in case.groups.items():
                assert row[f"group_{group}"] == value


def test_the_mean_of_the_cases_is_the_score(result: RunResult) -> None:
    """What a person computes from the frame is what the report says."""
    frame = result.cases_frame()
    name, metric = next(iter(result.primary_metrics.items()))
    own = frame[(frame["case_set"] == name) & frame["perturbation"].isna()]
    for variant, mean in own.groupby("variant")["score"].mean().items():
        said = [
            one.value
            for one in result.scores
            if (one.variant, one.case_set, one.metric, one.slice) == (variant, name, metric, "all")
        ]
        assert all(math.isclose(mean, one, abs_tol=1e-12) for one in said)


def test_the_repr_is_one_line(result: RunResult) -> None:
    assert len(repr(result)) < 200
    assert "\n" not in repr(result)
    for part in (result.run_id, result.headline, "base"):
        assert part in repr(result)
    stopped = RunResult.of(dataclasses.replace(result, is_complete=False))
    assert "INCOMPLETE" in repr(stopped)


def test_without_pandas_the_frames_say_what_to_install(
    result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for frame in (
        result.comparisons_frame,
        result.cases_frame,
        result.findings_frame,
        result.to_pandas,
    ):
        with pytest.raises(ConfigError, match=r"pip install 'tuneval\[pandas\]'"):
            frame()


def test_without_matplotlib_the_plot_says_what_to_install(
    result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TunevalError, match=r"pip install 'tuneval\[plot\]'"):
        result.plot()


def test_the_plot_shows_every_arm_at_its_value(result: RunResult, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib comes with tuneval[plot]")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = result.plot()
    name, metric = next(iter(result.primary_metrics.items()))
    arms = [text.get_text() for text in axes.get_yticklabels()]
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    said = {
        one.variant: 100 * one.value
        for one in result.scores
        if (one.case_set, one.metric, one.slice) == (name, metric, "all")
    }
    assert drawn == [said[arm] for arm in arms]
    axes.figure.savefig(tmp_path / "run.png")
    with pytest.raises(ConfigError, match='there is no "acuracy"'):
        result.plot("acuracy")
    with pytest.raises(ConfigError, match="case set"):
        result.plot(case_set="nowhere")
    pyplot.close("all")
