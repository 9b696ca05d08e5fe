"""A judge compares what the variants wrote: the whole run, with judges that misbehave (B2, 23-29)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine import fake_server
from engine.fake_server import Fake, reply, saying, serving, status
from pipeline.conftest import Setting, write_rows
from pipeline.judging.conftest import JUDGED, N, Run, findings, prefers_good, score
from tuneval.api import RunResult, compare
from tuneval.cli.main import exit_code
from tuneval.errors import BackendUnavailable, ConfigError, DataError, VariantError
from tuneval.pipeline.build import make_backend
from tuneval.pipeline.judging.begin import begin
from tuneval.plan.resolve import resolve
from tuneval.plan.spec import RunSpec


def spec_of(fake: Fake, *, data: str, judge: dict[str, Any]) -> RunSpec:
    content = {
        "variants": [{"name": "base", "model": "base"}, {"name": "full", "model": "full"}],
        "cases": [{"file": data}],
        "backend": {"kind": "openai", "base_url": fake.url},
        "judge": {"model": "small", "backend": "openai", "base_url": fake.url} | judge,
    }
    return RunSpec.from_dict(content)


def test_everything_that_a_judged_run_says(run_judged: Run) -> None:
    with serving(content=prefers_good) as fake:
        result = run_judged(fake, groups=["half"], judge={"price": [2.0, 4.0]})
        n_asked = len(fake.seen)
        again = run_judged(fake, groups=["half"], judge={"price": [2.0, 4.0]})
        assert len(fake.seen) - n_asked == 2, "two probes, and no verdict is asked for twice"
    assert [one.name for one in result.case_sets] == ["prompts", JUDGED]
    assert result.is_complete
    # LoRA wins 30 of 40 and ties 10 (alike: the first is preferred, whichever it is).
    assert score(result, "base").value == 0.5
    assert score(result, "lora").value == pytest.approx((30 + 5) / 40)
    assert score(result, "full").value == 1.0
    assert score(result, "lora", slice_="half=h0").value == pytest.approx((10 + 5) / 20)
    (bias,) = findings(result, "position bias")
    assert (bias.values["turned"], bias.values["verdicts"]) == (10, 80)
    assert bias.sentence.startswith(
        "10 of 80 verdicts turned with the order of the answers, 10 towards the one shown first and 0 "
        "towards the second (lean +12.5 points, 95% CI +4.7 to +19.7)"
    )
    assert bias.rows == (("lora", 30, 10, 0, 10, 0, 0), ("full", 40, 0, 0, 0, 0, 0))
    (effort,) = findings(result, "effort")
    assert (effort.values["requests"], effort.values["failed"]) == (160, 0)
    assert effort.values["cost"] == pytest.approx((160 * 3 * 2 + 160 * 4) / 1e6)
    verdict = {(one.baseline, one.candidate): one for one in result.verdicts}
    assert verdict["base", "full"].decision == "better"
    assert any(
        one.startswith(f"{JUDGED}: Fine-tuning improved win_rate by +50.0 points")
        for one in verdict["base", "full"].reasons
    )
    (note,) = [one for one in result.notes if one.startswith("judge:")]
    assert 'judge: "small" at http://127.0.0.1' in note
    assert "by a letter that it writes, temperature 0, prompt " in note
    assert note.endswith("prompts against base")
    assert (again.verdicts, again.run_id) == (result.verdicts, result.run_id)
    left = RunSpec.from_yaml(Path(result.output_dir) / "run.yaml")
    assert len(left.judge) == 1
    assert (left.judge[0].model, left.judge[0].price) == ("small", (2.0, 4.0))


def test_a_case_without_an_index_is_found_by_its_number(
    run_judged: Run, data: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    plain = write_rows(
        tmp_path / "plain.jsonl", [{k: r[k] for k in ("instruction", "output")} for r in rows]
    )
    table = tmp_path / "difficulty.csv"
    table.write_text("index,instruction_difficulty\n" + "".join(f"{n},{n}\n" for n in range(N)))
    judge = {"against": "reference", "difficulty": str(table)}
    with serving(content=prefers_good) as fake:
        plan = resolve(spec_of(fake, data=str(plain), judge=judge))
        _, judging = begin(plan, lambda spec: make_backend(spec, None))
    assert judging is not None
    judging.close()
    assert judging.difficulty["plain"]["plain.jsonl:1"] == 0
    assert judging.difficulty["plain"][f"plain.jsonl:{N}"] == N - 1


def test_the_reports_show_what_a_judge_found(run_judged: Run) -> None:
    with serving(content=prefers_good) as fake:
        result = run_judged(fake, output={"reports": ["html", "md", "csv"]})
    folder = Path(result.output_dir)
    assert JUDGED in (folder / "report.html").read_text("utf-8")
    assert JUDGED in (folder / "report.csv").read_text("utf-8")
    assert RunResult.load(folder).verdicts == result.verdicts
    assert JUDGED in str(result)


def test_letters_probabilities_are_taken_where_they_are_told(run_judged: Run) -> None:
    def letters(asked: dict[str, Any]) -> dict[str, float]:
        return {"A": -0.1, "B": -2.4} if prefers_good(asked) == "A" else {"B": -0.1, "A": -2.4}

    with serving(letters=letters) as fake:
        result = run_judged(fake)
    assert score(result, "full").value == pytest.approx(1 / (1 + math.exp(-2.3)))
    assert score(result, "full", "discrete_win_rate").value == 1.0
    assert any("probabilities of the letters A and B" in one for one in result.notes)
    assert findings(result, "effort")[0].values["attempts"] == 160 + 2, "one call for both letters"


def test_against_the_references_the_second_lap_alone_decides(run_judged: Run) -> None:
    with serving(content=prefers_good) as fake:
        result = run_judged(fake, judge={"against": "reference"})
    assert [score(result, arm).value for arm in ("base", "lora", "full")] == [0.5, 0.875, 1.0]
    assert result.primary_metrics == {JUDGED: "win_rate"}
    assert all("rougeL" not in reason for one in result.verdicts for reason in one.reasons)
    (scale,) = findings(result, "strengths")
    assert (
        scale.sentence
        == "No scale: strengths are not defined: some variants never lost to the others."
    )


def test_three_that_win_and_lose_get_strengths(run_judged: Run) -> None:
    def by_number(asked: dict[str, Any]) -> str:
        prompt = asked["messages"][-1]["content"]
        if "<answer A>" not in prompt:
            return "A"
        n = int(prompt.split("Say ")[1].split(".")[0])
        likes_base = n % (5 if "long" in prompt else 3) == 0
        return "A" if ("PLAIN answer\n" in prompt.split("<answer B>")[0]) == likes_base else "B"

    with serving(content=by_number) as fake:
        result = run_judged(fake)
    (scale,) = findings(result, "strengths")
    assert [row[0] for row in scale.rows] == ["full", "lora", "base"]
    for _, value, low, high in scale.rows:
        assert low < value < high
    assert "All were compared with base; others meet through it." in scale.sentence


def test_length_adjusted_without_difficulties_controlled_with_them(
    run_judged: Run, tmp_path: Path
) -> None:
    lines = [f"{n},{n % 7 - 3}" for n in range(N)]
    table = tmp_path / "difficulty.csv"
    table.write_text("index,instruction_difficulty\n" + "\n".join(lines) + "\n")

    def uneven(asked: dict[str, Any]) -> str:
        prompt = asked["messages"][-1]["content"]
        n = int(prompt.split("Say ")[1].split(".")[0]) if "Say " in prompt else 0
        ours = "A" if "the number" in prompt.split("<answer B>")[-1] else "B"
        return ours if n % 3 else ("B" if ours == "A" else "A")

    with serving(content=uneven) as fake:
        local = run_judged(fake, judge={"against": "reference"})
        official = run_judged(fake, judge={"against": "reference", "difficulty": str(table)})
        table.write_text("index,difficulty\n0,1\n")
        with pytest.raises(
            DataError, match='has no row for 39 cases of prompts \\(first: "prompts'
        ):
            run_judged(fake, judge={"against": "reference", "difficulty": str(table)})
    one = score(local, "lora", "win_rate, length-adjusted (local)")
    assert one.interval is None
    assert one.note == "not comparable with the published leaderboard"
    other = score(official, "lora", "win_rate, length-controlled")
    assert other.interval is not None
    assert other.note == "without the regulariser of AlpacaEval's two gamed baselines"


# ---- judges that misbehave -------------------------------------------------------------------------


@pytest.mark.fault
def test_fault_29_a_judge_that_always_says_the_first_is_not_relied_on(run_judged: Run) -> None:
    with serving(content="A") as fake:
        result = run_judged(fake)
    assert {score(result, arm).value for arm in ("lora", "full")} == {0.5}
    (bias,) = findings(result, "position bias")
    assert bias.sentence.endswith("+93.5 to +100.0): the judge is not reliable on this data.")
    for verdict in result.verdicts:
        assert any("the judge is not reliable on this data" in one for one in verdict.warnings)
        assert verdict.decision == "undecided"


@pytest.mark.fault
@pytest.mark.parametrize("said", ["", "<script>alert(1)</script>"])
def test_fault_29_a_judge_without_a_verdict_is_a_loss_for_nobody(
    run_judged: Run, said: str
) -> None:
    def garbled(asked: dict[str, Any]) -> str:
        return said if "Say 7." in asked["messages"][-1]["content"] else prefers_good(asked)

    with serving(content=garbled) as fake:
        result = run_judged(fake)
    assert result.is_complete, "an answer that cannot be read is an answer"
    assert score(result, "full").n_cases == N - 1
    assert score(result, "full").value == 1.0
    (bias,) = findings(result, "position bias")
    assert [row[-2:] for row in bias.rows] == [(1, 0), (1, 0)]
    assert result.headline == "BETTER"


@pytest.mark.fault
def test_fault_29_unread_verdicts_count_against_what_is_claimed(run_judged: Run) -> None:
    def garbled(asked: dict[str, Any]) -> str:
        prompt = asked["messages"][-1]["content"]
        return "?" if any(f"Say {n}." in prompt for n in (7, 8, 9)) else prefers_good(asked)

    with serving(content=garbled) as fake:
        result = run_judged(fake)
        fake.content = "no idea"
        lost = run_judged(fake, judge={"system": "Be brief."})
    (verdict,) = [
        one for one in result.verdicts if one.candidate == "full" and one.baseline == "base"
    ]
    assert verdict.decision == "better"
    assert any("Had every unread answer spoken against it, " in one for one in verdict.reasons)
    assert "8% of the judge's verdicts on full could not be read." in verdict.warnings
    assert lost.headline == "INVALID"


@pytest.mark.fault
@pytest.mark.parametrize("fault", [status(429, Retry_After="3"), fake_server.cut])
def test_fault_23_24_26_a_server_in_trouble_changes_no_verdict(
    run_judged: Run, fault: fake_server.Fault
) -> None:
    with serving(content=prefers_good) as fake:
        fake.faults.extend([fault, fault])
        result = run_judged(fake)
    assert result.is_complete
    assert score(result, "lora").value == pytest.approx(35 / 40)
    assert findings(result, "effort")[0].values["attempts"] >= 160 + 2


@pytest.mark.fault
@pytest.mark.parametrize("fault", [status(500, "broken"), saying({"choices": []})])
def test_fault_24_26_what_fails_for_ever_is_missing_for_all_and_listed(
    run_judged: Run, fault: fake_server.Fault
) -> None:
    def sick(handler: Any) -> None:
        asked = fake.seen[-1]
        if "Say 7." in asked["messages"][-1]["content"] and "long" in str(asked["messages"]):
            return fault(handler)
        return reply(handler, 200, fake_server.completed(fake, asked, is_chat=True))

    with serving(content=prefers_good, models=None) as fake:
        fake.always = None
        fake.faults = _Always(sick)  # type: ignore[assignment]
        result = run_judged(fake)
        fake.faults.clear()
        mended = run_judged(fake)
    assert not result.is_complete
    (problem,) = result.problems
    assert problem.startswith("full, prompts.jsonl:8 (judged): server: ")
    assert {score(result, arm).n_cases for arm in ("base", "lora", "full")} == {N - 1}
    assert findings(result, "position bias")[0].rows[1] == ("full", 39, 0, 0, 0, 0, 1)
    assert mended.is_complete
    assert score(mended, "full").n_cases == N


class _Always(list[Any]):
    """A queue of faults that never ends."""

    def __init__(self, fault: Any) -> None:
        super().__init__([fault])

    def popleft(self) -> Any:
        return self[0]


@pytest.mark.fault
def test_fault_24_27_a_late_verdict_counts_once(run_judged: Run, tmp_path: Path) -> None:
    with serving(content=prefers_good) as fake:
        fake.faults.extend([fake_server.late(0.0), fake_server.late(0.0)])  # probes
        fake.faults.append(fake_server.late(1.4))
        result = run_judged(fake)
    assert result.is_complete
    lines = [
        json.loads(line[9:])
        for shard in (tmp_path / "home").rglob("*.jsonl")
        for line in shard.read_text().splitlines()
    ]
    assert len({one["key"] for one in lines}) == len(lines)
    assert not any("too late" in json.dumps(one["answer"]) for one in lines)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("settings", "judge", "error", "message"),
    [
        ({"models": ("smal",)}, {}, VariantError, 'variant "judge": .* there is no "small" \\(did you'),
        ({"echoes_as": "other"}, {}, VariantError, 'asked for "small" and answers as "other"'),
        ({"always": status(401)}, {}, BackendUnavailable, "Set OPENAI_API_KEY"),
        ({"always": status(404)}, {}, BackendUnavailable, "Check --base-url"),
        ({"always": status(500)}, {}, BackendUnavailable, "after 4 attempts"),
        ({}, {"base_url": "http://127.0.0.1:9/v1"}, BackendUnavailable, "ConnectError"),
        ({}, {"base_url": None}, ConfigError, "server has no address. Give --judge-url"),
        ({}, {"backend": "openia"}, ConfigError, 'judge.backend: there is no "openia" \\(did you mean'),
        ({}, {"template": "{A} only"}, ConfigError, "there is no \\{B\\} in it"),
        ({}, {"backend": "hf", "model": "./nowhere"}, VariantError, "nowhere"),
        ({}, {"scoring": "likelihood"}, BackendUnavailable, "returned no log-probabilities"),
        ({}, {"difficulty": "none.csv", "against": "reference"}, DataError, 'none.csv" cannot be read'),
        ({}, {"difficulty": "none.csv"}, ConfigError, "this run has none"),
    ],
)  # fmt: skip
def test_fault_25_28_a_judge_that_cannot_judge_stops_the_run_before_it_begins(
    run_judged: Run,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    judge: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    told: list[object] = []
    with serving(**settings) as fake, pytest.raises(error, match=message):
        run_judged(fake, judge=judge, announce=lambda *args: told.append(args))
    assert told == [], "no model was loaded"


@pytest.mark.fault
def test_fault_25_a_key_that_is_refused_later_stops_the_run_and_keeps_what_is_known(
    run_judged: Run,
) -> None:
    def refuses(handler: Any) -> None:
        ok = len(fake.seen) <= 60
        body = fake_server.completed(fake, fake.seen[-1], is_chat=True)
        return reply(handler, 200, body) if ok else status(403)(handler)

    with serving(content=prefers_good) as fake:
        fake.faults = _Always(refuses)  # type: ignore[assignment]
        with pytest.raises(BackendUnavailable, match="This key may not use the model"):
            run_judged(fake)
        fake.faults.clear()
        n_before = len(fake.seen)
        result = run_judged(fake)
        assert len(fake.seen) - n_before < 160
    assert result.is_complete


def test_a_key_is_written_nowhere(
    run_judged: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with serving(content=prefers_good) as fake:
        run_judged(fake)
        assert fake.headers[-1]["Authorization"] == "Bearer sk-very-secret"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-very-secret" not in path.read_bytes(), path


def test_cases_without_texts_have_nothing_to_judge(run_judged: Run, setting: Setting) -> None:
    with serving() as fake, pytest.raises(ConfigError, match="a judge compares texts"):
        run_judged(fake, data=str(setting.data), metrics="auto")


# ---- a judge on this machine -----------------------------------------------------------------------


@pytest.fixture
def words(setting: Setting, data: Path) -> Iterator[dict[str, Any]]:
    yield {
        "adapters": {"lora": [str(path) for path in setting.adapters]},
        "full": str(setting.full),
        "data": str(data),
        "limit": 6,
        "options": {"max_tokens": 3},
        "statistics": {"resamples": 200},
        "metrics": ["rougeL"],
    }


def test_a_local_judge_that_is_itself_compared_is_warned_of(
    setting: Setting, words: dict[str, Any]
) -> None:
    # 64 tokens of context: the questions must be short.
    judge = {"model": str(setting.full), "template": "{A}|{B}", "against": "baseline"}
    result = compare(str(setting.base), **words, judge=judge)
    assert [one.variant for one in findings(result, "self-preference")] == ["full"]
    (verdict,) = [
        one for one in result.verdicts if (one.baseline, one.candidate) == ("base", "full")
    ]
    assert any('The judge is the variant "full" itself' in one for one in verdict.warnings)
    lora = score(result, "lora")
    assert len(lora.training_seeds) == 2, "every training seed is judged"
    assert 0 < lora.value < 1
    again = compare(str(setting.base), **words, judge=judge)
    (effort,) = findings(again, "effort")
    assert effort.values["remembered"] == effort.values["requests"]


def test_a_question_longer_than_the_judges_context_has_no_verdict(
    setting: Setting, words: dict[str, Any]
) -> None:
    result = compare(str(setting.base), **words, judge=str(setting.full))
    assert findings(result, "position bias")[0].rows[0][-2:] == (12, 0)
    assert result.headline == "INVALID"


def test_the_command_line_takes_a_judge_and_a_server(
    setting: Setting, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(content="A", models=("b", "l", "f", "judge")) as fake:
        code = exit_code(
            f"compare b --adapter l --full f --base-url {fake.url} --data {data} --limit 3 "
            f"--judge openai:judge --judge-url {fake.url} --resamples 200".split()
        )
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert {one["model"] for one in fake.seen} == {"b", "l", "f", "judge"}
    assert "prompts (judged) win rate" in shown.out
    assert 'judge: "judge" at http://127.0.0.1' in shown.err
