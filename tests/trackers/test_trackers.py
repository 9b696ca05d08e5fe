"""Each tracker with its real package and a local store: what was sent is read back through its client."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError
from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.resolve import resolve
from tuneval.plan.spec import OutputSpec, RunSpec
from tuneval.report.results_json import read
from tuneval.trackers import TRACKERS
from tuneval.trackers.send import check, send, tracker_of
from tuneval.types import RunResult

HOSTILE = "<script>alert(1)</script> | [x](javascript:y) \x1b[31m"

# Other packages warn where they use one another in ways of yesterday.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def needs(name: str) -> Any:
    is_here = importlib.util.find_spec(tracker_of(name).package) is not None
    return pytest.mark.skipif(not is_here, reason=f"{name} is not installed")


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunResult:
    monkeypatch.chdir(tmp_path)
    labels = ["yes", "no"] * 20
    said = {
        "base": [("yes", "no", "no")[n % 3] for n in range(40)],
        "lora": [label if n % 8 else HOSTILE for n, label in enumerate(labels)],
    }
    files = {}
    for name, column, texts in (
        ("refs", "label", labels),
        *((k, "text", v) for k, v in said.items()),
    ):
        files[name] = tmp_path / f"{name}.jsonl"
        lines = [json.dumps({"id": n, column: text}) for n, text in enumerate(texts)]
        files[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return score(
        Expected(f"{files['refs']}:label", id_column="id"),
        {name: f"{files[name]}:text" for name in said},
        output=OutputSpec(dir=str(tmp_path / "runs"), reports=()),
    )


def numbers(result: RunResult) -> dict[str, float]:
    """What must be found again, spelled without the package's own gathering."""
    found = {}
    for one in result.scores:
        if one.slice == "all" and not math.isnan(one.value):
            found[f"{one.variant}/{one.metric}"] = one.value
            if one.interval:
                found[f"{one.variant}/{one.metric}_low"] = one.interval.low
    for pair in result.comparisons:
        if pair.slice == "all" and not math.isnan(pair.difference):
            found[f"lora vs base/{pair.metric}"] = pair.difference
    assert "lora vs base/accuracy" in found
    return found


def mlflow_of(result: RunResult, tmp_path: Path) -> dict[str, float]:
    from mlflow import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert run.info.run_name == result.name
    assert run.data.tags["tuneval.verdict"] == result.headline[:500]
    assert run.data.tags["tuneval.verdict.lora vs base"] == result.verdicts[0].decision
    assert {one.path for one in client.list_artifacts(run.info.run_id, "tuneval")} == {
        "tuneval/cases.json",
        "tuneval/comparisons.json",
        "tuneval/report.html",
    }
    cases = json.loads(
        Path(client.download_artifacts(run.info.run_id, "tuneval/cases.json")).read_text("utf-8")
    )
    assert len(cases["data"]) == 80
    return dict(run.data.metrics)


def tensorboard_of(result: RunResult, tmp_path: Path) -> dict[str, float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(Path(result.output_dir) / "tensorboard"))
    events.Reload()
    texts = {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
        if tag.startswith("tuneval/")
    }
    assert set(texts) == {
        f"tuneval/{one}" for one in ("verdict", "comparisons", "cases", "settings")
    }
    assert "<script>" not in texts["tuneval/cases"]
    assert "[x](" not in texts["tuneval/cases"].replace("\\[x\\]", "")
    found = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    return found or {
        tag: events.Tensors(tag)[0].tensor_proto.float_val[0]
        for tag in events.Tags()["tensors"]
        if not tag.startswith("tuneval/")
    }


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of an offline run: LevelDB's log format, in blocks of 32 KiB, after 7 bytes."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def wandb_of(result: RunResult, tmp_path: Path) -> dict[str, float]:
    from wandb.proto import wandb_internal_pb2

    (file,) = tmp_path.rglob("*.wandb")
    found: dict[str, float] = {}
    tags: set[str] = set()
    artefacts = []
    for data in wandb_records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        tags |= set(record.run.tags)
        artefacts += [record.request.log_artifact.artifact.name, record.artifact.name]
        for item in record.history.item:
            key = item.key or "/".join(item.nested_key)
            value = json.loads(item.value_json)
            if isinstance(value, int | float):
                found[key] = value
    assert tags == {result.verdicts[0].decision}
    assert any(f"tuneval-{result.run_id}" in one for one in artefacts)
    return found


def trackio_of(result: RunResult, tmp_path: Path) -> dict[str, float]:
    import trackio

    (run,) = trackio.Api().runs("tuneval")
    assert run.config["verdict.lora vs base"] == result.verdicts[0].decision
    logged = trackio.SQLiteStorage.get_logs("tuneval", run.name)
    assert any("tuneval/cases" in one for one in logged)
    return {
        key: value for one in logged for key, value in one.items() if isinstance(value, int | float)
    }


READERS: dict[str, Callable[[RunResult, Path], dict[str, float]]] = {
    "mlflow": mlflow_of,
    "tensorboard": tensorboard_of,
    "trackio": trackio_of,
    "wandb": wandb_of,
}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stores in the test's own folder, and no way out."""
    for name in ("WANDB_API_KEY", "MLFLOW_RUN_ID", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_SILENT": "true",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("name", [pytest.param(one, marks=needs(one)) for one in sorted(TRACKERS)])
def test_what_was_sent_is_read_back(name: str, result: RunResult, local: Path) -> None:
    if name == "trackio":  # reads its folder when it is imported
        import trackio.sqlite_storage
        import trackio.utils

        for module in (trackio.utils, trackio.sqlite_storage):
            assert hasattr(module, "TRACKIO_DIR")
            pytest.MonkeyPatch().setattr(module, "TRACKIO_DIR", local / "trackio")
    (said,) = send(result, [name])
    assert said.startswith(f"{name}: ")
    found = READERS[name](result, local)
    for key, value in numbers(result).items():
        assert found[key] == pytest.approx(value, rel=1e-6), key


def test_every_tracker_has_a_reader_here() -> None:
    assert READERS.keys() == TRACKERS.keys()


def test_an_unknown_tracker_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'no "mlflo" \(did you mean "mlflow"'):
        score(
            Expected(str(tmp_path / "none.jsonl")),
            {"a": "a", "b": "b"},
            output=OutputSpec(dir=str(tmp_path), track=("mlflo",)),
        )


def test_a_run_is_refused_before_any_model_is_looked_for(tmp_path: Path) -> None:
    content = {
        "variants": [{"name": "base", "model": str(tmp_path / "no-model")}],
        "cases": [{"file": str(tmp_path / "none.jsonl")}],
        "output": {"track": "mlflo"},
    }
    with pytest.raises(ConfigError, match='did you mean "mlflow"'):
        resolve(RunSpec.from_dict(content))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneval.trackers.send.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tuneval\[wandb\]'"):
        check(["wandb"])


def test_a_tracker_that_fails_loses_nothing(
    result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        package = "json"

        def check(self) -> None:
            pass

        def send(self, run: Any) -> str:
            raise ConnectionError("nobody there")

    monkeypatch.setattr("tuneval.trackers.send.tracker_of", lambda name: Broken())
    with pytest.raises(ConfigError, match="nobody there") as caught:
        send(result, ["mlflow"])
    assert f"tuneval report {result.output_dir} --track mlflow" in str(caught.value)
    assert read(Path(result.output_dir) / "result.json").run_id == result.run_id


def test_nothing_is_sent_unasked(result: RunResult, tmp_path: Path) -> None:
    """The run of the fixture was scored without --track."""
    assert not list(tmp_path.rglob("mlruns")) + list(tmp_path.rglob("wandb"))
    assert exit_code(["report", result.output_dir]) == 0
