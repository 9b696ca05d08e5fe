"""The callback: training is left as it was bit for bit, and what it finds is paired."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
from transformers import TrainerCallback as Listener

import tuneval
from tuneval.demo import folder
from tuneval.errors import ConfigError, TunevalError

# Other packages warn where they use one another in ways of yesterday.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PROMPT = "Message: {text}\nTopic:"
STEPS = 6
METRICS = {"primary": "accuracy", "also": ["accuracy"]}


def rows(name: str, n: int) -> list[dict[str, str]]:
    lines = (folder() / name).read_text(encoding="utf-8").splitlines()[:n]
    return [{key: json.loads(line)[key] for key in ("text", "label")} for line in lines]


class Collate:
    """Draws from every generator that a training may draw from, as augmenting collators do."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, batch: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [list(one["input_ids"]) for one in batch]
        rows = [[id_ for id_ in row if random.random() > 0.05] for row in rows]
        rows = [row[: len(row) - int(np.random.randint(3))] for row in rows]
        width = max(map(len, rows))
        ids = torch.tensor([row + [2] * (width - len(row)) for row in rows])
        noise = torch.rand(ids.shape) < 0.05
        labels = ids.masked_fill((ids == 2) | noise, -100)
        return {"input_ids": ids, "labels": labels, "attention_mask": (ids != 2).long()}


def fresh(kind: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder() / "base")
    model = AutoModelForCausalLM.from_pretrained(
        folder() / "base", dtype=torch.float32, attention_dropout=0.1
    )
    if kind == "lora":
        config = LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_dropout=0.1, target_modules="all-linear"
        )
        model = get_peft_model(model, config)
    return model, tokenizer


def train(
    kind: str,
    place: Path,
    callbacks: Sequence[Any],
    learning_rate: float = 3e-3,
    eval_rows: Any = None,
    **settings: Any,
) -> Trainer:
    model, tokenizer = fresh(kind)
    data = [
        {"input_ids": tokenizer(f"Message: {row['text']}\nTopic: {row['label']}\n")["input_ids"]}
        for row in rows("train.jsonl", 64)
    ]
    trainer = Trainer(
        model=model,
        processing_class=tokenizer,
        data_collator=Collate(tokenizer),
        train_dataset=data,
        eval_dataset=eval_rows,
        callbacks=list(callbacks),
        args=TrainingArguments(
            output_dir=str(place),
            **{
                "max_steps": STEPS,
                "per_device_train_batch_size": 8,
                "gradient_accumulation_steps": 2,
                "learning_rate": learning_rate,
                "logging_steps": 1,
                "save_strategy": "no",
                "report_to": "none",
                "use_cpu": True,
                "remove_unused_columns": False,
                "disable_tqdm": True,
                "dataloader_pin_memory": False,
                "seed": 3,
                **settings,
            },
        ),
    )
    trainer.train()
    return trainer


def callback(**options: Any) -> Any:
    settings = {"every": 2, "prompt": PROMPT, "task": "classify", "metrics": METRICS, **options}
    data = settings.pop("data", rows("validation.jsonl", 16))
    return tuneval.TrainerCallback(data, **settings)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


@pytest.mark.parametrize(
    "checkpointing",
    [False, pytest.param(True, marks=pytest.mark.slow, id="gradient checkpointing")],
)
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_training_ends_in_the_same_weights_bit_for_bit(
    tmp_path: Path, kind: str, checkpointing: bool
) -> None:
    plain = train(kind, tmp_path / "a", [], gradient_checkpointing=checkpointing)
    watched = callback()
    seen = train(kind, tmp_path / "b", [watched], gradient_checkpointing=checkpointing)
    assert [one.step for one in watched.history] == [0, 2, 4, 6]
    expected, found = weights(plain), weights(seen)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name

    def losses(trainer: Trainer) -> list[float]:
        return [one["loss"] for one in trainer.state.log_history if "loss" in one]

    assert losses(plain) == losses(seen)
    trained = [name for name, one in seen.model.named_parameters() if one.requires_grad]
    assert trained == [name for name, one in plain.model.named_parameters() if one.requires_grad]
    assert [one.training for one in plain.model.modules()] == [
        one.training for one in seen.model.modules()
    ]


def test_the_last_step_is_evaluated_before_the_best_is_loaded(tmp_path: Path) -> None:
    class Steps(Listener):
        """Whose weights were asked: the sum of all of them, at every evaluation and at every step."""

        at: dict[int, float]

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.at[state.global_step] = _sum(kwargs["model"])

    steps = Steps()
    steps.at = {}
    watched = callback(every=4)
    asked: list[float] = []
    evaluate = watched._evaluate

    def seen(args: Any, state: Any, control: Any, model: Any, name: str) -> None:
        asked.append(_sum(model))
        evaluate(args, state, control, model, name)

    watched._evaluate = seen
    rows = [{"input_ids": list(range(5, 25))}] * 4
    train(
        "full",
        tmp_path,
        [steps, watched],
        eval_rows=rows,
        load_best_model_at_end=True,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
    )
    assert [one.step for one in watched.history] == [0, 4, 6]
    assert asked[1:] == [steps.at[4], steps.at[6]]


def _sum(model: Any) -> float:
    return float(sum(one.detach().double().sum() for one in model.parameters()))


class Spoiled(Listener):
    """What an evaluation would do that restored nothing: the test above must be able to fail."""

    def on_step_end(self, *_: Any, **__: Any) -> None:
        torch.rand(1)


def test_a_single_draw_in_between_would_change_the_weights(tmp_path: Path) -> None:
    one = weights(train("lora", tmp_path / "a", []))
    two = weights(train("lora", tmp_path / "b", [Spoiled()]))
    assert any(not torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_the_numbers_are_those_of_a_comparison_afterwards(tmp_path: Path) -> None:
    watched = callback(every="epoch")
    trainer = train("lora", tmp_path / "t", [watched], max_steps=-1, num_train_epochs=2)
    data = rows("validation.jsonl", 16)
    result = tuneval.compare(
        models={"lora": (trainer.model, trainer.processing_class)},
        data=data,
        task="classify",
        metrics=METRICS,
        template=PROMPT,
        output={"dir": str(tmp_path / "runs"), "reports": []},
    )
    scores = {one.variant: one for one in result.scores if one.metric == "accuracy"}
    first, last = watched.history[0], watched.history[-1]
    assert first.scores[0].value == scores["base"].value
    assert last.scores[0].value == scores["lora"].value
    assert last.scores[0].interval == scores["lora"].interval
    (comparison,) = (
        one for one in result.comparisons if (one.metric, one.slice) == ("accuracy", "all")
    )
    assert last.against_base is not None
    assert last.against_base.difference == comparison.difference
    assert last.against_base.interval == comparison.interval
    logged = [one for one in trainer.state.log_history if "tuneval/accuracy" in one]
    assert [one["step"] for one in logged] == [one.step for one in watched.history]
    assert logged[-1]["tuneval/gain_low"] == comparison.interval.low
    kept = json.loads((tmp_path / "t" / "tuneval_history.json").read_text(encoding="utf-8"))
    assert len(kept["evaluations"][-1]["case_scores"]) == len(data)
    assert kept["best_step"] == watched.best_step


class Tracker(Listener):
    """A tracker stands before the callbacks of a user."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.logs.append(dict(logs))


def test_trackers_hear_it_where_the_trainer_is_given(tmp_path: Path) -> None:
    model, tokenizer = fresh("lora")
    tracker = Tracker()
    trainer = Trainer(
        model=model,
        processing_class=tokenizer,
        data_collator=Collate(tokenizer),
        train_dataset=[
            {"input_ids": tokenizer(row["text"])["input_ids"]} for row in rows("train.jsonl", 16)
        ],
        callbacks=[tracker],
        args=TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=2,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            remove_unused_columns=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
    )
    trainer.add_callback(callback(every=1, trainer=trainer))
    trainer.train()
    assert sum("tuneval/accuracy" in one for one in tracker.logs) == 3
    assert sum("loss" in one for one in tracker.logs) == 2  # no log of the trainer's own was lost


def test_training_stops_when_the_gain_has_stopped(tmp_path: Path) -> None:
    watched = callback(every=1, stop_when="no gain", patience=2)
    trainer = train("full", tmp_path, [watched], learning_rate=0.0, lr_scheduler_type="constant")
    assert [one.step for one in watched.history] == [0, 1, 2, 3]
    assert trainer.state.global_step == 3


def test_an_adapter_that_does_not_act_is_said_and_stops_nothing(tmp_path: Path) -> None:
    watched = callback(every=1)
    with pytest.warns(UserWarning, match="step 1 was not evaluated: .* changes nothing"):
        trainer = train("lora", tmp_path, [watched], learning_rate=0.0, max_steps=1)
    assert trainer.state.global_step == 1


def test_the_best_step_is_named_with_its_selection_paid_for(tmp_path: Path) -> None:
    watched = callback(every=2)
    train("lora", tmp_path, [watched])
    values = {one.step: one.scores[0].value for one in watched.history[1:]}
    assert watched.best_step == max(values, key=lambda step: values[step])
    assert f"step {watched.best_step} is the best of 3 checkpoints" in watched.sentence
    assert "widened: it is picked on these same cases" in watched.sentence


def test_a_failure_in_training_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = callback(every=1)

    def fail(name: str) -> Any:
        raise TunevalError("out of everything")

    class Breaks(Listener):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            monkeypatch.setattr(watched._cases, "ask", fail)

    with pytest.warns(UserWarning, match="step 1 was not evaluated: out of everything"):
        trainer = train("full", tmp_path, [watched, Breaks()], max_steps=1)
    assert trainer.state.global_step == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, 'every=0: "epoch", or a number of steps'),
        ({"every": "step"}, "every='step'"),
        ({"stop_when": "bored"}, "stop_when='bored': \"no gain\""),
        ({"tsk": "classify"}, 'there is no option "tsk"'),
    ],
)
def test_a_wrong_word_is_said_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        callback(**options)


def test_a_file_that_is_not_there_stops_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(TunevalError, match="there is no file"):
        train("full", tmp_path, [callback(data=str(tmp_path / "none.jsonl"))])


@pytest.mark.slow
def test_other_ranks_wait_and_stop_together(tmp_path: Path) -> None:
    """Two ranks on the CPU: the same bits as without, and the second rank evaluates nothing."""
    script = Path(__file__).with_name("two_ranks.py")
    found = {}
    for word in ("plain", "callback"):
        (tmp_path / word).mkdir()
        words = ["--standalone", "--nproc-per-node", "2", str(script), str(tmp_path / word), word]
        subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", *words],
            check=True,
            timeout=200,
            capture_output=True,
        )
        found[word] = [(tmp_path / word / f"rank{n}").read_text().split() for n in (0, 1)]
    assert [steps for steps, _, _ in found["callback"]] == ["4", "4"]
    assert [n for _, n, _ in found["callback"]] == ["3", "0"]
    assert len({digest for ranks in found.values() for _, _, digest in ranks}) == 1
