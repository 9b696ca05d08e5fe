"""What is said where lm-evaluation-harness is not installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError
from tuneval.plan.resolve import resolve
from tuneval.plan.spec import RunSpec


@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is not None, reason="lm-evaluation-harness is installed"
)
def test_the_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["compare", "base", "--benchmark", "lm_eval:hellaswag"]) == 2
    shown = capsys.readouterr().err
    assert "needs lm-evaluation-harness: pip install 'tuneval[lm-eval]'" in shown


def test_a_door_that_is_not_there() -> None:
    content = {
        "variants": [{"name": "base", "model": "base"}],
        "cases": [{"benchmark": "lmeval:hellaswag"}],
    }
    with pytest.raises(ConfigError, match="lmeval"):
        resolve(RunSpec.from_dict(json.loads(json.dumps(content))))


def test_a_folder_of_tasks_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tuneval.bridges.lm_eval.load import load

    monkeypatch.setenv("LM_EVAL_INCLUDE_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match='none" does not exist'):
        load("my_task")
