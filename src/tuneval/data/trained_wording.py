"""What training files and training folders say about the wording that a model was trained on.

Evidence to try, never a decision: a file may not be the one, a folder may have been copied.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tuneval.data.read import read
from tuneval.errors import TunevalError
from tuneval.types import Case, Message

FEWEST_ROWS = 8
"""Of fewer rows even unlike texts share a beginning by chance."""

MOST_ROWS = 200
_CONFIGS = ("*.yaml", "*.yml")
_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class TrainedWording:
    """What stood around a text: ``before`` and ``after`` it, in a chat template's turn where
    ``is_chat``. ``source`` says who says so."""

    before: str
    after: str
    system: str | None
    is_chat: bool
    source: str


_ALPACA = ("### Instruction:\n", "\n\n### Response:\n")
_LONG_ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n" + _ALPACA[0],
    _ALPACA[1],
)
_NAMED = {
    # Axolotl's dataset types and LLaMA-Factory's templates that are plain text.
    "alpaca": (_LONG_ALPACA, _ALPACA),
    "vicuna": (("USER: ", " ASSISTANT:"),),
    "default": (("Human: ", "\nAssistant:"),),
}


def of_file(path: str | Path, labels: Sequence[str] = ()) -> tuple[TrainedWording, ...]:
    """What the rows of a training file have in common around their texts; () where they hold texts
    and labels alone, or cannot be read as they stand.

    Parameters
    ----------
    labels : sequence of str
        Known answers: cut from the end of rows that hold question and answer in one text.
    """
    try:
        cases = read(path, limit=MOST_ROWS, allow_duplicate_ids=True).cases
    except TunevalError:
        return ()  # the checks that need the file say what is wrong with it
    source = Path(path).name
    chats = [chat for case in cases if (chat := _chat(case))]
    if len(chats) >= FEWEST_ROWS and len(chats) == len(cases):
        systems = {system for system, _ in chats}
        common = _around([asked for _, asked in chats])
        system = systems.pop() if len(systems) == 1 else None
        return (TrainedWording(*common, system, is_chat=True, source=source),)
    texts = [_plain(case, labels) for case in cases]
    known = [text for text in texts if text is not None]
    if len(known) < FEWEST_ROWS or len(known) < len(texts):
        return ()
    before, after = _around(known)
    return (TrainedWording(before, after, None, False, source),) if before + after else ()


def of_folder(folder: str | Path) -> tuple[TrainedWording, ...]:
    """What a trainer left beside the weights: Axolotl's or LLaMA-Factory's settings, a saved chat
    template (TRL, Unsloth). In the folder first, then in the one above."""
    folder = Path(folder)
    if not folder.is_dir():
        return ()
    found: list[TrainedWording] = []
    for place in (folder, folder.absolute().parent):
        for pattern in _CONFIGS:
            for file in sorted(place.glob(pattern)):
                found += _of_settings(file)
    if (folder / "chat_template.jinja").is_file():
        found.append(TrainedWording("", "", None, True, "chat_template.jinja"))
    return tuple(dict.fromkeys(found))


def named_files(folder: str | Path) -> tuple[Path, ...]:
    """Training files that settings in the folder name, as far as they are here."""
    folder = Path(folder)
    places = (folder, folder.absolute().parent) if folder.is_dir() else ()
    found: list[Path] = []
    for place in places:
        for pattern in _CONFIGS:
            for file in sorted(place.glob(pattern)):
                for one in _datasets(_settings(file)):
                    named = Path(str(one.get("path") or ""))
                    found += [at for at in (named, place / named) if named.name and at.is_file()]
    return tuple(dict.fromkeys(found))


def _of_settings(file: Path) -> Iterator[TrainedWording]:
    settings = _settings(file)
    for one in _datasets(settings):
        yield from _of_axolotl(one.get("type"), file.name)
    if "finetuning_type" in settings and isinstance(settings.get("template"), str):
        yield from _named(settings["template"], file.name)


def _of_axolotl(kind: object, source: str) -> Iterator[TrainedWording]:
    if isinstance(kind, str):
        yield from _named(kind, source)
    elif isinstance(kind, dict) and isinstance(kind.get("format"), str):
        system = kind.get("system_prompt") or None
        places = list(re.finditer(r"\{\w+\}", kind["format"]))
        if places:
            before = kind["format"][: places[0].start()]
            after = kind["format"][places[-1].end() :]
            yield TrainedWording(before, after, system and str(system), False, source)


def _named(name: str, source: str) -> Iterator[TrainedWording]:
    pairs = _NAMED.get(name.partition(".")[0])
    if pairs is None:  # all others are some model's chat template
        yield TrainedWording("", "", None, True, source)
        return
    for before, after in pairs:
        yield TrainedWording(before, after, None, False, source)


def _settings(file: Path) -> dict[str, Any]:
    """A mapping of settings; {} for what is none. Foreign text: read as data alone."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            return {}
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _datasets(settings: dict[str, Any]) -> list[dict[str, Any]]:
    listed = settings.get("datasets")
    if "base_model" not in settings or not isinstance(listed, list):
        return []
    return [one for one in listed if isinstance(one, dict)]


def _chat(case: Case) -> tuple[str | None, str] | None:
    """System text and the last question of a chat."""
    turns = case.inputs.get("messages")
    if not isinstance(turns, tuple) or not turns or not isinstance(turns[-1], Message):
        return None
    system = next((turn.content for turn in turns if turn.role == "system"), None)
    return system, turns[-1].content


def _plain(case: Case, labels: Sequence[str]) -> str | None:
    """The prompt of a row that holds one, or its text without the label at its end."""
    if isinstance(prompt := case.inputs.get("prompt"), str):
        return prompt
    if case.references or not isinstance(text := case.inputs.get("text"), str):
        return None
    text = text.rstrip()
    ends = [label for label in labels if text.endswith(label)]
    return text[: len(text) - len(max(ends, key=len))].rstrip(" ") if ends else None


def _around(texts: Sequence[str]) -> tuple[str, str]:
    """What all texts begin and end with, to the last and from the first white space of it: words
    that happen to be the same in all of them stay theirs."""
    before = _to_space(_common(texts))
    rests = [text[len(before) :][::-1] for text in texts]
    after = _common(rests)[::-1]
    return before, after[_first_space(after) :]


def _common(texts: Sequence[str]) -> str:
    """The beginning that all texts share."""
    low, high = min(texts), max(texts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "".join(letter for letter, _ in same)


def _to_space(text: str) -> str:
    return text[: max((n for n, letter in enumerate(text, 1) if letter.isspace()), default=0)]


def _first_space(text: str) -> int:
    return next((n for n, letter in enumerate(text) if letter.isspace()), len(text))
