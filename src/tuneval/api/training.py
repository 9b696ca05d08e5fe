"""``tuneval.TrainerCallback``: the paired comparison with the base, while the model is trained."""

from __future__ import annotations

import copy
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

try:
    from transformers import TrainerCallback as _TransformersCallback
except ImportError as error:
    from tuneval.errors import BackendUnavailable

    raise BackendUnavailable(
        f"tuneval.TrainerCallback needs transformers: pip install 'tuneval[models]' ({error})"
    ) from None

from tuneval.api.objects import IN_MEMORY, place_of
from tuneval.api.rows import write_rows
from tuneval.engine.hf.training_state import kept
from tuneval.errors import ConfigError, TunevalError
from tuneval.pipeline.in_training import BASE, TUNED, Evaluation, InTraining
from tuneval.plan.spec import RunSpec
from tuneval.report.files import replace_file

HISTORY = "tuneval_history.json"
"""In the trainer's output folder: every evaluation with the value of every case."""
CASES = (
    "task",
    "columns",
    "labels",
    "groups",
    "limit",
    "split",
    "options",
    "few_shot",
    "few_shot_file",
)
"""Options of the cases; the others are sections of run.yaml."""
SECTIONS = ("metrics", "statistics", "backend", "prompting")
NO_GAIN = "no gain"

Found = TypeVar("Found")


class TrainerCallback(_TransformersCallback):  # type: ignore[misc]
    """Compare the model with its base on the same cases while transformers or TRL train it.

    The base is the PEFT model with its adapters off, or, in a full fine-tune, the model before its
    first step. The training is left as it was, bit for bit: train mode, gradients, random generators.

    Parameters
    ----------
    data : path, list of mappings, or datasets.Dataset
        The cases, as for ``tuneval.compare``: a development file, not the test file.
    every : "epoch" or int
        After each epoch, or each time this many steps are done; the last step is evaluated, too.
    prompt : str, optional
        Template of the question, as ``template`` of ``tuneval.compare``.
    stop_when : "no gain", optional
        Stop the training once ``patience`` evaluations in a row were no better than the best before
        them. That is a rule to save time, no proof that more training would not help.
    trainer : Trainer, optional
        With it every number reaches the trainer's trackers; without it, its ``log_history`` alone.
    processing_class : tokenizer, optional
        Instead of the trainer's own.
    options
        ``task``, ``columns``, ``labels``, ``limit``, ... of the data, and the sections ``metrics``,
        ``statistics``, ``backend`` and ``prompting`` of run.yaml.

    Attributes
    ----------
    history : list of Evaluation
        The base first.
    best_step : int or None
        Of the steps that were evaluated; ``sentence`` says which others cannot be told from it. Its
        interval is widened, because it was picked on the same cases.
    seconds : float
        What all evaluations took.

    Raises
    ------
    TunevalError
        When training begins: the cases cannot be read, or the weights are spread over ranks. What
        fails later is a warning, and the training goes on.
    """

    def __init__(
        self,
        data: Any,
        *,
        every: Literal["epoch"] | int = "epoch",
        prompt: str | None = None,
        stop_when: Literal["no gain"] | None = None,
        patience: int = 2,
        trainer: Any = None,
        processing_class: Any = None,
        **options: Any,
    ) -> None:
        if every != "epoch" and (not isinstance(every, int) or every < 1):
            raise ConfigError(f'every={every!r}: "epoch", or a number of steps.')
        if stop_when not in (None, NO_GAIN):
            raise ConfigError(f'stop_when={stop_when!r}: "{NO_GAIN}", or leave it out.')
        unknown = sorted(set(options) - {*CASES, *SECTIONS})
        if unknown:
            raise ConfigError(
                f'TrainerCallback: there is no option "{unknown[0]}" (known: {", ".join((*CASES, *SECTIONS))}).'
            )
        self.data, self.every, self.prompt = data, every, prompt
        self.stop_when, self.patience = stop_when, patience
        self.trainer, self.processing_class = trainer, processing_class
        self.options = options
        self.history: list[Evaluation] = []
        self.best_step: int | None = None
        self.sentence = ""
        self.seconds = 0.0
        self._cases: InTraining | None = None

    # ---- what transformers calls -----------------------------------------------------------------

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Read the cases and ask the base."""
        _refuse_spread(model, args)
        self.history, self.best_step, self.sentence, self.seconds = [], None, "", 0.0

        def begin() -> None:
            self._cases = self._read(args, model, kwargs)
            self._evaluate(args, state, control, model, BASE)

        _on_the_first_rank(state, begin)

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> Any:
        """Evaluate every so many steps, and after the last one."""
        # Not on_train_end: by then the trainer may have put the weights of another step back.
        is_due = self.every != "epoch" and state.global_step % self.every == 0
        if is_due or state.global_step >= state.max_steps:
            return self._turn(args, state, control, model)
        return control

    def on_epoch_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> Any:
        """Evaluate after every epoch."""
        return self._turn(args, state, control, model) if self.every == "epoch" else control

    def on_train_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Evaluate the last step of a training that was stopped, and say which was the best."""
        if not args.load_best_model_at_end:
            self._turn(args, state, control, model)
        if state.is_world_process_zero and self.sentence:
            print(f"tuneval: {self.sentence}")  # noqa: T201 - as the trainer prints its own logs

    # ---- one evaluation --------------------------------------------------------------------------

    def _turn(self, args: Any, state: Any, control: Any, model: Any) -> Any:
        """Evaluate unless this step was, and stop everywhere if it is time."""

        def turn() -> bool:
            if not self.history or self.history[-1].step == state.global_step:
                return False
            try:
                self._evaluate(args, state, control, model, TUNED)
            except TunevalError as error:
                warnings.warn(
                    f"tuneval: step {state.global_step} was not evaluated: {error}", stacklevel=2
                )
                return False
            return self.stop_when == NO_GAIN and self._has_no_gain()

        if _on_the_first_rank(state, turn):
            control.should_training_stop = True
        return control

    def _evaluate(self, args: Any, state: Any, control: Any, model: Any, name: str) -> None:
        assert self._cases is not None
        started = time.monotonic()
        with kept(model):
            asked = self._cases.ask(name)
            seconds = time.monotonic() - started
            found = self._cases.remember(asked, state.global_step, state.epoch, seconds)
            curve = self._cases.curve()
        self.history.append(found)
        if curve is not None:
            self.best_step = self.history[1 + curve.best].step
            self.sentence = self._cases.sentence(curve)
        elif name == TUNED:
            self.best_step = found.step
        self.seconds += time.monotonic() - started
        self._log(args, state, control, _numbers(found))
        self._keep(Path(args.output_dir))

    def _has_no_gain(self) -> bool:
        first = [one.scores[0] for one in self.history]
        sign = 1 if first[0].higher_is_better else -1
        values = [sign * one.value for one in first]
        before, last = values[: -self.patience], values[-self.patience :]
        return len(before) > 1 and max(last) <= max(before)

    def _read(self, args: Any, model: Any, kwargs: Mapping[str, Any]) -> InTraining:
        spoken = self.processing_class or kwargs.get("processing_class") or kwargs.get("tokenizer")
        if spoken is None:
            raise ConfigError(
                "TrainerCallback: the trainer has no tokenizer; give processing_class=tokenizer."
            )
        data = self.data
        file = os.fspath(data) if isinstance(data, str | os.PathLike) else None
        cases: dict[str, Any] = {
            "file": file or str(write_rows(data, Path(args.output_dir))),
            "template": self.prompt,
            **({} if file else {"name": "data"}),
            **{key: value for key, value in self.options.items() if key in CASES},
        }
        place = place_of(model)
        given = (model, getattr(spoken, "tokenizer", spoken))
        spec = RunSpec.from_dict(
            {
                "variants": [{"name": BASE, "model": place}, {"name": TUNED, "model": IN_MEMORY}],
                "baseline": BASE,
                "cases": [{key: value for key, value in cases.items() if value is not None}],
                "backend": {"device": str(model.device.type), **self.options.get("backend", {})},
                **{
                    key: self.options[key]
                    for key in SECTIONS
                    if key in self.options and key != "backend"
                },
            },
            source="TrainerCallback",
        )
        return InTraining(spec, {BASE: given, TUNED: given})

    def _log(self, args: Any, state: Any, control: Any, numbers: dict[str, float]) -> None:
        """Into the trainer's own log, and through its callbacks to every tracker."""
        logs = {**numbers, **({} if state.epoch is None else {"epoch": state.epoch})}
        state.log_history.append({**logs, "step": state.global_step})
        if self.trainer is not None:
            # A copy: whatever listens to a log resets the flag that another log is due.
            self.trainer.callback_handler.on_log(args, state, copy.copy(control), logs)

    def _keep(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "best_step": self.best_step,
            "sentence": self.sentence,
            "seconds": self.seconds,
            "evaluations": [asdict(one) for one in self.history],
        }
        replace_file(folder / HISTORY, json.dumps(content, indent=1) + "\n")


def _numbers(found: Evaluation) -> dict[str, float]:
    """What is logged, each name beginning with "tuneval/"."""
    numbers = {f"tuneval/{one.metric}": one.value for one in found.scores}
    first = found.scores[0]
    if first.interval is not None:
        numbers[f"tuneval/{first.metric}_low"] = first.interval.low
        numbers[f"tuneval/{first.metric}_high"] = first.interval.high
    against = found.against_base
    if against is not None:
        sign = 1 if against.higher_is_better else -1
        numbers["tuneval/gain"] = sign * against.difference
        if against.interval is not None:
            ends = sorted((sign * against.interval.low, sign * against.interval.high))
            numbers |= {"tuneval/gain_low": ends[0], "tuneval/gain_high": ends[1]}
    return {name: value for name, value in numbers.items() if isfinite(value)}


def _refuse_spread(model: Any, args: Any) -> None:
    """One rank alone cannot ask a model of which it holds a part."""
    kinds = {type(module).__name__ for module in model.modules()}
    is_sharded = "FullyShardedDataParallel" in kinds or "FSDPModule" in {
        base.__name__ for base in type(model).__mro__
    }
    if is_sharded or any(hasattr(one, "ds_id") for one in model.parameters()):
        raise ConfigError(
            "TrainerCallback: the weights are spread over ranks (FSDP or ZeRO-3), so that no rank can "
            "answer alone.\nCompare the saved checkpoints afterwards: tuneval compare --full 'out/*'."
        )


def _on_the_first_rank(state: Any, act: Callable[[], Found]) -> Found:
    """Do it on rank 0 while the others wait, and tell them what came of it, errors included."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return act()
    told: list[Any] = [None, None]
    if state.is_world_process_zero:
        try:
            told = [act(), None]
        except Exception as error:  # noqa: BLE001 - the others would wait for ever
            told = [None, error]
    torch.distributed.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    found: Found = told[0]
    return found
