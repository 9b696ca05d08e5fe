"""Programming problems (HumanEval and MBPP form) and files of completions for them.

Not for running anything; every fault is found here, with file and line, before a program runs.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneval.errors import DataError, gather
from tuneval.types import Case, CaseSet, Prediction

_GZIP = b"\x1f\x8b"
MAX_LINE_BYTES = 100 << 20
NEEDS_LIVE_OBJECTS: Mapping[int, str] = {
    # Its set-up code builds a tree of the program's own class, attribute by attribute.
    367: "the set-up code builds a tree of the program's own class",
}
"""MBPP tasks graded in the program's own process, and why; a program could cheat there."""


@dataclass(frozen=True, slots=True)
class CompletionSet:
    """Completions read from a file: cases that have any, and their programs, in the same order."""

    name: str
    cases: tuple[Case, ...]
    predictions: tuple[Prediction, ...]
    notes: tuple[str, ...] = ()


def read_problems(path: str | Path) -> CaseSet:
    """Read a problem file, one JSON object per line, gzipped or not.

    HumanEval form: ``task_id``, ``prompt``, ``entry_point``, ``test`` and, where known,
    ``canonical_solution``. MBPP form: ``task_id``, ``text`` or ``prompt``, ``test_list`` and, where
    known, ``code``, ``test_setup_code``, ``test_imports``.

    Raises
    ------
    DataError
        The file cannot be read, or lines in it are no problems; all faults with their lines.
    """
    path = Path(path)
    cases: list[Case] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for line, row in _rows(path, faults):
        try:
            case = _case(f"{path.name}:{line}", row)
        except _Fault as fault:
            faults.append(f"line {line}: {fault}")
            continue
        task_id = str(case.inputs["task_id"])
        if task_id in seen:
            faults.append(f'line {line}: task_id "{task_id}" again (first on line {seen[task_id]})')
            continue
        seen[task_id] = line
        cases.append(case)
    _refuse(path, faults, "Mend the lines, or take the published file.")
    if not cases:
        raise DataError(f'{path}: no problem in it. Give a file such as "HumanEval.jsonl.gz".')
    return CaseSet(
        name=path.name.split(".")[0],
        source=str(path),
        layout="code problems",
        task="complete_code",
        cases=tuple(cases),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def read_completions(path: str | Path, problems: CaseSet) -> CompletionSet:
    """Read a file of completions in the form of openai/human-eval: ``task_id`` and ``completion``.

    The program of a line is the problem's prompt and the completion; for problems in words (MBPP
    form) it is the completion alone.

    Raises
    ------
    DataError
        The file cannot be read, a line is malformed or names a task that ``problems`` lacks; all
        faults with their lines.
    """
    path = Path(path)
    by_task = {str(case.inputs["task_id"]): case for case in problems.cases}
    found: dict[str, list[str]] = {}
    faults: list[str] = []
    for line, row in _rows(path, faults):
        task_id, completion = row.get("task_id"), row.get("completion")
        if isinstance(task_id, int) and not isinstance(task_id, bool):
            task_id = str(task_id)
        if not isinstance(task_id, str):
            faults.append(f'line {line}: no "task_id" (found {_listed(row)})')
        elif not isinstance(completion, str):
            faults.append(f'line {line}: no "completion" that is text (found {_listed(row)})')
        elif task_id not in by_task:
            faults.append(f'line {line}: task_id "{task_id[:80]}" is not in {problems.source}')
        else:
            found.setdefault(task_id, []).append(completion)
    _refuse(
        path, faults, "Mend the lines, or give the problem file that the completions belong to."
    )
    if not found:
        raise DataError(f"{path}: no completion in it.")
    cases = tuple(case for task, case in by_task.items() if task in found)
    predictions = tuple(_prediction(case, found[str(case.inputs["task_id"])]) for case in cases)
    n_left = len(by_task) - len(cases)
    note = f"{n_left} of {len(by_task)} problems have no completion in {path.name} and are left out"
    return CompletionSet(path.name, cases, predictions, (note,) if n_left else ())


def _prediction(case: Case, completions: list[str]) -> Prediction:
    before = "" if case.inputs["test_kind"] == "assertions" else str(case.inputs["prompt"])
    programs = tuple(before + completion for completion in completions)
    return Prediction(case.id, text=completions[0], completions=programs)


class _Fault(Exception):
    """Why a line is no problem."""


def problem_case(case_id: str, row: Mapping[str, Any], where: str) -> Case:
    """One problem of either form as a case.

    Raises
    ------
    DataError
        The row is no problem; ``where`` says which.
    """
    try:
        return _case(case_id, row)
    except _Fault as fault:
        raise DataError(f"{where}: {fault}.") from None


def _case(case_id: str, row: Mapping[str, Any]) -> Case:
    task_id = row.get("task_id")
    if not isinstance(task_id, str | int) or isinstance(task_id, bool):
        raise _Fault(f'no "task_id" (found {_listed(row)})')
    make = _assertion_inputs if "test_list" in row else _function_inputs
    inputs, reference = make(row)
    inputs["task_id"] = str(task_id)
    if inputs["test_kind"] == "assertions" and task_id in NEEDS_LIVE_OBJECTS:
        inputs["grading"] = "inproc"
    return Case(case_id, inputs, (reference,) if reference else ())


_Inputs = tuple[dict[str, object], str]


def _function_inputs(row: Mapping[str, Any]) -> _Inputs:
    prompt = _text(row, "prompt")
    entry_point = _text(row, "entry_point", why="the function that the tests call").strip()
    if not entry_point.isidentifier():
        raise _Fault(f'entry_point "{entry_point[:80]}" is no name')
    test = _text(row, "test", why="a problem without tests cannot be judged")
    _refuse_syntax(test, "test")
    if not _defines(test, "check"):
        raise _Fault('"test" defines no function "check"')
    reference = row.get("canonical_solution")
    program = prompt + (reference if isinstance(reference, str) else "")
    if re.search(r"^(def|class) ", program, re.MULTILINE) and not re.search(
        rf"^(async )?(def|class) {entry_point}\b|^{entry_point} *=", program, re.MULTILINE
    ):
        raise _Fault(
            f'entry_point "{entry_point[:80]}" is what neither "prompt" nor "canonical_solution" '
            "defines"
        )
    inputs: dict[str, object] = {
        "prompt": prompt,
        "entry_point": entry_point,
        "tests": (test,),
        "test_kind": "function",
    }
    return inputs, reference if isinstance(reference, str) else ""


def _assertion_inputs(row: Mapping[str, Any]) -> _Inputs:
    words = _text(row, "text" if "text" in row else "prompt")
    tests = row["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise _Fault('"test_list" holds no tests; a problem without tests cannot be judged')
    imports = row.get("test_imports") or []
    before = [str(row.get("test_setup_code") or ""), *map(str, imports)]
    for number, test in enumerate(tests, 1):
        _refuse_syntax(test, f"test_list, test {number}")
    reference = row.get("code") if isinstance(row.get("code"), str) else ""
    wanted = "\n".join(tests)
    inputs: dict[str, object] = {
        "prompt": f'"""\n{words.strip()}\n{wanted}\n"""\n',
        "instruction": f"{words.strip()} Answer with one Python code block. Your code must pass these "
        f"tests:\n\n{wanted}",
        "entry_point": _called(reference or "", tests),
        "tests": tuple(text for text in (*before, *tests) if text.strip()),
        "test_kind": "assertions",
    }
    return inputs, reference or ""


def _called(reference: str, tests: list[str]) -> str:
    """The function of the reference that the first test calls; empty where it cannot be told."""
    try:
        defined = {n.name for n in ast.parse(reference).body if isinstance(n, ast.FunctionDef)}
        names = [node.id for node in ast.walk(ast.parse(tests[0])) if isinstance(node, ast.Name)]
    except (SyntaxError, ValueError):
        return ""
    return next((name for name in names if name in defined), "")


def _refuse_syntax(source: str, field: str) -> None:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise _Fault(f'"{field}" is not Python: {error}') from None


def _defines(source: str, name: str) -> bool:
    return any(getattr(node, "name", None) == name for node in ast.parse(source).body)


def _text(row: Mapping[str, Any], field: str, why: str = "") -> str:
    value = row.get(field)
    if isinstance(value, str) and value.strip():
        return value
    if field not in row:
        raise _Fault(f'no "{field}"{why and f", {why}"} (found {_listed(row)})')
    raise _Fault(f'"{field}" is no text or empty{why and f": {why}"}')


def _listed(row: Mapping[str, Any]) -> str:
    return ", ".join(f'"{str(name)[:40]}"' for name in list(row)[:8]) or "no field"


def _rows(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects; lines that are neither empty nor objects go to ``faults``."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            faults.append(f"line {number}: not UTF-8")
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number}: not JSON ({error})")
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                faults.append(f"line {number}: no JSON object")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as start:
            is_gzip = start.read(2) == _GZIP
        opener: Callable[..., Any] = gzip.open if is_gzip else open
        with opener(path, "rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes.")
                yield number, line
    except FileNotFoundError:
        raise DataError(f'there is no file "{path}".') from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def _refuse(path: Path, faults: list[str], remedy: str) -> None:
    if faults:
        raise DataError(gather(f"{path}: {len(faults)} lines cannot be used.", faults, remedy))
