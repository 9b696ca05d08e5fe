"""``tuneval score --judge``: outputs that exist already, compared by judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine.fake_server import completed, reply, serving, status
from pipeline.conftest import write_rows
from pipeline.judging.conftest import prefers_good
from shared import shared_path, shared_rows
from tuneval.api import RunResult
from tuneval.cli.main import exit_code
from tuneval.engine.journal import Journal

N = 40


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prompts = [{"id": n, "prompt": f"Say {n}.", "half": f"h{n % 2}"} for n in range(N)]
    base = [{**row, "output": "PLAIN answer"} for row in prompts]
    lora = [{"id": n, "output": "PLAIN too" if n % 4 == 0 else "GOOD answer"} for n in range(N)]
    expected = [{**row, "reference": f"the number {row['id']}"} for row in prompts]
    for name, rows in (("prompts", prompts), ("base", base), ("expected", expected)):
        write_rows(tmp_path / f"{name}.jsonl", rows)
    write_rows(tmp_path / "lora.jsonl", lora[::-1])
    return tmp_path


def scored(capsys: pytest.CaptureFixture[str], *words: str, expects: int = 0) -> RunResult:
    systems = ["--predictions", "base=base.jsonl", "--predictions", "lora=lora.jsonl"]
    code = exit_code(["score", *systems, *words, "--quiet"])
    told = capsys.readouterr()
    assert code == expects, told.err
    (folder,) = {one.parent.resolve() for one in Path("tuneval-runs").glob("*/result.json")}
    return RunResult.load(folder)


def win_rate(result: RunResult, arm: str, slice_: str = "all") -> float:
    (found,) = [
        one.value
        for one in result.scores
        if (one.variant, one.metric, one.slice) == (arm, "win_rate", slice_)
        and "(judged)" in one.case_set
    ]
    return found


@pytest.mark.parametrize("prompts", ["prompts.jsonl", "prompts.jsonl:prompt", "base.jsonl"])
def test_prompts_alone(prompts: str, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(content=prefers_good) as fake:
        words = ["--prompts", prompts, "--judge", "openai:small", "--judge-url", fake.url]
        result = scored(capsys, *words, "--group", "half")
        n_asked = len(fake.seen)
        scored(capsys, *words, "--group", "half")
        assert len(fake.seen) - n_asked == 2, "two probes; every verdict is remembered"
    assert win_rate(result, "lora") == pytest.approx((30 + 5) / N)
    assert win_rate(result, "lora", "half=h1") == 1.0
    assert {one.metric.partition(",")[0] for one in result.scores} == {"win_rate"}
    assert result.headline == "BETTER"
    assert any("no model but the judge was run" in one for one in result.notes)
    folder = Path("tuneval-runs/latest").resolve()
    assert "judged" in (folder / "report.html").read_text("utf-8")
    assert exit_code(["gate", str(folder), "win_rate@lora >= 60", "slice:half=h1 > 80"]) == 0
    assert exit_code(["report", str(folder), "--to-mark", "20"]) == 0


def test_beside_references_both_decide(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(content=prefers_good) as fake:
        words = ["--references", "expected.jsonl:reference", "--metrics", "rougeL"]
        result = scored(capsys, *words, "--judge", "openai:small", "--judge-url", fake.url)
    assert set(result.primary_metrics.values()) == {"rougeL", "win_rate"}
    assert win_rate(result, "lora") == pytest.approx((30 + 5) / N)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prompts", "prompts.jsonl"], "--judge MODEL compares the outputs"),
        ([], "or --prompts FILE[:COLUMN] with --judge MODEL"),
        (["--prompts", "prompts.jsonl", "--references", "expected.jsonl"], "what was expected?"),
        (["--prompts", "lora.jsonl:id2"], 'no column of prompts called "id2"'),
        (["--prompts", "prompts.jsonl", "--judge-url", "http://127.0.0.1:9"], "without --judge"),
        (
            ["--prompts", "prompts.jsonl", "--judge", "nowhere"],
            '"nowhere" is neither a folder here',
        ),
    ],
)
def test_what_cannot_be_judged(
    words: list[str], told: str, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systems = ["--predictions", "base=base.jsonl", "--predictions", "lora=lora.jsonl"]
    assert exit_code(["score", *systems, *words]) == 2
    assert told in capsys.readouterr().err


def test_references_without_a_question(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(Path("bare.jsonl"), [{"id": n, "reference": f"the number {n}"} for n in range(N)])
    systems = ["--predictions", "base=base.jsonl", "--predictions", "lora=lora.jsonl"]
    words = [
        "--references",
        "bare.jsonl",
        "--judge",
        "openai:x",
        "--judge-url",
        "http://127.0.0.1:9",
    ]
    assert exit_code(["score", *systems, *words]) == 2
    assert "a judge is shown what was asked" in capsys.readouterr().err


def test_real_outputs_of_alpaca_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two released systems on real instructions; the judge counts letters, and so can the test."""
    asked = shared_rows("alpaca_eval", "eval_set.jsonl.gz")[:60]
    said = {
        name: shared_rows("alpaca_eval", "outputs", f"{model}.jsonl.gz")[:60]
        for name, model in (("base", "alpaca-7b"), ("lora", "vicuna-7b-v1.5"))
    }
    monkeypatch.chdir(tmp_path)
    write_rows(Path("prompts.jsonl"), asked)
    for name, rows in said.items():
        write_rows(Path(f"{name}.jsonl"), rows)

    def longer(request: dict[str, Any]) -> str:
        text = request["messages"][-1]["content"]
        if "<answer A>" not in text:
            return "A"
        first, _, second = text.rpartition("<answer A>\n")[2].partition("\n</answer A>")
        second = second.partition("<answer B>\n")[2].rpartition("\n</answer B>")[0]
        return "B" if len(second) > len(first) else "A"

    with serving(content=longer) as fake:
        result = scored(
            capsys, "--prompts", "prompts.jsonl:instruction", "--judge", "openai:small",
            "--judge-url", fake.url,
        )  # fmt: skip
    texts = [[row["output"].strip() for row in rows] for rows in said.values()]
    lengths = [(len(a), len(b)) for a, b in zip(*texts, strict=True)]
    expected = sum(1.0 if b > a else 0.5 if a == b else 0.0 for a, b in lengths) / len(lengths)
    assert win_rate(result, "lora") == pytest.approx(expected, abs=0.02)


def test_alpaca_eval_against_its_own_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shared_path("alpaca_eval")
    rows = shared_rows("alpaca_eval", "outputs", "alpaca-7b.jsonl.gz")
    monkeypatch.chdir(tmp_path)
    write_rows(Path("alpaca.jsonl"), rows)
    with serving(content=lambda asked: "A") as fake:
        words = ["score", "--benchmark", "alpaca_eval", "--benchmark-data", str(place), "--quiet"]
        words += ["--predictions", "alpaca=alpaca.jsonl", "--judge", "openai:small"]
        assert exit_code([*words, "--judge-url", fake.url]) == 0
    folder = Path("tuneval-runs/latest").resolve()
    result = RunResult.load(folder)
    assert win_rate(result, "alpaca") == 0.5
    assert json.loads((folder / "result.json").read_text())["spec"]["judge"]["model"] == "small"


@pytest.mark.parametrize("ends", ["the person stops", "the key is refused"])
def test_what_was_judged_before_the_end_is_not_asked_again(
    ends: str, outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two judges of 80 questions each; the end comes half way through the second one's."""
    n_of_both, n_known = 2 * 2 * N, 2 * N + N

    def refuses(handler: Any) -> None:
        asked = fake.seen[-1] if handler.command == "POST" else {}
        if handler.command == "POST" and len(fake.seen) <= n_known:
            body = completed(fake, asked, is_chat=True)
            return reply(handler, 200, body)
        return status(403)(handler)

    words = ["--prompts", "prompts.jsonl", "--judge", "openai:first", "--judge", "openai:second"]
    systems = ["--predictions", "base=base.jsonl", "--predictions", "lora=lora.jsonl"]
    with serving(content=prefers_good, models=("first", "second")) as fake:
        command = ["score", *systems, *words, "--judge-url", fake.url, "--quiet"]
        with monkeypatch.context() as patched:
            usual = Journal.record

            def record(self: Journal, *answer: Any) -> None:
                if ends == "the person stops" and len(fake.seen) > n_known:
                    raise KeyboardInterrupt
                if ends == "the key is refused":
                    fake.always = refuses
                usual(self, *answer)

            patched.setattr(Journal, "record", record)
            assert exit_code(command) == (130 if ends == "the person stops" else 2)
        capsys.readouterr()
        fake.always = None
        n_before = len(fake.seen)
        result = scored(capsys, *words, "--judge-url", fake.url)
    n_again = len(fake.seen) - n_before
    assert n_again < n_of_both - n_known + 40, "all but the half that was open is remembered"
    assert win_rate(result, "lora") == pytest.approx((30 + 5) / N)


def test_an_answer_that_never_left_its_thoughts_is_an_empty_one(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no answer that could not be had: the judge sees that there is nothing."""
    rows = [json.loads(line) for line in Path("lora.jsonl").read_text().splitlines()]
    for row in rows[:5]:
        row["output"] = "<think>Well, let me see"
    write_rows(Path("lora.jsonl"), rows)
    write_rows(Path("third.jsonl"), [{"id": n, "output": "GOOD answer"} for n in range(N)])
    with serving(content=prefers_good) as fake:
        words = ["--prompts", "prompts.jsonl", "--judge", "openai:small", "--judge-url", fake.url]
        result = scored(capsys, *words, "--predictions", "third=third.jsonl")
    n_good = sum(row["output"] == "GOOD answer" for row in rows)
    # Neither of PLAIN, PLAIN too and nothing is GOOD: the first shown is preferred, so they tie.
    assert win_rate(result, "lora") == pytest.approx((n_good + (N - n_good) / 2) / N)
    assert win_rate(result, "third") == 1.0
