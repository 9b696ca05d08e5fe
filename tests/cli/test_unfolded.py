"""What a shell makes of patterns, and what terminals cannot show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneval.cli.main import exit_code
from tuneval.cli.unfolded import with_flags
from tuneval.errors import ConfigError


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = {
        "base": "config.json",
        "other": "config.json",
        "out/checkpoint-10": "adapter_config.json",
        "out/checkpoint-20": "adapter_config.json",
        "out/a": "adapter_config.json",
        "out/b": "adapter_config.json",
        "full/epoch_0": "config.json",
        "full/epoch_1": "config.json",
    }
    for folder, config in kinds.items():
        Path(folder).mkdir(parents=True)
        (Path(folder) / config).write_text("{}")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "compare base --adapter out/checkpoint-10 out/checkpoint-20 --data f",
            "compare base --adapter out/checkpoint-10 --adapter out/checkpoint-20 --data f",
        ),
        (
            "compare --adapter out/checkpoint-10 out/checkpoint-20 base --data f",
            "compare --adapter out/checkpoint-10 --adapter out/checkpoint-20 base --data f",
        ),
        (
            "compare --adapter=out/a out/b --data f",
            "compare --adapter out/a --adapter out/b --data f",
        ),
        (
            "compare base --full full/epoch_0 full/epoch_1 --data f",
            "compare base --full full/epoch_0 --full full/epoch_1 --data f",
        ),
        (
            "compare --adapter lora=out/a out/b",
            "compare --adapter lora=out/a --adapter lora=out/b",
        ),
        ("compare --adapter out/a base --data f", "compare --adapter out/a base --data f"),
        ("compare --full other base --data f", "compare --full other base --data f"),
        ("compare base --adapter org/lora --data f", "compare base --adapter org/lora --data f"),
        ("score --references r p", "score --references r p"),
        ("compare --adapter", "compare --adapter"),
    ],
)
def test_words_that_a_shell_unfolded(said: str, meant: str) -> None:
    assert with_flags(said.split()) == meant.split()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "compare base --full base other --data f",
            '--full takes one folder, and behind "base" stand "other".\n'
            "If the shell unfolded a pattern, quote it: --full './*'; or repeat the flag: "
            "--full base --full other",
        ),
        (
            "compare --adapter out/a base other notes.txt new.txt --data f",
            '--adapter takes one folder, and behind "out/a" stand "base", "other", "notes.txt", ....\n'
            "If the shell unfolded a pattern, quote it: --adapter 'out/*'; or repeat the flag: "
            "--adapter out/a --adapter base --adapter other",
        ),
    ],
)
def test_words_of_which_cannot_be_told_what_they_are(
    said: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        with_flags(said.split())
    assert str(error.value) == message
    assert exit_code(said.split()) == 2
    assert capsys.readouterr().err == f"tuneval: {message}\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_terminal_is_too_narrow_for_what_is_said(encoding: str) -> None:
    rows = [{"text": f"t {n}", "label": "xy"[n % 2]} for n in range(4)]
    Path("f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split('|')\n"
        "from tuneval.cli.main import main\nmain()"
    )
    words = ["doctor", "base", "--data", "f.jsonl", "--input", "té→🙂"]
    done = subprocess.run(
        [sys.executable, "-c", script, "|".join(sys.path), *words],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = done.stdout.decode(encoding)
    word = {"ascii": r"t\u00e9\u2192\ud83d\ude42", "cp1252": r"té\u2192\ud83d\ude42"}
    assert f'there is no "{word.get(encoding, "té→🙂")}"' in said
    assert json.loads(f'"{word.get(encoding, "té→🙂")}"') == "té→🙂"
