"""The side that holds the tests: call the program through proxies and report what was seen.

Foreign code never runs here, except in mode "inproc", which says so in every outcome. What the
program answers arrives as exact plain types or as a token that equals nothing but itself.
"""

from __future__ import annotations

import builtins
import os
import sys

from . import wire

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

MAX_TEXT = 500
MAX_NAME = 100
_ENDS_LOOPS = (StopIteration, StopAsyncIteration)
"""Raised by a call within ``map`` or a loop of the tests they would end it, and what follows would
not be tested: as in generators (PEP 479), they arrive as another exception."""
_PROGRAM_ERRORS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _ENDS_LOOPS)
}


class RemoteError(Exception):
    """The program raised an exception of its own class."""


class Token:
    """Something of the program that has no plain form. Equal to itself alone."""

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        return "<object of the program>"


class Remote:
    """The program, seen from the tests. Ends the process itself when the program breaks the rules,
    so that no test can catch it."""

    def __init__(self, channel: list[int], verdict: int) -> None:
        self.inlet, self.outlet = channel
        self.verdict = verdict
        self.calls = 0
        self.is_answered = False
        self.raised: BaseException | None = None
        self.description: dict[str, Any] = {}
        self._tokens: dict[int, Token] = {}
        self._numbers: dict[Token, int] = {}

    def start(self) -> dict[str, bool]:
        """Wait until the program is defined; returns its names and whether each can be called."""
        first = self._read()
        if "setup" in first:
            self.end("infra_error", str(first["setup"]))
        if "confined" not in first:
            self.end("violation", "spoke before it was asked")
        wire.write_frame(self.verdict, {"stage": "confined"})
        self._write({"go": True})
        hello = self._read()
        if "syntax" in hello:
            self.end("syntax_error", self._text_of(hello["syntax"]), phase="define")
        self._take_failure(hello, phase="define")
        defined = hello.get("defined")
        if not isinstance(defined, dict):
            self.end("violation", "no list of names")
        return {str(name): bool(is_callable) for name, is_callable in defined.items()}

    def ask(self, name: str, arguments: tuple[Any, ...] | None, named: dict[str, Any]) -> Any:
        """Call ``name``, or fetch its value if ``arguments`` is None."""
        question: dict[str, Any] = {"id": os.urandom(8).hex(), "name": name}
        if arguments is not None:
            self.calls += 1
            encoder = wire.Encoder(self._number)
            question["args"] = encoder.encode_all(arguments, 0)
            question["kwargs"] = [[k, encoder.encode(v)] for k, v in named.items()]
        self._write(question)
        answer = self._read()
        self.is_answered = True
        if answer.get("id") != question["id"]:
            self.end("violation", "an answer that was not asked for")
        if "left" in answer:
            self.end("early_exit", f"{self._text_of(answer['left'])} in a call", phase="call")
        decoder = wire.Decoder(self._token)
        if answer.get("after") is not None:
            after = self._decode(decoder, answer["after"])
            for old, new in zip((*(arguments or ()), *named.values()), after, strict=False):
                wire.update_in_place(old, new)
        if "unsendable" in answer:
            text = f"its result is {self._text_of(answer['unsendable'])}"
            self._raise({"name": "Unsendable", "text": text})
        if "raised" in answer:
            self._raise(answer["raised"])
        if "value" not in answer:
            self.end("violation", "an answer without a value")
        return self._decode(decoder, answer["value"])

    def end(self, outcome: str, detail: str, *, phase: str = "", missing: Any = None) -> NoReturn:
        """Report the outcome and leave at once. However long the texts are, the report is short."""
        wire.write_frame(
            self.verdict,
            {
                "outcome": outcome,
                "detail": detail[:MAX_TEXT],
                "phase": phase,
                "missing_module": missing[:MAX_NAME] if isinstance(missing, str) else None,
                "calls": self.calls,
            },
        )
        os._exit(0)

    def end_untested(self, detail: str) -> NoReturn:
        """Report tests that were no tests: the benchmark's fault, unless the program had a say."""
        self.end("wrong_answer" if self.is_answered else "infra_error", detail)

    def end_raised(self, phase: str) -> NoReturn:
        """Report the exception that the program raised."""
        raised = self.description
        text = f"{raised['name']}: {raised['text']}"
        is_memory = raised.get("base") == "MemoryError"
        outcome = "memory_limit" if is_memory else "exception"
        self.end(outcome, text, phase=phase, missing=raised.get("missing_module"))

    def _write(self, frame: dict[str, Any]) -> None:
        try:
            wire.write_frame(self.outlet, frame)
        except OSError:
            self.end("gone", "")

    def _read(self) -> dict[str, Any]:
        try:
            return wire.read_frame(self.inlet)
        except EOFError:
            self.end("gone", "")
        except (wire.WireError, MemoryError) as error:
            self.end("violation", str(error) or "a frame that does not fit into memory")

    def _decode(self, decoder: wire.Decoder, raw: Any) -> Any:
        try:
            return decoder.decode(raw)
        except (wire.WireError, MemoryError) as error:
            self.end("violation", str(error) or "a value that does not fit into memory")

    def _take_failure(self, hello: dict[str, Any], phase: str) -> None:
        if "left" in hello:
            text = f"{self._text_of(hello['left'])} while being defined"
            self.end("early_exit", text, phase=phase)
        if "raised" in hello:
            self._describe(hello["raised"])
            self.end_raised(phase)

    def _describe(self, raised: Any) -> None:
        if not isinstance(raised, dict):
            self.end("violation", "an exception that is no record")
        texts = {key: self._text_of(raised.get(key, "")) for key in ("name", "text")}
        self.description = {**raised, **texts}

    def _text_of(self, value: Any) -> str:
        if not isinstance(value, str):
            self.end("violation", "no text where one belongs")
        return value[:MAX_TEXT]

    def _raise(self, raised: Any) -> NoReturn:
        self._describe(raised)
        name, text = self.description["name"], self.description["text"]
        kind = _PROGRAM_ERRORS.get(name) if raised.get("is_builtin") is True else None
        try:
            error = kind(text) if kind else RemoteError(f"{name}: {text}")
        except TypeError:  # UnicodeDecodeError and its like want more than a text
            error = RemoteError(f"{name}: {text}")
        self.raised = error
        raise error

    def _token(self, number: int) -> Token:
        token = self._tokens.get(number)
        if token is None:
            token = self._tokens[number] = Token()
            self._numbers[token] = number
        return token

    def _number(self, value: Any) -> int:
        number = self._numbers.get(value) if isinstance(value, Token) else None
        if number is None:
            raise TypeError(f"the tests pass a {type(value).__name__}, which cannot cross")
        return number


def _proxy(remote: Remote, name: str) -> Any:
    def proxy(*arguments: Any, **named: Any) -> Any:
        return remote.ask(name, arguments, named)

    proxy.__name__ = proxy.__qualname__ = name
    return proxy


def grade(job: dict[str, Any]) -> NoReturn:
    """Run the tests of ``job`` and report the verdict."""
    remote = Remote(job.get("channel") or [-1, -1], job["verdict"])
    for number in (1, 2):
        empty = os.open(os.devnull, os.O_WRONLY)
        os.dup2(empty, number)
    try:
        if job["grading"] == "inproc":
            _grade_in_process(remote, job)
        else:
            _grade_split(remote, job)
    except AssertionError as error:
        if error is remote.raised:
            remote.end_raised("call")
        remote.end("wrong_answer", _text(error))
    except Exception as error:  # noqa: BLE001  tests stumble over wrong answers in any way
        if error is remote.raised:
            remote.end_raised("call")
        if isinstance(error, MemoryError):
            remote.end("memory_limit", "grader")
        remote.end("wrong_answer", f"{type(error).__name__}: {_text(error)}")
    except BaseException as error:  # noqa: BLE001  SystemExit in the tests of a benchmark
        remote.end_untested(f"the tests ended with {type(error).__name__}")
    remote.end("passed", "")


def _grade_split(remote: Remote, job: dict[str, Any]) -> None:
    defined = remote.start()
    entry = job["entry_point"]
    if entry and entry not in defined:
        remote.end("exception", f'NameError: "{entry}" is not defined', phase="define")
    space: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    _run_prompt(job["prompt"], space)
    parts = [compile(text, "<tests>", "exec", dont_inherit=True) for text in job["tests"]]
    for name in set().union(*(_names(part) for part in parts)):
        # A program's own "len" must not answer for the one the tests mean; the entry point may be
        # called as a builtin is.
        if name in defined and name not in space and not hasattr(builtins, name):
            if defined[name]:
                space[name] = _proxy(remote, name)
            else:
                space[name] = remote.ask(name, None, {})
    if entry:
        space[entry] = _proxy(remote, entry)
    _run_tests(remote, job, parts, space, space.get(entry))


def _run_prompt(prompt: str, space: dict[str, Any]) -> None:
    """Define the helpers that a prompt may hold; many prompts are no program on their own."""
    try:
        exec(compile(prompt, "<prompt>", "exec", dont_inherit=True), space)  # noqa: S102
    except Exception:  # noqa: BLE001  it is the benchmark's text, and nothing depends on it
        return


def _run_tests(
    remote: Remote, job: dict[str, Any], parts: list[CodeType], space: dict[str, Any], entry: Any
) -> None:
    for text, part in zip(job["tests"], parts, strict=True):
        try:
            exec(part, space)  # noqa: S102
        except AssertionError as error:
            if error is not remote.raised and not _text(error) and job["kind"] == "assertions":
                raise AssertionError(text) from error
            raise
    if job["kind"] == "function":
        check = space.get("check")
        if not callable(check):
            remote.end_untested('the tests define no function "check"')
        check(entry)


def _grade_in_process(remote: Remote, job: dict[str, Any]) -> None:
    """Run program and tests in one process: a program that tries can cheat here."""
    from . import candidate

    wire.write_frame(remote.verdict, {"stage": "confined"})
    module = type(sys)(candidate.MODULE)
    sys.modules[candidate.MODULE] = module
    try:
        candidate.define(module, job["source"])
    except (SyntaxError, ValueError) as error:
        remote.end("syntax_error", str(error), phase="define")
    except Exception as error:  # noqa: BLE001  whatever a program raises is its outcome
        remote.description = candidate.describe(error)
        remote.end_raised("define")
    except BaseException as error:  # noqa: BLE001  SystemExit and its like
        remote.end("early_exit", type(error).__name__, phase="define")
    remote.is_answered = True
    space = {name: _unbroken(value) for name, value in module.__dict__.items()}
    parts = [compile(text, "<tests>", "exec", dont_inherit=True) for text in job["tests"]]
    try:
        _run_tests(remote, job, parts, space, space.get(job["entry_point"]))
    except Exception:  # what tests raise is judged by whoever called; only the rest ends here
        raise
    except BaseException as error:  # noqa: BLE001  SystemExit, its like and a program's own
        remote.end("early_exit", type(error).__name__, phase="call")


def _unbroken(value: Any) -> Any:
    """A function as it is, except that it ends no loop of its caller (see ``_ENDS_LOOPS``)."""
    import functools

    if not isinstance(value, type(_unbroken)):
        return value

    @functools.wraps(value)
    def function(*arguments: Any, **named: Any) -> Any:
        try:
            return value(*arguments, **named)
        except _ENDS_LOOPS as error:
            raise RemoteError(f"{type(error).__name__}: {_text(error)}") from error

    return function


def _names(code: CodeType) -> set[str]:
    """All global names that ``code`` and the functions in it mention."""
    inner = (constant for constant in code.co_consts if isinstance(constant, type(code)))
    return set(code.co_names).union(*(_names(part) for part in inner))


def _text(error: BaseException) -> str:
    return str(error)[:MAX_TEXT]
