"""The runs of a folder: listed, the last one found, the link kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from runs.conftest import Make, questions
from tuneval.cli import main as front
from tuneval.errors import ConfigError
from tuneval.runs.shelf import LATEST, entries, last_run

CASES = questions(range(60))
SYSTEMS = {"base": lambda n: n % 2 == 0, "lora": lambda n: n % 10 == 0}
RUNS = Path("tuneval-runs")


def test_the_last_run_is_the_one_finished_last(make_run: Make) -> None:
    older, newer = (make_run(name, CASES, SYSTEMS) for name in ("zebra", "aardvark"))
    assert last_run(RUNS).name == newer.name
    assert (RUNS / LATEST).resolve() == newer.resolve()
    os.utime(older / "result.json", (2e9, 2e9))
    assert last_run(RUNS).name == older.name


def test_report_without_a_word_means_the_last_run(
    make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("zebra", CASES, SYSTEMS)
    make_run("aardvark", CASES, SYSTEMS)
    assert front.exit_code(["report"]) == 0
    assert "aardvark" in capsys.readouterr().out


def test_something_else_called_latest_is_left_alone(make_run: Make) -> None:
    (RUNS / LATEST).mkdir(parents=True)
    make_run("one", CASES, SYSTEMS)
    assert not (RUNS / LATEST).is_symlink()
    assert last_run(RUNS).name.startswith("one-")


def test_where_links_are_not_allowed_a_run_ends_all_the_same(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_more: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = make_run("one", CASES, SYSTEMS)
    assert {path.name for path in RUNS.iterdir()} == {folder.name}


def test_every_kind_of_run_is_listed(make_run: Make) -> None:
    whole = make_run("whole", CASES, SYSTEMS)
    newer = make_run("newer", CASES, SYSTEMS)
    result = newer / "result.json"
    result.write_text(result.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    os.utime(result, (1.9e9, 1.9e9))
    begun = RUNS / "begun-1"
    begun.mkdir()
    (begun / "run.yaml").write_text("variants: []\n")
    os.utime(begun / "run.yaml", (1.95e9, 1.95e9))
    (RUNS / "no-run").mkdir()
    found = list(entries(RUNS))
    assert [one.name for one in found] == [whole.name, newer.name, "begun-1"]
    first, too_new, unfinished = found
    assert first.arms == ("base", "lora")
    assert first.headline == "BETTER"
    assert first.state == "complete"
    assert re.fullmatch(r"accuracy 90\.0 \(\d+\.\d to \d+\.\d\)", first.score)
    assert too_new.state == (
        f'{newer / "result.json"} has schema version "99"; this tuneval reads "1". '
        "Update tuneval: pip install --upgrade tuneval."
    )
    assert unfinished.state == "go on: tuneval run tuneval-runs/begun-1"


def test_the_command_shows_hostile_names_as_text(
    make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one", CASES, SYSTEMS)
    content = json.loads((folder / "result.json").read_text())
    content["headline"] = "\x1b[31mred"
    content["verdicts"], content["comparisons"] = [], []
    content["created"] = "\x1b]52;now"
    (folder / "result.json").write_text(json.dumps(content))
    assert front.exit_code(["runs"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    message = re.escape(f'"{tmp_path}" holds no run. Give the folder that the runs lie in.')
    with pytest.raises(ConfigError, match=f"^{message}$"):
        list(entries(tmp_path))
    message = re.escape(f'"{tmp_path}" holds no finished run. Give a run folder.')
    with pytest.raises(ConfigError, match=f"^{message}$"):
        last_run(tmp_path)
