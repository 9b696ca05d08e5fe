"""The front door: help is quick and fits, wrong words are named, exit codes are as documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuneval.cli import main as front
from tuneval.cli.reference import page
from tuneval.errors import DataError

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(front.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_begins_with_an_example_and_fits(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.exit_code([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"tuneval {command}")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80


def test_without_words_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code([]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert all(f"\n  {command} " in said.out for command in COMMANDS)


def test_the_documentation_of_the_command_line_is_fresh() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page(), (
        "run: python -m tuneval.cli.reference > docs/cli.md"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compar"], "Did you mean 'compare'?"),
        (["compare", "--batch_sizes", "3"], "No such option: --batch-sizes"),
        (["compare", "--adapter"], "requires an argument"),
        (["compare"], "nothing to compare: give BASE, --adapter DIR or --full DIR."),
        (["compare", "base"], "no test data: give --data FILE or --benchmark NAME."),
        (["compare", "--full", "x", "--data", "y"], "which base? Give it first"),
        (["list", "metrix"], 'there is no "metrix" (did you mean "metrics"?)'),
        (["run", "nowhere.yaml"], '"nowhere.yaml" does not exist'),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_wrong_words_are_named_with_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.exit_code(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (DataError("test.jsonl, line 3: \x1b[31mred"), 2, "line 3: \\x1b[31mred"),
        (KeyboardInterrupt(), 130, "the same command goes on from there"),
        (front.Terminated(), 143, "the same command goes on from there"),
        (ZeroDivisionError("ours"), 3, "The log to paste into a report"),
    ],
    ids=["the user can mend it", "Ctrl-C", "SIGTERM", "our bug"],
)
def test_how_a_command_ends(
    failure: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fails(*_words: object, **_more: object) -> int:
        raise failure

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tuneval.cli.plan._count", fails)
    assert front.exit_code(["plan", "100"]) == code
    assert message in capsys.readouterr().err
    if code == 3:
        assert "ZeroDivisionError: ours" in next(tmp_path.glob("*.log")).read_text()


def test_help_and_report_import_nothing_heavy() -> None:
    script = (
        "import sys; from tuneval.cli.main import exit_code; import tuneval; "
        "assert exit_code(['compare', '--help']) == 0; "
        "heavy = {'torch', 'transformers', 'peft', 'scipy', 'numpy', 'pandas'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_the_list_of_metrics_tells_what_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.exit_code(["list", "metrics"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "higher is better; share; needs label" in said
    assert "lower is better; perplexity; needs nll" in said
    assert "families: rouge = rougeL rouge1 rouge2 rougeLsum" in said
