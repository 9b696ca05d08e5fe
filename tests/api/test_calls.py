"""What ``import tuneval`` offers, as a notebook uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tuneval
from pipeline.conftest import LABELS, Setting, rows
from tuneval.cli.main import exit_code
from tuneval.engine.journal import Journal
from tuneval.errors import TunevalError

Run = Callable[..., tuneval.RunResult]


@pytest.fixture(scope="module")
def in_memory(setting: Setting) -> dict[str, Any]:
    """The base and the full fine-tune as objects."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return {
        name: (AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path))
        for name, path in (("base", setting.base), ("full", setting.full))
    }


def spec_of(setting: Setting, **changes: Any) -> tuneval.RunSpec:
    content: dict[str, Any] = {
        "variants": [{"name": "base", "model": "my-model"}, {"name": "full", "model": "tuned"}],
        "cases": [{"file": str(setting.data)}],
        "statistics": {"resamples": 200},
    }
    return tuneval.RunSpec.from_dict(content | changes)


def test_models_in_memory_answer_as_those_on_disk(
    setting: Setting, run_it: Run, in_memory: dict[str, Any]
) -> None:
    held = tuneval.run(spec_of(setting), models=in_memory)
    stored = run_it(adapters=())
    assert held.predictions["base"] == stored.predictions["base"]
    assert held.predictions["full"] == stored.predictions["full"]
    assert [variant.kind for variant in held.variants] == ["base", "full"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (lambda held: {"base": held["base"][0]}, '"base" comes without a tokenizer'),
        (lambda held: {"bass": held["base"]}, 'there is no "bass" (did you mean "base"?)'),
    ],
)
def test_models_in_memory_that_cannot_be_used(
    models: Callable[..., Any], message: str, setting: Setting, in_memory: dict[str, Any]
) -> None:
    with pytest.raises(tuneval.TunevalError) as error:
        tuneval.run(spec_of(setting), models=models(in_memory))
    assert message in str(error.value)


def tuned_in_memory(setting: Setting) -> tuple[Any, Any]:
    """A PEFT model as a notebook holds it after training."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(setting.base)
    model = PeftModel.from_pretrained(base, setting.adapters[0])
    return model, AutoTokenizer.from_pretrained(setting.base)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_a_peft_model_brings_its_own_base(setting: Setting, run_it: Run) -> None:
    stored = run_it(adapters=[f"tuned={setting.adapters[0]}"], full=())
    held = tuned_in_memory(setting)
    options = {"data": setting.data, "statistics": {"resamples": 200}}
    for found in (
        tuneval.compare(models={"tuned": held}, **options),
        tuneval.compare(adapters={"tuned": held}, **options),
    ):
        assert [(one.name, one.kind) for one in found.variants] == [
            ("base", "base"),
            ("tuned", "adapter"),
        ]
        assert found.predictions == stored.predictions


def test_a_model_is_taken_wherever_a_folder_is(
    setting: Setting, run_it: Run, in_memory: dict[str, Any]
) -> None:
    stored = run_it(adapters=())
    options = {"data": setting.data, "statistics": {"resamples": 200}}
    for base, full in (
        (in_memory["base"], in_memory["full"]),
        (setting.base, [in_memory["full"]]),
        (
            in_memory["base"][0],
            {"full": str(setting.full)},
        ),  # its tokenizer lies where it came from
    ):
        assert tuneval.compare(base, full=full, **options).predictions == stored.predictions


def test_models_without_a_base(in_memory: dict[str, Any], setting: Setting) -> None:
    with pytest.raises(TunevalError) as error:
        tuneval.compare(models={"full": in_memory["full"]}, data=setting.data)
    assert str(error.value) == (
        'models in memory ("full"): which one is the base? Give it the name "base", or a folder or '
        "hub id as the first argument."
    )


class Labelled:
    """A datasets.Dataset as far as it is used here: rows, and names of class labels."""

    class ClassLabel:
        names = LABELS

    def __init__(self) -> None:
        self.features = {"label": self.ClassLabel, "text": None}

    def __iter__(self) -> Any:
        return iter({**row, "label": LABELS.index(row["label"])} for row in rows(24))


def test_every_form_of_data_is_the_same_run(run_it: Run, setting: Setting) -> None:
    import pandas as pd

    alone: dict[str, Any] = {"adapters": (), "full": ()}
    stored = run_it(**alone)
    for data in (rows(24), Labelled(), pd.DataFrame(rows(24)), [setting.data]):
        again = run_it(data=data, **alone)
        assert [s.value for s in again.scores] == [s.value for s in stored.scores]
        assert again.case_sets[0].labels == stored.case_sets[0].labels
        assert tuneval.run(Path(again.output_dir) / "run.yaml").scores == again.scores


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train": [], "test": []}, 'a mapping ("train", "test"): give one split'),
        ([1, 2], "row 1 is int, not a mapping of columns"),
        ([], "is empty"),
        ([{"text": object(), "label": "a"}], "a value of type object cannot be a column's value"),
    ],
    ids=["splits", "numbers", "nothing", "objects"],
)
def test_data_that_is_none(data: Any, message: str, run_it: Run) -> None:
    with pytest.raises(TunevalError) as error:
        run_it(data=data)
    assert message in str(error.value)


def test_flips_by_the_name_of_a_recipe(run_it: Run) -> None:
    result = run_it()
    assert result.flips_of("base", "lora") == result.flips_of("base", "lora-1")


def test_what_was_asked_for_stands_in_the_summary(run_it: Run) -> None:
    said = str(run_it(perturbations=["typos:heavy"], groups=["writer"], adapters=()))
    assert "  typos, heavy" in said
    assert "calibration error" in said


def test_metrics_by_name(run_it: Run) -> None:
    result = run_it(metrics=["f1_macro", "accuracy"], adapters=(), full=())
    assert result.primary_metrics["test"] == "f1_macro"
    assert {score.metric for score in result.scores} == {"f1_macro", "accuracy"}


@pytest.mark.parametrize(
    ("metric", "value"), [("accuracy", 2 / 3), ("exact_match", 2 / 3), ("f1_macro", 5 / 9)]
)
def test_one_metric_without_a_run(metric: str, value: float) -> None:
    got = tuneval.score(metric, ["a", "b", "c"], ["a", "b", "b"])
    assert got == pytest.approx(value), 'scikit-learn 1.9.1: f1_score(average="macro")'


def test_one_metric_with_several_references() -> None:
    assert tuneval.score("exact_match", ["a", "b"], [["x", "a"], "c"]) == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("acuracy", ["a"], ["b"]), 'there is no "acuracy" (did you mean "accuracy"?)'),
        (("perplexity", ["a"], ["b"]), 'metric "perplexity"'),
        (("accuracy", ["a"], ["a", "b"]), "1 predictions for 2 references"),
        (("accuracy", [], []), "nothing to score"),
    ],
)
def test_one_metric_that_cannot_be_had(words: Any, message: str) -> None:
    with pytest.raises(TunevalError) as error:
        tuneval.score(*words)
    assert message in str(error.value)


def test_importing_the_package_imports_next_to_nothing() -> None:
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}; before = set(sys.modules); import tuneval; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "sys.exit(str(new - {'tuneval', 'typing', 'collections', 'types', 'functools', 're', "
        "'warnings', 'operator', 'contextlib', 'copyreg', 'enum', 'keyword', 'reprlib', 'abc'} "
        "- {name for name in new if name.startswith('_')}) if 'numpy' in new else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.fault
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_a_hint_and_the_same_words_go_on(
    number: int,
    code: int,
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record, written = Journal.record, 0

    def signalled(self: Journal, *args: Any) -> None:
        nonlocal written
        record(self, *args)
        written += 1
        if written == 20:
            os.kill(os.getpid(), number)

    words = ["compare", str(setting.base), "--data", str(setting.data), "--resamples", "200"]
    before = signal.getsignal(signal.SIGTERM)
    # A shell hands SIGINT on as ignored to what it runs in the background, and CI may do so.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "record", signalled)
            assert exit_code(words) == code
        assert "the same command goes on from there" in capsys.readouterr().err
        assert exit_code(words) == 0
        assert "already known" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


def test_what_was_inferred_is_said_before_the_first_case_and_stays_in_run_yaml(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(setting.base), "--data", str(setting.data), "--resamples", "200"]
    words += [word for path in setting.adapters for word in ("--adapter", f"lora={path}")]
    assert exit_code(words) == 0
    said = capsys.readouterr().err
    text = next(Path("tuneval-runs").glob("*/run.yaml")).read_text()
    for fact in (
        'Read as labelled text: column "text" -> "label".',
        "Task classify: 3 labels in 24 cases.",
        "lora: 2 adapters of one recipe = 2 training seeds (seeds from the folder names)",
        "no training log found (searched ",
        "prompts: plain template; tokenizer: own",
    ):
        assert fact in said[: said.index("base: ")], "before the first case"
        assert fact in text
    assert "metrics accuracy, f1_macro," in text
