"""replace_file: old text or new text, never half of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneval.report.files import replace_file


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "report.html"
    assert replace_file(path, "old\r\n") == path
    replace_file(path, "né\n")
    assert path.read_bytes() == "né\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_is_readable_as_umask_allows(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert replace_file(tmp_path / "made", "x").stat().st_mode == plain.stat().st_mode


def test_failure_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = replace_file(tmp_path / "result.json", "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuneval.report.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left") as full:
        replace_file(path, "new")
    assert full.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_surrogate_pair_is_written_as_replacement(tmp_path: Path) -> None:
    assert replace_file(tmp_path / "x", "a\ud800b").read_text("utf-8") == "a\ufffdb"
