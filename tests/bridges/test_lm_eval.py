"""The same tasks through our run and through lm-eval itself: per-document values are equal."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("lm-evaluation-harness is not installed", allow_module_level=True)

import lm_eval

from pipeline.conftest import write_rows
from tiny_models import build_adapter, build_model, build_tokenizer
from tuneval.api import RunResult
from tuneval.bridges.lm_eval.load import load
from tuneval.bridges.lm_eval.metric import SUMS, LmEvalMetric, number_of, row_of
from tuneval.errors import ConfigError, DataError
from tuneval.pipeline.run import run
from tuneval.plan.spec import RunSpec

# Other packages warn where lm-eval uses them in ways of yesterday.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WORDS = ("fox", "dog", "girl", "Paris", "card payment", "login")

TASKS: dict[str, str] = {
    # HellaSwag's shape: contexts with a trailing word, endings of different lengths.
    "tuneval_choice": """
output_type: multiple_choice
doc_to_text: "{{ctx}}"
doc_to_target: "{{label}}"
doc_to_choice: "{{endings}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: acc_mutual_info, aggregation: mean, higher_is_better: true}
  - {metric: brier_score}
""",
    "tuneval_shots": """
output_type: multiple_choice
fewshot_split: test
num_fewshot: 2
doc_to_text: "Question: {{ctx}}\\nAnswer:"
doc_to_target: "{{label}}"
doc_to_choice: "{{endings}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tuneval_binary": """
output_type: multiple_choice
doc_to_text: "{{ctx}}\\nLabel:"
doc_to_target: "{{parity}}"
doc_to_choice: ["no", "yes"]
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: f1, aggregation: f1, higher_is_better: true}
  - {metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}
""",
    "tuneval_text": """
output_type: generate_until
doc_to_text: "Q: {{ctx}}\\nA:"
doc_to_target: "{{endings[label]}}"
generation_kwargs: {until: ["\\n", "Q:"], max_gen_toks: 12, do_sample: false}
filter_list:
  - name: first-word
    filter:
      - {function: regex, regex_pattern: "([A-Za-z]+)"}
      - {function: take_first}
  - name: whole
    filter:
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
""",
    "tuneval_last_word": """
output_type: loglikelihood
doc_to_text: "{{ctx}}"
doc_to_target: " {{endings[label]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tuneval_pages": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list:
  - {metric: word_perplexity}
  - {metric: byte_perplexity}
  - {metric: bits_per_byte}
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YAML tasks on a JSON file, none of which needs a network."""
    place = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "ctx": f"The quick {WORDS[n % 6]} number {n} jumps over the lazy",
            "endings": [f"{word} {n}" if k % 2 else word for k, word in enumerate(WORDS[:4])],
            "label": n % 4,
            "parity": n * 7 // 3 % 2,
            # Every third is longer than the models' context and must roll.
            "page": f"Once upon a time {n} there was a {WORDS[n % 6]}. " * (1 + 5 * (n % 3 == 2)),
        }
        for n in range(14)
    ]
    data = write_rows(place / "rows.jsonl", rows)
    for name, text in TASKS.items():
        (place / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
            f"    test: {data}\ntest_split: test\nmetadata: {{version: 1.0}}\n{text}"
        )
    (place / "group.yaml").write_text(
        "group: tuneval_group\ntask: [tuneval_choice, tuneval_binary]\n"
        "aggregate_metric_list:\n  - {metric: acc, weight_by_size: true}\n"
    )
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # No row without a token: for adapters lm-eval cuts such rows off, which moves every number.
    size = len(build_tokenizer(bos=True))
    return build_model(tmp_path_factory.mktemp("model") / "base", bos=True, vocab_size=size)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LM_EVAL_INCLUDE_PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(scope="module")
def theirs(folder: Path, model: Path) -> Callable[[str], dict[str, Any]]:
    """lm-eval's own run of a task on the same weights."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    settings = {"device": "cpu", "dtype": "float32", "batch_size": 1}
    lm = HFLM(pretrained=str(model), **settings)
    # Where the tokenizer itself puts a beginning token, lm-eval puts a second one before whole
    # texts and scores the first; without that, both score the same tokens.
    bare = HFLM(pretrained=str(model), add_bos_token=False, **settings)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    known: dict[str, dict[str, Any]] = {}

    def evaluate(name: str) -> dict[str, Any]:
        if name not in known:
            known[name] = lm_eval.simple_evaluate(
                model=bare if name == "tuneval_pages" else lm,
                tasks=[name],
                task_manager=manager,
                bootstrap_iters=0,
                log_samples=True,
                verbosity=None,
            )
        return known[name]

    return evaluate


def ours(model: Path, *names: str, **changes: Any) -> RunResult:
    content: dict[str, Any] = {
        "variants": [{"name": "base", "model": str(model)}],
        "cases": [{"benchmark": f"lm_eval:{name}"} for name in names],
        "backend": {"dtype": "float32", "device": "cpu"},
        "statistics": {"resamples": 200},
    }
    return RunResult.of(run(RunSpec.from_dict(content | changes)))


def value_in(found: Any) -> Any:
    return found.item() if hasattr(found, "item") else found


@pytest.mark.parametrize("name", TASKS)
def test_values_of_every_document_equal_lm_evals(
    name: str, model: Path, theirs: Callable[[str], dict[str, Any]]
) -> None:
    expected = theirs(name)
    result = ours(model, name)
    (cases,) = result.case_sets
    metrics = {metric.name: metric for metric in load(name).own_metrics}
    compared = 0
    for sample in expected["samples"][name]:
        at = [case.id for case in cases.cases].index(f"{name}:{sample['doc_id']}")
        found = result.predictions["base"][at].values
        for metric in sample["metrics"]:
            plain = sample["filter"] == "none"
            label = metric if plain else f"{metric},{sample['filter']}"
            row = row_of(metrics[label].aggregation, value_in(sample[metric]))
            assert found[label] == pytest.approx(row, rel=1e-4, abs=1e-4), (label, at)
            compared += 1
    assert compared >= len(cases.cases)
    scores = {one.metric: one.value for one in result.scores if one.slice == "all"}
    for key, value in expected["results"][name].items():
        metric, _, filter_ = key.partition(",")
        if metric.endswith("_stderr") or not filter_:
            continue
        label = metric if filter_ == "none" else key
        assert scores[label] == pytest.approx(value, rel=1e-4, abs=1e-6), label


def test_requests_are_lm_evals_to_the_character(theirs: Callable[[str], dict[str, Any]]) -> None:
    for name in TASKS:
        task = load(name).task
        for sample in theirs(name)["samples"][name]:
            document = task.documents[f"{name}:{sample['doc_id']}"]
            asked = [one.args for one in document.instances]
            assert asked == sample["arguments"], name


def test_a_group_is_one_case_set_with_its_tasks_as_groups(
    model: Path, theirs: Callable[[str], dict[str, Any]]
) -> None:
    result = ours(model, "tuneval_group")
    (cases,) = result.case_sets
    assert cases.name == "lm_eval:tuneval_group"
    assert {case.groups["task"] for case in cases.cases} == {"tuneval_choice", "tuneval_binary"}
    expected = theirs("tuneval_group")["results"]
    scores = {(one.metric, one.slice): one.value for one in result.scores}
    for task in ("tuneval_choice", "tuneval_binary"):
        assert scores["acc", f"task={task}"] == pytest.approx(expected[task]["acc,none"])
    assert scores["acc", "all"] == pytest.approx(expected["tuneval_group"]["acc,none"])
    assert {one.metric for one in result.scores} == {"acc"}, "what both have"


def test_base_adapter_and_full_are_compared_on_the_same_documents(
    model: Path, tmp_path: Path
) -> None:
    lora = build_adapter(tmp_path / "lora", model, seed=1)
    full = build_model(tmp_path / "full", bos=True, seed=5)
    variants = [
        {"name": "base", "model": str(model)},
        {"name": "lora", "adapter": [str(lora)]},
        {"name": "full", "model": str(full)},
    ]
    changes = {"variants": variants, "metrics": {"primary": "acc_norm"}}
    result = ours(model, "tuneval_choice", "tuneval_pages", **changes)
    assert result.primary_metrics == {
        "lm_eval:tuneval_choice": "acc_norm",
        "lm_eval:tuneval_pages": "word_perplexity",
    }
    pairs = {(one.baseline, one.candidate) for one in result.comparisons}
    assert pairs == {("base", "lora"), ("base", "full"), ("lora", "full")}
    assert len(result.verdicts) == 3
    again = ours(model, "tuneval_choice", "tuneval_pages", **changes)
    assert again.run_id == result.run_id
    assert again.predictions == result.predictions
    spec = RunSpec.from_yaml(Path(result.output_dir) / "run.yaml")
    assert run(spec).run_id == result.run_id
    assert RunResult.load(result.output_dir).verdicts == result.verdicts
    report = Path(result.output_dir) / "report.html"
    assert "lm_eval:tuneval_choice" in report.read_text("utf-8")


def test_values_of_an_adapter_equal_lm_evals(model: Path, folder: Path, tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lora = build_adapter(tmp_path / "lora", model, seed=1)
    lm = HFLM(pretrained=str(model), peft=str(lora), device="cpu", dtype="float32", batch_size=1)
    name = "tuneval_choice"
    expected = lm_eval.simple_evaluate(
        model=lm,
        tasks=[name],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    variants = [
        {"name": "base", "model": str(model)},
        {"name": "lora", "adapter": [str(lora)]},
    ]
    result = ours(model, name, variants=variants)
    differing = 0
    for sample in expected["samples"][name]:
        at = sample["doc_id"]
        found = result.predictions["lora"][at].values
        assert found["acc"] == (sample["acc"], 1.0)
        brier = row_of("brier_score", sample["brier_score"])
        assert found["brier_score"] == pytest.approx(brier, abs=1e-4)
        differing += found["brier_score"] != result.predictions["base"][at].values["brier_score"]
    assert differing == len(result.predictions["lora"])


def test_limit_and_shots_are_lm_evals(folder: Path) -> None:
    few = load("tuneval_shots", limit=3, few_shot=1)
    assert [case.id for case in few.cases.cases] == [f"tuneval_shots:{n}" for n in range(3)]
    (request, *_) = few.task.ask(few.cases.cases[0])
    assert request.prompt.count("Question:") == 2
    assert "shots:1" in few.signature
    assert few.signature != load("tuneval_shots", limit=3).signature
    assert len(load("tuneval_shots", limit=0.5).cases.cases) == 7
    path = str(folder / "tuneval_binary.yaml")
    assert load(path).cases.name == "lm_eval:tuneval_binary"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("tuneval_chioce", ConfigError, 'there is no "tuneval_chioce" \\(did you mean "tuneval_choice"'),
        ("humaneval", (ConfigError, DataError), "humaneval"),
        ("hellaswag", DataError, "lm_eval:hellaswag cannot be built: .*\nIts data comes from the hub"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(name)


def test_programs_are_not_executed_here(folder: Path) -> None:
    text = (folder / "tuneval_text.yaml").read_text().replace("tuneval_text", "humaneval_local")
    path = folder / "unsafe" / "humaneval_local.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text}unsafe_code: true\n")
    with pytest.raises(
        ConfigError, match="Use --benchmark humaneval, which runs them in a sandbox"
    ):
        load(str(path))


def test_what_is_no_sum_is_left_out_by_name(folder: Path) -> None:
    text = (folder / "tuneval_text.yaml").read_text().replace("tuneval_text", "tuneval_bleu")
    path = folder / "other" / "tuneval_bleu.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text}  - {{metric: bleu}}\n")
    found = load(str(path))
    assert {one.name for one in found.own_metrics} == {
        "exact_match,first-word",
        "exact_match,whole",
    }
    assert any(
        '"bleu,whole" is left out: its aggregation "bleu"' in one for one in found.task.warnings()
    )
    path.write_text(text.replace("exact_match, aggregation: mean", "bleu, aggregation: bleu")
                    .replace(", ignore_case: true", ""))  # fmt: skip
    with pytest.raises(ConfigError, match="has no metric that can be compared here"):
        load(str(path))
    path.write_text(text.replace("do_sample: false", "do_sample: false, num_beams: 4"))
    with pytest.raises(ConfigError, match='draws its answers with "num_beams: 4"'):
        load(str(path))


@pytest.mark.parametrize("aggregation", SUMS)
def test_sums_give_lm_evals_aggregation(aggregation: str) -> None:
    from lm_eval.api import metrics as theirs

    rng = np.random.default_rng(0)
    values: list[Any] = list(-rng.random(30))
    if aggregation.startswith(("weighted", "bits")):
        values = [(one, int(n)) for one, n in zip(values, rng.integers(1, 9, 30), strict=True)]
    if aggregation in ("f1", "matthews_corrcoef"):
        values = [tuple(map(int, pair)) for pair in rng.integers(0, 2, (30, 2))]
    if aggregation == "brier_score":
        values = [(int(n), p / p.sum()) for n, p in zip(rng.integers(0, 3, 30), rng.random((30, 3)), strict=True)]  # fmt: skip
    if aggregation == "nanmean":
        values[3] = math.nan
    expected = getattr(theirs, "f1_score" if aggregation == "f1" else aggregation)(values)
    sums = np.array([row_of(aggregation, one) for one in values]).sum(axis=0)
    assert float(number_of(aggregation, sums)) == pytest.approx(float(expected))
    assert np.isnan(number_of(aggregation, np.zeros((2, sums.size)))).all()
    metric = LmEvalMetric("acc", aggregation, higher_is_better=True)
    assert metric.per_case([], []).shape == (0, sums.size)


def test_code_that_raises_spoils_one_document(folder: Path, model: Path) -> None:
    text = (folder / "tuneval_text.yaml").read_text().replace("tuneval_text", "tuneval_raises")
    place = folder / "raises"
    place.mkdir(exist_ok=True)
    (place / "code.py").write_text(
        "def process(doc, results):\n"
        "    if doc['label'] == 2:\n"
        "        raise ValueError('no\\nsuch label')\n"
        "    return {'exact_match': 1.0}\n"
    )
    head = text.partition("filter_list")[0]
    path = place / "tuneval_raises.yaml"
    path.write_text(
        f"{head}process_results: !function code.process\nmetric_list:\n  - {{metric: exact_match}}\n"
    )
    result = ours(model, str(path))
    assert not result.is_complete
    assert len(result.problems) == 3
    assert result.problems[0] == "base, tuneval_raises:2: lm-eval: ValueError: no such label"
    (score,) = [one for one in result.scores if one.slice == "all"]
    assert (score.value, score.n_cases) == (1.0, 11)


def test_rows_are_json(folder: Path) -> None:
    """What a case shows is plain text."""
    for case in load("tuneval_choice").cases.cases:
        json.dumps([case.inputs, case.references])
        assert case.references[0] in WORDS or case.references[0].split()[0] in WORDS
