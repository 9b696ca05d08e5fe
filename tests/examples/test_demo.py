"""What ships in ``tuneval/demo`` is what the generator makes, whole, small and of no one machine."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tuneval import demo

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

FOLDER = demo.folder()
FILES = sorted(p for p in FOLDER.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"})
NAMES = [path.relative_to(FOLDER).as_posix() for path in FILES]
ADAPTERS = ("lora-seed0", "lora-seed1", "lora-seed2")
MODELS = ("base", "full", "full-overfitted")
Script = Callable[[str], ModuleType]


def rows(name: str) -> list[dict[str, str]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def validation_losses(name: str) -> list[float]:
    state = json.loads((FOLDER / name / "trainer_state.json").read_text(encoding="utf-8"))
    return [row["eval_loss"] for row in state["log_history"] if "eval_loss" in row]


# The files


def test_data_files_are_what_the_generator_makes(script: Script) -> None:
    make = script("demo/make.py")
    for name, written in make.messages().items():
        text = make.json_lines(message.row() for message in written)
        assert (FOLDER / f"{name}.jsonl").read_bytes() == text.encode(), name


def test_tokenizer_is_what_the_generator_makes(script: Script, tmp_path: Path) -> None:
    make = script("demo/make.py")
    make.make_tokenizer(tmp_path, None)
    made = json.loads((tmp_path / "base" / "tokenizer.json").read_text(encoding="utf-8"))
    for name in MODELS:
        assert json.loads((FOLDER / name / "tokenizer.json").read_text(encoding="utf-8")) == made


def test_sizes() -> None:
    sizes = [path.stat().st_size for path in FILES]
    assert sum(sizes) <= 10_000_000
    assert max(sizes) < 6_000_000


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_path_of_a_machine(path: Path) -> None:
    found = re.search(
        rb"/(work|root|home|tmp|mnt|Users|opt|usr|venv)\b|[A-Z]:\\", path.read_bytes()
    )
    assert found is None, found


def test_everything_is_there() -> None:
    expected = {"README.md", "run.yaml", "replies.jsonl"}
    expected |= {f"{name}.jsonl" for name in ("train", "train-leaked", "validation", "test")}
    expected |= {f"{name}/model.safetensors" for name in MODELS}
    expected |= {f"{name}/adapter_model.safetensors" for name in ADAPTERS}
    expected |= {f"{name}/trainer_state.json" for name in (*ADAPTERS, *MODELS[1:])}
    assert expected <= set(NAMES)


# The messages


def test_messages_have_the_promised_mix(script: Script) -> None:
    wording = script("demo/wording.py")
    test = rows("test")
    labels = Counter(row["label"] for row in test)
    assert len(test) == 400
    assert labels == {label: round(400 * share) for label, share in wording.SHARES.items()}
    assert min(labels.values()) < 20
    assert max(labels.values()) > 80
    assert {row["writer"] for row in test} == {"fluent", "learner"}
    assert {row["channel"] for row in test} == {"email", "chat", "form"}
    assert sum(row["writer"] == "learner" for row in test) >= 100


def test_no_test_message_repeats_a_message_to_tune_on(script: Script) -> None:
    corpus = script("demo/corpus.py")
    seen: set[tuple[str, ...]] = set()
    for row in rows("train") + rows("validation"):
        corpus.remember(corpus.words_of(row["text"]), seen)
    assert [
        r["text"] for r in rows("test") if corpus.repeats(corpus.words_of(r["text"]), seen)
    ] == []
    assert len({row["text"] for row in rows("test")}) == 400


def test_run_yaml_agrees_with_the_generator(script: Script) -> None:
    make = script("demo/make.py")
    run = yaml.safe_load((FOLDER / "run.yaml").read_text(encoding="utf-8"))
    cases, guard = run["cases"]
    assert cases["labels"] == list(make.corpus.wording.LABELS)
    assert cases["template"] == make.TEMPLATE
    assert guard["guard"] and (FOLDER / guard["file"]).is_file()
    assert (FOLDER / run["train_data"]).is_file()
    for variant in run["variants"]:
        for name in [variant.get("model"), *variant.get("adapter", [])]:
            assert name is None or (FOLDER / name).is_dir(), name


# The weights


@pytest.mark.parametrize("name", MODELS)
def test_models_load_whole(name: str) -> None:
    from transformers import AutoModelForCausalLM

    model, found = AutoModelForCausalLM.from_pretrained(FOLDER / name, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    assert not found["mismatched_keys"]
    assert str(model.dtype) == "torch.float16"
    assert 0.8e6 < model.num_parameters() < 1.2e6


def adapter_settings(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(
        (FOLDER / name / "adapter_config.json").read_text("utf-8")
    )
    return settings


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_fit_the_base_whole(name: str) -> None:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(FOLDER / "base", dtype="float32")
    model = PeftModel.from_pretrained(base, FOLDER / name)
    # "auto" would look for the base's name on the hub
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    on_disk = load_file(FOLDER / name / "adapter_model.safetensors")
    assert loaded.keys() == on_disk.keys()
    assert all(loaded[key].equal(on_disk[key]) for key in on_disk)
    assert any(on_disk[key].any() for key in on_disk if "lora_B" in key)


def test_adapters_differ_in_their_seed_alone() -> None:
    from safetensors.torch import load_file

    first, *others = (adapter_settings(name) for name in ADAPTERS)
    assert all(other == first for other in others)
    assert first["base_model_name_or_path"] == "tuneval-demo/base"
    weights = [load_file(FOLDER / name / "adapter_model.safetensors") for name in ADAPTERS]
    for key in weights[0]:
        assert not weights[0][key].equal(weights[1][key])
        assert not weights[1][key].equal(weights[2][key])


# The picture


@pytest.mark.parametrize(
    ("name", "is_overfitted"),
    [*((name, False) for name in ADAPTERS), ("full", False), ("full-overfitted", True)],
)
def test_validation_loss_rises_only_where_it_should(name: str, is_overfitted: bool) -> None:
    losses = validation_losses(name)
    best = min(losses)
    assert 3 <= len(losses) <= 7
    assert (losses[-1] > 1.05 * best and losses[-1] != best) == is_overfitted


def test_base_is_weak_and_tuning_helps(script: Script) -> None:
    score = script("demo/score.py")
    cases = rows("test")[:100]
    right = {
        name: sum(
            answer["label"] == case["label"]
            for answer, case in zip(score.answers(FOLDER, name, cases), cases, strict=True)
        )
        for name in ("base", "lora-seed0", "full")
    }
    assert right["base"] < 70
    assert right["lora-seed0"] > 85
    assert right["full"] > 85


# Making it again


@pytest.mark.slow
def test_training_twice_gives_the_same_weights(script: Script, tmp_path: Path) -> None:
    make = script("demo/make.py")
    made = [tmp_path / "first", tmp_path / "second"]
    for folder in made:
        words = ["data", "tokenizer", "base", "lora", "full", "--steps", "3"]
        make.main([*words, "--output", str(folder)])
    first, second = (
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "trainer_state.json"  # holds times
        }
        for folder in made
    )
    assert first == second
    assert "lora-seed2/adapter_model.safetensors" in first


def test_unknown_step(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script("demo/make.py").main(["wieghts"])
    assert 'no step "wieghts"; there are: data, tokenizer' in capsys.readouterr().err
