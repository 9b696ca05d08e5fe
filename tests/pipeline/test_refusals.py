"""A variant that is refused after loading does not end the run of the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pipeline.conftest import Setting
from tuneval.api import RunResult, compare
from tuneval.cli.main import exit_code
from tuneval.errors import VariantError


def inert(source: Path, folder: Path) -> Path:
    """An adapter as it is before the first step."""
    shutil.copytree(source, folder)
    file = folder / "adapter_model.safetensors"
    stored = {key: value * ("lora_B" not in key) for key, value in load_file(file).items()}
    save_file(stored, file, {"format": "pt"})
    return folder


def words(setting: Setting, adapters: list[str]) -> dict[str, object]:
    return {
        "adapters": adapters,
        "data": str(setting.data),
        "statistics": {"resamples": 200},
    }


def test_the_others_go_on_and_it_is_told(setting: Setting, tmp_path: Path) -> None:
    bad = inert(setting.adapters[0], tmp_path / "bad")
    named = [f"good={setting.adapters[0]}", f"bad={bad}", f"fine={setting.adapters[1]}"]
    result: RunResult = compare(str(setting.base), **words(setting, named))
    alone: RunResult = compare(str(setting.base), **words(setting, [named[0], named[2]]))
    assert [one.name for one in result.variants] == ["base", "good", "fine"]
    assert not result.is_complete
    (problem,) = result.problems
    assert problem.startswith('"bad" was refused and is not compared: adapter "')
    assert "it changes nothing" in problem
    assert problem in result.notes
    assert [(one.variant, one.metric, one.value) for one in result.scores] == [
        (one.variant, one.metric, one.value) for one in alone.scores
    ]
    assert len(list(Path(result.output_dir).parent.glob("test-*"))) == 2  # one folder a run


def test_the_command_says_so(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = inert(setting.adapters[0], tmp_path / "bad")
    arms = ["--adapter", f"good={setting.adapters[0]}", "--adapter", f"bad={bad}"]
    code = exit_code(["compare", str(setting.base), *arms, "--data", str(setting.data)])
    said = capsys.readouterr()
    assert code == 1, said.err
    assert '"bad" was refused and is not compared' in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("is_only", [True, False])
def test_nothing_left_to_compare(is_only: bool, setting: Setting, tmp_path: Path) -> None:
    names = ["bad"] if is_only else ["bad", "worse"]
    adapters = [f"{name}={inert(setting.adapters[0], tmp_path / name)}" for name in names]
    with pytest.raises(VariantError) as error:
        compare(str(setting.base), **words(setting, adapters))
    for name in names:
        assert f'{name}": all 12 tensors fit, but it changes nothing' in str(error.value)


def test_gates_want_every_variant(setting: Setting, tmp_path: Path) -> None:
    adapters = [
        f"good={setting.adapters[0]}",
        f"bad={inert(setting.adapters[0], tmp_path / 'bad')}",
    ]
    with pytest.raises(VariantError, match="it changes nothing"):
        compare(str(setting.base), **words(setting, adapters), gates={"accuracy": ">= 0.1"})
