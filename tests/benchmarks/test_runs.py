"""Each benchmark from its rows to a verdict: base, LoRA and full fine-tune in one command, offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tuneval
from benchmarks.made import NAMES, write_all
from shared import DATA, shared_path
from tiny_models import build_adapter, build_model
from tuneval.benchmarks import Place
from tuneval.benchmarks.load import load
from tuneval.cli import main as front
from tuneval.errors import ConfigError, DataError, TunevalError
from tuneval.pipeline.build import build_task
from tuneval.plan.spec import RunSpec
from tuneval.types import Message

REAL = (
    "mmlu", "sst2", "trec6", "squad", "squad:v2", "cnn_dailymail:summeval", "cnn_dailymail:realsumm",
    "humaneval", "mbpp", "alpaca_eval", "codexglue:code_to_code_trans", "codexglue:text_to_code",
)  # fmt: skip
OTHERS = ("cnn_dailymail", *(name for name in NAMES if name.startswith("codexglue")))
TEXTS = [name for name in REAL if not name.startswith(("mmlu", "sst2", "trec6"))]
CHOICES = [name for name in REAL if name not in TEXTS]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    base = build_model(folder / "base", max_position_embeddings=2048)
    adapter = build_adapter(folder / "lora", base)
    full = build_model(folder / "full", seed=5, max_position_embeddings=2048)
    return {"base": str(base), "adapters": str(adapter), "full": str(full)}


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_it(models: dict[str, str]) -> Callable[..., tuneval.RunResult]:
    def run(*names: str, **changes: Any) -> tuneval.RunResult:
        words: dict[str, Any] = {**models, "statistics": {"resamples": 100}, **changes}
        return tuneval.compare(words.pop("base"), benchmarks=names, **words)

    return run


Run = Callable[..., tuneval.RunResult]


def _check(result: tuneval.RunResult, names: list[str] | tuple[str, ...], n: int) -> None:
    assert result.is_complete, result.problems
    assert [one.name for one in result.case_sets] == list(names)
    for cases in result.case_sets:
        assert len(cases.cases) == n
        primary = result.primary_metrics[cases.name]
        for variant in ("base", "lora", "full"):
            (score,) = [
                one
                for one in result.scores
                if (one.case_set, one.metric, one.variant, one.slice)
                == (cases.name, primary, variant, "all")
            ]
            assert score.n_cases == n
            assert f"|benchmark:{cases.name}|" in score.signature


def test_choices_on_real_rows(run_it: Run) -> None:
    shared_path("mmlu")
    result = run_it(*CHOICES, limit=4, benchmark_data=str(DATA))
    _check(result, CHOICES, 4)
    assert result.primary_metrics == dict.fromkeys(CHOICES, "accuracy")
    again = tuneval.run(Path(result.output_dir) / "run.yaml")
    assert (again.run_id, again.scores) == (result.run_id, result.scores)


def test_texts_and_programs_on_real_rows(run_it: Run) -> None:
    shared_path("squad")
    _check(run_it(*TEXTS, limit=2, benchmark_data=str(DATA), options={"max_tokens": 4}), TEXTS, 2)


def test_those_whose_rows_are_not_here_on_made_up_ones(run_it: Run, tmp_path: Path) -> None:
    data = write_all(tmp_path / "hub")
    classes = [name for name in OTHERS if name.endswith((":defect", ":clone"))]
    texts = [name for name in OTHERS if name not in classes]
    _check(run_it(*classes, limit=2, benchmark_data=str(data)), classes, 2)
    options = {"max_tokens": 4}
    _check(run_it(*texts, limit=2, benchmark_data=str(data), options=options), texts, 2)


def test_beside_a_file_and_as_a_guard(run_it: Run, tmp_path: Path) -> None:
    data = write_all(tmp_path / "hub")
    (tmp_path / "own.jsonl").write_text(
        "".join(f'{{"text": "film {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(8))
    )
    result = run_it(
        "mmlu:anatomy", data="own.jsonl", guards="sst2", limit=2, few_shot=1,
        benchmark_data=str(data), metrics={"primary": "f1_macro", "also": ["accuracy"]},
    )  # fmt: skip
    assert [(one.name, one.is_guard) for one in result.case_sets] == [
        ("own", False), ("mmlu:anatomy", False), ("sst2", True),
    ]  # fmt: skip
    assert result.primary_metrics == {
        "own": "f1_macro",
        "mmlu:anatomy": "accuracy",
        "sst2": "accuracy",
    }


def test_where_the_rows_lie_is_no_part_of_the_run(run_it: Run, tmp_path: Path) -> None:
    one, other = (write_all(tmp_path / name) for name in ("one", "other"))
    ids = {run_it("sst2", benchmark_data=str(place)).run_id for place in (one, other)}
    assert len(ids) == 1
    assert run_it("sst2", few_shot=1, benchmark_data=str(one)).run_id not in ids


def test_with_chat_templates_where_they_are_asked_for(tmp_path: Path) -> None:
    """As text the prompts are lm-eval's; as messages each subject's description is the system's."""
    found = load("mmlu:anatomy", Place(write_all(tmp_path / "hub")), few_shot=1)
    prompts = {}
    for on in ("auto", "on"):
        spec = RunSpec.from_dict(
            {
                "variants": [{"name": "base", "model": "x"}],
                "cases": [{"benchmark": "mmlu:anatomy"}],
                "prompting": {"chat_template": on, "system": "Think."},
            }
        )
        task = build_task(spec, spec.cases[0], found.cases, found)
        prompts[on] = task.ask(found.cases.cases[0])[0].prompt
    told = "Think.\n\nThe following are multiple choice questions (with answers) about anatomy."
    question = "Which is 0?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    assert prompts["auto"] == f"{told}\n\n{question} A\n\n{question}"
    assert prompts["on"] == (
        Message("system", told),
        Message("user", question),
        Message("assistant", "A"),
        Message("user", question),
    )


def test_named_metrics_are_for_benchmarks_where_there_is_no_file(
    run_it: Run, tmp_path: Path
) -> None:
    data = str(write_all(tmp_path / "hub"))
    result = run_it("sst2", benchmark_data=data, metrics="mcc")
    assert {one.metric for one in result.scores} == {"mcc"}


@pytest.mark.parametrize(
    ("names", "changes", "error", "message"),
    [
        (["mmluu"], {}, ConfigError, 'benchmarks: there is no "mmluu" (did you mean "mmlu"?)'),
        (["mmlu:anatomie"], {}, ConfigError, 'benchmark "mmlu": there is no "anatomie"'),
        (["codexglue"], {}, ConfigError, "has parts; name one: codexglue:code_to_text"),
        (["mmlu"], {"few_shot": 9}, ConfigError, "9 examples are wanted, and dev has 2 of subject"),
        (["sst2"], {"few_shot": 12}, ConfigError, "12 examples are wanted, and train has 12"),
        (["sst2"], {"benchmark_data": "nowhere"}, DataError, 'there is no such folder'),
        (["sst2"], {"options": {"max_tokns": 3}}, ConfigError, 'did you mean "max_tokens"?'),
        (["sst2", "sst2"], {}, ConfigError, 'two test sets are called "sst2"'),
    ],
)  # fmt: skip
def test_what_is_refused_before_a_model_is_loaded(
    names: list[str],
    changes: dict[str, Any],
    error: type[TunevalError],
    message: str,
    run_it: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuneval.pipeline.run.make_backend", lambda *_: pytest.fail("a backend"))
    with pytest.raises(error) as raised:
        run_it(*names, **{"benchmark_data": str(write_all(tmp_path / "hub")), **changes})
    assert message in str(raised.value)


def test_keys_of_files_are_refused(tmp_path: Path) -> None:
    yaml = tmp_path / "run.yaml"
    yaml.write_text(
        "variants: [{name: base, model: x}]\ncases: [{benchmark: sst2, labels: [a, b]}]\n"
    )
    with pytest.raises(ConfigError, match='"labels" is for files; the benchmark brings its own'):
        tuneval.run(yaml)


def test_a_limit_keeps_the_proportions_of_the_strata_and_grows(tmp_path: Path) -> None:
    shared_path("mmlu")
    every = load("mmlu", Place(DATA, offline=True)).cases.cases
    sizes: dict[str, int] = {}
    for case in every:
        sizes[case.groups["subject"]] = sizes.get(case.groups["subject"], 0) + 1
    before: set[str] = set()
    for limit in (200, 1000):
        chosen = load("mmlu", Place(DATA, offline=True), limit=limit).cases.cases
        assert len(chosen) == limit
        for subject, n in sizes.items():
            got = sum(case.groups["subject"] == subject for case in chosen)
            assert abs(got - limit * n / len(every)) <= 1
        assert before <= {case.id for case in chosen}
        before = {case.id for case in chosen}


def test_the_list_says_what_each_is_and_whether_it_is_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_all(tmp_path / "hub")
    assert front.exit_code(["list", "benchmarks", "--benchmark-data", str(data)]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80 or str(tmp_path) in said
    for words in (
        "CC BY-SA 4.0",
        "Hendrycks et al.",
        "14042 cases (test)",
        "task classify",
        "here: ",
    ):
        assert words in said
    assert front.exit_code(["list", "benchmarks"]) == 0
    assert "here: no" in capsys.readouterr().out
