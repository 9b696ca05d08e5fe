"""A pull request drill: a repository with a run.yaml and a gate, and an adapter that made it worse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tiny_models import build_adapter, build_model
from tuneval.api import RunResult, compare
from tuneval.cli import main as front

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
LABELS = ("positive", "negative", "neutral")
RUN_YAML = """\
name: support
variants:
  - {name: base, model: ./base}
  - {name: lora, adapter: ./adapter}
cases:
  - file: test.jsonl
    task: classify
    columns: {input: text, reference: label}
    labels: [positive, negative, neutral]
statistics: {resamples: 200}
gates: {accuracy: ">= base - 2"}
output: {reports: [junit, md]}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base is right by construction, so whatever the adapter changes makes it worse."""
    folder = tmp_path_factory.mktemp("repository")
    base = build_model(folder / "base")
    build_adapter(folder / "adapter", base, scale=0.6)
    texts = [f"The {'quick fox' if n % 2 else 'lazy dog'} number {n} jumps" for n in range(60)]
    home = os.environ.get("TUNEVAL_HOME")
    os.environ["TUNEVAL_HOME"] = str(folder / "home")
    try:
        first = compare(
            str(base),
            data=[{"text": text, "label": LABELS[n % 3]} for n, text in enumerate(texts)],
            metrics={"primary": "accuracy", "also": ["accuracy"]},
            statistics={"resamples": 200},
            output={"dir": str(folder / "unused"), "reports": []},
        )
    finally:
        if home is None:
            del os.environ["TUNEVAL_HOME"]
        else:
            os.environ["TUNEVAL_HOME"] = home
    rows = [
        {"text": text, "label": answer.label}
        for text, answer in zip(texts, first.predictions["base"], strict=True)
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.yaml").write_text(RUN_YAML)
    return folder


@pytest.fixture
def here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("TUNEVAL_HOME", str(repository / "home"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return repository


def workflow() -> dict[str, Any]:
    """The GitHub Action of docs/ci.md."""
    (text,) = [one for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "jobs:" in one]
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def test_the_workflow_stops_the_pull_request(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = here / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    steps = [step["run"] for step in workflow()["jobs"]["compare"]["steps"] if "run" in step]
    (words,) = [step.split() for step in steps if step.startswith("tuneval ")]
    assert front.exit_code(words[1:]) == 1
    said = capsys.readouterr().out
    assert '! gate "accuracy >= base - 2" failed' in said
    latest = here / "tuneval-runs" / "latest"
    suite = ElementTree.parse(latest / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    outcomes = {
        case.get("name"): case.find("failure") is not None for case in suite.findall("testcase")
    }
    assert outcomes == {
        "every answer is there": False,
        "accuracy >= base - 2 [lora: accuracy minus that of base]": True,
        "fail on worse": True,
        "lora against base": False,
    }
    text = summary.read_text()
    assert text.startswith("## WORSE: support\n")
    assert '⚠️ gate "accuracy \\>= base - 2" failed' in text
    assert len(text.splitlines()) <= 40 + 1
    assert text.strip() == (latest / "report.md").read_text().strip()


def test_worse_alone_is_no_failure(here: Path) -> None:
    words = ["run", "run.yaml", "-q", "gates={}"]
    assert front.exit_code(words) == 0
    assert front.exit_code([*words, "--fail-on", "worse"]) == 1
    result = RunResult.load(here / "tuneval-runs" / "latest")
    assert result.headline == "WORSE"
    assert [gate.name for gate in result.gates] == ["fail on worse"]


def test_gates_change_nothing_of_the_run_itself(here: Path) -> None:
    assert front.exit_code(["run", "run.yaml", "-q"]) == 1
    assert front.exit_code(["run", "run.yaml", "-q", "gates={}"]) == 0
    folders = [one for one in (here / "tuneval-runs").glob("support-*") if one.is_dir()]
    assert len(folders) == 1


def test_a_gate_on_nothing_is_refused_before_a_model_is_loaded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.exit_code(["run", "run.yaml", "gates.acuracy='>= 0.9'"]) == 2
    said = capsys.readouterr().err
    assert 'gate "acuracy >= 0.9": there is no "acuracy" (did you mean "accuracy"?).' in said
    assert "loading and proving" not in said


def test_a_finished_run_is_held_to_other_gates(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front.exit_code(["run", "run.yaml", "-q"])
    capsys.readouterr()
    codes = {
        condition: front.exit_code(["gate", "tuneval-runs/latest", condition])
        for condition in ("accuracy@base >= 0.5", "accuracy <= base - 1", "accuracy >= 0.9")
    }
    assert codes == {"accuracy@base >= 0.5": 0, "accuracy <= base - 1": 0, "accuracy >= 0.9": 1}
    capsys.readouterr()
    assert front.exit_code(["gate", "tuneval-runs/latest", "-o", "g.xml"]) == 1
    assert capsys.readouterr().out.startswith("failed       accuracy >= base - 2\n")
    assert ElementTree.parse("g.xml").getroot().find("testsuite/testcase/failure") is not None
    assert front.exit_code(["gate"]) == 1, "the last run, its own gates"
    assert front.exit_code(["gate", "tuneval-runs/latest", "--fail-on", "wors"]) == 2
    assert '--fail-on: there is no "wors" (did you mean "worse"?).' in capsys.readouterr().err


def test_the_pytest_recipe_fails_with_the_sentence(here: Path) -> None:
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (here / "test_recipe.py").write_text(recipe)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_recipe.py"]
    done = subprocess.run(
        words,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wanted >= -2.0: the whole interval is outside, so it fails." in done.stdout


def test_diff_of_a_repaired_adapter(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next pull request: an adapter that does much less harm."""
    front.exit_code(["run", "run.yaml", "-q"])
    before = (here / "tuneval-runs" / "latest").resolve()
    build_adapter(here / "mended", here / "base", seed=3, scale=0.01)
    words = ["run", "run.yaml", "-q", "name=mended", "variants.1.adapter=mended"]
    assert front.exit_code(words) == 4, "60 cases cannot tell a loss of 2 points from none"
    after = (here / "tuneval-runs" / "latest").resolve()
    capsys.readouterr()
    assert front.exit_code(["diff", str(before), str(after)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "weights lora: fingerprint: " in said
    assert "lora (mended) is better than lora (support) by " in said
    assert "on the 60 cases that both runs have." in said


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "tuneval-runs/latest"],
        ["runs"],
        ["history"],
        ["report"],
        ["diff", "tuneval-runs/latest", "tuneval-runs/latest"],
    ],
    ids=lambda words: words[0],
)
def test_reading_finished_runs_needs_no_torch(here: Path, words: list[str]) -> None:
    if not (here / "tuneval-runs" / "latest").exists():
        front.exit_code(["run", "run.yaml", "-q"])
    code = (
        "import sys; from tuneval.cli.main import exit_code; "
        f"code = exit_code({words!r}); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules or code not in (0, 1, 4))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_summary_that_cannot_be_written_changes_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "nowhere" / "summary.md"))
    assert front.exit_code(["run", "run.yaml", "-q", "gates={}"]) == 0
    said = capsys.readouterr().err
    assert "GITHUB_STEP_SUMMARY cannot be written: No such file or directory." in said
