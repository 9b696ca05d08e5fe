"""What a person expects of a command line: short flags, completion, lines that fit, time left."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tuneval.api import progress
from tuneval.cli import main as front
from tuneval.version import __version__

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"
COMMANDS = sorted(front.COMMANDS)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one finished run and one file of cases."""
    run = tmp_path / "tuneval-runs" / "golden"
    run.mkdir(parents=True)
    (run / "result.json").write_bytes(GOLDEN.read_bytes())
    rows = [{"text": f"note {n * n}", "label": "ab"[n % 2], "user": n // 20} for n in range(100)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", [["-h"], *([command, "-h"] for command in COMMANDS)])
def test_the_short_flag_of_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code(words) == 0
    short = capsys.readouterr().out
    assert front.exit_code([*words[:-1], "--help"]) == 0
    assert capsys.readouterr().out == short


def test_the_short_flag_of_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code(["-V"]) == 0
    assert capsys.readouterr().out == f"tuneval {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tuneval sc", {"score"}),
        ("tuneval list ta", {"tasks"}),
        ("tuneval compare --adap", {"--adapter"}),
    ],
)
def test_a_shell_completes(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    asked = {
        "_TUNEVAL_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tuneval"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == offered, done.stderr


PRINTING = [
    *([command, "--help"] for command in COMMANDS),
    ["--help"],
    ["report", "tuneval-runs/golden"],
    ["doctor"],
    ["runs"],
    ["history"],
    ["plan", "data.jsonl", "--detect", "5"],
    *(["list", room] for room in ("metrics", "tasks", "perturbations", "backends", "reports")),
    ["gate", "tuneval-runs/golden", "accuracy >= 0.1"],
    ["diff", "tuneval-runs/golden", "tuneval-runs/golden"],
]
PLACES = re.compile(r"[\w./-]*/[\w./-]+$")
"""A path is never torn."""


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(
    words: list[str],
    columns: int,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    front.exit_code(words)
    said = capsys.readouterr()
    lines = [PLACES.sub("", line) for line in said.out.splitlines()]
    assert lines, said.err
    assert [line for line in lines if len(line) > columns] == []


def test_a_wide_terminal_is_used(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = []
    for columns in (60, 150, 400):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert front.exit_code(["list", "metrics"]) == 0
        widths.append(max(map(len, capsys.readouterr().out.splitlines())))
    assert [n <= most for n, most in zip(widths, (60, 150, 160), strict=True)] == [True] * 3
    assert widths[1] > 100


def test_a_file_is_meant_wherever_o_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert front.exit_code([command, "--help"]) == 0
        for line in capsys.readouterr().out.splitlines():
            assert not line.startswith("  -o") or line.startswith("  -o, --output FILE"), line
    assert front.exit_code(["demo", "-o", "folder"]) == 2
    assert "A folder is given by --output-dir DIR." in capsys.readouterr().err


def test_a_terminal_gets_colours_from_report(finished: Path) -> None:
    """``script`` gives the command a terminal of its own."""
    command = f"{shlex.quote(sys.executable)} -m tuneval report tuneval-runs/golden"
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    env.pop("NO_COLOR", None)
    words = ["script", "-qec", command, "/dev/null"]
    if sys.platform != "linux":
        pytest.skip("script takes other words here")
    try:
        coloured = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no script(1) to make a terminal")
    plain = subprocess.run(
        words, env={**env, "NO_COLOR": "1"}, capture_output=True, text=True, check=True
    ).stdout
    assert "\x1b[1m" in coloured
    assert "\x1b[" not in plain
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_split_tells_the_share_that_groups_allow(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five users of twenty rows each: a tenth cannot be had."""
    assert front.exit_code(["split", "data.jsonl", "--test", "0.1", "--group", "user"]) == 0
    said = capsys.readouterr().out
    assert "train 80.0% instead of 90.0%, test 20.0% instead of 10.0%" in said
    words = ["split", "data.jsonl", "--test", "0.2", "--output-dir", "other", "--json"]
    assert front.exit_code(words) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["shares"] == {"train": 0.8, "test": 0.2} == made["shares_asked"]


def test_the_lists_speak_to_users(capsys: pytest.CaptureFixture[str]) -> None:
    for room in ("tasks", "perturbations", "backends", "reports"):
        assert front.exit_code(["list", room]) == 0
        said = capsys.readouterr().out
        for word in ("`", "RunResult", "inputs[", "Variant.", "n - 1"):
            assert word not in said, (room, word)


def test_the_time_left_is_that_of_the_whole_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three variants of 100 answers, one a second: after 20 of them 280 s are left, not 80."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines = progress.Lines()
    lines.expect(300)
    for variant in range(3):
        lines.begin(f"v{variant}", 100)
        for _ in range(100):
            clock[0] += 1
            lines.advance(1)
        lines.end()
    lines.begin("metrics of test", 4)
    clock[0] += 60
    lines.advance(1)
    lines.end()
    said = capsys.readouterr().err.splitlines()
    assert "v0: 20/100, 1/s, about 280 s left in all" in said
    assert "v2: 80/100, 1/s, about 20 s left in all" in said
    assert said[-2:] == ["metrics of test: 1/4", "metrics of test: 1/4 in 60 s"]


def test_what_was_known_before_promises_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines = progress.Lines()
    lines.expect(200)
    lines.begin("base", 100)
    lines.advance(100, n_reused=100)
    lines.end()
    lines.begin("lora", 100)
    for _ in range(20):
        clock[0] += 2
        lines.advance(1)
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "lora: 20/100, 2 s each, about 160 s left in all"
    )


def test_bars_show_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    bars = progress.Bars()
    bars.expect(200)
    bars.begin("base", 100)
    for _ in range(20):
        clock[0] += 1
        bars.advance(1)
    assert bars._bar.tasks[0].fields["left"] == "3:00 left in all"
    bars.end()
