"""Without torch, transformers and peft everything works that runs no model, and the rest says how."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tuneval import demo
from tuneval.extras import EXTRAS

ROOT = Path(__file__).parents[2]
LABELS = ("login", "billing", "refund")

BLOCKED = ("torch", "transformers", "peft", "accelerate", "huggingface_hub", "tokenizers")

SCRIPT = """
import contextlib, io, json, os, sys

# None: as if they were not installed. SciPy asks sys.modules for torch and takes None for a module.
sys.modules.update(dict.fromkeys(one for one in BLOCKED if one != "torch"))


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


sys.meta_path.insert(0, NoTorch())
from tuneval.cli.main import exit_code

ends = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = exit_code([one.replace("RUN", newest) for one in words] if ends else words)
    newest = max((one.path for one in os.scandir("runs")), key=os.path.getmtime) if os.path.isdir("runs") else ""
    ends.append([code, out.getvalue(), err.getvalue()])
json.dump(ends, sys.stdout)
"""


def run_without_models(place: Path, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """End, stdout and stderr of every command, in one process that cannot import a model library."""
    done = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {BLOCKED!r}\n{SCRIPT}"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    def write(name: str, rows: list[dict[str, object]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")

    expected = [LABELS[n % 3] for n in range(60)]
    write(
        "refs.jsonl",
        [{"text": f"note {n} of {n * n}", "label": one} for n, one in enumerate(expected)],
    )
    write(
        "base.jsonl", [{"prediction": one if n % 2 else "login"} for n, one in enumerate(expected)]
    )
    write(
        "lora.jsonl", [{"prediction": one if n % 9 else "login"} for n, one in enumerate(expected)]
    )
    return tmp_path


SCORE = ["score", "--references", "refs.jsonl", "--predictions", "base=base.jsonl"]
SCORE += ["--predictions", "lora=lora.jsonl", "--output-dir", "runs"]


def test_what_runs_no_model_needs_no_model_library(outputs: Path) -> None:
    commands = {
        "score": SCORE,
        "score again": [*SCORE, "--name", "again"],
        "plan": ["plan", "refs.jsonl", "--detect", "5"],
        "split": ["split", "refs.jsonl", "--test", "0.2", "--stratify", "label"],
        "report": ["report", "RUN"],
        **{
            f"report {kind}": ["report", "RUN", "--to", kind]
            for kind in ("html", "md", "csv", "json", "junit")
        },
        "gate": ["gate", "RUN", "accuracy=>= 0.1"],
        "runs": ["runs", "runs"],
        "diff": ["diff", "RUN", "RUN"],
        "history": ["history", "runs"],
        "list": ["list", "metrics"],
        "doctor": ["doctor"],
    }
    ends = run_without_models(outputs, list(commands.values()))
    for name, (code, out, err) in zip(commands, ends, strict=True):
        assert code == 0, f"{name}: {err}"
        assert out, name


HOW = "pip install 'tuneval[models]'"


def test_what_runs_a_model_says_what_to_install(outputs: Path) -> None:
    place = demo.folder()
    adapter, data = str(place / "lora-seed0"), str(place / "test.jsonl")
    commands = {
        "demo": ["demo", "--output-dir", "runs"],
        "compare": ["compare", str(place / "base"), "--adapter", adapter, "--data", data],
        "a base of the hub": ["compare", "owner/model", "--data", data],
        "doctor": ["doctor", str(place / "base"), "--adapter", adapter, "--data", data],
        "a metric": [*SCORE, "--metrics", "bertscore"],
        "paraphrase": [
            "paraphrase",
            "refs.jsonl",
            "-o",
            "other.jsonl",
            "--with",
            str(place / "base"),
        ],
    }
    ends = run_without_models(outputs, list(commands.values()))
    for name, (code, out, err) in zip(commands, ends, strict=True):
        assert code == 2, f"{name}: {err}"
        assert HOW in out + err, name
        assert "torch" in out + err, name


def test_the_metadata_keeps_model_libraries_in_their_extra() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]

    def names(lines: list[str]) -> set[str]:
        return {line.split(">")[0].split("=")[0].split("<")[0].split("[")[0] for line in lines}

    core, extras = names(project["dependencies"]), project["optional-dependencies"]
    assert not core & set(BLOCKED)
    for extra, modules in EXTRAS.items():
        assert set(modules) <= names(extras[extra]), extra
