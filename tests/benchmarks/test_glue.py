"""GLUE: published figures of real rows, the score of the whole, and classifiers that read the bare texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.made import write_all
from shared import DATA, shared_figures, shared_rows
from tiny_models import build_adapter, build_classifier, build_model
from tuneval import compare, metrics, tasks
from tuneval.benchmarks import Place
from tuneval.benchmarks.glue import PARTS, Glue
from tuneval.benchmarks.load import load
from tuneval.errors import DataError
from tuneval.tasks.wording import texts_of
from tuneval.types import Prediction

FIGURES = {
    "accuracy": "accuracy",
    "f1_macro": "macro_f1",
    "f1_weighted": "weighted_f1",
    "mcc": "mcc",
    "balanced_accuracy": "balanced_accuracy",
    "cohen_kappa": "cohen_kappa",
    "f1_binary": "f1_positive_1",
    "precision_binary": "precision_positive_1",
    "recall_binary": "recall_positive_1",
    "pearson": "pearson",
    "spearman": "spearman",
    "kendall_tau": "kendall_tau_b",
    "mse": "mse",
    "mae": "mae",
}
"""Our metric -> its key in the shared figures (scikit-learn and scipy)."""
HERE = sorted(set(PARTS) - {"sst2", "mnli_mismatched"})


@pytest.mark.parametrize("part", HERE)
def test_real_rows_and_predictions_give_the_figures_of_scikit_learn_and_scipy(part: str) -> None:
    given = shared_rows("glue", "baseline_predictions", f"{part}.jsonl.gz")
    expected = shared_figures("glue", "expected.json", of=[part])
    found = load(f"glue:{part}", Place(DATA, offline=True), is_asked=False)
    cases, labels = found.cases.cases, found.cases.labels
    by_row = {str(row["idx"]): row["prediction"] for row in given}
    said = [by_row[case.inputs["id"]] for case in cases]
    predictions = [
        Prediction(case.id, text=repr(float(one)))
        if labels is None
        else Prediction(case.id, text=labels[one], label=labels[one])
        for case, one in zip(cases, said, strict=True)
    ]
    n_held = 0
    for name, key in FIGURES.items():
        if key not in expected:
            continue
        options = {"positive": labels[1]} if name.endswith("_binary") else {}
        metric = metrics.build(name, labels=labels, **options)
        rows = metric.per_case(cases, predictions)
        value = (
            metric.from_rows(rows)
            if metric.statistic == "ranks"
            else metric.from_totals(rows.sum(axis=0))
        )
        assert float(value) == pytest.approx(expected[key], abs=1e-12), name
        n_held += 1
    assert n_held >= 5
    assert set(found.averaged) <= set(found.metrics)


@pytest.mark.parametrize(
    ("part", "columns"),
    [
        ("cola", ("sentence",)),
        ("mrpc", ("sentence1", "sentence2")),
        ("stsb", ("sentence1", "sentence2")),
        ("qqp", ("question1", "question2")),
        ("mnli", ("premise", "hypothesis")),
        ("qnli", ("question", "sentence")),
        ("rte", ("sentence1", "sentence2")),
        ("wnli", ("sentence1", "sentence2")),
    ],
)
def test_a_head_reads_the_very_columns_in_the_order_of_the_published_scripts(
    part: str, columns: tuple[str, ...]
) -> None:
    rows = shared_rows("glue", f"{part}.jsonl.gz")[:40]
    found = load(f"glue:{part}", Place(DATA, offline=True))
    task = tasks.build(found.cases.task, labels=found.cases.labels, **found.options)
    for row, case in zip(rows, found.cases.cases, strict=False):
        assert texts_of(case) == tuple(row[one] for one in columns)
        assert task.ask(case)[0].texts == texts_of(case)


def test_its_name_alone_is_all_nine() -> None:
    assert Glue.whole == ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return write_all(tmp_path / "hub")


def test_the_whole_in_one_run(place: Path, tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", max_position_embeddings=512)
    lora = build_adapter(tmp_path / "lora", base)
    result = compare(
        str(base),
        adapters=str(lora),
        benchmarks=["glue"],
        benchmark_data=str(place),
        statistics={"resamples": 100},
    )
    assert [one.name for one in result.case_sets] == [f"glue:{one}" for one in Glue.whole]
    (found,) = [one for one in result.findings if one.kind == "average"]
    # A random model writes no numbers.
    assert found.sentence == (
        "GLUE, mean of 9 tasks: base has none, for stsb is undefined; lora has none, for stsb is undefined."
    )
    parts = {}
    for name in Glue.whole:
        own = [
            next(
                score.value
                for score in result.scores
                if (score.case_set, score.variant, score.metric, score.slice)
                == (f"glue:{name}", "lora", metric, "all")
            )
            for metric in PARTS[name].facts.averaged
        ]
        parts[name] = sum(own) / len(own)
    row = dict(zip(found.columns, found.rows[1], strict=True))
    assert {name: row[name] for name in parts if name != "stsb"} == pytest.approx(
        {name: value for name, value in parts.items() if name != "stsb"}
    )


def test_a_score_outside_of_the_scale_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "glue"
    folder.mkdir()
    (folder / "stsb.jsonl").write_text('{"sentence1": "a", "sentence2": "b", "label": 7}\n')
    with pytest.raises(
        DataError, match=r'stsb.jsonl, line 1: label is "7", expected a number from 0 to 5'
    ):
        load("glue:stsb", Place(tmp_path, offline=True))


def plain_logits(folder: Path, texts: list[tuple[str, ...]]) -> torch.Tensor:
    """What a short script finds: one pair at a time, by transformers' own classes."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return torch.cat([model(**tokenizer(*one, return_tensors="pt")).logits for one in texts])


@pytest.mark.parametrize("part", ["rte", "mnli", "qnli", "stsb"])
def test_a_classifier_answers_by_its_head(part: str, place: Path, tmp_path: Path) -> None:
    """Labels in another order than the benchmark's are matched by name; STS-B takes the head's number."""
    labels = PARTS[part].facts.labels
    names = labels[::-1] if labels else ("similarity",)
    folders = [
        build_classifier(tmp_path / name, "bert", names=names, seed=seed)
        for seed, name in enumerate(("base", "full"), 1)
    ]
    result = compare(
        str(folders[0]),
        full=str(folders[1]),
        benchmarks=[f"glue:{part}"],
        benchmark_data=str(place),
        statistics={"resamples": 100},
    )
    cases = load(f"glue:{part}", Place(place, offline=True)).cases.cases
    texts = [texts_of(case) for case in cases]
    for variant, folder in zip(("base", "full"), folders, strict=True):
        logits = plain_logits(folder, texts)
        own = result.predictions[variant]
        if labels is None:
            assert [float(one.text or "nan") for one in own] == pytest.approx(
                logits[:, 0].tolist(), abs=1e-5
            )
        else:
            assert [one.label for one in own] == [names[k] for k in logits.argmax(-1).tolist()]
