"""Outputs that exist already: parity with published figures through the command's own path, and
what each wrong file says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from shared import shared_figures, shared_json, shared_path
from tuneval.cli.main import exit_code
from tuneval.comparison import Settings
from tuneval.errors import ConfigError, DataError
from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.spec import MetricsSpec
from tuneval.types import RunResult

FEW = Settings(resamples=200)


def value(result: RunResult, variant: str, metric: str) -> float:
    return next(
        one.value
        for one in result.scores
        if (one.variant, one.metric, one.slice) == (variant, metric, "all")
    )


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


REFERENCES = [{"id": n, "label": "ab"[n % 2], "writer": "xy"[n % 3 > 0]} for n in range(60)]


def answers(n_right: int) -> list[dict[str, Any]]:
    return [
        {"id": row["id"], "prediction": row["label"] if row["id"] < n_right else "c"}
        for row in reversed(REFERENCES)
    ]


def test_three_systems_are_compared_like_a_run(tmp_path: Path) -> None:
    result = score(
        Expected(lines(tmp_path / "refs.jsonl", REFERENCES), groups=["writer"]),
        {
            "base": lines(tmp_path / "base.jsonl", answers(20)),
            "lora": lines(tmp_path / "lora.jsonl", answers(50)),
            "full": lines(tmp_path / "full.jsonl", answers(55)),
        },
        settings=FEW,
    )
    assert value(result, "base", "accuracy") == pytest.approx(20 / 60)
    assert value(result, "full", "accuracy") == pytest.approx(55 / 60)
    assert [(one.baseline, one.candidate) for one in result.verdicts] == [
        ("base", "lora"),
        ("base", "full"),
        ("lora", "full"),
    ]
    assert {one.slice for one in result.scores} == {"all", "writer=x", "writer=y"}
    assert (Path(result.output_dir) / "report.html").exists()


def test_plain_lines_and_several_references(tmp_path: Path) -> None:
    references = lines(tmp_path / "refs.jsonl", [{"references": ["the cat", "a cat"]}] * 4)
    (tmp_path / "out.txt").write_text("the cat\na cat\nthe dog\n\n")
    result = score(
        Expected(references),
        ["sys=out.txt"],
        metrics=MetricsSpec.of(["exact_match", "bleu"]),
        settings=FEW,
    )
    assert value(result, "sys", "exact_match") == 0.5
    assert result.headline == "SCORES ONLY"


def test_classes_as_transformers_numbers_them(tmp_path: Path) -> None:
    refs = lines(
        tmp_path / "refs.jsonl", [{"id": n, "text": f"t{n}", "label": n % 2} for n in range(20)]
    )
    said = [
        {"id": n, "label": f"LABEL_{n % 2 if n < 15 else 1 - n % 2}", "score": 0.9}
        for n in range(20)
    ]
    result = score(
        Expected(refs), {"m": lines(tmp_path / "said.jsonl", said)},
        settings=FEW,
    )  # fmt: skip
    assert value(result, "m", "accuracy") == pytest.approx(0.75)


def test_columns_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("gold,one,two\nyes,yes,no\nno,no,no\nyes,no,yes\nno,no,no\n")
    result = score(Expected("all.csv:gold"), ["one=all.csv:one", "two=all.csv:two"], settings=FEW)
    assert value(result, "one", "accuracy") == value(result, "two", "accuracy") == 0.75


@pytest.mark.parametrize("version", ["v1.1", "v2.0"])
def test_squad_figures_through_the_command(version: str, tmp_path: Path) -> None:
    """The nested official file and a released prediction file give the official figures."""
    data = shared_path("squad", f"dev_{version}_subset.json.gz")
    folder = shared_path("squad", f"predictions_{version}")
    names = {"v1.1": ("squad_v1_em", "squad_v1_f1"), "v2.0": ("squad_em", "squad_f1")}[version]
    file = sorted(folder.iterdir())[0]
    system = file.name.removesuffix(".json.gz")
    figures = shared_figures("squad", "expected_scores.json", of=(version, system))
    result = score(
        Expected(str(data), task="generate"),
        {"system": str(file)},
        metrics=MetricsSpec.of(names),
        settings=FEW,
    )
    exact = figures["exact"] if "exact" in figures else figures["exact_match"]
    assert 100 * value(result, "system", names[0]) == pytest.approx(exact, abs=1e-9)
    assert 100 * value(result, "system", names[1]) == pytest.approx(figures["f1"], abs=1e-9)


def test_bleu_of_ted_through_the_command(tmp_path: Path) -> None:
    expected = shared_json("mt_ted_slk_eng", "expected_scores.json")
    folder = shared_path("mt_ted_slk_eng")
    result = score(
        Expected(str(folder / "ted.ref.detok.eng.gz"), task="generate"),
        {
            "sys1": str(folder / "ted.sys1.detok.eng.gz"),
            "sys2": str(folder / "ted.sys2.detok.eng.gz"),
        },
        metrics=MetricsSpec.of(["bleu"]),
        settings=FEW,
    )
    for system in ("sys1", "sys2"):
        figure = expected[f"{system}.detok"]["bleu_13a"]["score"]
        assert value(result, system, "bleu") == pytest.approx(figure, abs=1e-6)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"base": answers(60)[:-1]}, "1 of 60 ids of refs.jsonl have no prediction"),
        ({"base": [{"prediction": "a"}] * 59}, "59 predictions for 60 references"),
        ({"base": []}, "base.jsonl"),
        ({"base": [{"id": n, "guess": "so it goes"} for n in range(60)]}, "no column such as"),
        ({"base": [{**row, "prediction": None} for row in answers(60)]}, "60 of 60 rows"),
        ({"base": [*answers(60), answers(60)[0]]}, "stands twice"),
    ],
    ids=["missing id", "unequal lengths", "empty", "wrong column", "null", "id twice"],
)
def test_a_wrong_file_of_outputs_is_named(
    files: dict[str, list[dict[str, Any]]], message: str, tmp_path: Path
) -> None:
    references = lines(tmp_path / "refs.jsonl", REFERENCES)
    given = {name: lines(tmp_path / f"{name}.jsonl", rows) for name, rows in files.items()}
    with pytest.raises(DataError) as error:
        score(Expected(references), given, settings=FEW)
    assert message in str(error.value)


def test_wrong_words_of_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    references = lines(tmp_path / "refs.jsonl", REFERENCES)
    for words, message in (
        ([], "what was expected? Give --references"),
        (["--references", references], "nothing to score: give --predictions"),
        (["--references", f"{references}:gold"], "nothing to score"),
        (["--task", "code"], "which problems? Give --problems"),
        (["--task", "code", "--problems", "x", "--k", "one"], '--k "one": give whole numbers'),
    ):
        assert exit_code(["score", *words]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match='--baseline "none" is none of: base'):
        score(
            Expected(references),
            {"base": lines(tmp_path / "b.jsonl", answers(5))},
            baseline="none",
        )


def test_pass_at_k_of_released_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the shared samples through the command: outcomes as expected, and run only once."""
    samples = shared_path("humaneval", "samples_n5.jsonl.gz")
    with gzip.open(samples, "rt") as rows:
        some = [json.loads(line) for line in rows][:60]
    file = lines(tmp_path / "samples.jsonl", some)
    words = ["score", "--task", "code", "--samples", file, "--k", "1,5", "--problems"]
    words.append(str(shared_path("humaneval", "HumanEval.jsonl.gz")))
    assert exit_code([*words, "--json", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    outcomes = [
        json.loads(line)
        for line in (Path(result["output_dir"]) / "outcomes.jsonl").read_text().splitlines()
    ]
    assert [one["passed"] for one in outcomes] == [row["expected"] == "passed" for row in some]
    assert exit_code(words) == 0
    assert "60 already known" in capsys.readouterr().err


def test_samples_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = str(shared_path("humaneval", "HumanEval.jsonl.gz"))
    good = {"task_id": "HumanEval/0", "completion": "    return True\n"}
    for rows, extra, message in (
        ([{**good, "task_id": "HumanEval/999"}], [], "line 1"),
        ([{"task_id": "HumanEval/0"}], [], 'no "completion"'),
        ([good], ["--k", "2"], "fewer than 2"),
    ):
        file = lines(tmp_path / "bad.jsonl", rows)
        words = ["score", "--task", "code", "--problems", problems, "--samples", file, *extra]
        assert exit_code(words) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("file", ["xnli_en", "xnli_es", "xnli_ar", "marc_en", "marc_de", "marc_fr"])
def test_published_accuracies_with_columns_named_as_the_systems(file: str) -> None:
    expected = shared_json("predictions", "expected.json")[file]
    systems = [one for one in expected if "accuracy" in expected[one]]
    data = str(shared_path("predictions", f"{file}.jsonl.gz"))
    result = score(Expected(data), dict.fromkeys(systems, data), settings=FEW)
    for one in systems:
        assert value(result, one, "accuracy") == pytest.approx(expected[one]["accuracy"])
        assert value(result, one, "f1_macro") == pytest.approx(expected[one]["macro_f1"])
    if len(systems) > 1:
        with pytest.raises(DataError, match="no column such as"):
            score(Expected(data), {"m": data}, settings=FEW)


def test_rows_without_gold_label_are_left_out() -> None:
    expected = shared_json("predictions", "expected.json")["snli_test"]
    data = str(shared_path("predictions", "snli_test_half.jsonl.gz"))
    result = score(Expected(data), {"m": data}, settings=FEW)
    assert value(result, "m", "accuracy") == pytest.approx(expected["roberta"]["accuracy"])
    assert f"{expected['no_gold']} of {expected['rows']} cases" in " ".join(result.notes)


def test_a_class_that_no_reference_has_counts_as_in_scikit_learn(tmp_path: Path) -> None:
    from sklearn.metrics import f1_score

    said = [["a", "maybe", "b", "I would not know."][n % 4] for n in range(60)]
    rows = [{"id": n, "prediction": f" {one.upper()}\r\n"} for n, one in enumerate(said)]
    result = score(
        Expected(lines(tmp_path / "refs.jsonl", REFERENCES)),
        {"m": lines(tmp_path / "m.jsonl", rows)},
        settings=FEW,
    )
    gold = [str(row["label"]) for row in REFERENCES]
    labels = ["a", "b", "maybe"]
    assert value(result, "m", "f1_macro") == pytest.approx(
        f1_score(gold, said, labels=labels, average="macro")
    )
    assert result.confusions[0].labels == ("a", "b", "MAYBE")
    assert sum(row[-1] for row in result.confusions[0].counts) == 15


def test_thoughts_are_no_answer_and_run_ids_differ(tmp_path: Path) -> None:
    references = lines(tmp_path / "refs.jsonl", [{"answer": f"say {n}"} for n in range(8)])
    rows = [{"output": f"<think>not {n}</think>say {n}"} for n in range(8)]
    rows[0] = {"output": "<think>so I"}
    file = lines(tmp_path / "m.jsonl", rows)
    wanted = MetricsSpec.of(["exact_match"])
    cut = score(Expected(references), {"m": file}, metrics=wanted, settings=FEW)
    kept = score(Expected(references), {"m": file}, metrics=wanted, thinking="keep", settings=FEW)
    assert value(cut, "m", "exact_match") == 7 / 8
    assert value(kept, "m", "exact_match") == 0
    assert [one.subject for one in cut.findings] == ["thinking"]
    assert "1 of 8 end inside it, cut at the limit" in cut.findings[0].sentence
    assert [one.subject for one in kept.findings] == ["nobody right"]
    assert "look at the outputs" in kept.findings[0].sentence
    assert cut.run_id != kept.run_id


def test_score_asks_beyond_the_score_as_a_run_does(tmp_path: Path) -> None:
    """Groups, lost slices, copies in the training file, and rows that are there twice."""
    texts = [f"{word} {n} about the parcel" for n in range(40) for word in ("where", "when", "why")]
    rows = [
        {"id": n, "text": text, "label": "ab"[n % 2], "intent": "slow" if n < 40 else "fast"}
        for n, text in enumerate([*texts, texts[-1]])
    ]
    turned = {"a": "b", "b": "a"}

    def said(is_right: Any) -> list[dict[str, Any]]:
        return [
            {"id": r["id"], "prediction": r["label"] if is_right(r) else turned[r["label"]]}
            for r in rows
        ]

    train = [{"text": row["text"], "label": row["label"]} for row in rows[:20]]
    result = score(
        Expected(
            lines(tmp_path / "refs.jsonl", rows),
            groups=["intent"],
            train_data=lines(tmp_path / "train.jsonl", train),
        ),
        {
            "base": lines(
                tmp_path / "base.jsonl", said(lambda r: r["id"] < 40 or r["id"] % 10 < 5)
            ),
            "lora": lines(tmp_path / "lora.jsonl", said(lambda r: r["id"] >= 40)),
        },
        settings=FEW,
    )
    assert "120 distinct inputs among 121 rows: equal inputs count as one." in result.notes
    warned = {(one.kind, one.subject) for one in result.findings if one.level == "warning"}
    assert warned == {
        ("contamination", "train.jsonl"),
        ("groups", "intent"),
        ("slices", "intent=slow"),
    }
    assert result.headline == "INVALID"  # a sixth of the cases stands in the training file
