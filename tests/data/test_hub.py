"""``datasets`` objects, folders and hub ids; nothing here needs the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tuneval.data import hub
from tuneval.data.read import read
from tuneval.errors import DataError

ROWS = [{"text": "x", "label": 0}, {"text": "y", "label": 1}]


def message(source: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    return str(caught.value)


@pytest.fixture
def dataset() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["negative", "positive"])
    )
    return datasets.Dataset.from_list(ROWS, features=features)


def test_a_dataset_in_memory(dataset: Any) -> None:
    found = read(dataset)
    assert [(c.id, c.references[0]) for c in found.cases] == [
        ("dataset:1", "negative"),
        ("dataset:2", "positive"),
    ]
    assert found.labels == ("negative", "positive")


def test_a_saved_folder_and_its_splits(dataset: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    dataset.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": dataset, "dev": dataset}).save_to_disk(str(tmp_path / "many"))
    for folder in ("one", "many"):
        found = read(tmp_path / folder)
        assert [case.references[0] for case in found.cases] == ["negative", "positive"]
        assert found.name == folder
    assert message(tmp_path / "many", split="train") == (
        'many: no split "train" (found "test", "dev").\nSay --split test, for instance.'
    )


def test_a_hub_id_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        @staticmethod
        def load_dataset(name: str, configuration: str | None) -> Any:
            raise ConnectionError("offline")

    monkeypatch.setattr(hub, "_datasets", lambda what: Offline)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert message("owner/name:main") == (
        '"owner/name:main" is not in the cache and this run is offline.\n'
        "Download it elsewhere with: hf download --repo-type dataset owner/name\n"
        "then pass one of its files, or unset HF_HUB_OFFLINE."
    )
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert message("owner/name") == (
        '"owner/name" is no file here, and as a data set of the hub it cannot be read:\n'
        "    offline\n"
        "A configuration is named after a colon, as in owner/name:configuration."
    )


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert message("owner/name") == "\"owner/name\" needs datasets: pip install 'tuneval[hub]'"
    (tmp_path / "dataset_dict.json").write_text("{}")
    assert message(tmp_path) == f"\"{tmp_path}\" needs datasets: pip install 'tuneval[hub]'"


@pytest.mark.parametrize("source", ["data/test.jsonl", "no/such/dir/x", "name", "./owner/name"])
def test_what_is_meant_as_a_path_never_reaches_the_hub(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "read_hub", lambda *_: pytest.fail("asked the hub"))
    assert "there is no file" in message(source)
