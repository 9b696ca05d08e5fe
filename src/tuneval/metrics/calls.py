"""A call of a tool: read from what a model wrote, and held against what was expected.

Not for: scores (tool_calls.py). Nothing is executed: calls are read as data.

References
----------
Patil et al. (2024), the Berkeley function calling leaderboard, version 1: its rules for types and
values ("AST accuracy") are followed, so that its verdicts on released outputs come out.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tuneval.metrics.json_answer import parse

MAX_CHARACTERS = 50_000
"""A longer answer is no call; the parser of Python's grammar needs memory for each level."""
ACCEPTED = "accepted"
"""Key of a reference that lists several values for an argument."""
OPTIONAL = ""
"""Among the values that are accepted of an argument: it may be left out."""

Values = Mapping[str, Any]
Function = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool by name, with what is handed to it."""

    name: str
    arguments: Values


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that is wanted: each argument with the values that are accepted for it."""

    name: str
    accepted: Mapping[str, Sequence[Any]]


# ---- reading -------------------------------------------------------------------------------------


class _Unread(ValueError):
    """The text holds no calls in a form that is known."""


def read_calls(text: str, *, is_leaderboards: bool = False) -> tuple[Call, ...] | None:
    """The calls that an answer makes: () where it says in a known form that there are none, None where
    it is in no known form (prose, mostly).

    Known are blocks between <tool_call> and </tool_call>, JSON, also behind [TOOL_CALLS] (a call, a list of calls, or an object
    with "tool_calls"; arguments as an object or as text), and Python's notation, [f(x=1), g(y="a")],
    with or without the brackets.

    Parameters
    ----------
    is_leaderboards : bool
        Read blocks as the leaderboard's program does: a call stands on the line after <tool_call>, and
        an apostrophe is a quotation mark even inside a text, which leaves such a call unread.
    """
    bare = text.strip()
    if not is_leaderboards:
        bare = bare.removeprefix(_MISTRALS).lstrip()
    if not bare or len(bare) > MAX_CHARACTERS:
        return None
    try:
        if "<tool_call>" in bare:
            return _in_lines(bare) if is_leaderboards else _in_blocks(bare)
        found = parse(bare)
        return _in_json(found.value) if found is not None else _in_python(bare)
    except _Unread:
        return None


_MISTRALS = "[TOOL_CALLS]"
"""Stands before a list of calls, where a server does not take it off."""
_BLOCK = re.compile(r"<tool_call>\s*\n?(.*?)(?:</tool_call>|\Z)", re.DOTALL)


def _in_blocks(text: str) -> tuple[Call, ...]:
    calls: list[Call] = []
    for block in _BLOCK.findall(text):
        found = parse(block) or parse(block.replace("'", '"'))
        if found is None:
            raise _Unread
        calls += _in_json(found.value)
    return tuple(calls)


def _in_lines(text: str) -> tuple[Call, ...]:
    calls: list[Call] = []
    for opening, line in pairwise(text.split("\n")):
        if opening == "<tool_call>" and line not in ("<tool_call>", "</tool_call>"):
            found = parse(line.replace("'", '"'))
            if found is None:
                raise _Unread
            call = _call_of(found.value)
            # Such models were shown "_" for the dot of a name: a dot is another name.
            calls.append(Call(call.name.replace(".", " . "), call.arguments))
    return tuple(calls)


def _in_json(value: object) -> tuple[Call, ...]:
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    return tuple(_call_of(one) for one in (value if isinstance(value, list) else [value]))


def _call_of(value: object) -> Call:
    """A call in any of the notations of the field: OpenAI's, a flat one, or {name: arguments}."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        raise _Unread
    name = value.get("name")
    given = value.get("arguments", value.get("parameters"))
    if not isinstance(name, str):
        if len(value) != 1:
            raise _Unread
        ((name, given),) = value.items()
    if isinstance(given, str):
        found = parse(given)
        given = None if found is None else found.value
    if given is None and not ({"arguments", "parameters"} & value.keys()):
        given = {}
    if not isinstance(given, dict):
        raise _Unread
    return Call(str(name), given)


_BRACKETS = re.compile(r"\[.*\](?=\(\)|[\s`\"'.]|\Z)", re.DOTALL)


def _in_python(text: str) -> tuple[Call, ...]:
    """The whole answer, or the list among its words; marks of a chat template are no words."""
    if "<|" in text:
        raise _Unread
    try:
        return _calls(text if text.startswith("[") and text.endswith("]") else f"[{text}]")
    except _Unread:
        found = _BRACKETS.search(text)
        if found is None:
            raise
        return _calls(found[0])


def _calls(text: str) -> tuple[Call, ...]:
    try:
        body = ast.parse(text.replace("\n", ""), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _Unread from error
    if not isinstance(body, ast.List):
        raise _Unread
    return tuple(_python_call(one) for one in body.elts)


def _python_call(node: ast.expr) -> Call:
    """A call with arguments by name; the leaderboard reads no others, and skips those by place."""
    if not isinstance(node, ast.Call) or not node.keywords:
        raise _Unread
    if any(one.arg is None for one in node.keywords):
        raise _Unread
    given = {str(one.arg): _python_value(one.value) for one in node.keywords}
    return Call(_dotted(node.func), given)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _Unread
    return ".".join([node.id, *reversed(parts)])


_SIGNS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow, ast.FloorDiv)
_MOST = 1e15


def _python_value(node: ast.expr | None) -> Any:
    """A value as data: a name stands for itself, as text; a sum of numbers is worked out."""
    match node:
        case ast.Constant():
            return "..." if node.value is Ellipsis else node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List():
            return [_python_value(one) for one in node.elts]
        case ast.Tuple():
            return tuple(_python_value(one) for one in node.elts)
        case ast.Dict():
            keys = [_python_value(one) for one in node.keys]
            if any(isinstance(key, list | dict) for key in keys):
                raise _Unread
            return dict(zip(keys, map(_python_value, node.values), strict=True))
        case ast.Name():
            return node.id
        case ast.BinOp():
            return _worked_out(node)
        case ast.Call():
            if not node.keywords:
                return ast.unparse(node)
            call = _python_call(node)
            return {call.name: dict(call.arguments)}
    raise _Unread


def _worked_out(node: ast.expr) -> float:
    """A sum of plain numbers, none of them large on the way."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub()):
            return -_worked_out(node.operand)
        case ast.BinOp() if isinstance(node.op, _SIGNS):
            left, right = _worked_out(node.left), _worked_out(node.right)
            if max(abs(left), abs(right)) > _MOST or (isinstance(node.op, ast.Pow) and right > 64):
                raise _Unread
            try:
                return _apply(node.op, left, right)
            except (ArithmeticError, ValueError) as error:
                raise _Unread from error
    raise _Unread


def _apply(sign: ast.operator, left: float, right: float) -> float:
    apply = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
        ast.FloorDiv: operator.floordiv,
    }[type(sign)]
    found: float = apply(left, right)
    return found


# ---- what is expected ----------------------------------------------------------------------------


def expected_of(reference: str) -> tuple[Expected, ...]:
    """The calls of a reference: as ``read_calls`` reads JSON, each argument with its one value, or
    {"accepted": [[name, {argument: [value, ...]}], ...]}, each with all that are accepted.

    Raises
    ------
    ValueError
        It is neither.
    """
    value = json.loads(reference)
    if isinstance(value, dict) and isinstance(value.get(ACCEPTED), list):
        return tuple(Expected(name, accepted) for name, accepted in value[ACCEPTED])
    try:
        calls = _in_json(value)
    except _Unread:
        raise ValueError("no list of calls with name and arguments") from None
    return tuple(
        Expected(call.name, {name: [_as_accepted(one)] for name, one in call.arguments.items()})
        for call in calls
    )


def _as_accepted(value: Any) -> Any:
    """One value as the leaderboard writes it: an object has a list of values for each of its keys."""
    if isinstance(value, dict):
        return {
            key: _as_accepted(one) if isinstance(one, dict) else [one] for key, one in value.items()
        }
    return [_as_accepted(one) for one in value] if isinstance(value, list) else value


# ---- one against the other -----------------------------------------------------------------------

_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
    "any": str,
}
_LISTS = ("array", "tuple")
_IGNORED = re.compile(r"[ ,./\-_*^]")


def match_calls(
    calls: Sequence[Call], expected: Sequence[Expected], functions: Sequence[Function]
) -> int:
    """How many of the expected calls are made, in any order; each call serves once."""
    left = list(calls)
    n = 0
    for wanted in expected:
        made = next((one for one in left if is_met(one, wanted, functions)), None)
        if made is not None:
            left.remove(made)
            n += 1
    return n


def is_same_name(name: str, wanted: str) -> bool:
    """Servers allow no dot in a name and write "_" for it."""
    return name in (wanted, wanted.replace(".", "_"))


def is_met(call: Call, wanted: Expected, functions: Sequence[Function]) -> bool:
    """Is this the call that is wanted: its name, all it needs, nothing else, types and values?

    Types are those of the function's description; without one, those of the accepted values.
    """
    if not is_same_name(call.name, wanted.name):
        return False
    described = next((one for one in functions if one.get("name") == wanted.name), None)
    parameters = (described or {}).get("parameters") or {}
    types = parameters.get("properties")
    if any(name not in call.arguments for name in parameters.get("required") or ()):
        return False
    for name, value in call.arguments.items():
        if name not in wanted.accepted or (types is not None and name not in types):
            return False
        if not _is_accepted(value, wanted.accepted[name], (types or {}).get(name) or {}):
            return False
    return all(
        name in call.arguments or OPTIONAL in accepted for name, accepted in wanted.accepted.items()
    )


def _is_accepted(value: Any, accepted: Sequence[Any], described: Values) -> bool:
    word = described.get("type")
    kind = _TYPES.get(word) if isinstance(word, str) else None
    inner = _TYPES.get(str((described.get("items") or {}).get("type"))) if word in _LISTS else None
    usual = next((type(one) for one in accepted if one != OPTIONAL), None)
    if kind is None:  # nothing is said about its type: that of what is expected
        kind = float if usual is int else usual
    if word == "tuple" and isinstance(value, tuple):
        value = list(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        # A variable, by its name; or a value that is accepted though described otherwise.
        return usual is not None and type(value) is usual and value in accepted
    if inner is not None and isinstance(value, list) and not _has_inner(value, accepted, inner):
        return False
    if usual is not None and usual is not kind and not (kind is float and usual is int):
        return value in accepted
    return _is_equal(value, accepted, kind, inner)


def _has_inner(values: Sequence[Any], accepted: Sequence[Any], inner: type) -> bool:
    """Are the items of a list of the type that is described, or of what one accepted list holds?"""
    for one in accepted:
        if not isinstance(one, list):
            return True
        usual = next((type(item) for item in one if item != OPTIONAL), None)
        if all(type(value) is inner or type(value) is usual for value in values):
            return True
    return False


def _is_equal(value: Any, accepted: Sequence[Any], kind: type | None, inner: type | None) -> bool:
    if kind is dict:
        return any(_is_same_object(value, one) for one in accepted if one != OPTIONAL)
    if kind is list and inner is dict:
        return any(
            len(value) == len(one) and all(map(_is_same_object, value, one)) for one in accepted
        )
    if kind is list:
        return [_plain(one) for one in value] in [
            [_plain(item) for item in one] for one in accepted if isinstance(one, list | str)
        ]
    if kind is str:
        return _plain(value) in [_plain(one) for one in accepted if isinstance(one, str)]
    return value in accepted


def _is_same_object(value: Any, wanted: Any) -> bool:
    """Has an object the keys of the wanted one, each with a value that is accepted there?"""
    if not isinstance(value, dict) or not isinstance(wanted, dict) or len(value) != len(wanted):
        return False
    for key, one in value.items():
        if key not in wanted:
            return False
        accepted = wanted[key]
        if isinstance(accepted, dict):
            if not _is_same_object(one, accepted):
                return False
        elif _plain(one) not in [_plain(item) for item in accepted]:
            return False
    return True


def _plain(value: Any) -> Any:
    """Texts are the same whatever their case, blanks and most marks."""
    return _IGNORED.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value
