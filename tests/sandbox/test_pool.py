"""Running many: order, reuse, interruption, a sandbox that breaks, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tuneval
from sandbox.yard import Yard
from tuneval.sandbox import (
    Examiner,
    Limits,
    Outcome,
    Program,
    SandboxBackend,
    outcome_key,
    pool,
    run_all,
    trial,
)
from tuneval.sandbox.box import BOOT, Launch

TESTS = ("def check(f):\n    assert f() == 1\n",)


def _program(result: str) -> Program:
    return Program(f"def f():\n    return {result}\n", TESTS, "f")


def test_order_and_identical_programs_once(best: SandboxBackend) -> None:
    programs = [_program(text) for text in ("1", "2", "1", "1/0", "1")]
    told: dict[str, Outcome] = {}
    outcomes = run_all(programs, best, on_outcome=told.__setitem__)
    assert [o.outcome for o in outcomes] == [
        "passed",
        "wrong_answer",
        "passed",
        "exception",
        "passed",
    ]
    assert len(told) == 3
    assert set(told) == {outcome_key(p, Limits(), best.name) for p in programs}


def test_known_outcomes_are_not_run_again(best: SandboxBackend) -> None:
    program, other = _program("1"), _program("2")
    known = {outcome_key(program, Limits(), best.name): Outcome("passed", detail="from before")}
    told: list[str] = []
    outcomes = run_all(
        [program, other], best, known=known, on_outcome=lambda key, outcome: told.append(key)
    )
    assert outcomes[0].detail == "from before"
    assert told == [outcome_key(other, Limits(), best.name)]


def test_failures_of_the_sandbox_are_not_reused(best: SandboxBackend) -> None:
    program = _program("1")
    known = {outcome_key(program, Limits(), best.name): Outcome("infra_error")}
    assert run_all([program], best, known=known)[0].is_passed


@pytest.mark.parametrize("what", ["tests", "limits", "backend", "source"])
def test_key_changes_with_what_can_change_an_outcome(what: str) -> None:
    program, limits = _program("1"), Limits()
    others = {
        "tests": outcome_key(Program(program.source, ("",), "f"), limits, "bwrap"),
        "limits": outcome_key(program, Limits(cpu_seconds=6), "bwrap"),
        "backend": outcome_key(program, limits, "landlock"),
        "source": outcome_key(_program("2"), limits, "bwrap"),
    }
    assert others[what] != outcome_key(program, limits, "bwrap")


def test_examiner_remembers(best: SandboxBackend) -> None:
    told: list[str] = []
    examine = Examiner(best, on_outcome=lambda key, outcome: told.append(outcome.outcome))
    assert examine([_program("1")])[0].is_passed
    assert examine([_program("2"), _program("1")])[1].is_passed
    assert told == ["passed", "wrong_answer"]


def test_examiner_asks_once_for_what_the_sandbox_fails_on(best: SandboxBackend) -> None:
    """Each metric of a run asks: a second telling would count a sample twice."""
    told: list[str] = []
    examine = Examiner(Breaking(best, 0), on_outcome=lambda key, one: told.append(one.outcome))
    assert [examine([_program("1")])[0].outcome for _ in range(3)] == ["infra_error"] * 3
    assert told == ["infra_error"]


def test_record_comes_back(best: SandboxBackend) -> None:
    outcome = run_all([_program("1")], best)[0]
    assert Outcome.from_record({**outcome.to_record(), "a later field": 1}) == outcome


def test_no_descriptor_is_kept(each: SandboxBackend) -> None:
    before = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    run_all([_program(f"{number}") for number in range(6)], each)
    run_all([_program("1")], Breaking(each, 0))
    assert {entry.name for entry in Path("/proc/self/fd").iterdir()} == before


def test_no_program_needs_no_worker(best: SandboxBackend) -> None:
    assert run_all([], best) == []


class Breaking:
    """A backend that works ``n_good`` times and then cannot start anything."""

    def __init__(self, backend: SandboxBackend, n_good: int) -> None:
        self.name, self.level, self.gaps = backend.name, backend.level, backend.gaps
        self.backend, self.n_left = backend, n_good

    def launch(self, role: str, slot: int, limits: Limits) -> Launch:
        self.n_left -= role == "candidate"
        launch = self.backend.launch(role, slot, limits)  # type: ignore[arg-type]
        if self.n_left < 0:
            launch.command = ["/nonexistent/tool"]
        return launch


@pytest.mark.fault
def test_sandbox_that_breaks_half_way(best: SandboxBackend, yard: Yard) -> None:
    """No failed sample, no weaker level: what could not be run says so, and what ran counts."""
    programs = [_program(f"{number} and 1") for number in range(1, 9)]
    outcomes = run_all(programs, Breaking(best, 3), workers=1)
    assert [o.outcome for o in outcomes] == ["passed"] * 3 + ["infra_error"] * 5
    assert "/nonexistent/tool" in outcomes[3].detail
    assert "stopped working during the run" in outcomes[-1].detail
    assert {o.level for o in outcomes} == {best.level}
    assert yard.damage() == []


@pytest.mark.fault
def test_program_side_that_never_stands_is_told_in_its_own_words(best: SandboxBackend) -> None:
    class Halved(Breaking):
        def launch(self, role: str, slot: int, limits: Limits) -> Launch:
            launch = self.backend.launch(role, slot, limits)  # type: ignore[arg-type]
            if role == "candidate":
                launch.command = [sys.executable, "-c", "import sys; sys.exit('tool: broken')"]
            return launch

    outcome = trial.judge(_program("1"), Halved(best, 0), Limits())
    assert (outcome.outcome, outcome.detail) == ("infra_error", "tool: broken")


@pytest.mark.fault
def test_one_failure_of_the_sandbox_is_tried_again(best: SandboxBackend) -> None:
    class Hiccup(Breaking):
        def launch(self, role: str, slot: int, limits: Limits) -> Launch:
            if self.n_left < 0:
                self.n_left = 99
            return super().launch(role, slot, limits)

    assert run_all([_program("1")], Hiccup(best, 0))[0].is_passed


@pytest.mark.fault
def test_few_descriptors_mean_few_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_free_descriptors", lambda: 70)
    assert pool._worker_count(8, 100) == 2
    monkeypatch.setattr(pool, "_free_descriptors", lambda: 3)
    assert pool._worker_count(8, 100) == 1


def test_wall_time_on_a_busy_machine_is_judged_again_alone(
    best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_is_busy", lambda: True)
    sleeper = Program("import time\ndef f():\n    time.sleep(60)\n", TESTS, "f")
    outcome = run_all([sleeper], best, Limits(wall_seconds=1.0))[0]
    assert (outcome.outcome, outcome.detail, outcome.retried_quiet) == ("timeout", "wall", True)


ENDLESS = Program("def f():\n    while True:\n        pass\n", TESTS, "f")
ONE_SECOND = Limits(cpu_seconds=1)


@pytest.mark.parametrize("is_busy", [True, False])
def test_cpu_time_on_a_busy_machine_is_judged_again_alone(
    is_busy: bool, best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_is_busy", lambda: is_busy)
    outcome = run_all([ENDLESS], best, ONE_SECOND)[0]
    assert (outcome.outcome, outcome.detail) == ("timeout", "cpu")
    assert outcome.retried_quiet is is_busy


class Stingy(Breaking):
    """A machine so busy that the first run gets a fraction of what it should."""

    def launch(self, role: str, slot: int, limits: Limits) -> Launch:
        self.n_left -= role == "candidate"
        given = replace(limits, cpu_seconds=1) if self.n_left >= 0 else limits
        return self.backend.launch(role, slot, given)  # type: ignore[arg-type]


def test_right_program_is_not_failed_for_its_neighbours(
    best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_is_busy", lambda: True)
    slow = Program(
        "import time\ndef f():\n    while time.process_time() < 1.5:\n        pass\n    return 1\n",
        TESTS,
        "f",
    )
    outcome = run_all([slow], Stingy(best, 1), Limits(wall_seconds=60.0))[0]
    assert (outcome.outcome, outcome.retried_quiet) == ("passed", True)


def test_grader_that_was_killed_is_started_again_and_never_a_missing_sample(
    best: SandboxBackend,
) -> None:
    kills = "def check(f):\n    f()\n    import os\n    os.kill(os.getpid(), 9)\n"
    outcome = run_all([Program("def f():\n    return 1\n", (kills,), "f")], best)[0]
    assert (outcome.outcome, outcome.retried_quiet) == ("violation", True)
    assert outcome.detail.startswith("the grader gave no verdict")


@pytest.mark.parametrize(
    ("known", "is_reused"),
    [
        (Outcome("timeout", "cpu", machine="here"), True),
        (Outcome("timeout", "cpu", machine="there"), False),
        (Outcome("timeout", "cpu", machine=""), False),
        (Outcome("wrong_answer", machine="there"), True),
        (Outcome("infra_error", machine="here"), False),
    ],
    ids=["timeout here", "timeout elsewhere", "timeout in doubt", "wrong elsewhere", "no outcome"],
)
def test_stored_timeout_is_not_final(
    known: Outcome, is_reused: bool, best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "this_machine", lambda: "here")
    program = _program("1")
    outcome = run_all([program], best, known={outcome_key(program, Limits(), best.name): known})[0]
    assert outcome == known if is_reused else outcome.is_passed


def test_timeout_beyond_the_quiet_runs_is_in_doubt(
    best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_is_busy", lambda: True)
    monkeypatch.setattr(pool, "MAX_QUIET_RUNS", 0)
    outcome = run_all([ENDLESS], best, ONE_SECOND)[0]
    assert (outcome.outcome, outcome.retried_quiet, outcome.machine) == ("timeout", False, "")


def test_limits_of_time_are_stretched_on_a_slow_machine(
    best: SandboxBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_is_busy", lambda: False)
    monkeypatch.setattr(pool, "cpu_factor", lambda: 1.5)
    told: dict[str, Outcome] = {}
    outcome = run_all([ENDLESS], best, ONE_SECOND, on_outcome=told.__setitem__)[0]
    assert outcome.cpu_factor == 1.5
    assert outcome.cpu_seconds >= 1.5
    assert list(told) == [outcome_key(ENDLESS, ONE_SECOND, best.name)]


SLEEPERS = """
    import signal, sys
    from tuneval.sandbox import Program, probe, run_all
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    programs = [Program(f"import time\\ndef f():\\n    return 1\\n# {n}\\n", ("def check(f): f()",), "f")
                for n in range(2)]
    programs += [Program(f"import os, time\\nif os.fork() == 0: time.sleep(600)\\ntime.sleep(600)\\n# {n}",
                         ("def check(f): f()",), "f") for n in range(4)]
    backend = probe(sys.argv[1])
    print("started", flush=True)
    try:
        run_all(programs, backend, workers=3, on_outcome=lambda k, o: print(o.outcome, flush=True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def _start_sleepers(backend: SandboxBackend, folder: Path) -> subprocess.Popen[str]:
    """An evaluator with two outcomes delivered and three sandboxes that sleep."""
    source = str(Path(tuneval.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLEEPERS), backend.name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source, "TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["started\n", "passed\n", "passed\n"]
    time.sleep(0.7)
    return process


def _mentioning(folder: Path) -> list[str]:
    """Sandbox processes of the evaluator that had ``folder`` as its temporary folder, or that have
    lost their evaluator."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_text(errors="replace")
            place = (entry / "environ").read_text(errors="replace")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if str(folder) in place or (parent == 1 and BOOT in words):
            found.append(words.replace("\0", " ")[:100])
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can reach and that must be empty in the end."""
    with tempfile.TemporaryDirectory(prefix="tuneval-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def _assert_nothing_left(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while (_mentioning(folder) or list(folder.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _mentioning(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.fault
def test_interrupt_ends_everything(each: SandboxBackend, open_folder: Path) -> None:
    process = _start_sleepers(each, open_folder)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert rest == "interrupted\n"
    assert process.returncode == 130
    _assert_nothing_left(open_folder)


@pytest.mark.fault
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_nothing_survives_the_evaluator(
    each: SandboxBackend, open_folder: Path, number: signal.Signals
) -> None:
    process = _start_sleepers(each, open_folder)
    process.send_signal(number)
    process.communicate(timeout=20)
    _assert_nothing_left(open_folder)
