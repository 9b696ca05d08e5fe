"""A new benchmark is one file and one line: the example of CONTRIBUTING.md, executed as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tuneval
from benchmarks.made import write
from tiny_models import build_model
from tuneval.benchmarks import BENCHMARKS, Place
from tuneval.benchmarks.load import load
from tuneval.cli import main as front

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
ROWS = [
    {"passage": f"Cat {n} sat.", "question": f"did cat {n} sit", "answer": bool(n % 2)}
    for n in range(6)
]


def test_the_worked_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = CONTRIBUTING.read_text(encoding="utf-8").split("### A benchmark\n")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section.split("\n### ")[0], re.DOTALL)
    (line,) = re.findall(r'`"(boolq)": "tuneval\.benchmarks\.(boolq:BoolQ)",`', section)
    (tmp_path / "boolq.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(BENCHMARKS, *line)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNEVAL_BENCHMARK_DATA", str(tmp_path / "data"))
    write(tmp_path / "data" / "boolq" / "data" / "validation-00000-of-00001.parquet", ROWS)
    write(tmp_path / "data" / "boolq" / "train.jsonl", [{**one, "passage": "x"} for one in ROWS])

    found = load("boolq", Place(tmp_path / "data"), few_shot=2, limit=4)
    assert len(found.cases.cases) == 4
    assert found.signature.startswith("benchmark:boolq|split:validation|")
    assert front.exit_code(["list", "benchmarks"]) == 0
    assert "boolq                BoolQ. Answering a yes-no question" in capsys.readouterr().out

    base, full = (
        build_model(tmp_path / name, seed=seed, max_position_embeddings=512)
        for seed, name in enumerate(("base", "full"))
    )
    monkeypatch.chdir(tmp_path)
    result = tuneval.compare(
        str(base), full=str(full), benchmarks="boolq", few_shot=2, statistics={"resamples": 100}
    )
    assert result.primary_metrics == {"boolq": "accuracy"}
    assert {one.n_cases for one in result.scores} == {6}
