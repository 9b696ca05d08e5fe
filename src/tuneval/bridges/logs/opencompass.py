"""OpenCompass: ``predictions/MODEL/DATASET.json``, texts alone.

Its results hold one number a data set; only some of its evaluators write any value of an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneval.bridges.logs.files import opens_with, read_object, under
from tuneval.bridges.logs.texts import ANSWERED, ASKED, EXPECTED, ID, Rows
from tuneval.data.formats import listed
from tuneval.errors import DataError, gather


def read_texts(place: Path) -> Rows | None:
    """What was asked, answered and expected, by the number that OpenCompass gave it.

    Raises
    ------
    DataError
        There are several data sets, or entries without a text.
    """
    found = [
        path
        for path in under(place, "*.json")
        if opens_with(path, '"origin_prompt"', '"prediction"')
    ]
    if not found:
        return None
    if len(found) > 1:
        names = listed(path.name for path in found)
        raise DataError(
            f"--logs: {len(found)} files of predictions below {place.name}: {names}: name one."
        )
    entries = read_object(found[0])
    faults = [f'entry "{key}": no {word}' for key, one in entries.items() for word in _lacking(one)]
    if faults:
        raise DataError(gather(f"{found[0].name} cannot be used.", faults))
    return [
        {
            ID: key,
            ASKED: _asked(one["origin_prompt"]),
            EXPECTED: one["gold"],
            ANSWERED: one["prediction"],
        }
        for key, one in entries.items()
    ]


def _lacking(entry: Any) -> list[str]:
    words = ("origin_prompt", "prediction", "gold")
    return [word for word in words if not isinstance(entry, Mapping) or entry.get(word) is None]


def _asked(prompt: Any) -> str:
    """A prompt is a text, or the turns of a chat."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{one.get('role')}: {one.get('prompt')}" for one in prompt)
