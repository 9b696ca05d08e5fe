"""The whole result as strict JSON (``result.json``), the one file from which all else is made again."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from tuneval.errors import DataError, gather
from tuneval.report.escape import json_text
from tuneval.types import SCHEMA_VERSION, Case, Message, Prediction, RunResult

# Fields typed ``object``: what they hold is not known to the reader, so undefined numbers carry a tag.
_OPEN_FIELDS = {(Case, "inputs"), (RunResult, "spec")}
_TAG = "$float"

_MANY = {Case, Prediction}
"""Records of which there are thousands."""
_ALWAYS = object()
"""Equal to no value: a field without a default is written whatever it is."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def render(result: RunResult) -> str:
    """Write ``result`` as JSON, one top-level key or list element per line.

    Order is that of the fields and mappings, not alphabetical: label probabilities stand in the
    task's order, by which ties are broken. Undefined numbers are the texts "NaN", "Infinity" and
    "-Infinity", since JSON has none. A case or prediction leaves out what it has not: there are
    thousands of them, and reading fills in what a field is where nothing is said.
    """
    return "".join(_lines(_plain(result)))


def read(path: str | os.PathLike[str]) -> RunResult:
    """Read what ``render`` wrote.

    Raises
    ------
    DataError
        No such file, not JSON, not a result, or written by another schema version.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'"{path}" cannot be read: {error}.') from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "result.json") -> RunResult:
    """Turn the text of a ``result.json`` into a RunResult; ``source`` names it in errors."""
    from pydantic import TypeAdapter, ValidationError  # 0.2 s: only readers pay

    try:
        plain = json.loads(text, object_hook=_untag)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"{source}, line {line}: not JSON ({error}). Was the file cut or edited? The run can "
            "be made again from run.yaml; answers in the journal are reused."
        ) from error
    _check_version(plain, source)
    try:
        result = TypeAdapter(RunResult).validate_python(plain)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}"
            for fault in error.errors(include_url=False)
        ]
        raise DataError(gather(f"{source} is not a whole result of tuneval.", faults)) from error
    case_sets = tuple(
        dataclasses.replace(case_set, cases=tuple(map(_with_tuples, case_set.cases)))
        for case_set in result.case_sets
    )
    return dataclasses.replace(result, case_sets=case_sets)


def _check_version(plain: object, source: str) -> None:
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if not isinstance(version, int):
        raise DataError(
            f'{source} is not a result of tuneval: it has no number "schema_version". '
            "Give the result.json of a run directory."
        )
    if version > SCHEMA_VERSION:
        raise DataError(
            f'{source} has schema version "{version}"; this tuneval reads "{SCHEMA_VERSION}". '
            "Update tuneval: pip install --upgrade tuneval."
        )
    if version < SCHEMA_VERSION:
        raise DataError(
            f'{source} has the old schema version "{version}"; this tuneval reads '
            f'"{SCHEMA_VERSION}". Run again from run.yaml; answers in the journal are reused.'
        )


def _plain(value: Any) -> Any:
    """Records to dicts, tuples to lists, undefined numbers to text. Texts are mended by ``_dump``."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    writers = _writers(cast("Hashable", type(value)))
    if writers is not None:
        return {
            name: write(item)
            for name, write, absent in writers
            if (item := getattr(value, name)) is not absent and item != absent
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return _scalar(value)


@cache
def _writers(kind: Any) -> tuple[tuple[str, Callable[[Any], Any], Any], ...] | None:
    """Fields of a record, how each is written, and at which value not; None for what is no record."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(
        (
            field.name,
            _open if (kind, field.name) in _OPEN_FIELDS else _plain,
            _absent(field) if kind in _MANY else _ALWAYS,
        )
        for field in dataclasses.fields(kind)
        if field.compare
    )


def _absent(field: dataclasses.Field[Any]) -> Any:
    """What a field is where nothing is said."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return _ALWAYS if field.default_factory is dataclasses.MISSING else field.default_factory()


def _open(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_TAG: _name(value)}
    if isinstance(value, Mapping):
        return {str(key): _open(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_open(item) for item in value]
    return _plain(value)


def _scalar(value: Any) -> Any:
    """Numpy scalars as numbers; anything else that strayed into a case (dates, paths) as text."""
    if hasattr(value, "item"):
        return _plain(value.item())
    return str(value)


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _untag(item: dict[str, Any]) -> Any:
    return float(item[_TAG]) if item.keys() == {_TAG} else item


def _with_tuples(case: Case) -> Case:
    inputs = {key: _tuple(value) for key, value in case.inputs.items()}
    for key in ("messages", "history"):
        turns = inputs.get(key)
        if isinstance(turns, tuple):
            inputs[key] = tuple(
                Message(**turn)
                if isinstance(turn, dict)
                and {"role", "content"} <= turn.keys() <= {"role", "content", "more"}
                else turn
                for turn in turns
            )
    return dataclasses.replace(case, inputs=inputs)


def _tuple(value: object) -> object:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _lines(plain: dict[str, Any]) -> Iterator[str]:
    yield "{"
    for number, (key, value) in enumerate(plain.items()):
        yield f"{',' if number else ''}\n{_dump(key)}: "
        if isinstance(value, list) and value:
            yield "[\n" + ",\n".join(map(_dump, value)) + "\n]"
        elif isinstance(value, dict) and any(isinstance(item, list) for item in value.values()):
            yield "{\n" + ",\n".join(_listing(name, item) for name, item in value.items()) + "\n}"
        else:
            yield _dump(value)
    yield "\n}\n"


def _listing(name: str, value: Any) -> str:
    if not isinstance(value, list) or not any(isinstance(item, dict) for item in value):
        return f"{_dump(name)}: {_dump(value)}"
    return f"{_dump(name)}: [\n" + ",\n".join(map(_dump, value)) + "\n]"


def _dump(value: Any) -> str:
    return json_text(_ENCODER.encode(value))
