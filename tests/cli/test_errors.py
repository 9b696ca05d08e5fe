"""What a person reads when something is wrong, word for word: part of the product."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_models import build_adapter, build_model, edit_json
from tuneval.cli.main import exit_code

LABELS = ("refund", "login", "billing", "cancel")
Fail = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``base``, ``out/lora`` and ``test.jsonl``."""
    folder = tmp_path_factory.mktemp("trained")
    build_model(folder / "base")
    build_adapter(folder / "out" / "lora", folder / "base")
    write(folder / "test.jsonl", rows(40))
    return folder


@pytest.fixture(autouse=True)
def _work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    shutil.copytree(trained, work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Fail:
    """Run a command that must end with exit code 2 before any model; returns what it says."""

    def run(*words: str) -> str:
        assert exit_code(words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err.rstrip("\n")

    return run


def rows(n: int) -> list[dict[str, Any]]:
    return [{"text": f"message {n}", "label": LABELS[n % 4]} for n in range(n)]


def write(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))


COMPARE = ("compare", "base", "--data", "test.jsonl")


def test_an_adapter_that_acts_on_nothing(fail: Fail) -> None:
    from safetensors.torch import load_file, save_file

    path = Path("out/lora/adapter_model.safetensors")
    save_file({key.replace("layers", "blocks"): one for key, one in load_file(path).items()}, path)
    assert fail(*COMPARE, "--adapter", "out/lora") == (
        'tuneval: adapter "out/lora": no weight of this adapter acts on the base model.\n'
        "12 of 12 tensors name modules that base does not have (first: blocks.0.mlp.down_proj;\n"
        "the base has layers.0.mlp.down_proj). PEFT would have loaded it and returned\n"
        "the base model's answers. Was it trained on another architecture?"
    )


def test_an_adapter_whose_base_is_not_here(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "cache" / "models--meta-llama--Meta-Llama-3-8B").mkdir(parents=True)
    recorded = "/mnt/train/models/llama-3-8b"
    edit_json(Path("out/lora/adapter_config.json"), base_model_name_or_path=recorded)
    assert fail("compare", "--adapter", "out/lora", "--data", "test.jsonl") == (
        'tuneval: adapter "out/lora" was trained on "/mnt/train/models/llama-3-8b", which is not '
        "here.\n"
        "Your cache holds meta-llama/Meta-Llama-3-8B. If that is the same model:\n"
        "    tuneval compare meta-llama/Meta-Llama-3-8B --adapter out/lora --data test.jsonl"
    )


def test_an_adapter_of_a_four_bit_base(fail: Fail) -> None:
    recorded = "unsloth/llama-3-8b-bnb-4bit"
    edit_json(Path("out/lora/adapter_config.json"), base_model_name_or_path=recorded)
    assert fail(*COMPARE, "--adapter", "out/lora") == (
        'tuneval: adapter "out/lora" was trained on a 4-bit base (unsloth/llama-3-8b-bnb-4bit), '
        "but\n--base base is 32-bit. Scores will differ from training time.\n"
        "Go on with --allow-base-mismatch, or give the 4-bit base."
    )


def test_a_folder_that_is_both(fail: Fail) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(Path("base") / name, Path("out/lora") / name)
    assert fail("compare", "out/lora", "--data", "test.jsonl") == (
        "tuneval: out/lora holds both config.json and adapter_config.json.\n"
        "Use --adapter out/lora for the adapter or --full out/lora for the merged model."
    )


def test_an_adapter_where_a_model_belongs_and_the_reverse(fail: Fail) -> None:
    wrong = (
        'tuneval: "out/lora" holds an adapter (adapter_config.json), not a whole model.\n'
        "Use --adapter out/lora."
    )
    assert fail(*COMPARE, "--full", "out/lora") == wrong
    assert fail("compare", "out/lora", "--data", "test.jsonl") == wrong
    assert fail(*COMPARE, "--adapter", "base") == (
        'tuneval: "base" holds no adapter: expected adapter_config.json and '
        "adapter_model.safetensors.\nIt holds a whole model: --full base"
    )


def test_lines_that_cannot_be_read(fail: Fail) -> None:
    content = rows(40)
    content[16] = {"text": "message", "intent": "refund"}
    content[30]["label"] = "refnd"
    write(Path("test.jsonl"), content)
    assert fail(*COMPARE, "--labels", ",".join(LABELS)) == (
        "tuneval: test.jsonl: 2 of 40 lines cannot be read.\n"
        '    line 17: no field "label" (found "text", "intent")\n'
        '    line 31: label "refnd" is not one of the 4 labels (did you mean "refund"?)\n'
        "Give --reference intent, or mend the lines; --skip-bad-rows goes on without them."
    )


def test_a_file_that_fits_two_tasks(fail: Fail) -> None:
    content = [{**row, "output": f"a long answer, number {n}"} for n, row in enumerate(rows(40))]
    write(Path("test.jsonl"), content)
    assert fail(*COMPARE) == (
        'tuneval: test.jsonl fits two tasks: "label" as class (4 values) or "output" as text.\n'
        "Say --task classify or --task generate."
    )


def test_a_hub_id_that_is_not_in_the_cache(fail: Fail) -> None:
    assert fail("compare", "meta-llama/Meta-Llama-3-8B", "--data", "test.jsonl") == (
        'tuneval: "meta-llama/Meta-Llama-3-8B" is not in the cache and this run is offline.\n'
        "Download it elsewhere with: hf download meta-llama/Meta-Llama-3-8B\n"
        "then pass the directory, or unset HF_HUB_OFFLINE."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--prompt", "{txet} is about"],
            'template: there is no column "txet" (there are: "text").',
        ),
        (
            ["--prompt", "prompt.txt"],
            '--prompt "prompt.txt" is neither a file nor a template: a template names a column in '
            'braces, e.g. "{text}\\nLabel:".',
        ),
        (["--metrics", "acuracy"], 'metrics: there is no "acuracy" (did you mean "accuracy"?)'),
        (["--metrics", "perplexity"], 'metric "perplexity"'),
        (["--task", "clasify"], 'tasks: there is no "clasify" (did you mean "classify"?)'),
        (["--perturb", "typo"], 'perturbations: there is no "typo" (did you mean "typos"?)'),
        (["--perturb", "typos:hevy"], 'perturbation typos: there is no "hevy" (did you mean'),
        (["--report", "pdf"], 'report: there is no "pdf" (known: csv, html, json, junit, md,'),
        (["--group", "labl"], 'test.jsonl, columns: there is no "labl" (did you mean "label"?).'),
        (
            ["--device", "gpu"],
            'there is no device "gpu" (known: auto, cpu, mps, cuda, cuda:1, ...).',
        ),
        (["--dtype", "fp16"], "backend.dtype: Input should be 'auto', 'float32', 'bfloat16' or"),
        (["--threads", "0"], "backend.threads: Input should be 'auto' or Input should be greater"),
        (["--limit", "some"], 'cases.0.limit: not a whole number or not a number (found "some")'),
        (["--base", "other"], 'two base models: "base" and --base "other". Give one.'),
        (["--few-shot", "2"], "few-shot cases must come from another file than the test cases."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_name_nothing(words: list[str], said: str, fail: Fail) -> None:
    assert said in fail(*COMPARE, *words)


def test_an_output_folder_that_cannot_be_written(fail: Fail) -> None:
    said = fail(*COMPARE, "--output-dir", "test.jsonl/runs")
    assert f'the output folder "{Path.cwd()}/test.jsonl/runs/test-' in said
    assert said.endswith(
        "cannot be written: Not a directory.\nGive another one with --output-dir DIR."
    )


def test_folders_that_are_no_runs(fail: Fail) -> None:
    Path("runs/one").mkdir(parents=True)
    assert fail("report", "runs") == ('tuneval: "runs" is no run folder: it has no result.json.')
    Path("runs/one/run.yaml").write_text("variants: []\n")
    assert fail("report", "runs/one") == (
        'tuneval: "runs/one" holds a run that was not finished (no result.json).\n'
        "Go on with: tuneval run runs/one/run.yaml"
    )


def test_names_that_would_steer_a_terminal_or_leave_the_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """ANSI, markup, line breaks, 300 characters and "../" in every name that a person can choose."""
    shutil.copytree("out/lora", "lo\x1b[31mra")
    content = [
        {
            "text": f"\x1b[2J<blink>{n}</blink>",
            "label": ("<i>", "\x1b[1mb", "=c()", "]]>")[n % 4],
            "wri\x1bter": "../" if n % 2 else "[red]",
        }
        for n in range(24)
    ]
    write(Path("te\x1b[0mst <b>.jsonl"), content)
    words = ["compare", "base", "--adapter", "lo\x1b[31mra", "--adapter", "../../up\n=out/lora"]
    words += [
        "--full",
        f"{'x' * 300}=base",
        "--data",
        "te\x1b[0mst <b>.jsonl",
        "--group",
        "wri\x1bter",
    ]
    words += ["--name", "../../../evil\x1b[0m", "--resamples", "200", "--report", "html,md,csv"]
    assert exit_code(words) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    (folder,) = (one for one in Path("tuneval-runs").iterdir() if not one.is_symlink())
    assert folder.name.startswith("evil-0m-")
    for file in folder.iterdir():
        if file.suffix == ".csv":  # data, not text: names stay as they are, for joining
            continue
        assert b"\x1b" not in file.read_bytes(), file
    assert "<blink>" not in (folder / "report.html").read_text()
    assert exit_code(["run", str(folder), "--quiet"]) == 0, "its run.yaml can be read"


def test_a_full_disk_is_no_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "tuneval-runs/x/run.yaml")

    monkeypatch.setattr("tuneval.pipeline.run.write_inputs", full)
    assert exit_code(list(COMPARE)) == 2
    said = capsys.readouterr().err
    assert 'tuneval: "tuneval-runs/x/run.yaml": No space left on device.' in said
    assert "the same command goes on from there" in said
