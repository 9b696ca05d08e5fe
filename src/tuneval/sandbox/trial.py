"""One program against its tests: two fresh sandboxes, one verdict.

The verdict comes from the grader alone. Exit codes, output and files of the program can only decide
what kind of failure it was.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable
from typing import Any, cast

from tuneval.sandbox.backend import GRADER_CPU_SECONDS, SandboxBackend
from tuneval.sandbox.box import Box, Ending
from tuneval.sandbox.inside import wire
from tuneval.sandbox.program import MAX_TAIL_BYTES, Limits, Outcome, OutcomeName, Program, escape

WATCH_SECONDS = 0.1
NO_VERDICT = "the grader gave no verdict"
_SIGNAL_OUTCOMES: dict[int, tuple[OutcomeName, str]] = {
    4: ("crash", "SIGILL"),
    6: ("crash", "SIGABRT"),
    7: ("crash", "SIGBUS"),
    8: ("crash", "SIGFPE"),
    10: ("crash", "SIGBUS"),
    11: ("crash", "SIGSEGV"),
    24: ("timeout", "cpu"),
    31: ("violation", "a forbidden system call"),
}
_VERDICTS = {
    "passed",
    "wrong_answer",
    "exception",
    "syntax_error",
    "early_exit",
    "memory_limit",
    "violation",
    "gone",
}
_STAGE = {"stage": "confined"}
"""Told once, before anything foreign runs."""
_PHASES = ("", "define", "call")
_MAX_VERDICT_BYTES = 16 << 10
_MAX_CALLS = 1 << 31
_SIGKILL = 128 + 9


class Cancelled(Exception):
    """The caller wants no more outcomes; everything started is ended."""


class Trial:
    """A run of one program. Use ``judge``."""

    def __init__(
        self,
        program: Program,
        backend: SandboxBackend,
        limits: Limits,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.program, self.backend, self.limits = program, backend, limits
        self.is_cancelled = is_cancelled
        self.selector = selectors.DefaultSelector()
        self.candidate: Box | None = None
        self.grader: Box | None = None
        self.verdict_reader = -1
        self.verdict: dict[str, Any] = {}
        self.is_confined = False
        self.stopped: tuple[OutcomeName, str] | None = None
        self.output_bytes = 0
        self.tail = b""
        self.grader_words = b""
        self._verdict_bytes = b""
        self._relays: dict[int, Box] = {}

    # -- starting --------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """Start both sandboxes and connect them."""
        own_ends: list[int] = []
        try:
            candidate = grader = None
            if self.program.grading == "split":
                candidate = self.backend.launch("candidate", slot, self.limits)
            try:
                grader = self.backend.launch("grader", slot, self.limits)
            finally:
                if grader is None and candidate is not None:
                    _abandon(candidate)
            is_relayed = grader.is_relayed
            calls, answers, verdict = [], [], []
            if not is_relayed:
                calls, answers, verdict = list(os.pipe()), list(os.pipe()), list(os.pipe())
                own_ends += [*calls, *answers, verdict[1]]
                self.verdict_reader = verdict[0]
                os.set_blocking(verdict[0], False)
            if candidate is not None:
                channel = [] if is_relayed else [calls[0], answers[1]]
                settings = {"channel": channel, "source": self.program.source}
                try:
                    self.candidate = Box(candidate, settings, channel)
                except BaseException:  # an interrupt, too, must leave no process behind
                    _abandon(grader)
                    raise
            channel = [] if is_relayed or candidate is None else [answers[0], calls[1]]
            pipes = [] if is_relayed else [*channel, verdict[1]]
            job = {**self._job(), "channel": channel, "verdict": verdict[1] if verdict else -1}
            self.grader = Box(grader, job, pipes)
        finally:
            for fd in own_ends:
                os.close(fd)
        self._register(is_relayed)

    def _job(self) -> dict[str, Any]:
        program = self.program
        job: dict[str, Any] = {
            "prompt": program.prompt,
            "tests": list(program.tests),
            "entry_point": program.entry_point,
            "kind": program.kind,
            "grading": program.grading,
        }
        if program.grading == "inproc":
            job["source"] = program.source
        return job

    def _register(self, is_relayed: bool) -> None:
        assert self.grader is not None
        watch = self.selector.register
        for box in self._boxes():
            watch(box.stdin, selectors.EVENT_WRITE, box.write)
            if box.launch.status is not None:
                watch(box.launch.status, selectors.EVENT_READ, box.read_status)
        speaker = self.candidate or self.grader
        if not is_relayed:
            watch(speaker.stdout, selectors.EVENT_READ, lambda: self._take_output(speaker.stdout))
            if self.candidate:
                watch(self.grader.stdout, selectors.EVENT_READ, self._take_grader_words)
            watch(
                self.verdict_reader,
                selectors.EVENT_READ,
                lambda: self._take_verdict(self.verdict_reader),
            )
            return
        assert self.grader.stderr is not None
        verdict = self.grader.stderr
        watch(verdict, selectors.EVENT_READ, lambda: self._take_verdict(verdict))
        if self.candidate is not None:
            assert self.candidate.stderr is not None
            output = self.candidate.stderr
            watch(output, selectors.EVENT_READ, lambda: self._take_output(output))
            for source, target in ((self.candidate, self.grader), (self.grader, self.candidate)):
                self._relays[source.stdout] = target
                watch(source.stdout, selectors.EVENT_READ, lambda fd=source.stdout: self._relay(fd))

    def _boxes(self) -> list[Box]:
        return [box for box in (self.candidate, self.grader) if box is not None]

    # -- pipes -----------------------------------------------------------------------------------

    def _take_output(self, fd: int) -> bool:
        data = _read(fd)
        if data is None:
            return True
        self.output_bytes += len(data)
        self.tail = (self.tail + data)[-MAX_TAIL_BYTES:]
        if self.output_bytes > self.limits.output_bytes:
            self.stopped = ("output_limit", f"more than {self.limits.output_bytes} bytes")
        return bool(data)

    def _take_grader_words(self) -> bool:
        assert self.grader is not None
        data = _read(self.grader.stdout)
        if data is None:
            return True
        self.grader_words = (self.grader_words + data)[-MAX_TAIL_BYTES:]
        return bool(data)

    def _take_verdict(self, fd: int) -> bool:
        data = _read(fd)
        if data is None:
            return True
        self._verdict_bytes += data
        while len(self._verdict_bytes) >= 4 and not self.verdict:
            end = 4 + int.from_bytes(self._verdict_bytes[:4], "big")
            if end > _MAX_VERDICT_BYTES:
                self._take_nonsense("a verdict too long")
            if len(self._verdict_bytes) < end:
                break
            try:
                self._take_frame(wire.parse(self._verdict_bytes[4:end]))
            except wire.WireError as error:
                self._take_nonsense(str(error))
            self._verdict_bytes = self._verdict_bytes[end:]
        return bool(data)

    def _take_frame(self, frame: dict[str, Any]) -> None:
        if frame == _STAGE and not self.is_confined:
            self.is_confined = True
        elif _is_verdict(frame, self.program) and (self.is_confined or frame["outcome"] == "gone"):
            self.verdict = frame
        elif not self.is_confined and isinstance(frame.get("setup"), str):
            self.verdict = {"outcome": "infra_error", "detail": frame["setup"]}
        else:
            self._take_nonsense("a verdict that is none")

    def _take_nonsense(self, detail: str) -> None:
        """What came where the verdict belongs is none: a program's doing, once one may have run, and
        before that the words of an engine that failed."""
        if self.is_confined:
            self.verdict = {"outcome": "violation", "detail": detail}
        else:
            self.grader_words = self._verdict_bytes[:MAX_TAIL_BYTES]
            self.verdict = {"outcome": "infra_error", "detail": _set_up_failure(self)}

    def _relay(self, fd: int) -> bool:
        data = _read(fd)
        if data is None:
            return True
        target = self._relays[fd]
        if not data:
            self._close_stdin(target)
            return False
        if not target.to_write:
            self.selector.register(target.stdin, selectors.EVENT_WRITE, target.write)
        target.to_write += data
        if len(target.to_write) > 2 * wire.MAX_FRAME_BYTES:
            self.stopped = ("violation", "more data than was asked for")
        return True

    def _close_stdin(self, box: Box) -> None:
        """Pass on the end of a relayed pipe: the other side then sees that its partner is gone."""
        if box.stdin in self.selector.get_map():
            self.selector.unregister(box.stdin)
        if box.process.stdin is not None:
            with contextlib.suppress(OSError):
                box.process.stdin.close()

    # -- waiting ---------------------------------------------------------------------------------

    def wait(self) -> None:
        """Move data until there is a verdict, a broken limit, or nobody left to give one."""
        started = time.monotonic()
        next_look = started + WATCH_SECONDS
        while not self.verdict and self.stopped is None:
            now = time.monotonic()
            if self.is_cancelled():
                raise Cancelled
            if now - started > self.limits.wall_seconds:
                self.stopped = ("timeout", "wall")
                return
            if now >= next_look:
                next_look = now + WATCH_SECONDS
                self._look_at_use()
            for key, _ in self.selector.select(WATCH_SECONDS):
                if key.fd in self.selector.get_map() and not key.data():
                    self.selector.unregister(key.fd)
                    if self._is_of_verdict(key.fd):
                        return

    def _is_of_verdict(self, fd: int) -> bool:
        """Was that the pipe of the verdict? At its end the grader is gone."""
        return fd == self.verdict_reader or (
            self.grader is not None and self.grader.stderr is not None and fd == self.grader.stderr
        )

    def _look_at_use(self) -> None:
        for box in self._boxes():
            box.look_at_cpu()
            whose = "grader" if box is self.grader and self.candidate else ""
            if box.memory_bytes() > self.limits.memory_bytes:
                self.stopped = ("memory_limit", whose or "all processes together")
            if box.stored_bytes() > self.limits.temporary_bytes:
                self.stopped = ("violation", "more temporary files than allowed")

    # -- ending ----------------------------------------------------------------------------------

    def close(self) -> tuple[Ending, Ending]:
        """End both sandboxes; returns how the program and the grader ended."""
        nothing = Ending(None, 0.0)
        candidate = grader = nothing
        try:
            if self.candidate is not None:
                self._drain()
                candidate = self.candidate.close()
        finally:
            if self.grader is not None:
                grader = self.grader.close()
            self.selector.close()
            if self.verdict_reader >= 0:
                os.close(self.verdict_reader)
                self.verdict_reader = -1
        return (candidate if self.candidate is not None else grader), grader

    def _drain(self) -> None:
        """Take what the program had written before its last answer: it stands in the pipe."""
        assert self.candidate is not None
        fd = self.candidate.stderr if self.candidate.launch.is_relayed else self.candidate.stdout
        for _ in range(64):
            before = self.output_bytes
            if fd is None or not self._take_output(fd) or self.output_bytes == before:
                return


def judge(
    program: Program,
    backend: SandboxBackend,
    limits: Limits,
    *,
    slot: int = 0,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run one program once; every failure of the sandbox itself is outcome "infra_error".

    Raises
    ------
    Cancelled
        ``is_cancelled`` became true; nothing is left running.
    """
    started = time.monotonic()
    trial = Trial(program, backend, limits, is_cancelled)
    problem = ""
    nothing = Ending(None, 0.0)
    endings = (nothing, nothing)
    try:
        try:
            trial.start(slot)
            trial.wait()
            _await_ending(trial)
        finally:
            endings = trial.close()
    except OSError as error:
        problem = f"{type(error).__name__}: {error}"
    ending, grader = endings
    outcome, detail = ("infra_error", problem) if problem else _classify(trial, ending, grader)
    verdict = trial.verdict
    missing = verdict.get("missing_module")
    return Outcome(
        outcome=cast(OutcomeName, outcome),
        detail=escape(detail),
        phase=verdict.get("phase", ""),
        missing_module=escape(missing, 100) if isinstance(missing, str) else None,
        calls=verdict.get("calls", 0),
        cpu_seconds=round(ending.cpu_seconds, 4),
        wall_seconds=round(time.monotonic() - started, 4),
        output_bytes=trial.output_bytes,
        output_tail=escape(trial.tail.decode("utf-8", "replace"), MAX_TAIL_BYTES),
        backend=backend.name,
        level=backend.level,
        grading=program.grading,
        program_sha256=program.sha256,
    )


def _await_ending(trial: Trial) -> None:
    """Where the program's own ending decides, let it be told before the sandbox is ended."""
    teller = trial.candidate if trial.verdict.get("outcome") == "gone" else None
    if trial.stopped is None and not trial.verdict:
        teller = trial.grader
    if teller is None:
        return
    deadline = time.monotonic() + 2.0
    while teller.code is None and time.monotonic() < deadline:
        if teller.launch.status is None:
            if teller.has_ended():
                return
        elif not teller.read_status():
            return
        time.sleep(0.002)


def _classify(trial: Trial, ending: Ending, grader: Ending) -> tuple[str, str]:
    verdict = trial.verdict
    if trial.stopped is not None:
        return _stopped(trial, trial.stopped)
    if verdict and verdict["outcome"] != "gone":
        return verdict["outcome"], str(verdict.get("detail", ""))
    if not trial.is_confined:
        return "infra_error", _set_up_failure(trial)
    cpu_limit = trial.limits.cpu_seconds
    if verdict or trial.candidate is None:
        return _classify_ending(ending, cpu_limit)
    # What the program sent was all that the grader had to do with.
    outcome, detail = _classify_ending(grader, cpu_limit + GRADER_CPU_SECONDS)
    if outcome == "early_exit":
        return "violation", f"{NO_VERDICT} ({detail})"
    return outcome, "grader"


def _stopped(trial: Trial, stopped: tuple[OutcomeName, str]) -> tuple[str, str]:
    if stopped == ("timeout", "wall") and not trial.is_confined:
        return "infra_error", f"the sandbox was not up after {trial.limits.wall_seconds:g} s"
    return stopped


def _classify_ending(ending: Ending, cpu_limit: float) -> tuple[OutcomeName, str]:
    """What the ending of a process says that no verdict was given about."""
    if ending.code is None:
        return "early_exit", "ended before the verdict"
    if ending.code == _SIGKILL and ending.cpu_seconds >= cpu_limit:
        return "timeout", "cpu"
    if ending.code > 128 and ending.code - 128 in _SIGNAL_OUTCOMES:
        return _SIGNAL_OUTCOMES[ending.code - 128]
    return "early_exit", f"ended with exit status {ending.code} before the verdict"


def _set_up_failure(trial: Trial) -> str:
    """The first line that the tool itself wrote."""
    words = (trial.tail or trial.grader_words).decode("utf-8", "replace").strip()
    lines = words.splitlines()
    # A tool says it at once; Python's traceback says it at the end.
    line = (lines[-1] if lines[0].startswith("Traceback") else lines[0]) if lines else ""
    return line or "the sandbox ended before the program was started"


def _is_verdict(frame: dict[str, Any], program: Program) -> bool:
    """Is that what a grader reports? In mode "inproc" a program may have written it, and then the
    tests cannot be to blame."""
    calls, missing = frame.get("calls"), frame.get("missing_module")
    may_be_untested = program.grading == "split"
    return (
        isinstance(frame.get("outcome"), str)
        and (
            frame["outcome"] in _VERDICTS or (frame["outcome"] == "infra_error" and may_be_untested)
        )
        and isinstance(frame.get("detail"), str)
        and frame.get("phase") in _PHASES
        and (missing is None or isinstance(missing, str))
        and type(calls) is int
        and 0 <= calls < _MAX_CALLS
    )


def _read(fd: int) -> bytes | None:
    """Bytes, nothing at the end, or None if there are none yet."""
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None


def _abandon(launch: Any) -> None:
    """Give back what a launch that will not happen holds."""
    for fd in (*launch.inherited, launch.status, launch.control):
        if fd is not None:
            os.close(fd)
    if launch.folder is not None:
        os.rmdir(launch.folder)  # noqa: PTH106
