from __future__ import annotations

import json
import math
import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuneval.engine import journal as journal_module
from tuneval.engine.journal import Journal, key_of
from tuneval.errors import BackendError, ConfigError
from tuneval.types import Completion, Decoding, Message, Request, Response

FINGERPRINT = "0123456789abcdef" * 2
OTHER = "0123456789abcdef" + "f" * 16
"""Begins like the first, so both live in one folder."""

# A pair of lone surrogates is the one text that JSON cannot give back; no tokenizer makes it.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(min_value=0, max_value=2**40)
messages = st.lists(st.builds(Message, texts, texts), min_size=1, max_size=3).map(tuple)
decodings = st.builds(
    Decoding, counts, st.lists(texts, max_size=2).map(tuple), numbers, numbers, counts, counts
)
asked = st.one_of(
    st.fixed_dictionaries({"continuation": texts, "with_token_logprobs": st.booleans()}),
    st.fixed_dictionaries({"decoding": decodings}),
)
requests = st.builds(
    lambda prompt, what: Request("r", "c", prompt, **what), st.one_of(texts, messages), asked
)
responses = st.builds(
    Response,
    request_id=st.just("r"),
    variant=texts,
    completions=st.lists(st.builds(Completion, texts, counts, texts), max_size=3).map(tuple),
    loglikelihood=st.none() | numbers,
    n_tokens=counts,
    is_greedy=st.none() | st.booleans(),
    token_logprobs=st.none() | st.lists(numbers, max_size=4).map(tuple),
    prompt_tokens=counts,
    is_truncated=st.booleans(),
    seconds=numbers,
)


def question(text: str = "x", request_id: str = "r", **changed: object) -> Request:
    return replace(Request(request_id, "case", text, continuation="a"), **changed)


def answer_of(nats: float = -1.5) -> Response:
    return Response("r", "base", loglikelihood=nats, n_tokens=2, is_greedy=True)


def fill(folder: Path, n: int, fingerprint: str = FINGERPRINT) -> Path:
    """Record n answers in one shard and return the shard."""
    with Journal(folder) as journal:
        for k in range(n):
            journal.record(fingerprint, question(f"q{k}"), answer_of(-float(k)))
    (shard,) = (folder / fingerprint[:16]).glob("*.jsonl")
    return shard


def known(folder: Path, n: int) -> tuple[set[int], list[str]]:
    """Return which of n questions are remembered, and the warnings."""
    with Journal(folder) as journal:
        found = journal.lookup(FINGERPRINT, [question(f"q{k}", str(k)) for k in range(n)])
    return {int(one) for one in found}, journal.warnings


@given(requests, responses)
@example(question(), Response("r", "v", seconds=-0.0))
@settings(max_examples=60, deadline=None)
def test_an_answer_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, request: Request, response: Response
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with Journal(folder) as journal:
        journal.record(FINGERPRINT, request, response)
    with Journal(folder) as journal:
        found = journal.lookup(FINGERPRINT, [replace(request, id="again", case_id="another")])
    assert repr(found["again"]) == repr(replace(response, request_id="again"))
    assert journal.warnings == []


@given(requests, requests)
@settings(max_examples=60, deadline=None)
def test_only_the_same_content_has_the_same_key(one: Request, other: Request) -> None:
    same = repr(replace(one, id="", case_id="")) == repr(replace(other, id="", case_id=""))
    assert (key_of(FINGERPRINT, one) == key_of(FINGERPRINT, other)) == same
    assert key_of(FINGERPRINT, one) != key_of(OTHER, one)


def test_a_lone_surrogate_survives(tmp_path: Path) -> None:
    said = Response("r", "base", completions=(Completion("broken \ud83d", 3, "stop"),))
    request = question("also \udce9", continuation=None, decoding=Decoding())
    with Journal(tmp_path) as journal:
        journal.record(FINGERPRINT, request, said)
    with Journal(tmp_path) as journal:
        assert journal.lookup(FINGERPRINT, [request])["r"] == said


@pytest.mark.parametrize(
    "other",
    [
        question("y"),
        question("x "),
        question("x", continuation=" a"),
        question("x", with_token_logprobs=True),
        Request("r", "case", (Message("user", "x"),), continuation="a"),
        Request("r", "case", "x", decoding=Decoding()),
    ],
)
def test_another_question_is_not_known(tmp_path: Path, other: Request) -> None:
    with Journal(tmp_path) as journal:
        journal.record(FINGERPRINT, question(), answer_of())
        assert journal.lookup(FINGERPRINT, [other]) == {}
        assert "new" in journal.lookup(FINGERPRINT, [question(request_id="new")])


def test_variants_share_a_folder_and_no_answer(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.record(FINGERPRINT, question(), answer_of(-1.0))
        journal.record(OTHER, question(), answer_of(-2.0))
    assert len(list(tmp_path.glob("*"))) == 1
    with Journal(tmp_path) as journal:
        for fingerprint, nats in ((FINGERPRINT, -1.0), (OTHER, -2.0)):
            assert journal.lookup(fingerprint, [question()])["r"].loglikelihood == nats
        assert journal.lookup("f" * 32, [question()]) == {}


def test_a_strange_fingerprint_stays_in_the_folder(tmp_path: Path) -> None:
    home = tmp_path / "answers"
    with Journal(home) as journal:
        journal.record("../../outside", question(), answer_of())
        assert journal.lookup("../../outside", [question()])
    assert list(tmp_path.iterdir()) == [home]


def test_a_problem_is_no_answer(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.record(FINGERPRINT, question(), Response("r", "base", problem="out of memory"))
        assert journal.lookup(FINGERPRINT, [question()]) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_line_can_hold_a_number_that_is_none(tmp_path: Path, value: float) -> None:
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match="not JSON compliant"):
        journal.record(FINGERPRINT, question(), answer_of(value))


def test_an_answer_is_in_the_file_before_the_journal_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record(FINGERPRINT, question("q0"), answer_of())
    assert known(tmp_path, 1)[0] == {0}
    journal.close()


def test_syncs_are_a_second_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, synced = [100.0], []
    real = os.fsync
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(journal_module.os, "fsync", lambda fd: (synced.append(clock[0]), real(fd)))
    with Journal(tmp_path) as journal:
        for clock[0] in (100.0, 100.4, 101.1, 101.5, 102.2):
            journal.record(FINGERPRINT, question(str(clock[0])), answer_of())
    assert synced == [100.0, 101.1, 102.2, 102.2]  # the folder, two lines, the end


# ---- faults (the rows of sandbox_and_faults B2) ---------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize("cut", [1, 7, 40])
def test_fault_7_a_line_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    shard = fill(tmp_path, 4)
    shard.write_bytes(shard.read_bytes()[:-cut])
    found, warnings = known(tmp_path, 4)
    assert found == {0, 1, 2}
    assert warnings == [f"{shard}: 1 answer was cut off while it was written; it is asked again."]


@pytest.mark.fault
def test_fault_7_a_flipped_byte_costs_one_answer(tmp_path: Path) -> None:
    shard = fill(tmp_path, 4)
    lines = shard.read_bytes().splitlines(keepends=True)
    for at in range(0, len(lines[1]) - 1, 5):
        broken = bytearray(lines[1])
        broken[at] ^= 0x01
        shard.write_bytes(b"".join([lines[0], bytes(broken), *lines[2:]]))
        found, warnings = known(tmp_path, 4)
        assert found == {0, 2, 3}
        assert warnings == [
            f"{shard}: 1 damaged line is left alone (line 2); what stood there is asked again."
        ]


@pytest.mark.fault
@pytest.mark.parametrize(
    ("spoil", "left"),
    [
        (lambda data: b"", set()),
        (lambda data: b"\0" * 4096, set()),
        (lambda data: data + b"\0" * 4096, {0, 1, 2}),
        (lambda data: b"\xff\xfe\n" + data, {0, 1, 2}),
        (lambda data: b"\n\n" + data, {0, 1, 2}),
        (lambda data: data.replace(b"\n", b"\r\n"), set()),
    ],
    ids=["empty", "zeros", "zeros at the end", "not utf-8", "empty lines", "CRLF"],
)
def test_fault_7_files_that_a_crash_leaves(tmp_path: Path, spoil: object, left: set[int]) -> None:
    shard = fill(tmp_path, 3)
    shard.write_bytes(spoil(shard.read_bytes()))  # type: ignore[operator]
    assert known(tmp_path, 3)[0] == left


@pytest.mark.fault
def test_parts_of_dead_processes_go(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (home,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (home / "plans").mkdir()
    left = [tmp_path / ".probe-1-a", home / "variant.json.1-a.part", home / "plans" / "p.1-a.part"]
    fresh = home / "variant.json.2-b.part"
    for path in (*left, fresh):
        path.write_text("{")
    for path in left:
        os.utime(path, (1, 1))
    known(tmp_path, 1)
    assert [path.exists() for path in (*left, fresh)] == [False, False, False, True]


def test_a_loss_that_nobody_misses_is_not_told(tmp_path: Path) -> None:
    shard = fill(tmp_path, 3)
    shard.write_bytes(shard.read_bytes()[:-3])
    assert known(tmp_path, 2) == ({0, 1}, [])


def rewritten(line: bytes, **changed: object) -> bytes:
    body = json.dumps({**json.loads(line[9:]), **changed}, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


@pytest.mark.fault
def test_fault_9_another_version_is_not_reused(tmp_path: Path) -> None:
    shard = fill(tmp_path, 3)
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(rewritten(line, version=0) for line in lines[:2]) + lines[2])
    found, warnings = known(tmp_path, 3)
    assert found == {2}
    assert warnings == [
        f"{shard}: 2 answers of version 0 cannot be reused in version 1 and will be asked again."
    ]


@pytest.mark.fault
def test_fault_9_other_decoding_is_named(tmp_path: Path) -> None:
    short, long = (Decoding(max_tokens=n, stop=("\n",)) for n in (16, 64))
    said = Response("r", "base", completions=(Completion("a", 1, "stop"),))
    with Journal(tmp_path) as journal:
        for k in range(3):
            drawn = question(f"q{k}", continuation=None, decoding=short)
            journal.record(FINGERPRINT, drawn, said)
    with Journal(tmp_path) as journal:
        again = [question(f"q{k}", str(k), continuation=None, decoding=long) for k in range(3)]
        assert journal.lookup(FINGERPRINT, again) == {}
    assert journal.warnings == [
        "3 prompts were answered before with max_tokens 16 instead of 64: asked again."
    ]


@pytest.mark.fault
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dtype": "bfloat16"}, 'dtype is "bfloat16", was "float32"'),
        ({"template": "b2"}, 'template is "b2", was "a1"'),
        ({}, "weights or files changed"),
    ],
)
def test_fault_9_what_changed_in_a_variant_is_named(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    before = {"model": "small", "adapter": "out", "dtype": "float32", "template": "a1"}
    with Journal(tmp_path) as journal:
        journal.introduce("a" * 32, before)
        journal.introduce("a" * 32, before)
        assert journal.warnings == []
    with Journal(tmp_path) as journal:
        journal.introduce("b" * 32, {**before, **changed})
        journal.introduce("b" * 32, {**before, **changed})
    assert journal.warnings == [
        f'earlier answers of "small" with adapter "out" are not reused: {message}.'
    ]


@pytest.mark.fault
def test_fault_6_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_text("I am a file")
    for folder in (path, path / "below"):
        with pytest.raises(ConfigError, match="cannot be used at") as caught:
            Journal(folder)
        assert str(folder) in str(caught.value)
        assert "Set TUNEVAL_HOME to a folder that can be written." in str(caught.value)


@pytest.mark.fault
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_fault_6_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere but into the kernel's own file system
        folder = Path("/proc/tuneval")
    with pytest.raises(ConfigError, match="cannot be used at"):
        Journal(folder)


@pytest.mark.fault
def test_fault_5_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line reaches the disk; later answers go into a shard of their own."""
    real = os.write
    is_full = [False]

    def write(fd: int, data: bytes) -> int:
        if not is_full[0]:
            return real(fd, data)
        if len(data) > 20:
            return real(fd, bytes(data[:20]))
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path)
    journal.record(FINGERPRINT, question("q0"), answer_of())
    monkeypatch.setattr(journal_module.os, "write", lambda fd, data: write(fd, data[:21]))
    is_full[0] = True
    with pytest.raises(BackendError, match="No space left on device") as caught:
        journal.record(FINGERPRINT, question("q1"), answer_of())
    assert str(tmp_path) in str(caught.value)
    assert "Answers recorded so far are safe. Free some space" in str(caught.value)
    is_full[0] = False
    journal.record(FINGERPRINT, question("q2"), answer_of())
    journal.close()
    monkeypatch.undo()
    assert known(tmp_path, 3)[0] == {0, 2}
