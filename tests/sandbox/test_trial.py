"""What each kind of program comes to, and what crosses between it and its tests."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from sandbox.yard import probed
from tuneval.sandbox import Limits, Outcome, Program, SandboxBackend, probe, run_all
from tuneval.sandbox.program import escape
from tuneval.sandbox.trial import Ending, _classify_ending

ONE = "def check(f):\n    assert f() == 1, 'not one'\n"
CASES: list[tuple[str, str, str, str, str]] = [
    ("right", "def f():\n    return 1", ONE, "passed", ""),
    ("wrong", "def f():\n    return 2", ONE, "wrong_answer", "not one"),
    ("raises", "def f():\n    return 1 / 0", ONE, "exception", "ZeroDivisionError: division"),
    ("raises when defined", "x = [][0]", ONE, "exception", "IndexError"),
    (
        "asserts itself",
        "def f():\n    assert False, 'mine'",
        ONE,
        "exception",
        "AssertionError: mine",
    ),
    ("not Python", "def f(:", ONE, "syntax_error", "SyntaxError"),
    ("NUL", "def f():\n    return 1\0", ONE, "syntax_error", "null"),
    ("not there", "def g():\n    return 1", ONE, "exception", '"f" is not defined'),
    ("leaves", "def f():\n    raise SystemExit(0)", ONE, "early_exit", "SystemExit"),
    ("interrupts", "raise KeyboardInterrupt", ONE, "early_exit", "KeyboardInterrupt"),
    ("needs a package", "import numpy\ndef f():\n    return 1", ONE, "exception", "numpy"),
    ("crashes", "import os\ndef f():\n    os.abort()", ONE, "crash", "SIGABRT"),
    ("out of memory", "def f():\n    return bytes(8 << 30)", ONE, "memory_limit", "MemoryError"),
    (
        "its own exception class",
        "class E(ValueError):\n    pass\ndef f():\n    raise E('x')",
        "def check(f):\n    try:\n        f()\n    except ValueError:\n        pass\n",
        "exception",
        "E: x",
    ),
    (
        "objects are passed back",
        "class P:\n    def __init__(s, n):\n        s.n = n\ndef f(ps):\n    return sum(p.n for p in ps)",
        "def check(f):\n    p = P(2)\n    assert f([p, P(3), p]) == 7\n",
        "passed",
        "",
    ),
    (
        "the same object is the same",
        "o = object()\ndef f():\n    return o",
        "def check(f):\n    assert f() is f() and f() == f() and f() != 1\n",
        "passed",
        "",
    ),
    (
        "an object has no attributes there",
        "class P:\n    n = 1\ndef f():\n    return P()",
        "def check(f):\n    assert f().n == 1\n",
        "wrong_answer",
        "AttributeError",
    ),
    (
        "constants of the program",
        "SIZE = [1, 2]\ndef f():\n    return 2",
        "def check(f):\n    assert f() == len(SIZE)\n",
        "passed",
        "",
    ),
    (
        "keyword arguments and in-place change",
        "def f(xs, *, by):\n    xs[:] = [x + by for x in xs]",
        "def check(f):\n    xs = [1]\n    f(xs, by=2)\n    assert xs == [3]\n",
        "passed",
        "",
    ),
    (
        "generator",
        "def f():\n    yield 1\n    yield 2",
        "def check(f):\n    g = f()\n    assert next(g) == 1 and list(g) == [2]\n",
        "passed",
        "",
    ),
    (
        "tests without check",
        "def f():\n    return 1",
        "x = 1",
        "infra_error",
        'no function "check"',
    ),
    ("tests that leave", "def f():\n    return 1", "raise SystemExit", "infra_error", "SystemExit"),
    (
        "tests stumble",
        "def f():\n    return None",
        "def check(f):\n    assert f()[0] == 1\n",
        "wrong_answer",
        "TypeError",
    ),
]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """All of them in one go."""
    programs = [Program(program, (test,), "f") for _, program, test, _, _ in CASES]
    found = run_all(programs, probed("auto"), Limits(wall_seconds=60.0))
    return {name: outcome for (name, *_), outcome in zip(CASES, found, strict=True)}


@pytest.mark.parametrize(
    ("name", "outcome", "detail"),
    [pytest.param(name, wanted, detail, id=name) for name, _, _, wanted, detail in CASES],
)
def test_outcome(outcomes: dict[str, Outcome], name: str, outcome: str, detail: str) -> None:
    found = outcomes[name]
    assert found.outcome == outcome, found
    assert detail in found.detail


def test_details_of_an_outcome(outcomes: dict[str, Outcome]) -> None:
    missing = outcomes["needs a package"]
    assert (missing.missing_module, missing.phase) == ("numpy", "define")
    assert outcomes["raises"].phase == "call"
    right = outcomes["right"]
    assert (right.calls, right.grading) == (1, "split")
    assert right.wall_seconds > 0
    assert len(right.program_sha256) == 64


def test_assertions_name_the_one_that_failed(best: SandboxBackend) -> None:
    program = Program(
        "def f(x):\n    return x", ("assert f(1) == 1", "assert f(2) == 3"), kind="assertions"
    )
    outcome = run_all([program], best)[0]
    assert (outcome.outcome, outcome.detail) == ("wrong_answer", "assert f(2) == 3")


def test_slow_tests_are_the_graders_limit(best: SandboxBackend) -> None:
    program = Program(
        "def f():\n    return 1",
        ("def check(f):\n    f()\n    import time\n    time.sleep(60)",),
        "f",
    )
    outcome = run_all([program], best, Limits(wall_seconds=1.5))[0]
    assert outcome.outcome == "timeout"


@pytest.mark.parametrize(
    ("code", "cpu", "expected"),
    [
        (None, 0.0, ("early_exit", "ended before the verdict")),
        (0, 0.0, ("early_exit", "ended with exit status 0 before the verdict")),
        (137, 5.2, ("timeout", "cpu")),
        (137, 0.2, ("early_exit", "ended with exit status 137 before the verdict")),
        (152, 5.0, ("timeout", "cpu")),
        (139, 0.1, ("crash", "SIGSEGV")),
        (159, 0.1, ("violation", "a forbidden system call")),
    ],
)
def test_endings(code: int | None, cpu: float, expected: tuple[str, str]) -> None:
    assert _classify_ending(Ending(code, cpu), 5) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext é", "plain\n\ttext é"),
        ("\x1b[2J\x9b\x07", "\\x1b[2J\\x9b\\x07"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\ud800", "\\ud800"),
        ("x" * 600, "x" * 500),
    ],
)
def test_hostile_text_is_shown_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


ENGINE = """
import os, sys
if sys.argv[1] != "run":
    sys.exit()
at = sys.argv.index("an-image")
prefix = os.path.realpath(sys.base_prefix)
binds = [w for p in ("/usr", "/lib", "/lib64", prefix) if os.path.exists(p) for w in ("--ro-bind", p, p)]
os.execvp("{bwrap}", [
    "bwrap", "--die-with-parent", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--clearenv",
    *binds, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp", "--",
    os.path.realpath(sys.executable), *sys.argv[at + 2:]])
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxBackend:
    """A stand-in for a container engine, which confines by bubblewrap: what is tested is how frames
    and outcomes pass through an engine, not an engine."""
    import shutil

    probed("bwrap")
    path = tmp_path / "docker"
    python = Path(sys.executable)
    path.write_text(f"#!{python}\n" + ENGINE.replace("{bwrap}", str(shutil.which("bwrap"))))
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    monkeypatch.setenv("PATH", str(tmp_path))
    return probe("container", image="an-image")


def test_frames_pass_through_an_engine(engine: SandboxBackend) -> None:
    names = (
        "right",
        "wrong",
        "raises",
        "not Python",
        "leaves",
        "crashes",
        "objects are passed back",
    )
    chosen = [case for case in CASES if case[0] in names]
    programs = [Program(program, (test,), "f") for _, program, test, _, _ in chosen]
    programs.append(Program("def f():\n    print('x' * (20 << 20))", (ONE,), "f"))
    programs.append(Program("def f():\n    while True: pass", (ONE,), "f"))
    found = run_all(programs, engine, Limits(cpu_seconds=1, wall_seconds=30.0))
    assert [o.outcome for o in found] == [*(case[3] for case in chosen), "output_limit", "timeout"]
    assert {(o.backend, o.level) for o in found} == {("container", "strong")}
