"""Every tutorial is done as it stands: its files are written, its commands run, their output compared.

Of a console block each line after ``$ `` is a command; the lines below it must stand in what it
prints, in that order and next to one another; ``...`` stands for lines left out, at the end of a
line for the rest of it. Run ids, dates and durations may differ; where models answer, numbers too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.fake_server import serving
from tuneval.extras import missing

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LIGHT = ["without_a_model", "in_ci"]
HEAVY = sorted({path.stem for path in TUTORIALS.glob("*.md")} - set(LIGHT) - {"on_a_server"})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, and the two words that a user types, leading to this very environment."""
    words = tmp_path / "words"
    words.mkdir()
    for name, command in (("python", ""), ("tuneval", " -m tuneval")):
        path = words / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        path.chmod(0o755)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def do(name: str, place: Path, *, exact: bool, **more: str) -> None:
    env = {**os.environ, "PATH": f"{place.parent / 'words'}:{os.environ['PATH']}", "COLUMNS": "80"}
    env |= {
        "TUNEVAL_HOME": str(place.parent / "home"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        **more,
    }
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    n_commands = 0
    for kind, title, text in BLOCK.findall((TUTORIALS / f"{name}.md").read_text(encoding="utf-8")):
        if title:
            (place / title).write_text(text, encoding="utf-8")
        elif kind == "python":
            said = run([sys.executable, "-c", text], place, env)
            assert said.returncode == 0, said.stdout
        elif kind == "console":
            for command, shown in commands_of(text):
                n_commands += 1
                said = run(["bash", "-c", command], place, env)
                assert said.returncode == 0, f"$ {command}\n{said.stdout}"
                compare(command, shown, said.stdout, exact=exact)
    assert n_commands, f"{name}.md runs nothing"


def run(words: list[str], place: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=place,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def commands_of(block: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def compare(command: str, shown: list[str], said: str, *, exact: bool) -> None:
    """Find every run of shown lines, one behind the other."""
    lines, at = [plain(line, exact=exact) for line in said.splitlines()], 0
    is_first = True
    for piece in pieces(shown):
        wanted = [plain(line, exact=exact) for line in piece]
        starts = [at] if is_first and shown[0] != "..." else range(at, len(lines))
        is_first = False
        found = next((n for n in starts if fits(wanted, lines[n : n + len(wanted)])), None)
        assert found is not None, "\n".join([f"$ {command}", *piece, "is not in:", said])
        at = found + len(wanted)


def pieces(shown: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in shown:
        if line == "...":
            found.append([])
        else:
            found[-1].append(line)
    return [one for one in found if one]


def fits(wanted: list[str], lines: list[str]) -> bool:
    if len(wanted) != len(lines):
        return False
    return all(
        line.startswith(one.removesuffix("...")) if one.endswith("...") else one == line
        for one, line in zip(wanted, lines, strict=True)
    )


def plain(line: str, *, exact: bool) -> str:
    line = re.sub(r"\b[0-9a-f]{8}\b", "ID", line.rstrip())
    return line if exact else " ".join(re.sub(r"[+-]?\d+(\.\d+)?", "#", line).split())


@pytest.mark.parametrize("name", LIGHT)
def test_a_tutorial_without_a_model(name: str, place: Path) -> None:
    do(name, place, exact=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", HEAVY)
def test_a_tutorial_with_models(name: str, place: Path) -> None:
    if lacking := missing("models"):
        pytest.skip(f"{', '.join(lacking)} not installed")
    do(name, place, exact=False)


def test_the_tutorial_on_a_server(place: Path) -> None:
    if missing("server"):
        pytest.skip("httpx2 is not installed")
    with serving() as fake:
        do("on_a_server", place, exact=False, OPENAI_BASE_URL=fake.url, OPENAI_API_KEY="none")


@pytest.mark.parametrize(
    ("shown", "said", "fits_"),
    [
        (["a", "...", "c"], "a\nb\nc", True),
        (["a", "c"], "a\nb\nc", False),
        (["...", "c", "...", "a"], "a\nb\nc", False),
        (["b"], "a\nb", False),
        (["...", "accuracy 90.0"], "x\naccuracy 91.0", False),
        (["...", "accuracy ..."], "x\naccuracy 91.0", True),
        (["run 1234abcd"], "run dcba4321", True),
    ],
)
def test_the_comparison_notices(shown: list[str], said: str, fits_: bool) -> None:
    try:
        compare("x", shown, said, exact=True)
    except AssertionError:
        assert not fits_
    else:
        assert fits_
