"""Logs that other tools wrote: their own numbers come back, and the comparison is paired."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneval.bridges.logs import Wanted
from tuneval.bridges.logs.find import read_logs
from tuneval.bridges.logs.join import Asked
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError, DataError, TunevalError
from tuneval.pipeline.score_logs import score_logs
from tuneval.plan.spec import OutputSpec
from tuneval.types import RunResult

HERE = Path(__file__).parent
NEEDS_INSPECT = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="inspect_ai is not installed"
)


def score(
    tmp_path: Path, logs: dict[str, Any], asked: Asked | None = None, **wanted: Any
) -> RunResult:
    files = {name: str(place) for name, place in logs.items()}
    return score_logs(
        files, Wanted(**wanted), asked, output=OutputSpec(dir=str(tmp_path), reports=())
    )


def content(folder: Path, pattern: str) -> dict[str, Any]:
    (path,) = folder.rglob(pattern)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def lm_eval_numbers(arm: str) -> dict[tuple[str, str], float]:
    """Task and metric -> number, as lm-eval printed it."""
    results = content(HERE / "lm_eval" / arm, "results_*.json")["results"]
    return {
        (task, name.removesuffix(",none")): value
        for task, numbers in results.items()
        for name, value in numbers.items()
        if "," in name and "stderr" not in name
    }


def lm_eval_group_numbers(arm: str) -> dict[tuple[str, str], float]:
    groups = content(HERE / "lm_eval" / f"group-{arm}", "results_*.json")["groups"]
    return {("own_group", "acc"): groups["own_group"]["acc,none"]}


def inspect_numbers(arm: str, form: str) -> dict[tuple[str, str], float]:
    if form == "json":
        log = content(HERE / "inspect" / f"{arm}-json", "*.json")
    else:
        from inspect_ai.log import read_eval_log

        (path,) = (HERE / "inspect" / f"{arm}-eval").iterdir()
        log = json.loads(read_eval_log(str(path), header_only=True).model_dump_json())
    return {
        ("own_topics", one["name"]): one["metrics"]["accuracy"]["value"]
        for one in log["results"]["scores"]
    }


def lighteval_numbers(arm: str) -> dict[tuple[str, str], float]:
    results = content(HERE / "lighteval" / arm, "results_*.json")["results"]
    return {("own_replies", "acc"): results["own_replies|0"]["acc"]}


def helm_numbers(arm: str) -> dict[tuple[str, str], float]:
    (path,) = (HERE / "helm" / arm).rglob("stats.json")
    stats = json.loads(path.read_text(encoding="utf-8"))
    return {
        ("own_topics", one["name"]["name"]): one["mean"]
        for one in stats
        if one["name"]["name"].endswith("exact_match") and "perturbation" not in one["name"]
    }


def promptfoo_numbers(arm: str) -> dict[tuple[str, str], float]:
    (own,) = (
        one["metrics"]
        for one in content(HERE / "promptfoo", "results.json")["results"]["prompts"]
        if one["provider"] == arm
    )
    n = own["testPassCount"] + own["testFailCount"]
    return {
        ("results", "success"): own["testPassCount"] / n,
        ("results", "score"): own["score"] / n,
        **{("results", name): total / n for name, total in own["namedScores"].items()},
    }


Case = tuple[str, dict[str, str], Callable[[str], dict[tuple[str, str], float]], set[str]]
TOOLS = [
    pytest.param(
        {"base": "lm_eval/base", "lora": "lm_eval/lora"},
        lm_eval_numbers,
        # lm-eval writes the probabilities of a document as a text of eight digits.
        {"brier_score"},
        id="lm-eval",
    ),
    pytest.param(
        {"base": "lm_eval/group-base", "lora": "lm_eval/group-lora"},
        lm_eval_group_numbers,
        set(),
        id="lm-eval-group",
    ),
    pytest.param(
        {"base": "inspect/base-json", "full": "inspect/full-json"},
        lambda arm: inspect_numbers(arm, "json"),
        set(),
        id="inspect-json-two-epochs",
    ),
    pytest.param(
        {"base": "inspect/base-eval", "full": "inspect/full-eval"},
        lambda arm: inspect_numbers(arm, "eval"),
        set(),
        id="inspect-eval",
        marks=NEEDS_INSPECT,
    ),
    pytest.param(
        {"base": "lighteval/base", "full": "lighteval/full"},
        lighteval_numbers,
        set(),
        id="lighteval",
    ),
    pytest.param({"base": "helm/base", "full": "helm/full"}, helm_numbers, set(), id="helm"),
    pytest.param(
        {"base": "promptfoo/results.json:base", "full": "promptfoo/results.json:full"},
        promptfoo_numbers,
        set(),
        id="promptfoo",
    ),
]


@pytest.mark.parametrize(("logs", "numbers", "unread"), TOOLS)
def test_the_numbers_are_the_tools_own(
    tmp_path: Path,
    logs: dict[str, str],
    numbers: Callable[[str], dict[tuple[str, str], float]],
    unread: set[str],
) -> None:
    result = score(tmp_path, {name: HERE / place for name, place in logs.items()})
    found = {
        (one.variant, one.case_set, one.metric): one.value
        for one in result.scores
        if one.slice == "all"
    }
    expected = {
        (arm, *key): value
        for arm in logs
        for key, value in numbers(arm).items()
        if key[1] not in unread
    }
    assert expected
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key
    for name in unread:
        assert any(f'"{name}" is left out' in note for note in result.notes)


def test_the_comparison_is_paired_by_the_tools_own_ids(tmp_path: Path) -> None:
    """A log in another order, and with one document less, is compared on what is shared."""
    whole = score(tmp_path, {"base": HERE / "lm_eval/base", "lora": HERE / "lm_eval/lora"})
    (path,) = (HERE / "lm_eval/lora").rglob("samples_own_replies*")
    lines = path.read_text(encoding="utf-8").splitlines()
    turned = tmp_path / path.name
    turned.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    again = score(
        tmp_path, {"base": next((HERE / "lm_eval/base").rglob("samples_own_rep*")), "lora": turned}
    )

    def of(result: RunResult) -> Any:
        return next(one for one in result.comparisons if one.metric == "acc")

    assert of(again).difference == of(whole).difference
    assert of(again).interval == of(whole).interval
    turned.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    fewer = score(
        tmp_path,
        {"base": next((HERE / "lm_eval/base").rglob("samples_own_rep*")), "lora": turned},
    )
    assert of(fewer).n_cases == 39
    assert any("base has 40 items, 39 are shared" in note for note in fewer.notes)


def test_verdict_and_flips_stand_on_a_log(tmp_path: Path) -> None:
    result = score(
        tmp_path,
        {
            "base": HERE / "promptfoo/results.json:base",
            "full": HERE / "promptfoo/results.json:full",
        },
        Asked(groups=("writer",)),
    )
    (verdict,) = result.verdicts
    assert verdict.decision == "better"
    (flips,) = result.flips
    rows = content(HERE / "promptfoo", "results.json")["results"]["results"]
    right = {(one["provider"]["label"], one["testIdx"]): one["success"] for one in rows}
    fixed = {f"results:{n}" for n in range(30) if right["full", n] and not right["base", n]}
    assert set(flips.fixed) == fixed
    assert any(one.slice.startswith("writer=") for one in result.scores)


def llama_factory_rows(arm: str) -> list[tuple[str, str]]:
    path = HERE / "llama_factory" / arm / "generated_predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["predict"], row["label"]) for row in rows]


def opencompass_rows(arm: str) -> list[tuple[str, str]]:
    rows = content(HERE / "opencompass" / arm / "predictions", "*.json").values()
    return [(row["prediction"], row["gold"]) for row in rows]


@pytest.mark.parametrize(
    ("tool", "rows"),
    [("llama_factory", llama_factory_rows), ("opencompass", opencompass_rows)],
)
def test_logs_that_hold_texts_alone_are_scored_like_other_outputs(
    tmp_path: Path, tool: str, rows: Callable[[str], list[tuple[str, str]]]
) -> None:
    result = score(tmp_path, {arm: HERE / tool / arm for arm in ("base", "full")})
    for arm in ("base", "full"):
        pairs = rows(arm)
        right = sum(said.strip() == expected.strip() for said, expected in pairs) / len(pairs)
        (found,) = (
            one.value
            for one in result.scores
            if (one.variant, one.metric, one.slice) == (arm, "accuracy", "all")
        )
        assert found == pytest.approx(right)


def test_texts_about_other_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1: a and b were asked or expected"):
        path = HERE / "llama_factory/base/generated_predictions.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        other = tmp_path / "b" / path.name
        other.parent.mkdir()
        other.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
        score(tmp_path, {"a": path, "b": other})


def test_a_metric_is_chosen_by_name_and_filter(tmp_path: Path) -> None:
    logs = {"base": HERE / "lm_eval/base", "lora": HERE / "lm_eval/lora"}
    result = score(tmp_path, logs, Asked(metrics=("exact_match:whole", "acc_norm")))
    assert result.primary_metrics == {
        "own_replies": "acc_norm",
        "own_topics": "exact_match,whole",
    }


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_any_table_with_a_number_an_item(tmp_path: Path) -> None:
    values = [0.1 * (n % 7) for n in range(20)]
    one = table(tmp_path / "a.jsonl", [{"id": n, "loss": v} for n, v in enumerate(values)])
    rows = [{"id": n, "loss": v / 2} for n, v in enumerate(values)]
    two = table(tmp_path / "b.jsonl", rows[::-1])
    result = score(tmp_path, {"a": one, "b": two}, value="loss")
    (comparison,) = (c for c in result.comparisons if c.slice == "all")
    mean = sum(values) / len(values)
    assert comparison.difference == pytest.approx(-mean / 2)
    assert not comparison.higher_is_better
    assert comparison.n_cases == 20


def altered(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """lm-eval's log of one task, with every line changed; its results beside it."""
    folder = tmp_path / "altered"
    folder.mkdir()
    for path in (HERE / "lm_eval/lora/lora-seed0").iterdir():
        if "results" in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
        elif "own_replies" in path.name:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for row in rows:
                change(row)
            table(folder / path.name, rows)
    return folder


def other_documents(row: dict[str, Any]) -> None:
    row["doc_hash"] = f"{row['doc_hash'][1:]}x"


def test_equal_ids_of_other_documents_are_refused(tmp_path: Path) -> None:
    other = altered(tmp_path, other_documents)
    with pytest.raises(DataError, match="40 of 40 ids stand for different items"):
        score(tmp_path, {"base": HERE / "lm_eval/base", "lora": other})


def test_other_ids_of_equal_documents_are_joined_by_their_hashes(tmp_path: Path) -> None:
    other = altered(tmp_path, lambda row: row.update(doc_id=39 - row["doc_id"]))
    result = score(tmp_path, {"base": HERE / "lm_eval/base", "lora": other})
    assert any("joined by what was asked" in note for note in result.notes)
    plain = score(tmp_path, {"base": HERE / "lm_eval/base", "lora": HERE / "lm_eval/lora"})
    differences = [
        next(c.difference for c in one.comparisons if c.metric == "acc") for one in (result, plain)
    ]
    assert differences[0] == differences[1]


def test_a_number_that_the_items_do_not_give_back_is_left_out(tmp_path: Path) -> None:
    other = altered(tmp_path, lambda row: row.update(acc=1.0))
    result = score(tmp_path, {"base": HERE / "lm_eval/base", "lora": other})
    assert result.primary_metrics == {"own_replies": "acc_norm"}
    assert any('"acc" is left out: from the items of the log lora\'s' in n for n in result.notes)


def cut(at: Path, tool: str) -> Path:
    """The log with every answer's provider gone."""
    whole = content(HERE / tool, "results.json")
    for row in whole["results"]["results"]:
        del row["provider"]
    (at / "results.json").write_text(json.dumps(whole), encoding="utf-8")
    return at / "results.json"


BAD: list[tuple[str, Callable[[Path], dict[str, Any]], dict[str, Any], type[TunevalError], str]] = [
    (
        "no such place",
        lambda at: {"a": at / "none", "b": at},
        {},
        DataError,
        r'there is no file or folder ".*none"',
    ),
    ("no log", lambda at: {"a": at, "b": at}, {}, DataError, "holds no log that can be read"),
    (
        "two systems in one file",
        lambda at: {"a": HERE / "promptfoo/results.json", "b": at},
        {},
        DataError,
        'holds 2 systems: "base", "full"',
    ),
    (
        "no such system",
        lambda at: {"a": HERE / "promptfoo/results.json:bse", "b": at},
        {},
        DataError,
        r'there is no "bse" \(did you mean "base"\?\)',
    ),
    (
        "other tasks",
        lambda at: {"a": HERE / "lighteval/base", "b": HERE / "inspect/base-json"},
        {},
        DataError,
        "no task in common",
    ),
    (
        "a system of a log that has one",
        lambda at: {"a": f"{HERE / 'lighteval/base'}:base", "b": at},
        {},
        DataError,
        'is of one system; leave ":base" out',
    ),
    (
        "a log that was cut",
        lambda at: {"a": cut(at, "promptfoo"), "b": at},
        {},
        DataError,
        "looks like a log of promptfoo, but a part of it is missing",
    ),
    (
        "no number",
        lambda at: {"a": table(at / "a.jsonl", [{"id": 1, "v": "much"}]), "b": at / "a.jsonl"},
        {"value": "v"},
        DataError,
        'line 1: "much" in "v" is no number',
    ),
    (
        "ids twice",
        lambda at: {"a": table(at / "a.jsonl", [{"id": 1, "v": 1}] * 2), "b": at / "a.jsonl"},
        {"value": "v"},
        DataError,
        'id "1" stands 2 times',
    ),
    (
        "no column",
        lambda at: {"a": table(at / "a.jsonl", [{"id": 1, "v": 1}]), "b": at / "a.jsonl"},
        {"value": "w"},
        DataError,
        'there is no "w"',
    ),
]


@pytest.mark.parametrize(
    ("logs", "wanted", "error", "words"), [one[1:] for one in BAD], ids=[one[0] for one in BAD]
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path,
    logs: Callable[[Path], dict[str, Any]],
    wanted: dict[str, Any],
    error: type[TunevalError],
    words: str,
) -> None:
    with pytest.raises(error) as caught:
        score(tmp_path, logs(tmp_path), **wanted)
    assert re.search(words, str(caught.value))


def test_a_metric_or_column_of_no_task_is_named(tmp_path: Path) -> None:
    logs = {"base": HERE / "lm_eval/base", "lora": HERE / "lm_eval/lora"}
    with pytest.raises(ConfigError, match=r'no "acc_nrm" \(did you mean "acc_norm"'):
        score(tmp_path, logs, Asked(metrics=("acc_nrm",)))
    with pytest.raises(ConfigError, match=r'no "wrter" \(did you mean "writer"'):
        score(tmp_path, logs, Asked(groups=("wrter",)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--logs", "a=x", "--references", "y"], "--logs stands alone"),
        (["--value", "f1", "--references", "y"], "give --logs NAME=FILE"),
        (["--logs", "a=x", "--logs", "a=y"], 'two systems are called "a"'),
    ],
)
def test_the_command_refuses_mixtures(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["score", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = HERE / "promptfoo" / "results.json"
    words = ["--logs", f"base={results}:base", "--logs", f"full={results}:full"]
    more = ["--metrics", "topic", "--group", "writer", "--output-dir", str(tmp_path), "-q"]
    assert exit_code(["score", *words, *more]) == 0
    assert "BETTER" in capsys.readouterr().out
    assert list(tmp_path.rglob("report.html"))


def test_an_archive_without_inspect_says_what_to_install() -> None:
    if importlib.util.find_spec("inspect_ai") is not None:
        pytest.skip("inspect_ai is installed")
    with pytest.raises(DataError, match="pip install inspect_ai"):
        read_logs(str(HERE / "inspect" / "base-eval"), Wanted())
