"""Which folders are seeds of one recipe, which are checkpoints of one training, which stand alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tiny_models import build_adapter, build_model, edit_json
from trainer_layouts import step_record, swift_record
from tuneval.errors import ConfigError
from tuneval.plan.resolve import Plan, resolve
from tuneval.plan.spec import RunSpec
from tuneval.plan.words import describe_run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an adapter, and another of the same settings."""
    folder = tmp_path_factory.mktemp("weights")
    base = build_model(folder / "base")
    for seed, name in enumerate(("lora", "other"), start=1):
        build_adapter(folder / name, base, seed=seed)
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"message {n}", "label": "ab"[n % 2]} for n in range(8)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def put(weights: Path, *places: str, kind: str = "lora") -> None:
    for place in places:
        shutil.copytree(weights / kind, place)


def described(**words: Any) -> RunSpec:
    return describe_run(**{"base": "base", "data": ["test.jsonl"], **words})


def shown(spec: RunSpec) -> dict[str, Any]:
    """Arm -> its folders, with the training and the step of a checkpoint."""
    return {
        one.name: (one.training_run, one.step, *(one.adapter or [str(one.model)]))
        if one.training_run
        else one.adapter or one.model
        for one in spec.variants[1:]
    }


def test_equal_settings_are_no_proof_of_one_recipe(weights: Path) -> None:
    put(weights, "out/sft", "out/dpo")
    assert shown(described(adapters=["out/sft", "out/dpo"])) == {
        "sft": ("out/sft",),
        "dpo": ("out/dpo",),
    }


@pytest.mark.parametrize(
    "adapters", [["lora=out/seed1", "lora=out/seed2"], ["lora=out/seed*"]], ids=["names", "glob"]
)
def test_who_says_so_gets_seeds(adapters: list[str], weights: Path) -> None:
    put(weights, "out/seed1", "out/seed2")
    assert shown(described(adapters=adapters)) == {"lora": ("out/seed1", "out/seed2")}


@pytest.mark.parametrize(
    ("change", "arms"),
    [
        ({}, {"lora": ("out/r8-seed1", "out/r8-seed2")}),
        ({"seed": 1}, {"r8-seed1": ("out/r8-seed1",), "r8-seed2": ("out/r8-seed2",)}),
        ({"data": "chats"}, {"r8-seed1": ("out/r8-seed1",), "r8-seed2": ("out/r8-seed2",)}),
        ({"rate": 0.2}, {"r8-seed1": ("out/r8-seed1",), "r8-seed2": ("out/r8-seed2",)}),
        ({"step": 80}, {"r8-seed1": ("out/r8-seed1",), "r8-seed2": ("out/r8-seed2",)}),
        ({"alpha": 64}, {"r8-seed1": ("out/r8-seed1",), "r8-seed2": ("out/r8-seed2",)}),
    ],
)
def test_training_records_show_seeds(
    change: dict[str, Any], arms: dict[str, Any], weights: Path
) -> None:
    for seed in (1, 2):
        folder = Path(f"out/r8-seed{seed}")
        put(weights, str(folder))
        told = {"seed": seed, "data": "tickets", "rate": 0.1, "step": 40, "alpha": 8}
        told |= change if seed == 2 else {}
        edit_json(folder / "adapter_config.json", lora_alpha=told.pop("alpha"))
        step_record(folder, told.pop("step"))
        swift_record(folder, **told)
    assert shown(described(adapters=["out/r8-*"])) == arms


def test_two_recipes_of_seeds_get_the_recipes_names(weights: Path) -> None:
    for rank, rate in ((4, 0.1), (8, 0.2)):
        for seed in (1, 2):
            folder = Path(f"out/r{rank}-seed{seed}")
            put(weights, str(folder))
            step_record(folder, 40)
            swift_record(folder, seed=seed, data="tickets", rate=rate)
    assert shown(described(adapters=["out/r*"])) == {
        "r4": ("out/r4-seed1", "out/r4-seed2"),
        "r8": ("out/r8-seed1", "out/r8-seed2"),
    }


CHECKPOINTS = {
    "checkpoint-20": ("out", 20, "out/checkpoint-20"),
    "checkpoint-100": ("out", 100, "out/checkpoint-100"),
}


@pytest.mark.parametrize(
    "words", [["out"], ["out/"], ["out/checkpoint-*"], ["out/checkpoint-100", "out/checkpoint-20"]]
)
@pytest.mark.parametrize(("flag", "kind"), [("adapters", "lora"), ("full", "base")])
def test_checkpoints_are_one_training_in_order_of_steps(
    words: list[str], flag: str, kind: str, weights: Path
) -> None:
    put(weights, *(f"out/{name}" for name in CHECKPOINTS), kind=kind)
    (Path("out") / "runs").mkdir()
    spec = described(**{flag: words})
    assert shown(spec) == CHECKPOINTS
    assert list(shown(spec)) == list(CHECKPOINTS)


@pytest.mark.parametrize("names", [("epoch_0", "epoch_1"), ("global_step_40", "global_step_80")])
def test_other_trainers_call_them_otherwise(names: tuple[str, ...], weights: Path) -> None:
    put(weights, *(f"out/{name}" for name in names), kind="base")
    assert list(shown(described(full=["out"]))) == list(names)


def test_a_named_training_and_two_trainings(weights: Path) -> None:
    places = [f"{run}/checkpoint-{step}" for run in ("a", "b") for step in (20, 40)]
    put(weights, *places)
    assert shown(described(adapters=["sft=a/checkpoint-*"])) == {
        "sft/checkpoint-20": ("sft", 20, "a/checkpoint-20"),
        "sft/checkpoint-40": ("sft", 40, "a/checkpoint-40"),
    }
    assert list(shown(described(adapters=["a", "b"]))) == places


def test_adapters_and_full_models_are_two_trainings(weights: Path) -> None:
    put(weights, "a/out/checkpoint-20", "a/out/checkpoint-40")
    put(weights, "b/out/checkpoint-20", "b/out/checkpoint-60", kind="base")
    spec = described(adapters=["a/out"], full=["b/out"])
    assert [(one.name, one.training_run) for one in spec.variants[1:]] == [
        ("checkpoint-20", "out"),
        ("checkpoint-40", "out"),
        ("b/out/checkpoint-20", "b/out"),
        ("b/out/checkpoint-60", "b/out"),
    ]
    with pytest.raises(ConfigError, match='two variants are called "x"; give each a name'):
        described(adapters=["x=a/out"], full=["x=b/out"])


def test_two_served_models_of_one_name() -> None:
    backend = {"kind": "openai", "base_url": "http://localhost:8000/v1"}
    with pytest.raises(ConfigError, match='two variants are called "x"; give each a name'):
        described(full=["x=org/one", "x=org/two"], backend=backend)


def test_a_single_checkpoint_and_a_final_adapter_are_arms(weights: Path) -> None:
    put(weights, "out", "out/checkpoint-20", "out/checkpoint-40")
    assert shown(described(adapters=["out"])) == {"lora": ("out",)}
    assert shown(described(adapters=["out/checkpoint-20"])) == {"lora": ("out/checkpoint-20",)}
    assert shown(described(adapters=["out", "out/checkpoint-*"])) == {
        "lora": ("out",),
        "checkpoint-20": ("out", 20, "out/checkpoint-20"),
        "checkpoint-40": ("out", 40, "out/checkpoint-40"),
    }


def test_the_same_step_of_several_seeds_is_a_recipe(weights: Path) -> None:
    put(weights, "s1/checkpoint-20", "s1/checkpoint-40", "s2/checkpoint-40")
    spec = described(adapters=["lora=s*/checkpoint-40"])
    assert shown(spec) == {"lora": ("s1/checkpoint-40", "s2/checkpoint-40")}
    with pytest.raises(ConfigError) as error:
        described(adapters=["lora=s*/checkpoint-*"])
    assert str(error.value) == (
        '"lora": "s1/checkpoint-20" and "s1/checkpoint-40" are checkpoints of one training, not '
        "training seeds.\nGive each training a name of its own: --adapter NAME='DIR/checkpoint-*'"
    )


# ---- what is said of them -------------------------------------------------------------------------------


def planned(weights: Path, *adapters: str) -> Plan:
    return resolve(described(base=str(weights / "base"), adapters=adapters))


def test_how_to_declare_seeds_is_said(weights: Path) -> None:
    put(weights, "out/one")
    put(weights, "out/it's two", kind="other")
    (note,) = (one for one in planned(weights, "out/*").notes if "PEFT" in one)
    assert note == (
        "it's two, one have equal PEFT settings and are 2 arms: nothing in their folders shows that they "
        "differ in the training seed alone. If they do, give them one name: "
        "--adapter NAME='out/it'\"'\"'s two' --adapter NAME=out/one"
    )


@pytest.mark.parametrize(
    "adapters", [["lora=out/*"], ["out/one"], ["a=out/one", "b=out/two"], ["out/one", "elsewhere"]]
)
def test_nothing_is_asked_of_what_was_declared_or_differs(
    adapters: list[str], weights: Path
) -> None:
    put(weights, "out/one", "out/two", "elsewhere")
    edit_json(Path("elsewhere/adapter_config.json"), lora_alpha=64)
    assert not any("PEFT settings" in note for note in planned(weights, *adapters).notes)


def test_copies_are_called_copies(weights: Path) -> None:
    put(weights, "out/checkpoint-20", "out/checkpoint-40")
    put(weights, "out/checkpoint-60", kind="other")
    notes = planned(weights, "out").notes
    assert "out: 3 checkpoints of one training (20, 40, 60), no training seeds" in notes
    assert (
        "checkpoint-20 and checkpoint-40 hold the same tensors: copies of one adapter, identical in "
        "every answer" in notes
    )


def test_a_run_yaml_says_the_same_again(weights: Path, tmp_path: Path) -> None:
    put(weights, "out/checkpoint-20", "out/checkpoint-40")
    plan = planned(weights, "out")
    assert [(one.training_run, one.step) for one in plan.variants[1:]] == [("out", 20), ("out", 40)]
    (tmp_path / "run.yaml").write_text(plan.spec.to_yaml())
    again = resolve(RunSpec.from_yaml(tmp_path / "run.yaml"))
    assert [(one.training_run, one.step) for one in again.variants[1:]] == [
        ("out", 20),
        ("out", 40),
    ]


@pytest.mark.parametrize(
    ("flag", "kind", "reading"),
    [
        (
            "adapters",
            "adapter",
            'epoch_0: "out/epoch_0" holds a whole model, too; read as the adapter',
        ),
        ("full", "full", 'epoch_0: "out/epoch_0" holds an adapter, too; read as the whole model'),
    ],
)
def test_torchtune_keeps_the_merged_model_beside_the_adapter(
    flag: str, kind: str, reading: str, weights: Path
) -> None:
    put(weights, "out/epoch_0", "out/epoch_1", kind="base")
    for epoch in ("out/epoch_0", "out/epoch_1"):
        shutil.copytree(weights / "lora", epoch, dirs_exist_ok=True)
    plan = resolve(described(base=str(weights / "base"), **{flag: ["out"]}))
    shown = [(one.name, one.kind, one.training_run, one.step) for one in plan.variants[1:]]
    assert shown == [("epoch_0", kind, "out", 0), ("epoch_1", kind, "out", 1)]
    assert reading in plan.notes
