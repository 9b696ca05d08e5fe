from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import BackendError
from tuneval.types import Completion, Decoding, Head, Request, Response, Variant

BASE = Variant("base", "base", "small")


def likelihoods(*words: str, prompt: str = "x") -> list[Request]:
    return [Request(f"r{n}", "case", prompt, continuation=word) for n, word in enumerate(words)]


class Twisted(ScriptedBackend):
    """Passes its responses through a function before they leave."""

    def __init__(self, twist: Callable[[Iterator[Response]], Iterator[Response]]) -> None:
        super().__init__({"": "a"})
        self.twist = twist

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        yield from self.twist(super().answer(variant, requests, known))


class Counted:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def begin(self, stage: str, total: int) -> None:
        self.calls.append(("begin", stage, total))

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        self.calls.append(("advance", n, n_reused))

    def end(self) -> None:
        self.calls.append(("end",))


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    backend = Twisted(lambda responses: reversed(list(responses)))
    with Journal(tmp_path) as journal:
        answers = answer(backend, BASE, likelihoods("a", "b", "c"), journal)
    assert list(answers) == ["r0", "r1", "r2"]
    assert [one.request_id for one in answers.values()] == ["r0", "r1", "r2"]
    assert answers["r0"].is_greedy and not answers["r1"].is_greedy


def test_the_same_content_is_asked_once(tmp_path: Path) -> None:
    backend = ScriptedBackend({"": "a"})
    with Journal(tmp_path) as journal:
        answers = answer(backend, BASE, likelihoods("a", "b", "a", "a"), journal)
    assert [request.id for _, request in backend.asked] == ["r0", "r1"]
    assert [answers[f"r{n}"].loglikelihood for n in (0, 2, 3)] == [answers["r0"].loglikelihood] * 3
    assert [answers[one].request_id for one in answers] == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize(
    ("head", "n_new"), [("causal", 0), ("seq2seq", 0), ("classification", 2), ("tokens", 2)]
)
def test_bare_texts_count_where_a_head_reads_them(head: Head, n_new: int, tmp_path: Path) -> None:
    variant = replace(BASE, head=head)
    plain = likelihoods("a", "b")
    with_texts = [replace(request, texts=("one", "two")) for request in plain]
    with Journal(tmp_path) as journal:
        answer(ScriptedBackend({"": "a"}), variant, plain, journal)
    again = ScriptedBackend({"": "a"})
    with Journal(tmp_path) as journal:
        answer(again, variant, with_texts, journal)
    assert len(again.asked) == n_new
    reworded = [replace(request, prompt="y") for request in with_texts]
    with Journal(tmp_path) as journal:
        answer(again, variant, reworded, journal)
    # Another wording is another question to a language model, and none to a head over texts.
    assert len(again.asked) == 2


def test_the_second_time_nothing_is_asked(tmp_path: Path) -> None:
    requests = likelihoods("a", "b")
    with Journal(tmp_path) as journal:
        first = answer(ScriptedBackend({"": "a"}), BASE, requests, journal)
    again = ScriptedBackend({"": "a"})
    renamed = Variant("another name", "base", "small")
    progress = Counted()
    with Journal(tmp_path) as journal:
        second = answer(again, renamed, requests, journal, progress)
    assert again.asked == []
    assert journal.n_reused == 2
    assert [one.loglikelihood for one in second.values()] == [
        one.loglikelihood for one in first.values()
    ]
    assert {one.variant for one in second.values()} == {"another name"}
    assert progress.calls == [("begin", "another name", 2), ("advance", 2, 2), ("end",)]


def test_progress_counts_twins_and_reuse(tmp_path: Path) -> None:
    progress = Counted()
    with Journal(tmp_path) as journal:
        answer(ScriptedBackend({"": "a"}), BASE, likelihoods("a"), journal)
        answer(ScriptedBackend({"": "a"}), BASE, likelihoods("a", "b", "b"), journal, progress)
    assert progress.calls == [
        ("begin", "base", 3), ("advance", 1, 1), ("advance", 2, 0), ("end",),
    ]  # fmt: skip


class Planned(ScriptedBackend):
    """Notes over which requests it was told to plan, and what it had to yield of them."""

    def __init__(self) -> None:
        super().__init__({"": "a"})
        self.plans: list[tuple[list[str], list[str]]] = []

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        ids = [request.id for request in requests]
        self.plans.append((ids, [one for one in ids if one not in known]))
        yield from super().answer(variant, requests, known)


def ask_after(folder: Path, *words: str, spoil: str) -> tuple[Planned, list[str]]:
    """Lose the lines of ``spoil`` (``asked`` numbers in the order of recording) and ask again."""
    shards = sorted(folder.glob("*/*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = [(shard, n) for shard in shards for n in range(len(shard.read_bytes().splitlines()))]
    for shard, n in (lines[int(one)] for one in spoil):
        content = shard.read_bytes().splitlines(keepends=True)
        content[n] = b"0" * 8 + content[n][8:]
        shard.write_bytes(b"".join(content))
    backend = Planned()
    with Journal(folder) as journal:
        assert list(answer(backend, BASE, likelihoods(*words), journal)) == [
            f"r{n}" for n in range(len(words))
        ]
    return backend, [one for one in journal.warnings if "damaged line" not in one]


@pytest.mark.fault
def test_fault_7_what_is_lost_is_asked_again_in_the_company_it_had(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        answer(Planned(), BASE, likelihoods("a", "b", "c"), journal)
    backend, warnings = ask_after(tmp_path, "a", "b", "c", spoil="1")
    assert backend.plans == [(["r0", "r1", "r2"], ["r1"])]
    assert warnings == []


@pytest.mark.fault
def test_fault_7_company_that_nobody_remembers_is_said(tmp_path: Path) -> None:
    for words in (("a", "b"), ("a", "b", "c", "d")):
        with Journal(tmp_path) as journal:
            answer(Planned(), BASE, likelihoods(*words), journal)
    backend, warnings = ask_after(tmp_path, "a", "b", "c", "d", spoil="03")
    assert backend.plans == [(["r2", "r3"], ["r3"]), (["r0"], ["r0"])]
    assert warnings == [
        "1 answer of an earlier run can no longer be read and was asked again in other company: "
        "log-likelihoods may differ in their last digits (1e-5) from those that were lost."
    ]


@pytest.mark.fault
@pytest.mark.parametrize("spoilt", ["", "{}", "[7]", '["a"]', "[0"])
def test_fault_7_a_plan_that_cannot_be_read_is_said(tmp_path: Path, spoilt: str) -> None:
    with Journal(tmp_path) as journal:
        answer(Planned(), BASE, likelihoods("a", "b"), journal)
    (plan,) = tmp_path.glob("*/plans/*")
    plan.write_text(spoilt)
    backend, warnings = ask_after(tmp_path, "a", "b", spoil="1")
    assert backend.plans == [(["r1"], ["r1"])]
    assert warnings == [
        f"{plan}: what was computed together before can no longer be read: for what is asked again, "
        "log-likelihoods may differ in their last digits (1e-5) from those that were lost."
    ]


def test_a_problem_is_asked_again_next_time(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        first = answer(ScriptedBackend({}), BASE, likelihoods("a"), journal)
        assert first["r0"].problem == "the script says nothing to this prompt"
        again = ScriptedBackend({})
        answer(again, BASE, likelihoods("a"), journal)
    assert len(again.asked) == 1


def drop_last(responses: Iterator[Response]) -> Iterator[Response]:
    yield from list(responses)[:-1]


def repeat(responses: Iterator[Response]) -> Iterator[Response]:
    for response in responses:
        yield response
        yield response


def invent(responses: Iterator[Response]) -> Iterator[Response]:
    yield Response("nobody", "base", loglikelihood=-1.0)


def empty(responses: Iterator[Response]) -> Iterator[Response]:
    yield Response("r0", "base")


@pytest.mark.parametrize(
    ("twist", "message"),
    [
        (drop_last, r'left 1 of 2 requests without an answer \(first: "r1"\)'),
        (repeat, 'answered request "r0", which was not asked or was answered before'),
        (invent, 'answered request "nobody", which was not asked'),
        (empty, 'request "r0": a log-likelihood was asked for and none came'),
    ],
)
def test_a_backend_that_breaks_its_contract(
    tmp_path: Path, twist: Callable[[Iterator[Response]], Iterator[Response]], message: str
) -> None:
    with Journal(tmp_path) as journal, pytest.raises(BackendError, match=message):
        answer(Twisted(twist), BASE, likelihoods("a", "b"), journal)


def test_too_few_completions_are_a_fault(tmp_path: Path) -> None:
    request = Request("r0", "c", "x", decoding=Decoding(n_completions=2, temperature=1.0))
    one = Response("r0", "base", completions=(Completion("a", 1, "stop"),))
    message = "2 completions were asked for and 1 came"
    with Journal(tmp_path) as journal, pytest.raises(BackendError, match=message):
        answer(Twisted(lambda _: iter([one])), BASE, [request], journal)


@pytest.mark.fault
@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_fault_12_a_number_that_is_none(tmp_path: Path, value: float) -> None:
    """sandbox_and_faults B2, row 12: marked, not stored, the others unharmed."""
    backend = ScriptedBackend({"": {"good": -1.0, "bad": value}})
    with Journal(tmp_path) as journal:
        answers = answer(backend, BASE, likelihoods("good", "bad"), journal)
    assert answers["r0"].loglikelihood == -1.0
    assert answers["r1"].problem == f"nonfinite: the log-likelihood is {value}"
    assert answers["r1"].loglikelihood is None
    with Journal(tmp_path) as journal:
        found = journal.lookup(backend.fingerprint(BASE), likelihoods("good", "bad"))
    assert list(found) == ["r0"]


@pytest.mark.fault
def test_fault_13_an_empty_completion_is_an_answer(tmp_path: Path) -> None:
    """sandbox_and_faults B2, row 13."""
    request = Request("r0", "c", "x", decoding=Decoding())
    with Journal(tmp_path) as journal:
        first = answer(ScriptedBackend({"": ""}), BASE, [request], journal)
        again = ScriptedBackend({"": ""})
        second = answer(again, BASE, [request], journal)
    assert first["r0"].completions == second["r0"].completions == (Completion("", 1, "stop"),)
    assert first["r0"].problem is None
    assert again.asked == []


def test_an_interrupt_leaves_what_was_answered(tmp_path: Path) -> None:
    def interrupted(responses: Iterator[Response]) -> Iterator[Response]:
        yield next(responses)
        raise KeyboardInterrupt

    progress = Counted()
    journal = Journal(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        answer(Twisted(interrupted), BASE, likelihoods("a", "b"), journal, progress)
    assert progress.calls[-1] == ("end",)
    backend = Twisted(lambda responses: responses)
    with Journal(tmp_path) as other:
        answer(backend, BASE, likelihoods("a", "b"), other)
    assert [request.id for _, request in backend.asked] == ["r1"]


def test_nothing_asked_is_nothing_done(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        assert answer(ScriptedBackend({}), BASE, [], journal) == {}


@pytest.mark.fault
def test_fault_9_other_settings_are_named(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        answer(ScriptedBackend({"": "a"}), BASE, likelihoods("a"), journal)
        assert journal.warnings == []
        other = ScriptedBackend({"": "a"}, version="2")
        answer(other, Variant("base", "base", "small", dtype="bfloat16"), likelihoods("a"), journal)
    assert len(other.asked) == 1
    assert journal.warnings == [
        'earlier answers of "small" are not reused: dtype is "bfloat16", was "auto"; '
        'script is "2", was "1".'
    ]


def test_two_variants_never_share_an_answer(tmp_path: Path) -> None:
    backend = ScriptedBackend(models={"base": {"": "a"}, "lora": {"": "b"}})
    lora = Variant("lora", "adapter", "small", adapter="out")
    with Journal(tmp_path) as journal:
        base_answers = answer(backend, BASE, likelihoods("a", "b"), journal)
        lora_answers = answer(backend, lora, likelihoods("a", "b"), journal)
    assert base_answers["r0"].is_greedy and lora_answers["r1"].is_greedy
    assert journal.n_reused == 0
