"""The side that runs a generated program: define it, then answer calls until the pipe closes.

It never holds tests, expected values or a verdict, so there is nothing here worth forging: whatever
the program does to this process, it can only change its own answers.
"""

from __future__ import annotations

import builtins
import os
import sys

from . import wire

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

MODULE = "candidate"
MAX_NAMES = 2000
MAX_TEXT = 500


class Store:
    """Objects that have no plain form, by number."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def put(self, value: Any) -> int:
        """Number of ``value``: the same object keeps its number."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return number

    def get(self, number: int) -> Any:
        """The object with that number."""
        return self._objects[number]


def serve(settings: dict[str, Any]) -> None:
    """Define the program and answer the grader; never returns."""
    inlet, outlet = settings["channel"]
    process = os.getpid()
    wire.write_frame(outlet, {"confined": True})
    wire.read_frame(
        inlet
    )  # nothing foreign runs before the evaluator knows that the sandbox stands
    module = type(sys)(MODULE)
    sys.modules[MODULE] = module
    _send(outlet, process, _define(module, settings["source"]))
    store = Store()
    while True:
        try:
            call = wire.read_frame(inlet)
        except EOFError:
            os._exit(0)
        _send(outlet, process, _answer(module, store, call))


def define(module: ModuleType, source: str) -> None:
    """Compile and execute ``source`` as ``module``."""
    exec(compile(source, "<candidate>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102


def _define(module: ModuleType, source: str) -> dict[str, Any]:
    try:
        code = compile(source, "<candidate>", "exec", dont_inherit=True)
    except MemoryError as error:
        return {"raised": describe(error)}
    except (SyntaxError, ValueError, RecursionError, OverflowError) as error:
        return {"syntax": f"{type(error).__name__}: {error}"[:MAX_TEXT]}
    try:
        exec(code, module.__dict__)  # noqa: S102
        names = list(module.__dict__.items())[:MAX_NAMES]
        kinds = {
            name: callable(value)
            for name, value in names
            if isinstance(name, str) and not isinstance(value, type(sys))
        }
        return {"defined": kinds}
    except BaseException as error:  # noqa: BLE001  whatever a program raises is its outcome
        return _failure(error)


def _answer(module: ModuleType, store: Store, call: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": call["id"]}
    try:
        value = module.__dict__[call["name"]]
        if "args" in call:
            decoder = wire.Decoder(store.get)
            args = decoder.decode_all(call["args"], 0)
            kwargs = dict(decoder.decode_pairs(call["kwargs"], 0))
            try:
                value = value(*args, **kwargs)
            finally:
                answer["after"] = _after(store, args, kwargs)
        answer["value"] = wire.Encoder(store.put).encode(value)
    except wire.Unsendable as error:
        answer["unsendable"] = str(error)[:MAX_TEXT]
    except BaseException as error:  # noqa: BLE001  whatever a program raises is its outcome
        answer.update(_failure(error))
    return answer


def _after(store: Store, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The arguments as the call left them; None if there is nothing that a call can change."""
    values = [*args, *kwargs.values()]
    if not any(isinstance(value, list | dict | set | bytearray | tuple) for value in values):
        return None
    try:
        return wire.Encoder(store.put).encode_all(values, 0)
    except wire.Unsendable:
        return None


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Exception):
        return {"raised": describe(error)}
    return {"left": type(error).__name__[:MAX_TEXT]}


def describe(error: BaseException) -> dict[str, Any]:
    """Class name, nearest builtin base and text of an exception, as plain values."""
    kind = type(error)
    base = next(k for k in kind.__mro__ if getattr(builtins, k.__name__, None) is k)
    try:
        text = str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001  a program's own __str__ may raise anything
        text = "(its text cannot be had)"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return {
        "name": str.__str__(kind.__name__)[:100],
        "base": base.__name__,
        "is_builtin": base is kind,
        "text": text,
        "missing_module": missing[:100] if isinstance(missing, str) else None,
    }


def _send(outlet: int, process: int, answer: dict[str, Any]) -> None:
    if os.getpid() != process:
        os._exit(1)  # a child that the program forked: it may not answer in its parent's place
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001  a program may have closed or replaced its streams
            continue
    try:
        wire.write_frame(outlet, answer)
    except wire.Unsendable as error:
        wire.write_frame(outlet, {"id": answer.get("id"), "unsendable": str(error)})
    except OSError:
        os._exit(1)
