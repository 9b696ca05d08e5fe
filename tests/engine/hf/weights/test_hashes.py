"""Hashes of weights are those of the contents, and are kept no longer than the contents."""

from __future__ import annotations

import hashlib
import os

import pytest

from tuneval.engine.hf.weights import hashes

BIG = 2 * 2**20


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """A process that knows nothing yet, and to which 1 MB is large."""
    monkeypatch.setattr(hashes, "_LARGE", 2**20)
    monkeypatch.setattr(hashes, "KNOWN", {})
    monkeypatch.setattr(hashes, "_AHEAD", {})


@pytest.fixture
def reads(monkeypatch):
    """How often a file was read as a whole."""
    counted = []
    whole = hashlib.file_digest

    def count(*args):
        counted.append(1)
        return whole(*args)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return counted


def of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("size", "n_reads"), [(BIG, 1), (1000, 2)])
def test_large_files_are_read_once_per_machine(tmp_path, reads, monkeypatch, size, n_reads) -> None:
    file, memory = tmp_path / "a", tmp_path / "home" / "hashes.json"
    content = os.urandom(size)
    file.write_bytes(content)
    for _ in range(2):
        monkeypatch.setattr(hashes, "KNOWN", {})  # another process
        assert hashes.of_file(file, memory) == of(content)
        assert hashes.of_file(file, memory) == of(content)
    assert len(reads) == n_reads


@pytest.mark.parametrize("how", ["in place", "another file"])
@pytest.mark.parametrize("is_new_process", [True, False])
def test_a_file_of_the_same_size_and_time_is_noticed(
    tmp_path, monkeypatch, how, is_new_process
) -> None:
    file, memory = tmp_path / "a", tmp_path / "hashes.json"
    file.write_bytes(bytes(BIG))
    state = file.stat()
    assert hashes.of_file(file, memory) == of(bytes(BIG))
    other = os.urandom(BIG)
    if how == "another file":
        (tmp_path / "b").write_bytes(other)
        (tmp_path / "b").replace(file)
    else:
        with file.open("r+b") as stream:
            stream.write(other)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    if is_new_process:
        monkeypatch.setattr(hashes, "KNOWN", {})
    assert hashes.of_file(file, memory) == of(other)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 0, "hashes": {}}',
        '{"version": 1, "hashes": []}',
        "[" * 9999,
    ],
)
def test_a_damaged_memory_is_made_anew(tmp_path, reads, monkeypatch, content) -> None:
    file, memory = tmp_path / "a", tmp_path / "hashes.json"
    file.write_bytes(bytes(BIG))
    memory.write_text(content)
    for _ in range(2):
        monkeypatch.setattr(hashes, "KNOWN", {})
        assert hashes.of_file(file, memory) == of(bytes(BIG))
    assert len(reads) == 1


def test_a_memory_that_cannot_be_written_costs_time_alone(tmp_path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(BIG))
    (tmp_path / "home").write_text("a file")
    assert hashes.of_file(file, tmp_path / "home" / "hashes.json") == of(bytes(BIG))


def test_blobs_of_the_hub_go_by_their_names(tmp_path, reads) -> None:
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    folder.mkdir(parents=True)
    content = os.urandom(BIG)
    (blobs / of(content)).write_bytes(content)
    (folder / "model.safetensors").symlink_to(blobs / of(content))
    assert hashes.of_file(folder / "model.safetensors", None) == of(content)
    assert not reads


def test_a_thread_hashes_ahead_and_the_file_is_read_once(tmp_path, reads) -> None:
    file = tmp_path / "a"
    content = os.urandom(BIG)
    file.write_bytes(content)
    hashes.begin([file], None)
    hashes.begin([file], None)
    assert hashes.of_file(file, None) == of(content)
    assert len(reads) == 1


def test_a_file_that_changes_after_it_was_hashed_ahead_is_noticed(tmp_path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(BIG))
    hashes.begin([file], None)
    hashes._AHEAD[file].result()
    file.write_bytes(os.urandom(BIG))
    assert hashes.of_file(file, None) == of(file.read_bytes())


def test_what_goes_wrong_ahead_is_raised_where_the_hash_is_asked_for(tmp_path) -> None:
    hashes.begin([tmp_path / "gone"], None)
    with pytest.raises(FileNotFoundError, match="gone"):
        hashes.of_file(tmp_path / "gone", None)
