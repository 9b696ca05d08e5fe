"""One comparison, end to end, and what it leaves on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tuneval
from pipeline.conftest import LABELS, Setting, rows, write_rows
from tuneval.api import RunResult
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError
from tuneval.report.results_json import render as render_json
from tuneval.schemas import place
from tuneval.types import Prediction

Run = Callable[..., RunResult]


def same(one: Sequence[Prediction], other: Sequence[Prediction]) -> bool:
    return list(one) == list(other)


def test_everything_that_a_run_promises(run_it: Run, setting: Setting) -> None:
    result = run_it()
    folder = Path(result.output_dir)
    assert {path.name for path in folder.iterdir()} >= {
        "run.yaml",
        "run.schema.json",
        "environment.json",
        "cases.jsonl",
        "predictions.jsonl",
        "result.json",
        "report.html",
    }
    assert [variant.name for variant in result.variants] == ["base", "lora-1", "lora-2", "full"]
    assert {score.variant for score in result.scores} == {"base", "lora", "full"}
    recipe = next(s for s in result.scores if s.variant == "lora" and s.metric == "accuracy")
    assert len(recipe.training_seeds) == 2
    assert {(one.baseline, one.candidate) for one in result.verdicts} == {
        ("base", "lora"),
        ("base", "full"),
        ("lora", "full"),
    }
    assert result.case_sets[0].labels == tuple(sorted(LABELS))
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == 24 * 4
    assert result.is_complete
    first = (folder / "run.yaml").read_text().splitlines()[0]
    assert (folder / first.partition("$schema=")[2]).read_bytes() == place("run").read_bytes()


def test_base_is_the_base_whatever_else_runs(run_it: Run) -> None:
    """Bit for bit: base scores beside adapters equal those of a run that never saw one."""
    alone = run_it(adapters=(), full=())
    together = run_it(name="together")
    assert same(alone.predictions["base"], together.predictions["base"])
    assert not same(together.predictions["base"], together.predictions["lora-1"])
    assert not same(together.predictions["lora-1"], together.predictions["lora-2"])


def test_fresh_answers_equal_remembered_ones(
    run_it: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_it()
    again = run_it()
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "elsewhere"))
    fresh = run_it()
    for name in first.predictions:
        assert same(first.predictions[name], again.predictions[name])
        assert same(first.predictions[name], fresh.predictions[name])
    assert first.scores == again.scores == fresh.scores
    assert first.run_id == again.run_id


def test_the_run_yaml_that_is_left_runs_again(run_it: Run, tmp_path: Path) -> None:
    first = run_it(groups=["writer"], perturbations=["typos:heavy"])
    again = tuneval.run(Path(first.output_dir) / "run.yaml")
    assert again.output_dir == first.output_dir
    assert again.scores == first.scores
    assert again.verdicts == first.verdicts
    assert {score.slice for score in again.scores} == {
        "all",
        "writer=fluent",  # of the learners there are only 6
        "typos:heavy",
    }


def test_a_result_renders_again_without_a_model(
    run_it: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = run_it()
    for kind in ("console", "md", "csv", "json", "html"):
        assert exit_code(["report", result.output_dir, "--to", kind]) == 0
        assert capsys.readouterr().out.strip()
    again = RunResult.load(result.output_dir)
    assert str(again) == str(result)
    assert render_json(again) == render_json(result), "nan is not equal to itself: compare as text"
    saved = again.save_report(tmp_path / "saved.html")
    assert saved.read_text() == (Path(result.output_dir) / "report.html").read_text()


def test_the_views_of_a_result(run_it: Run) -> None:
    result = run_it()
    table = result.to_pandas()
    assert len(table) == len(result.scores)
    assert {"variant", "metric", "value", "low", "high"} <= set(table.columns)
    assert "accuracy" in str(result)
    assert result._repr_html_().lstrip().startswith("<")
    flips = result.flips_of("base", "lora-1")[0]
    assert flips.both_right + flips.both_wrong + len(flips.fixed) + len(flips.broken) == 24
    with pytest.raises(ConfigError, match='no paired table of "full" and "base"'):
        result.flips_of("full", "base")


def test_rows_in_memory_are_as_good_as_a_file(run_it: Run) -> None:
    assert run_it(data=rows(24)).to_rows()[0]["value"] == run_it().to_rows()[0]["value"]


def test_the_command_line_builds_the_same_run(
    run_it: Run, setting: Setting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called = run_it()
    words = ["compare", str(setting.base), "--data", str(setting.data), "--full", str(setting.full)]
    words += [word for path in setting.adapters for word in ("--adapter", f"lora={path}")]
    assert exit_code([*words, "--resamples", "200", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run_id"] == called.run_id


def test_a_glob_makes_training_seeds(setting: Setting, run_it: Run) -> None:
    result = run_it(adapters=f"lora={setting.base.parent}/seed*")
    assert [v.training_seed for v in result.variants if v.recipe == "lora"] == [1, 2]


def test_what_is_generated_and_what_is_scored_agree_on_labels(run_it: Run) -> None:
    """The strict parser reads what it can; the rest is unparsed, never a guess."""
    result = run_it(options={"scoring": "generate", "max_tokens": 4}, adapters=(), full=())
    for prediction in result.predictions["base"]:
        assert (prediction.label in LABELS) != (prediction.problem is not None)
    assert all(score.metric != "ece" for score in result.scores)


@pytest.mark.parametrize(
    ("row", "task", "primary"),
    [
        ({"prompt": "Once upon", "completion": " a time"}, "generate", None),
        ({"text": "Once upon a time there was"}, "language_model", "perplexity"),
        (
            {"question": "Which?", "choices": ["fox", "dog"], "answer": 0},
            "multiple_choice",
            "accuracy",
        ),
    ],
    ids=["free text", "perplexity", "multiple choice"],
)
def test_the_other_tasks_walk_the_same_line(
    run_it: Run, tmp_path: Path, row: dict[str, object], task: str, primary: str | None
) -> None:
    data = write_rows(
        tmp_path / "other.jsonl",
        [
            {key: f"{v} {n}" if isinstance(v, str) else v for key, v in row.items()}
            for n in range(6)
        ],
    )
    result = run_it(data=str(data), adapters=(), full=())
    assert result.case_sets[0].task == task
    assert result.is_complete
    if primary:
        assert result.primary_metrics["other"] == primary


def test_every_completion_of_a_case_is_scored(run_it: Run, tmp_path: Path) -> None:
    rows = [{"prompt": f"Once upon {n}", "completion": " a time"} for n in range(6)]
    result = run_it(
        data=str(write_rows(tmp_path / "other.jsonl", rows)),
        options={"n_completions": 3, "temperature": 1.0, "max_tokens": 4},
        metrics={"primary": "chrf", "also": []},
        adapters=(),
        full=(),
    )
    read = result.predictions["base"]
    assert [len(one.texts) for one in read] == [3] * 6
    assert any(len(set(one.texts)) > 1 for one in read)
    (score,) = result.scores
    assert "mean of 3 completions for each case" in score.note
    assert "of the variance" in score.note


def test_few_shot_examples_come_from_another_file(run_it: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="few-shot cases must come from another file"):
        run_it(prompting={"few_shot": 2})
    shots = write_rows(
        tmp_path / "train.jsonl", [{**row, "text": f"{row['text']}!"} for row in rows(40)]
    )
    result = run_it(prompting={"few_shot": 2}, few_shot_file=str(shots), adapters=(), full=())
    plain = run_it(adapters=(), full=())
    assert not same(result.predictions["base"], plain.predictions["base"])


def test_only_one_run_writes_to_a_folder(run_it: Run, setting: Setting) -> None:
    from filelock import FileLock

    folder = Path(run_it().output_dir)
    with FileLock(folder / ".lock"), pytest.raises(ConfigError, match="another run is writing to"):
        run_it()
    assert run_it().is_complete, "a lock that nobody holds is no obstacle"


def test_training_cases_are_asked_of_the_tuned_variants_only(run_it: Run, tmp_path: Path) -> None:
    own = [{**row, "text": f"Somewhere far away {row['text']} again today"} for row in rows(230)]
    train = write_rows(tmp_path / "train.jsonl", own)
    result = run_it(train_data=str(train), adapters=())
    gaps = [one for one in result.comparisons if one.slice == "train - test"]
    assert [(one.baseline, one.candidate) for one in gaps] == [("full", "full")]
    assert gaps[0].details["n_train"] == 230
    assert {name: len(own) for name, own in result.predictions.items()} == {"base": 24, "full": 24}
    assert "train - test" not in {score.slice for score in result.scores}, "no perturbation"


def test_too_small_a_training_file_is_said_and_not_asked(run_it: Run, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", rows(50))
    result = run_it(train_data=str(train))
    (found,) = (one for one in result.findings if one.kind == "training gap")
    assert "holds 50 cases; the gap" in found.sentence
    assert not [one for one in result.comparisons if one.slice == "train - test"]


def test_a_report_judges_again_from_the_records_alone(run_it: Run) -> None:
    result = run_it()
    path = Path(result.output_dir) / "result.json"
    text = path.read_text().replace(f'"headline": "{result.headline}"', '"headline": "FORGED"')
    assert "FORGED" in text
    path.write_text(text)
    again = RunResult.load(path)
    assert again.headline == result.headline
    assert again.verdicts == result.verdicts


def test_until_decided_draws_the_same_cases_for_all(run_it: Run, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "many.jsonl", rows(260))
    result = run_it(
        data=str(data), adapters=(), statistics={"until_decided": True, "resamples": 200}
    )
    n = len(result.case_sets[0].cases)
    assert n in (100, 200, 260), "chunks of a hundred, then the rest"
    assert {len(own) for own in result.predictions.values()} == {n}
    (look,) = (one for one in result.comparisons if one.slice == "all" and one.metric == "accuracy")
    assert look.interval is not None and look.interval.method == "confidence sequence"
