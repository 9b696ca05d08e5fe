"""Paraphrases by a model: what passes, what is written, and that a stop loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.fake_server import serving
from tiny_models import build_model
from tuneval.cli.main import exit_code
from tuneval.engine.scripted import ScriptedBackend
from tuneval.perturbations import perturb
from tuneval.pipeline import paraphrasing
from tuneval.types import Case, Completion, Request, Response, Variant

TEXTS = ("Where is my card 12, please?", "I do not see the refund on my account.")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    rows = [{"text": text, "label": "ab"[n]} for n, text in enumerate(TEXTS)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Please, where is my card 12?", None),
        ('"Please, where is my card 12?"\nText: more', None),
        ("Where is my card 13, please?", "other numbers"),
        ("Where is my card 12 not, please?", "another number of negations"),
        ("Card 12?", "less than half or more than twice as long"),
        ("Where is my card 12, please?", "the same text"),
        ("Zebra 12 sleeps in a fuzzy box", "too far from the text (chrF below 30)"),
        ("Where is my card 12, please", "too near to the text (chrF above 95)"),
        ("  \n", "an empty answer"),
    ],
)
def test_what_passes(said: str, why: str | None) -> None:
    response = Response("r", "p", (Completion(said, 5, "stop"),))
    written = paraphrasing.sift({"t:1": TEXTS[0]}, {"t:1": response}, 1)
    assert [one.why for one in written.rejected] == ([] if why is None else [why])
    assert written.accepted == (() if why else (("t:1", "Please, where is my card 12?", TEXTS[0]),))


def test_repeats_cut_texts_and_failures_are_counted() -> None:
    good = Completion("Please, where is my card 12?", 5, "stop")
    cut = Completion("My card 12, where might it", 9, "length")
    written = paraphrasing.sift(
        {"t:1": TEXTS[0], "t:2": TEXTS[1]},
        {"t:1": Response("1", "p", (good, good, cut)), "t:2": Response("2", "p", problem="server")},
        3,
    )
    assert written.counts == {"said twice": 1, "cut at the token limit": 1, "no answer": 1}
    assert (written.n_covered, written.n_without_text) == (1, 1)


def test_a_served_model_writes_a_file_that_a_run_reads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(content="On my account I do not find the refund.", models=("small",)) as fake:
        words = ["paraphrase", "test.jsonl", "--with", "openai:small", "--url", fake.url]
        assert exit_code([*words, "-o", "p.jsonl", "-q"]) == 0
    said = capsys.readouterr()
    assert said.out == "p.jsonl\n"
    assert "1 paraphrases of 1 of 2 cases; 1 rejected" in said.err
    assert "1  other numbers" in said.err
    (row,) = map(json.loads, Path("p.jsonl").read_text().splitlines())
    assert row == {
        "id": "test.jsonl:2",
        "text": "On my account I do not find the refund.",
        "original": TEXTS[1],
    }
    about = json.loads(Path("p.rejected.json").read_text())
    assert about["rejected"] == {"other numbers": 1}
    assert about["texts"][0]["id"] == "test.jsonl:1"
    case = Case("test.jsonl:2", {"text": TEXTS[1]}, ("b",))
    (twin,), _ = perturb([case], "paraphrase", "file", 0, file="p.jsonl")
    assert twin.inputs["text"] == row["text"]
    assert exit_code([*words, "-o", "p.jsonl", "-q"]) == 2
    assert "somebody may have looked it through" in capsys.readouterr().err


def test_a_local_model_answers_as_many_times_as_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = build_model(tmp_path / "model")
    words = ["paraphrase", "test.jsonl", "--with", str(model), "-o", "p.jsonl", "--per-case", "2"]
    assert exit_code([*words, "--limit", "1", "-q"]) == 0
    assert "0 paraphrases of 0 of 1 cases; 2 rejected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--with", "m", "-o", "p.csv"], 'give a name that ends in .jsonl'),
        (["--with", "m", "-o", "no/p.jsonl"], "its folder does not exist"),
        (["--with", "m", "-o", "p.jsonl", "--url", "http://x"], "--with openai:m"),
        (["--with", "m", "-o", "p.jsonl", "--per-case", "0"], "not a number of at least 1"),
        (["--with", "./nowhere", "-o", "p.jsonl"], "nowhere"),
        (["--with", "m", "-o", "p.jsonl", "--input", "txt"], 'there is no "txt"'),
    ],
)  # fmt: skip
def test_wrong_words(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["paraphrase", "test.jsonl", *words, "--offline"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("p.jsonl").exists()


def test_after_an_interrupt_only_the_rest_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backends: list[ScriptedBackend] = []

    def make(*_: object) -> ScriptedBackend:
        def say(variant: Variant, request: Request) -> str:
            if len(backends) == 1 and request.case_id == "test.jsonl:2":
                raise KeyboardInterrupt
            return "Please, where is my card 12?"

        backends.append(ScriptedBackend(say))
        return backends[-1]

    monkeypatch.setattr(paraphrasing, "make_backend", make)
    words = ["paraphrase", "test.jsonl", "--with", "m", "-o", "p.jsonl", "-q"]
    assert exit_code(words) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not Path("p.jsonl").exists()
    assert exit_code(words) == 0
    assert [request.case_id for _, request in backends[1].asked] == ["test.jsonl:2"]
    assert len(Path("p.jsonl").read_text().splitlines()) == 1
