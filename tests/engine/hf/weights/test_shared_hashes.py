"""Hashes that one process made are taken over by another, unless the file changed meanwhile."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tuneval.engine.hf.weights import fingerprint, hashes


def test_a_hash_is_taken_over_and_a_changed_file_is_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "KNOWN", {})
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    first = fingerprint.of_files([file])
    told = fingerprint.known()
    monkeypatch.setattr(hashes, "KNOWN", {})
    fingerprint.learn(told)

    def refuse(*_: object) -> None:
        raise AssertionError("it was hashed again")

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", refuse)
        assert fingerprint.of_files([file]) == first
    file.write_bytes(b"other weights")
    assert fingerprint.of_files([file]) != first
