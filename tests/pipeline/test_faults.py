"""What a long run must survive, and what each wrong input says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.conftest import Setting, rows, write_rows
from tuneval.api import RunResult
from tuneval.cli.main import exit_code

Run = Callable[..., RunResult]

KILLER = '''
"""Run the same comparison five times, killed after k answers, then once to its end; print what each
did. One process imports torch; each run is a fork of it."""
import json, os, signal, sys
from pathlib import Path

words = json.loads(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = "1"
import torch
torch.set_num_threads(1)
import tuneval.pipeline.run
from tuneval.api import compare
from tuneval.engine import journal
from tuneval.engine.hf import backend  # noqa: F401 - imported before the fork

record = journal.Journal.record

def run(home, kill_after):
    os.environ["TUNEVAL_HOME"] = home
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    written = 0
    def counted(self, *args):
        nonlocal written
        record(self, *args)
        written += 1
        if written == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    journal.Journal.record = counted
    result = compare(words["base"], adapters=words["adapters"], full=words["full"],
                     data=words["data"], statistics={"resamples": 200},
                     output={"dir": home + "-runs"})
    Path(home + ".json").write_text(json.dumps({"written": written, "folder": result.output_dir}))
    os._exit(0)

codes = [run(sys.argv[2] + "/killed", k) for k in words["kills"]] + [run(sys.argv[2] + "/killed", 0)]
codes.append(run(sys.argv[2] + "/whole", 0))
print(json.dumps(codes))
'''


@pytest.mark.fault
def test_killed_five_times_it_ends_as_if_it_never_was(setting: Setting, tmp_path: Path) -> None:
    kills = [1, 17, 40, 23, 90]
    words = {
        "base": str(setting.base),
        "adapters": [f"lora={path}" for path in setting.adapters],
        "full": str(setting.full),
        "data": str(setting.data),
        "kills": kills,
    }
    script = tmp_path / "killer.py"
    script.write_text(KILLER)
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(words), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [-9, -9, -9, -9, -9, 0, 0]
    killed = json.loads((tmp_path / "killed.json").read_text())
    whole = json.loads((tmp_path / "whole.json").read_text())
    assert sum(kills) + killed["written"] == whole["written"] > 24 * 3 * 4, (
        "no answer was computed twice"
    )
    one = json.loads((Path(killed["folder"]) / "result.json").read_text())
    other = json.loads((Path(whole["folder"]) / "result.json").read_text())
    for key in ("predictions", "scores", "comparisons", "verdicts", "headline"):
        assert one[key] == other[key], key


@pytest.mark.fault
def test_after_an_interrupt_the_same_words_go_on(
    run_it: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuneval.engine.journal import Journal

    record, written = Journal.record, 0

    def interrupted(self: Journal, *args: object) -> None:
        nonlocal written
        if written == 30:
            raise KeyboardInterrupt
        record(self, *args)  # type: ignore[arg-type]
        written += 1

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_it(prompting={"trial": "none"})
    asked: list[int] = []

    class Counts:
        def begin(self, stage: str, total: int) -> None:
            self.is_asking = not stage.startswith("metrics of")

        def expect(self, n: int) -> None: ...

        def advance(self, n: int, *, n_reused: int = 0) -> None:
            asked.append((n - n_reused) * self.is_asking)

        def end(self) -> None: ...

    run_it(progress=Counts(), prompting={"trial": "none"})
    assert sum(asked) == 24 * 3 * 4 - 30


def failing(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code(words) == 2
    return capsys.readouterr().err


def damage_adapter(folder: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)  # type: ignore[arg-type]


def broken(setting: Setting, tmp_path: Path, what: str) -> tuple[list[str], str]:
    """The words of a command that cannot work, and what it must say."""
    base, data, adapter = setting.base, setting.data, setting.adapters[0]
    copied = tmp_path / "copied"
    if what == "model path with a typo":
        wrong = base.parent / "bsae"
        return [str(wrong), "--data", str(data)], f'Did you mean "{base}"?'
    if what == "adapter for another base":
        from tiny_models import build_adapter, build_model

        other = build_model(tmp_path / "wide", hidden_size=64)
        build_adapter(copied, other)
        return [
            str(base),
            "--adapter",
            str(copied),
            "--data",
            str(data),
        ], "was trained on another base model"
    shutil.copytree(adapter if "adapter" in what else base, copied)
    if what == "adapter with zeroed B":
        damage_adapter(copied, lambda t: {k: v * 0 if "lora_B" in k else v for k, v in t.items()})
        return [
            str(base),
            "--adapter",
            str(copied),
            "--data",
            str(data),
        ], "all 12 tensors fit, but"
    if what == "adapter with renamed keys":
        damage_adapter(copied, lambda t: {k.replace("layers", "blocks"): v for k, v in t.items()})
        return [
            str(base),
            "--adapter",
            str(copied),
            "--data",
            str(data),
        ], "no weight of this adapter acts on the base model"
    if what == "pickled weights":
        (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
        return [str(copied), "--data", str(data)], "pytorch_model.bin"
    if what == "missing shard":
        index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
        (copied / "model.safetensors").unlink()
        (copied / "model.safetensors.index.json").write_text(json.dumps(index))
        return [str(copied), "--data", str(data)], "model-00002-of-00002.safetensors"
    assert what == "truncated weights"
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return [str(copied), "--data", str(data)], "model.safetensors"


@pytest.mark.parametrize(
    "what",
    [
        "model path with a typo",
        "adapter for another base",
        "adapter with zeroed B",
        "adapter with renamed keys",
        "pickled weights",
        "missing shard",
        "truncated weights",
    ],
)
def test_a_broken_model_is_named(
    what: str, setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = broken(setting, tmp_path, what)
    assert message in failing(["compare", *words], capsys)


BAD_DATA = [
    ("broken JSON", b'{"text": "a", "label": "x"}\n{"text": "b", \n', "line 2"),
    ("not UTF-8", b'{"text": "caf\xe9", "label": "x"}\n', "UTF-8"),
    ("empty", b"", "empty"),
    ("missing label", b'{"text": "a", "label": "x"}\n{"text": "b"}\n', "line 2"),
    ("null label", b'{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n', "line 2"),
    (
        "duplicate ids",
        b'{"id": 1, "text": "a", "label": "x"}\n{"id": 1, "text": "b", "label": "y"}\n',
        "line 2",
    ),
    ("wrong type", b'{"text": "a", "label": "x"}\n{"text": ["b"], "label": "y"}\n', "line 2"),
]


@pytest.mark.parametrize(("what", "content", "message"), BAD_DATA, ids=[row[0] for row in BAD_DATA])
def test_a_broken_file_is_named_before_any_model_is_loaded(
    what: str,
    content: bytes,
    message: str,
    setting: Setting,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tuneval.pipeline.run.make_backend", lambda *_: pytest.fail("model touched")
    )
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    said = failing(["compare", str(setting.base), "--data", str(path)], capsys)
    assert "bad.jsonl" in said
    assert message in said


def test_a_directory_or_a_wrong_label_is_named(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder" in failing(
        ["compare", str(setting.base), "--data", str(tmp_path / "folder")], capsys
    )
    said = failing(
        ["compare", str(setting.base), "--data", str(setting.data), "--labels", "positive,negativ"],
        capsys,
    )
    assert 'label "negative" is not one of the 2 labels (did you mean "negativ"?)' in said


def test_bom_and_crlf_are_no_fault(run_it: Run, tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\r\n" for row in rows(24))
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert run_it(data=str(path), adapters=(), full=()).case_sets[0].cases[0].inputs["text"]


def test_bad_rows_can_be_skipped_and_are_counted(run_it: Run, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "some.jsonl", [*rows(24), {"text": "no label here"}])
    result = run_it(data=str(path), skip_bad_rows=True, adapters=(), full=())
    assert len(result.case_sets[0].cases) == 24
    assert "line 25" in result.case_sets[0].skipped[0]


def test_an_output_folder_that_cannot_be_written_is_named_first(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    said = failing(
        [
            "compare",
            str(setting.base),
            "--data",
            str(setting.data),
            "--output-dir",
            str(tmp_path / "file"),
        ],
        capsys,
    )
    assert "cannot be written" in said
    assert "--output-dir" in said


@pytest.mark.fault
def test_fault_2_what_a_kill_left_half_written_goes(run_it: Run) -> None:
    folder = Path(run_it().output_dir)
    (folder / ".abcd1234.part").write_text("half")
    run_it()
    assert not list(folder.glob("*.part"))


def test_a_result_is_replaced_whole_or_not_at_all(
    run_it: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(run_it().output_dir)
    before = (folder / "result.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("cut off")))
        with pytest.raises(OSError, match="cut off"):
            run_it()
    assert (folder / "result.json").read_text() == before
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    run_it()
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".part")]
