"""Changed inputs from the command line to the report, on the smallest models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tuneval
from pipeline.conftest import Setting, rows, write_rows
from tuneval.api import RunResult
from tuneval.cli.main import exit_code

Run = Callable[..., RunResult]


@pytest.fixture(autouse=True)
def _no_wordnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneval.perturbations.synonyms.has_wordnet", lambda: False)


def test_every_kind_reaches_findings_reports_and_runs_again(run_it: Run, tmp_path: Path) -> None:
    people = [{**row, "text": f"He said {row['text']}"} for row in rows(24)]
    data = write_rows(tmp_path / "test.jsonl", people)
    write_rows(
        tmp_path / "p.jsonl", [{"id": "test.jsonl:1", "text": "He told us that fox one was quick"}]
    )
    kinds = ["standard", "format", "long:3x", "gender", "paraphrase:p.jsonl"]
    result = run_it(data=str(data), perturbations=kinds)
    found = {(one.kind, one.variant, one.subject) for one in result.findings}
    for kind in ("casing:medium", "typos:medium", "long:4x", "long:3x", "format:all"):
        assert {("robustness", arm, kind) for arm in ("base", "lora", "full")} <= found
    assert ("counterfactual", "lora", "gender:swap") in found
    assert ("robustness", "full", "drops against lora") in found
    assert not [one for one in result.findings if one.level == "warning"], "24 cases prove nothing"
    assert {score.slice for score in result.scores} >= {"long:4x", "format:all"}
    assert "gender:swap" not in {score.slice for score in result.scores}
    again = tuneval.run(Path(result.output_dir) / "run.yaml")
    assert again.output_dir == result.output_dir
    assert again.findings == result.findings
    loaded = RunResult.load(result.output_dir)
    assert loaded.verdicts == result.verdicts
    assert str(loaded) == str(result)


def test_the_command_line_takes_the_same_words(
    run_it: Run, setting: Setting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hard = write_rows(tmp_path / "hard.jsonl", [{**rows(3)[1], "text": "f o x", "origin": 2}])
    own = write_rows(tmp_path / "own.jsonl", rows(3))
    called = run_it(
        adapters=(), perturbations=["typos", "standard"], adversarial=[str(hard), str(own)]
    )
    words = ["compare", str(setting.base), "--data", str(setting.data), "--full", str(setting.full)]
    words += ["--perturb", "typos", "--robustness", "--resamples", "200", "--json"]
    words += ["--adversarial", str(hard), "--adversarial", str(own)]
    assert exit_code(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run_id"] == called.run_id
    assert [one["name"] for one in printed["case_sets"]] == ["test", "own (adversarial)"]
    assert {one.slice for one in called.scores if one.case_set == "test"} >= {"adversarial:hard"}
    (apart,) = (
        one
        for one in called.comparisons
        if (one.case_set, one.slice, one.metric) == ("own (adversarial)", "all", "accuracy")
    )
    assert apart.details["confirmatory"] == 0
    again = tuneval.run(Path(called.output_dir) / "run.yaml")
    assert again.run_id == called.run_id
    assert again.scores == called.scores


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--perturb", "paraphrase"], "paraphrase: needs a file with id and text"),
        (["--perturb", "paraphrase:none.jsonl"], '"none.jsonl" cannot be opened'),
        (["--perturb", "gender:none.txt"], '"none.txt" cannot be opened'),
        (["--perturb", "long:0.5x"], 'long: factor "0.5" must be a number above 1.'),
        (
            ["--perturb", "typos:hevy"],
            'perturbation typos: there is no "hevy" (did you mean "heavy"?)',
        ),
        (["--adversarial", "none.jsonl"], 'there is no file "none.jsonl"'),
    ],
)
def test_wrong_words_end_before_any_model_is_loaded(
    words: list[str],
    message: str,
    setting: Setting,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a backend was made")

    monkeypatch.setattr("tuneval.pipeline.run.make_backend", load)
    command = ["compare", str(setting.base), "--data", str(setting.data), *words]
    assert exit_code(command) == 2
    assert message in capsys.readouterr().err


def test_paths_in_run_yaml_start_at_the_file(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_rows(folder / "p.jsonl", [{"id": "test.jsonl:1", "text": "The lazy dog 0 leaps over"}])
    (folder / "w.txt").write_text("fox, dog\n")
    (folder / "run.yaml").write_text(
        f"variants: [{{name: base, model: {setting.base}}}]\ncases: [{{file: {setting.data}}}]\n"
        "perturbations: [{name: paraphrase, file: p.jsonl}, 'gender:w.txt', {name: long, factor: 3}]\n"
    )
    monkeypatch.chdir(tmp_path)
    result = tuneval.run(folder / "run.yaml")
    twins = {case.perturbation: case for case in result.case_sets[0].cases if case.origin}
    assert set(twins) == {"paraphrase:file", "gender:swap", "long:3x"}


def test_cases_drawn_until_decided_bring_their_twins(run_it: Run, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "many.jsonl", rows(220))
    own = write_rows(tmp_path / "own.jsonl", rows(3))
    result = run_it(
        data=str(data),
        adapters=(),
        perturbations=["typos:heavy"],
        adversarial=[str(own)],
        statistics={"until_decided": True, "resamples": 200},
    )
    drawn = result.case_sets[0].cases
    originals = {case.id for case in drawn if case.origin is None}
    assert {case.origin for case in drawn if case.origin} <= originals
    (one,) = (f for f in result.findings if (f.variant, f.subject) == ("full", "typos:heavy"))
    assert one.values["n_changed"] <= len(originals)
    apart = [
        c for c in result.comparisons if c.case_set == "own (adversarial)" and c.slice == "all"
    ]
    assert [(c.metric, c.details["confirmatory"]) for c in apart if c.metric == "accuracy"] == [
        ("accuracy", 0)
    ]
