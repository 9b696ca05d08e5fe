"""What a trainer left on disk about a training: which data, which settings, which seed, how far.

Read are trainer_state.json, the settings that LLaMA-Factory, ms-swift and torchtune save, and the model
cards of the Trainer and of Axolotl. ``training_args.bin`` is a pickle and is never opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SETTINGS = ("training_args.yaml", "args.json", "torchtune_config.yaml", "axolotl_config.yaml")
"""Files that hold all settings of a training: LLaMA-Factory, ms-swift, torchtune, Axolotl."""
CARD = "README.md"
STATE = "trainer_state.json"
MOST_BYTES = 1_000_000
"""Of a file of settings; a model card that is longer is not read for them."""

_SEEDS = ("seed", "training_seed", "data_seed")
_DATA = (
    "dataset",
    "datasets",
    "train_file",
    "train_files",
    "data_files",
    "dataset_name",
    "data_path",
)
# Where things go and what is told to whom: the same training under another name.
_NOT_RECIPE = re.compile(
    r"(output|logging|log|save)_(dir|path)|run_name|hub_\w+|wandb\w*|mlflow\w*|swanlab\w*|report_to"
    r"|resume_from_checkpoint"
)
_CHECKPOINT = re.compile(
    r"(checkpoint[-_])?(?P<unit>checkpoint|ckpt|global[-_]?step|step|iter|epoch)[-_]?(?P<number>\d+)"
    r"([-_](merged|hf))?",
    re.IGNORECASE,
)
_NO_DATA = {"an unknown", "none", "unknown", "generator"}
"""What model cards say of data that had no name of its own."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place on the path of one training: ``run`` is its folder, ``name`` that of the checkpoint's below
    it, ``unit`` "step" or "epoch"."""

    run: Path
    name: str
    number: int
    unit: str


def checkpoint_of(folder: str | Path) -> Checkpoint | None:
    """Read a checkpoint's run and step from its name ("checkpoint-90", "epoch_2", "global_step_40").

    A trainer may keep the weights below ("global_step_40/actor/huggingface"): folders further up count
    where their name says that they are checkpoints.
    """
    place = Path(folder).resolve()
    for depth, part in enumerate((place, *list(place.parents)[:2])):
        found = _CHECKPOINT.fullmatch(part.name)
        unit = found["unit"].lower() if found else ""
        if found and (depth == 0 or unit.startswith(("checkpoint", "global"))):
            unit = "epoch" if unit == "epoch" else "step"
            run = part.parent / place.relative_to(part)
            return Checkpoint(run, part.name, int(found["number"]), unit)
    return None


def checkpoints_below(folder: Path) -> list[Path]:
    """The folders right below that are checkpoints by name, in order of their steps."""
    try:
        found = [(checkpoint_of(one), one) for one in folder.iterdir() if one.is_dir()]
    except OSError:
        return []
    named = [(one.number, path) for one, path in found if one and one.run == folder.resolve()]
    return [path for _, path in sorted(named)]


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What is known of one training; None and empty where the trainer did not say."""

    data: Any = None
    seed: str | None = None
    step: int | None = None
    settings: Mapping[str, Any] | None = None

    @property
    def recipe(self) -> str | None:
        """All but the seed, as text: equal for trainings that differ in nothing else. None unless data,
        seed, step and settings are all known: what is not known may differ."""
        if not self.data or self.seed is None or self.step is None or not self.settings:
            return None
        return json.dumps([self.data, self.step, self.settings], sort_keys=True, default=str)


def read_record(folder: str | Path) -> TrainingRecord:
    """Gather what stands in a folder, and in the run's folder where it is a checkpoint.

    A file that cannot be read says nothing.
    """
    folder = Path(folder)
    checkpoint = checkpoint_of(folder)
    step = _number(_mapping(folder / STATE).get("global_step"))
    if step is None and checkpoint is not None:
        step = checkpoint.number
    below = [one.number for path in checkpoints_below(folder) if (one := checkpoint_of(path))]
    if step is None and below:
        step = below[-1]
    places = (folder, checkpoint.run) if checkpoint else (folder,)
    found = next((one for place in places for one in _settings(place)), {})
    return TrainingRecord(
        data={key: found[key] for key in _DATA if found.get(key)} or None,
        seed=next((str(found[key]) for key in _SEEDS if found.get(key) is not None), None),
        step=step,
        settings=_without_places({key: value for key, value in found.items() if key not in _DATA}),
    )


def _settings(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings that lie in a folder, in files of their own first."""
    for name in SETTINGS:
        if found := _mapping(folder / name):
            yield found
    if found := _of_card(_text(folder / CARD)):
        yield found


def _of_card(text: str) -> dict[str, Any]:
    """Axolotl's card holds its whole configuration, the Trainer's a list of what matters."""
    block = re.search(r"axolotl version.*?```yaml\n(.*?)\n```", text, re.DOTALL)
    if block:
        return _parsed(block[1])
    listed = re.search(
        r"following hyperparameters were used during training:\n((?:- .*\n?)+)", text
    )
    if not listed:
        return {}
    pairs = (line[2:].partition(": ") for line in listed[1].splitlines())
    found: dict[str, Any] = {key: value for key, _, value in pairs}
    data = re.search(r"is a fine-tuned version of .*? on (?:the )?(.+?) dataset", text)
    if data and data[1].lower() not in _NO_DATA:
        found["dataset"] = data[1]
    return found


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _without_places(one)
            for key, one in value.items()
            if key not in _SEEDS and not _NOT_RECIPE.fullmatch(str(key))
        }
    return [_without_places(one) for one in value] if isinstance(value, list) else value


def _mapping(path: Path) -> dict[str, Any]:
    text = _text(path)
    if path.suffix != ".json":
        return _parsed(text)
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class _Loader(yaml.SafeLoader):
    """Without aliases: ten lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str:
    try:
        if path.name != STATE and path.stat().st_size > MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
