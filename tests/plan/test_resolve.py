"""From what trainers leave on disk to what will run: found, said, or asked for, never guessed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainer_layouts
from tiny_models import build_adapter, build_model, edit_json
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError, TunevalError
from tuneval.plan.resolve import resolve
from tuneval.plan.spec import RunSpec
from tuneval.plan.words import describe_run

LABELS = ("refund", "login", "billing")
LAYOUTS = {
    "trl": trainer_layouts.trl,
    "axolotl": trainer_layouts.axolotl,
    "llama_factory": trainer_layouts.llama_factory,
    "unsloth": trainer_layouts.unsloth,
}
LOGS = {
    "trl": "checkpoint-90/trainer_state.json",
    "axolotl": "checkpoint-90/trainer_state.json",
    "llama_factory": "trainer_log.jsonl",
    "unsloth": None,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and an adapter of it."""
    folder = tmp_path_factory.mktemp("weights")
    base = build_model(folder / "tiny-base")
    return base, build_adapter(folder / "adapter", base)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{"text": f"message {n}", "label": LABELS[n % 3]} for n in range(12)]
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the doctor; returns its exit code and what it says."""

    def examine(*words: str | Path) -> tuple[int, str]:
        code = exit_code(["doctor", *map(str, words)])
        return code, capsys.readouterr().out

    return examine


@pytest.mark.parametrize("layout", LAYOUTS)
def test_doctor_reads_what_trainers_leave(
    layout: str, weights: tuple[Path, Path], data: Path, tmp_path: Path, doctor: Any
) -> None:
    base, adapter = weights
    folder = LAYOUTS[layout](tmp_path / "run" / "out", adapter, base, recorded=str(base))
    code, said = doctor("--adapter", folder, "--data", data)
    assert code == 0, said
    assert f"base    {base} (base model" in said
    assert f"lora    {folder} (adapter" in said
    assert 'labelled text: column "text" -> "label"' in said
    assert "Task classify: 3 labels in 12 cases" in said
    log = LOGS[layout]
    if log:
        assert f"training log: {folder / log}" in said
    else:
        assert f"no training log found (searched {folder}, {folder.parent})" in said
    assert "nothing stands against this run" in said


def test_a_log_that_lies_elsewhere_is_named(
    weights: tuple[Path, Path], data: Path, tmp_path: Path, doctor: Any
) -> None:
    base, adapter = weights
    folder = trainer_layouts.unsloth(tmp_path / "lora_model", adapter, base, recorded=str(base))
    words = ("--adapter", folder, "--data", data, "--training-log")
    code, said = doctor(*words, tmp_path / "outputs")
    assert code == 0
    assert "outputs/checkpoint-60/trainer_state.json" in said
    code, said = doctor(*words, tmp_path / "home")
    assert code == 2
    assert f'no training log in "{tmp_path / "home"}" (searched: ' in said


def test_a_folder_of_models_is_asked_which(
    weights: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    for name in ("first try", "second"):
        shutil.copytree(weights[1], tmp_path / "out" / name)
    with pytest.raises(TunevalError) as error:
        describe_run(base=str(weights[0]), adapters=["out"], data=[str(data)])
    assert str(error.value) == (
        '"out" is no model folder itself; "first try", "second" in it are.\n'
        'Give one: --adapter out/second or --adapter "out/*" for all.'
    )


def test_columns_of_dataset_info_are_read(
    weights: tuple[Path, Path], tmp_path: Path, doctor: Any
) -> None:
    rows = [
        {"ticket": "Which queue?", "details": f"text {n}", "queue": LABELS[n % 3]}
        for n in range(12)
    ]
    path = trainer_layouts.llama_factory_data(tmp_path / "data", rows)
    code, said = doctor(weights[0], "--data", path)
    assert code == 0, said
    assert "dataset_info.json" in said
    assert "Task classify: 3 labels in 12 cases" in said


GONE = "/mnt/train/models/llama-3-8b"


@pytest.mark.parametrize(
    ("recorded", "cached", "message"),
    [
        (
            GONE,
            "",
            'adapter "out" was trained on "/mnt/train/models/llama-3-8b", which is not here.\n'
            "Name it: tuneval compare BASE --adapter out --data 'my test.jsonl' --limit 5",
        ),
        (
            "/mnt/train/meta-llama/Llama-3-8B",
            "meta-llama/Llama-3-8B",
            'adapter "out" was trained on "/mnt/train/meta-llama/Llama-3-8B", which is not here.\n'
            "Your cache holds meta-llama/Llama-3-8B. If that is the same model:\n"
            "    tuneval compare meta-llama/Llama-3-8B --adapter out --data 'my test.jsonl' --limit 5",
        ),
        (
            "models/tiny-base",
            "beside",
            'adapter "out" was trained on "models/tiny-base", which is not here.\n'
            'There is "{beside}". If that is the same model:\n'
            "    tuneval compare {beside} --adapter out --data 'my test.jsonl' --limit 5",
        ),
        (
            "meta-llama/Meta-Llama-3-8B",
            "",
            'adapter "out" was trained on "meta-llama/Meta-Llama-3-8B", which is not here.\n'
            '"meta-llama/Meta-Llama-3-8B" is not in the cache and this run is offline.\n'
            "Download it elsewhere with: hf download meta-llama/Meta-Llama-3-8B\n"
            "then pass the directory, or unset HF_HUB_OFFLINE.\n"
            "If you have it in a folder:\n"
            "    tuneval compare FOLDER --adapter out --data 'my test.jsonl' --limit 5",
        ),
        (
            None,
            "",
            'adapter "out": adapter_config.json names no base model.\n'
            "Name it: tuneval compare BASE --adapter out --data 'my test.jsonl' --limit 5",
        ),
    ],
    ids=["a path", "a path, and a cached model", "relative to a folder above", "hub id", "none"],
)
def test_a_base_that_is_not_here_is_offered_never_taken(
    recorded: str | None,
    cached: str,
    message: str,
    weights: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = tmp_path / "work"
    shutil.copytree(weights[1], work / "out")
    edit_json(work / "out" / "adapter_config.json", base_model_name_or_path=recorded)
    monkeypatch.chdir(work)
    beside = tmp_path / "models" / "tiny-base"
    if cached == "beside":
        shutil.copytree(weights[0], beside)
    elif cached:
        (tmp_path / "cache" / f"models--{cached.replace('/', '--')}").mkdir(parents=True)
    with pytest.raises(TunevalError) as error:
        describe_run(
            base=None,
            adapters=["out"],
            data=["my test.jsonl"],
            said=["--adapter", "out", "--data", "my test.jsonl", "--limit", "5"],
        )
    assert str(error.value) == message.replace("{beside}", str(beside))


def test_a_four_bit_base_is_no_other_base(
    weights: tuple[Path, Path], data: Path, tmp_path: Path, doctor: Any
) -> None:
    base, adapter = weights
    recorded = "unsloth/llama-3-8b-bnb-4bit"
    folder = trainer_layouts.unsloth(tmp_path / "lora_model", adapter, base, recorded=recorded)
    words = (base, "--adapter", folder, "--data", data)
    code, said = doctor(*words)
    assert code == 2
    assert f"was trained on a 4-bit base ({recorded}), but" in said
    assert "Go on with --allow-base-mismatch, or give the 4-bit base." in said
    code, said = doctor(*words, "--allow-base-mismatch")
    assert code == 0
    assert recorded in said


def two_adapters(weights: tuple[Path, Path], tmp_path: Path) -> list[str]:
    return [str(shutil.copytree(weights[1], tmp_path / name)) for name in ("seed1", "seed2")]


def test_a_folder_with_an_equals_sign_is_a_folder(
    weights: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(weights[1], tmp_path / "lr=1e-4")
    spec = describe_run(base="base", adapters=["lr=1e-4"], data=["test.jsonl"])
    assert [(one.name, one.adapter) for one in spec.variants[1:]] == [("lora", ("lr=1e-4",))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"adapters": ["seed1", "./seed1"]}, '--adapter "./seed1" is given twice.'),
        ({"full": ["m", "m/"]}, '--full "m/" is given twice.'),
        ({"data": ["test.jsonl", "./test.jsonl"]}, '--data "./test.jsonl" is given twice.'),
        ({"adapters": ["nope*"]}, '--adapter "nope*" matches no folder.'),
        ({"adapters": ["base=seed1"]}, 'two variants are called "base"; give each a name'),
        (
            {"adapters": ["whole"]},
            '"whole" holds no adapter: expected adapter_config.json and '
            "adapter_model.safetensors.\nIt holds a whole model: --full whole",
        ),
        (
            {"base": None, "full": ["whole"]},
            "which base? Give it first: tuneval compare BASE --full whole --data test.jsonl",
        ),
    ],
)
def test_words_that_cannot_be_meant(
    words: dict[str, Any], message: str, weights: tuple[Path, Path], tmp_path: Path
) -> None:
    two_adapters(weights, tmp_path)
    shutil.copytree(weights[0], tmp_path / "whole")
    with pytest.raises(TunevalError) as error:
        describe_run(**{"base": "whole", "data": ["test.jsonl"], **words})
    assert message in str(error.value)


def test_adapters_of_two_bases_need_a_word(weights: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = two_adapters(weights, tmp_path)
    other = build_model(tmp_path / "other")
    edit_json(tmp_path / "seed2" / "adapter_config.json", base_model_name_or_path=str(other))
    with pytest.raises(TunevalError, match="these adapters name different base models") as error:
        describe_run(base=None, adapters=[one, two], data=["test.jsonl"])
    assert f'"{two}" was trained on "{other}"' in str(error.value)
    assert str(error.value).endswith("Give one BASE.")


def test_test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    spec = describe_run(base="base", data=["dev/test.jsonl", "ood/test.jsonl", "more.jsonl"])
    assert [one.name for one in spec.cases] == ["dev/test", "ood/test", None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perturbations": ["typo"]}, 'perturbations: there is no "typo" (did you mean "typos"?)'),
        ({"perturbations": ["typos:hevy"]}, 'perturbation typos: there is no "hevy"'),
        ({"output": {"reports": ["pdf"]}}, 'report: there is no "pdf"'),
        ({"cases": {"task": "clasify"}}, 'tasks: there is no "clasify" (did you mean "classify"?)'),
        ({"backend": {"device": "gpu"}}, 'there is no device "gpu" (known: auto, cpu, mps, cuda'),
        ({"cases": {"template": "Topic?"}}, 'the prompt "Topic?" names no column'),
        ({"backend": {"kind": "hff"}}, 'backends: there is no "hff" (did you mean "hf"?)'),
    ],
)
def test_names_are_looked_up_before_anything_is_loaded(
    changes: dict[str, Any], message: str, weights: tuple[Path, Path], data: Path
) -> None:
    spec = describe_run(base=str(weights[0]), data=[str(data)], **changes)
    with pytest.raises(ConfigError) as error:
        resolve(spec)
    assert message in str(error.value)


def test_doctor_names_everything_at_once(
    weights: tuple[Path, Path], data: Path, tmp_path: Path, doctor: Any
) -> None:
    code, said = doctor(
        *(tmp_path / "nowhere", "--data", tmp_path / "tset.jsonl", "--perturb", "typos:hevy"),
        *("--device", "cuda:0" if not Path("/dev/nvidia0").exists() else "mps"),
        *("--output-dir", data / "below"),
    )
    assert code == 2
    for message in (
        'there is no "hevy"',
        "tset.jsonl",
        "nowhere",
        "--device",
        "cannot be written",
    ):
        assert message in said
    assert "5 things stand against this run:" in said


def test_doctor_looks_at_the_data_though_the_base_is_unknown(
    weights: tuple[Path, Path], data: Path, tmp_path: Path, doctor: Any
) -> None:
    trainer_layouts.trl(tmp_path / "out", weights[1], weights[0], recorded=GONE)
    code, said = doctor("--adapter", "out", "--data", data, "--metrics", "acuracy")
    assert code == 2
    assert f'was trained on "{GONE}", which is not here.' in said
    assert "Task classify: 3 labels in 12 cases" in said
    assert 'there is no "acuracy" (did you mean "accuracy"?)' in said


def test_doctor_alone_tells_about_the_machine_without_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys; sys.path[:0] = sys.argv[1].split('|')\n"
        "from tuneval.cli.main import exit_code\n"
        "assert exit_code(['doctor', *sys.argv[2:]]) in (0, 2)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "|".join(sys.path), "nowhere", "--data", "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout
    assert "\n  answers" in done.stdout


# ---- behind a server ----------------------------------------------------------------------------------


def served(**changes: Any) -> RunSpec:
    backend = {"kind": "openai", "base_url": "http://localhost:8000/v1"}
    words: dict[str, Any] = {"base": "org/base", "data": ["test.jsonl"], "backend": backend}
    return describe_run(**(words | changes))


def test_what_a_server_serves_is_a_name_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuned").mkdir()  # a folder of the same name means nothing
    (tmp_path / "test.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n' * 4
    )
    spec = served(adapters=["tuned", "seeds=a-1", "seeds=a-2"], full=["org/full"])
    plan = resolve(spec)
    shown = [(one.name, one.kind, one.model, one.adapter, one.recipe) for one in plan.variants]
    assert shown == [
        ("base", "base", "org/base", None, None),
        ("seeds-1", "adapter", "org/base", "a-1", "seeds"),
        ("seeds-2", "adapter", "org/base", "a-2", "seeds"),
        ("lora", "adapter", "org/base", "tuned", None),
        ("full", "full", "org/full", None, None),
    ]
    assert plan.folders == {}
    assert plan.logs == {}
    assert [one.training_seed for one in plan.variants[1:3]] == [1, 2]
    (tmp_path / "run.yaml").write_text(plan.spec.to_yaml())
    again = RunSpec.from_yaml(tmp_path / "run.yaml")
    assert resolve(again).variants == plan.variants


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": None, "adapters": ["tuned"]}, "which base\\? A server's names do not tell"),
        ({"adapters": ["lora="]}, '--adapter "lora=" names no model of the server'),
    ],
)
def test_words_that_no_server_can_serve(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        served(**changes)


def test_a_server_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="Give --base-url"):
        resolve(served(full=["tuned"], backend={"kind": "openai"}))


def test_a_guard_that_looks_like_a_file_is_missed_as_one(tmp_path: Path) -> None:
    spec = describe_run(base=str(tmp_path), guards=["gone.jsonl", "mmlu"])
    assert [(one.file, one.benchmark, one.guard) for one in spec.cases] == [
        ("gone.jsonl", None, True),
        (None, "mmlu", True),
    ]
