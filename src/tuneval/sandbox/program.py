"""What is run, under which limits, and what came of it: plain data.

Not for running anything, and without knowledge of any benchmark.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["function", "assertions"]
Grading = Literal["split", "inproc"]
OutcomeName = Literal[
    "passed",
    "wrong_answer",
    "exception",
    "syntax_error",
    "early_exit",
    "timeout",
    "memory_limit",
    "output_limit",
    "crash",
    "violation",
    "infra_error",
]
MAX_DETAIL = 500
MAX_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """One generated program and the tests that judge it.

    Attributes
    ----------
    source : str
        The whole program, prompt included. This alone reaches the process that runs it.
    tests : tuple of str
        Pieces of Python, run in order by the grader. For kind "function" they define
        ``check(candidate)``, which is then called with the entry point; for kind "assertions" they
        are statements that use the program's names.
    entry_point : str
        Name that the program must define; may be empty for kind "assertions".
    prompt : str
        What the model was given, where that is Python: tests may call helpers that it defines.
    grading : {"split", "inproc"}
        "inproc" runs the tests in the program's own process, which a program can cheat. Only for
        tests that need live objects, and every outcome says so.
    """

    source: str
    tests: tuple[str, ...]
    entry_point: str = ""
    kind: Kind = "function"
    prompt: str = ""
    grading: Grading = "split"

    @property
    def sha256(self) -> str:
        """Hash of everything in it, tests included."""
        return _sha256(dataclasses.asdict(self))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. Time is judged in CPU seconds: a wall limit near the CPU limit fails
    right programs on a busy machine. The grader has 5 CPU seconds more."""

    cpu_seconds: int = 5
    wall_seconds: float = 20.0
    address_space_bytes: int = 1 << 30
    memory_bytes: int = 2 << 30
    processes: int = 48
    file_bytes: int = 16 << 20
    temporary_bytes: int = 64 << 20
    shared_memory_bytes: int = 16 << 20
    open_files: int = 64
    output_bytes: int = 16 << 20

    def stretched(self, factor: float) -> Limits:
        """The same for a machine that takes ``factor`` times as long."""
        return dataclasses.replace(
            self,
            cpu_seconds=math.ceil(self.cpu_seconds * factor),
            wall_seconds=self.wall_seconds * factor,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one program. ``detail`` holds no control characters.

    ``backend``, ``level``, ``grading`` and ``python`` say how it was found out, ``cpu_factor`` how far
    the limits of time were stretched. ``machine`` marks where, for a timeout counts there alone; it
    is empty where other work may have caused the timeout. Everything a program can influence is
    bounded, so a record stays below 64 KiB.
    """

    outcome: OutcomeName
    detail: str = ""
    phase: str = ""
    missing_module: str | None = None
    calls: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    output_bytes: int = 0
    output_tail: str = ""
    backend: str = ""
    level: str = ""
    grading: str = "split"
    python: str = field(default_factory=platform.python_version)
    program_sha256: str = ""
    retried_quiet: bool = False
    cpu_factor: float = 1.0
    machine: str = ""

    @property
    def is_passed(self) -> bool:
        """Did every test hold?"""
        return self.outcome == "passed"

    @property
    def counts(self) -> bool:
        """Does it count in n? A failure of the sandbox itself says nothing about the program."""
        return self.outcome != "infra_error"

    def to_record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Outcome:
        """Back from ``to_record``; fields of other versions are ignored."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in names})


def outcome_key(program: Program, limits: Limits, backend: str) -> str:
    """Key under which an outcome may be reused: all that can change it."""
    return _sha256(
        {
            "program": dataclasses.asdict(program),
            "limits": dataclasses.asdict(limits),
            "backend": backend,
            "python": platform.python_version(),
        }
    )


def escape(text: str, limit: int = MAX_DETAIL) -> str:
    """Show control, format and surrogate characters as visible escapes; newline and tab stay."""
    shown = "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else character.encode("unicode_escape").decode("ascii")
        for character in text[:limit]
    )
    return shown[:limit]


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
