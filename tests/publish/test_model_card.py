"""Model cards: read back by huggingface_hub itself, and merged into the cards that trainers leave."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tuneval.benchmarks.load import find
from tuneval.cli.main import exit_code
from tuneval.demo import folder
from tuneval.errors import ConfigError, DataError
from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.spec import OutputSpec
from tuneval.publish.model_card import BEGIN, END, files
from tuneval.types import RunResult

HOSTILE = "</script><b>| [x](javascript:y) @you"

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT for transformers


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    place = tmp_path_factory.mktemp("run")
    labels = ["yes", "no"] * 20
    said = {
        "base": [("yes", "no", "no")[n % 3] for n in range(40)],
        "lora": [label if n % 8 else HOSTILE for n, label in enumerate(labels)],
        "full": labels,
    }
    refs = place / "refs.jsonl"
    refs.write_text("".join(json.dumps({"label": one}) + "\n" for one in labels), "utf-8")
    for name, texts in said.items():
        lines = [json.dumps({"text": one}) for one in texts]
        (place / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return score(
        Expected(f"{refs}:label"),
        {name: f"{place / name}.jsonl:text" for name in said},
        output=OutputSpec(dir=str(place / "runs"), reports=("model-card",)),
    )


def with_folder(result: RunResult, arm: str, place: Path) -> RunResult:
    variants = tuple(
        replace(one, adapter=str(place)) if one.name == arm else one for one in result.variants
    )
    return replace(result, variants=variants)


def numbers(card: ModelCard) -> dict[str, float]:
    return {one.metric_type: one.metric_value for one in card.data.eval_results}


def test_the_numbers_are_read_back_from_the_metadata(result: RunResult) -> None:
    written = files(result)
    assert set(written) == {"lora/README.md", "full/README.md"}
    for arm in ("lora", "full"):
        card = ModelCard(written[f"{arm}/README.md"])
        expected = {
            one.metric: one.value
            for one in result.scores
            if (one.variant, one.slice) == (arm, "all")
        }
        found = numbers(card)
        assert found
        assert found.items() <= expected.items()
        accuracy = next(one for one in card.data.eval_results if one.metric_type == "accuracy")
        (own,) = (
            one
            for one in result.scores
            if (one.variant, one.metric, one.slice) == (arm, "accuracy", "all")
        )
        assert own.interval is not None
        assert accuracy.metric_args["low"] == own.interval.low
        assert accuracy.metric_args["cases"] == 40
        assert accuracy.task_type == "text-classification"


def test_the_section_says_what_the_verdict_says(result: RunResult) -> None:
    text = files(result)["lora/README.md"]
    assert "## How it was evaluated" in text
    (verdict,) = (
        one for one in result.verdicts if (one.candidate, one.baseline) == ("lora", "base")
    )
    assert verdict.reasons[0].split("(")[0].strip() in text
    assert "| refs.jsonl | accuracy |" in text


def peft_card(place: Path) -> str:
    """What PEFT itself leaves beside an adapter."""
    model = AutoModelForCausalLM.from_pretrained(folder() / "base")
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2)).save_pretrained(place)
    return (place / "README.md").read_text(encoding="utf-8")


def test_the_card_that_peft_left_is_merged(result: RunResult, tmp_path: Path) -> None:
    before = ModelCard(peft_card(tmp_path))
    found = with_folder(result, "lora", tmp_path)
    after = ModelCard(files(found)["lora/README.md"])
    kept = {k: v for k, v in after.data.to_dict().items() if k != "model-index"}
    assert before.data.to_dict().items() <= kept.items()
    assert after.text.startswith(before.text.rstrip())
    assert numbers(after)
    # Written again over itself, nothing is doubled and nothing else changes.
    (tmp_path / "README.md").write_text(str(after), encoding="utf-8")
    assert files(found)["lora/README.md"] == str(after)


OTHER = """---
license: mit
model-index:
- name: mine
  results:
  - task: {type: text-classification}
    dataset: {name: Elsewhere, type: elsewhere}
    metrics:
    - {type: accuracy, value: 0.5}
---
# My model

Words of mine.
"""


def test_results_and_words_of_others_stay(result: RunResult, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"{OTHER}\n{BEGIN}\nold\n{END}\n\n## After\n", "utf-8")
    card = ModelCard(files(with_folder(result, "lora", tmp_path))["lora/README.md"])
    assert card.data.model_name == "mine"
    assert card.data.license == "mit"
    kept = [one for one in card.data.eval_results if one.dataset_type == "elsewhere"]
    assert [one.metric_value for one in kept] == [0.5]
    assert "Words of mine." in card.text
    assert "\nold\n" not in card.text
    assert card.text.rstrip().endswith("## After")


def test_a_card_without_metadata_gets_some(result: RunResult, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Only words\n", "utf-8")
    card = ModelCard(files(with_folder(result, "lora", tmp_path))["lora/README.md"])
    assert card.text.lstrip().startswith("# Only words")
    assert numbers(card)


def test_a_card_that_cannot_be_read_is_named(result: RunResult, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\na: [1\n---\n# x\n", "utf-8")
    with pytest.raises(DataError, match=r"README\.md: this model card cannot be merged"):
        files(with_folder(result, "lora", tmp_path))


def test_benchmarks_go_to_the_leaderboard_files(result: RunResult) -> None:
    facts = find("sst2")[0].facts("")
    (cases,) = result.case_sets
    signature = f"benchmark:{facts.name}|split:{facts.split}|revision:none|rows:40/abc"
    published = replace(result, case_sets=(replace(cases, signature=signature),))
    written = files(published)
    (entry,) = parse_eval_result_entries(yaml.safe_load(written["lora/.eval_results/sst2.yaml"]))
    assert entry.dataset_id == facts.hub
    assert entry.value == next(
        one.value
        for one in result.scores
        if (one.variant, one.metric, one.slice) == ("lora", "accuracy", "all")
    )
    assert signature in entry.notes
    card = ModelCard(written["lora/README.md"])
    assert {one.dataset_type for one in card.data.eval_results} == {facts.hub}


def test_hostile_names_are_harmless(result: RunResult) -> None:
    hostile = "<img src=x onerror=y>|[a](b)"
    (cases,) = result.case_sets
    renamed = {
        "case_sets": (replace(cases, name=hostile),),
        "primary_metrics": {hostile: result.primary_metrics[cases.name]},
        **{
            key: tuple(replace(one, case_set=hostile) for one in getattr(result, key))
            for key in ("scores", "comparisons")
        },
    }
    fields: dict[str, Any] = renamed
    text = ModelCard(files(replace(result, **fields))["lora/README.md"]).text
    assert text.count("<img") == text.count("\\<img") > 0
    assert "[a](b)" not in text.replace("\\[a\\]", "")


def test_the_run_and_the_command_write_it(
    result: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Path(result.output_dir)
    assert (place / "model-card" / "lora" / "README.md").is_file()
    words = ["report", str(place), "--to", "model-card", "-o", str(tmp_path / "cards")]
    assert exit_code(words) == 0
    told = capsys.readouterr().out.split()
    assert str(tmp_path / "cards" / "lora" / "README.md") in told
    written = (tmp_path / "cards" / "lora" / "README.md").read_text(encoding="utf-8")
    assert written == (place / "model-card" / "lora" / "README.md").read_text(encoding="utf-8")


def test_without_the_hub_package_it_says_what_to_install(
    result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        files(result)
