"""Released outputs of real systems, scored through the benchmarks' own path: cases, metrics, readers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.made import write
from shared import DATA, shared_figures, shared_json, shared_path, shared_rows
from tuneval.benchmarks.cnn_dailymail import one_sentence_a_line
from tuneval.comparison import Settings
from tuneval.errors import ConfigError, DataError
from tuneval.pipeline.score_code import Problems, score_code
from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.spec import OutputSpec


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def scored(name: str, file: Path | str, data: Path = DATA) -> dict[str, float]:
    """Metric -> value on all cases, and on each slice as "metric slice"."""
    result = score(
        Expected(benchmark=name, benchmark_data=str(data)),
        {"system": str(file)},
        output=OutputSpec(reports=()),
        settings=Settings(resamples=100),
    )
    return {
        one.metric if one.slice == "all" else f"{one.metric} {one.slice}": one.value
        for one in result.scores
    }


SYSTEMS = {"v1.1": ("bert_ensemble_google", "logreg_baseline_stanford", "match_lstm_smu",
                    "rnet_plus_msra", "slqa_alibaba"),
           "v2.0": ("bert_single_google", "bidaf_selfattn_elmo_ai2", "nlnet_msra")}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "system"), [(version, one) for version, own in SYSTEMS.items() for one in own]
)
def test_squad(version: str, system: str) -> None:
    figures = shared_figures("squad", "expected_scores.json", of=(version, system))
    file = shared_path("squad", f"predictions_{version}", f"{system}.json.gz")
    if version == "v1.1":
        found = scored("squad", file)
        assert 100 * found["squad_v1_em"] == pytest.approx(figures["exact_match"], abs=1e-9)
        assert 100 * found["squad_v1_f1"] == pytest.approx(figures["f1"], abs=1e-9)
        return
    found = scored("squad:v2", file)
    assert 100 * found["squad_em"] == pytest.approx(figures["exact"], abs=1e-9)
    assert 100 * found["squad_f1"] == pytest.approx(figures["f1"], abs=1e-9)
    for kind, key in (("answerable", "HasAns_f1"), ("unanswerable", "NoAns_f1")):
        assert 100 * found[f"squad_f1 kind={kind}"] == pytest.approx(figures[key], abs=1e-9)


def test_squad_2_refuses_what_has_no_prediction(tmp_path: Path) -> None:
    """As its program does; that of 1.1 counts it as wrong (logreg_baseline_stanford lacks six)."""
    file = shared_path("squad", "predictions_v2.0", "nlnet_msra.json.gz")
    with gzip.open(file, "rt", encoding="utf-8") as content:
        given = json.load(content)
    n = len(given)
    given.pop(next(iter(given)))
    (tmp_path / "fewer.json").write_text(json.dumps(given))
    with pytest.raises(DataError, match=f"1 of {n} ids of squad:v2 have no prediction"):
        scored("squad:v2", tmp_path / "fewer.json")


@pytest.mark.parametrize("system", ["M0", "M12", "M23"])
def test_summaries_with_rouge_score(system: str, tmp_path: Path) -> None:
    rows = shared_rows("cnndm_summeval", "summeval.jsonl.gz")
    if system not in rows[0]["systems"]:
        pytest.skip(f"{system} is not among the systems")
    figures = shared_json("cnndm_summeval", "expected_rouge.json")["systems"][system]
    texts = [{"id": one["id"], "summary": one["systems"][system]["summary"]} for one in rows]
    write(tmp_path / "given.jsonl", texts)
    found = scored("cnn_dailymail:summeval", tmp_path / "given.jsonl")
    for metric in ("rouge1", "rouge2", "rougeL"):
        assert found[metric] == pytest.approx(figures[f"{metric}_f_stem"], abs=1e-6)


def test_summaries_of_marked_sentences(tmp_path: Path) -> None:
    rows = shared_rows("cnndm_realsumm", "realsumm.jsonl.gz")
    figures = shared_json("cnndm_realsumm", "expected_rouge.json")["systems"]
    system = sorted(figures)[0]
    texts = [
        {
            "id": str(one["doc_id"]),
            "summary": one_sentence_a_line(one["systems"][system]["summary"]),
        }
        for one in rows
    ]
    write(tmp_path / "given.jsonl", texts)
    found = scored("cnn_dailymail:realsumm", tmp_path / "given.jsonl")
    for metric in ("rouge1", "rouge2", "rougeLsum"):
        expected = figures[system][metric.replace("rouge", "rouge_score_") + "_f"]
        assert found[metric] == pytest.approx(expected, abs=1e-5)


TRANSLATION = "code-to-code-trans"
SAMPLES = "evaluator_samples"


def test_code_translation(tmp_path: Path) -> None:
    """The released references of the system are those of its own time: 7 of 1,000 differ by a space or
    a line from the test file that is published now, on which it reaches 77.49."""
    key = f"{TRANSLATION} java->cs (system_java-cs.output vs .gold)"
    figures = shared_figures("codexglue", "expected_scores.json", of=(key,))
    system = shared_path("codexglue", TRANSLATION, "system_java-cs.output.gz")
    with gzip.open(system.with_name("system_java-cs.gold.gz"), "rt", encoding="utf-8") as gold:
        rows = [{"id": n, "java": "", "cs": line.rstrip("\n")} for n, line in enumerate(gold)]
    write(tmp_path / "codexglue" / "test.jsonl", rows)
    _same(scored("codexglue:code_to_code_trans", system, tmp_path), figures)
    now = scored("codexglue:code_to_code_trans", system)
    assert now["codexglue_bleu"] == pytest.approx(figures["bleu"], abs=0.05)
    assert 100 * now["exact_match"] == pytest.approx(figures["exact_match"], abs=0.01)


@pytest.mark.parametrize(
    ("name", "given", "key"),
    [
        (
            "code_to_code_trans",
            "java",
            "java->cs naive copy (test .java as prediction of test .cs)",
        ),
        ("code_to_code_trans_cs_java", "cs", "cs->java naive copy"),
    ],
)
def test_code_that_was_only_copied(name: str, given: str, key: str) -> None:
    figures = shared_figures("codexglue", "expected_scores.json", of=(f"{TRANSLATION} {key}",))
    file = shared_path("codexglue", TRANSLATION, f"test.java-cs.txt.{given}.gz")
    _same(scored(f"codexglue:{name}", file), figures)


def _same(found: Mapping[str, float], figures: Mapping[str, float]) -> None:
    exact = "exact_match" if "exact_match" in found else "code_exact_match"
    assert found["codexglue_bleu"] == pytest.approx(figures["bleu"], abs=0.01)
    assert 100 * found[exact] == pytest.approx(figures["exact_match"], abs=0.01)


def _lines(*parts: str) -> list[str]:
    return shared_path("codexglue", SAMPLES, *parts).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "task", ["code-refinement", "text-to-code", "code-to-text", "Defect-detection"]
)
def test_the_samples_of_the_official_programs(task: str, tmp_path: Path) -> None:
    """Their references, written as the hub keeps the task; their predictions as they are."""
    figures = shared_json("codexglue", "expected_scores.json")[f"{SAMPLES}/{task}"]
    given = shared_path("codexglue", SAMPLES, task, "predictions.txt")
    if task == "code-refinement":
        sides = zip(_lines(task, "predictions.txt"), _lines(task, "references.txt"), strict=True)
        rows = [{"id": n, "buggy": one, "fixed": two} for n, (one, two) in enumerate(sides)]
        write(tmp_path / "codexglue" / "small" / "test.jsonl", rows)
        _same(scored("codexglue:code_refinement", given, tmp_path), figures)
    elif task == "text-to-code":
        rows = [json.loads(line) for line in _lines(task, "answers.json")]
        write(tmp_path / "codexglue" / "validation.jsonl", rows)
        _same(scored("codexglue:text_to_code", given, tmp_path), figures)
    elif task == "code-to-text":
        pairs = [line.split("\t", 1) for line in _lines(task, "reference.txt")]
        rows = [{"id": n, "code_tokens": ["f"], "docstring_tokens": [text]} for n, text in pairs]
        write(tmp_path / "codexglue" / "python" / "test.jsonl", rows)
        found = scored("codexglue:code_to_text", given, tmp_path)
        assert found["codexglue_text_bleu"] == pytest.approx(figures["smoothed_bleu4"], abs=1e-6)
    else:
        home = shared_path("codexglue", SAMPLES)
        found = scored("codexglue:defect", given, home)
        assert found["accuracy"] == pytest.approx(figures["accuracy"])


def test_clone_detection_counts_the_clones(tmp_path: Path) -> None:
    """Binary F1, as the official program has counted since September 2021."""
    rows = [
        {"id": n, "id1": n, "id2": n + 50, "func1": "a", "func2": "b", "label": n < 4}
        for n in range(10)
    ]
    write(tmp_path / "codexglue" / "test.jsonl", rows)
    said = [1, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    (tmp_path / "p.txt").write_text(
        "".join(f"{n}\t{n + 50}\t{one}\n" for n, one in enumerate(said))
    )
    found = scored("codexglue:clone", tmp_path / "p.txt", tmp_path)
    assert found["precision_binary"] == pytest.approx(2 / 3)
    assert found["recall_binary"] == pytest.approx(2 / 4)
    assert found["f1_binary"] == pytest.approx(4 / 7)


def _pass_at(k: tuple[int, ...], samples: Path) -> dict[str, float]:
    result = score_code(
        Problems(benchmark="humaneval", benchmark_data=str(DATA)),
        {"system": str(samples)},
        k=k,
        output=OutputSpec(reports=()),
    )
    assert all("benchmark:humaneval" in one.signature for one in result.scores)
    return {one.metric: one.value for one in result.scores}


@pytest.mark.slow
def test_programs() -> None:
    figures = shared_json("humaneval", "expected_pass_at_k.json")
    found = _pass_at((1, 2, 3, 5), shared_path("humaneval", "samples_n5.jsonl.gz"))
    assert found == pytest.approx({name: figures[name] for name in found}, abs=1e-9)


def test_programs_of_a_few_problems(tmp_path: Path) -> None:
    """Each sample says what came of it when it was run by openai/human-eval's own program."""
    rows = shared_rows("humaneval", "samples_n5.jsonl.gz")[:20]
    write(tmp_path / "few.jsonl", rows)
    n_passed = sum(one["expected"] == "passed" for one in rows)
    assert _pass_at((1,), tmp_path / "few.jsonl") == {"pass@1": pytest.approx(n_passed / len(rows))}


@pytest.mark.parametrize(
    ("name", "file", "field", "answer", "means"),
    [
        ("mmlu", "test.jsonl.gz", "answer", "D", 3),
        ("sst2", "validation.jsonl.gz", "label", "positive", 1),
        ("sst2", "validation.jsonl.gz", "label", "1", 1),
    ],
)
def test_the_same_answer_every_time(
    name: str, file: str, field: str, answer: str, means: int, tmp_path: Path
) -> None:
    """Always D, always positive: the share of the rows that say so."""
    rows = shared_rows(name, file)
    (tmp_path / "same.txt").write_text(f"{answer}\n" * len(rows))
    found = scored(name, tmp_path / "same.txt")
    right = sum(row[field] == means for row in rows) / len(rows)
    assert found["accuracy"] == pytest.approx(right, abs=1e-12)
    if name == "mmlu":
        subjects = {one["subject"] for one in rows}
        shares = [
            sum(one["answer"] == 3 for one in own) / len(own)
            for own in ([one for one in rows if one["subject"] == name] for name in subjects)
        ]
        assert found["accuracy_macro"] == pytest.approx(sum(shares) / len(shares))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mmlux", 'there is no "mmlux" (did you mean "mmlu"?)'),
        ("mmlu:anatomie", 'there is no "anatomie" (did you mean "anatomy"?)'),
        ("codexglue", 'benchmark "codexglue" has parts; name one: codexglue:code_to_text'),
        ("humaneval", "runs programs: give --samples instead of --predictions"),
    ],
)
def test_what_cannot_be_scored(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x\n")
    data = shared_path("humaneval").parent if name == "humaneval" else tmp_path
    with pytest.raises(ConfigError) as error:
        scored(name, tmp_path / "p.txt", data)
    assert message in str(error.value)
