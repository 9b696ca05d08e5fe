"""Many programs at once: a few worker threads, each driving one trial at a time.

Threads and new processes only, never a fork of this process: it may hold a model and a GPU.
"""

from __future__ import annotations

import os
import platform
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tuneval.errors import SandboxError
from tuneval.sandbox import trial
from tuneval.sandbox.backend import MAX_WORKERS, SandboxBackend
from tuneval.sandbox.box import Launch
from tuneval.sandbox.pace import cpu_factor, this_machine
from tuneval.sandbox.probe import check
from tuneval.sandbox.program import Limits, Outcome, Program, outcome_key

INFRA_RETRIES = 2
MAX_QUIET_RUNS = 50
DESCRIPTORS_PER_WORKER = 32
_BUSY_PRESSURE = 20.0

OnOutcome = Callable[[str, Outcome], None]


def run_all(
    programs: Sequence[Program],
    backend: SandboxBackend,
    limits: Limits | None = None,
    *,
    workers: int | None = None,
    known: Mapping[str, Outcome] | None = None,
    on_outcome: OnOutcome | None = None,
) -> list[Outcome]:
    """Run every program against its tests.

    Parameters
    ----------
    programs : sequence of Program
        Identical ones run once.
    backend : SandboxBackend
        From ``probe``; never replaced by a weaker one, whatever happens.
    workers : int, optional
        Programs at the same time; by default as many as this process has CPUs, at most 16.
    known : mapping of str to Outcome, optional
        Outcomes of an earlier run by ``outcome_key``; what they hold is not run again. Failures of
        the sandbox are not reused, and a timeout only on the machine that found it undisturbed.
    on_outcome : callable, optional
        Told each new outcome with its key, in this thread, as it arrives.

    Returns
    -------
    list of Outcome
        In the order of ``programs``. "infra_error" means that the sandbox itself failed three
        times; such a program counts neither as passed nor as failed.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C. All sandboxes are ended first, and outcomes that had arrived were delivered.
    """
    limits = limits or Limits()
    keys = [outcome_key(program, limits, backend.name) for program in programs]
    outcomes = {k: o for k, o in (known or {}).items() if _is_final(o)}
    wanted = {k: p for k, p in zip(keys, programs, strict=True) if k not in outcomes}
    deliver = on_outcome or (lambda key, outcome: None)
    if wanted:
        pool = _Pool(backend, limits, _worker_count(workers, len(wanted)))
        try:
            for key, outcome in pool.run(wanted):
                outcomes[key] = outcome
                deliver(key, outcome)
        finally:
            pool.stop()
    return [outcomes[key] for key in keys]


@dataclass
class Examiner:
    """``run_all`` with its settings, remembering outcomes: whoever asks again gets them at once.

    One examiner serves all metrics and variants of a run, so no program runs twice.
    """

    backend: SandboxBackend
    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    known: Mapping[str, Outcome] = field(default_factory=dict)
    on_outcome: OnOutcome | None = None

    def __post_init__(self) -> None:
        self._outcomes = {key: one for key, one in self.known.items() if _is_final(one)}

    def __call__(self, programs: Sequence[Program]) -> list[Outcome]:
        """Outcomes in the order of ``programs``; each is found out once, whatever it is."""
        keys = [outcome_key(program, self.limits, self.backend.name) for program in programs]
        pairs = zip(keys, programs, strict=True)
        run_all(
            [program for key, program in pairs if key not in self._outcomes],
            self.backend,
            self.limits,
            workers=self.workers,
            on_outcome=self._remember,
        )
        return [self._outcomes[key] for key in keys]

    def _remember(self, key: str, outcome: Outcome) -> None:
        self._outcomes[key] = outcome
        if self.on_outcome is not None:
            self.on_outcome(key, outcome)

    def signature(self) -> str:
        """What of it can change an outcome."""
        limits, backend = self.limits, self.backend
        return (
            f"sandbox:{backend.name}/{backend.level}|cpu:{limits.cpu_seconds}s"
            f"|wall:{limits.wall_seconds:g}s|memory:{limits.memory_bytes >> 20}MiB"
            f"|python:{platform.python_version()}"
        )


def _worker_count(wanted: int | None, programs: int) -> int:
    """Workers that the CPUs, the work and this process's descriptors allow."""
    count = wanted or min(16, available_cpus())
    return max(
        1, min(count, MAX_WORKERS - 1, programs, _free_descriptors() // DESCRIPTORS_PER_WORKER)
    )


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_descriptors() -> int:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        used = len(os.listdir("/dev/fd"))  # noqa: PTH208
    except OSError:
        used = 64
    return limit - used


@dataclass(frozen=True)
class _Result:
    key: str
    outcome: Outcome
    is_doubtful: bool


class _Pool:
    """Worker threads, the work they take and the outcomes they give."""

    def __init__(self, backend: SandboxBackend, limits: Limits, workers: int) -> None:
        self.backend = backend
        self.cpu_factor = cpu_factor()
        self.limits = limits.stretched(self.cpu_factor)
        self.work: queue.SimpleQueue[tuple[str, Program] | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[_Result | BaseException] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        self.threads = [
            threading.Thread(target=self._serve, args=(slot,), daemon=True)
            for slot in range(workers)
        ]

    def run(self, wanted: Mapping[str, Program]) -> Iterator[tuple[str, Outcome]]:
        """Yield (key, outcome) as they arrive; doubtful ones last, run again alone."""
        doubtful: dict[str, Outcome] = {}
        for item in wanted.items():
            self.work.put(item)
        for thread in self.threads:
            thread.start()
        for _ in range(len(wanted)):
            result = self.results.get()
            if isinstance(result, BaseException):
                raise result
            if not result.outcome.counts:
                self._stop_if_broken()
            if not result.is_doubtful:
                yield result.key, result.outcome
            elif len(doubtful) < MAX_QUIET_RUNS:
                doubtful[result.key] = result.outcome
            else:
                yield result.key, replace(result.outcome, machine="")
        for key in doubtful:
            outcome = self._judge(wanted[key], 0)
            yield key, replace(outcome, retried_quiet=True)

    def stop(self) -> None:
        """End what runs and wait for it."""
        self.cancelled.set()
        for thread in self.threads:
            if thread.ident is not None:
                self.work.put(None)
        for thread in self.threads:
            if thread.ident is not None:
                thread.join()

    def _serve(self, slot: int) -> None:
        while (item := self.work.get()) is not None and not self.cancelled.is_set():
            key, program = item
            try:
                outcome = self._judge(program, slot)
                self.results.put(_Result(key, outcome, _is_doubtful(outcome)))
            except trial.Cancelled:
                return
            except BaseException as error:  # noqa: BLE001  raised again by the thread that waits
                self.results.put(error)
                return

    def _judge(self, program: Program, slot: int) -> Outcome:
        """Run a program; a failure of the sandbox itself gets two more chances."""
        for _ in range(1 + INFRA_RETRIES):
            outcome = trial.judge(
                program,
                self.backend,
                self.limits,
                slot=slot,
                is_cancelled=self.cancelled.is_set,
            )
            if outcome.counts:
                break
        return replace(outcome, cpu_factor=self.cpu_factor, machine=this_machine())

    def _stop_if_broken(self) -> None:
        """After a failure of the sandbox itself: does it still work at all? If not, the programs that
        wait are not run: each would fail the same way, and no weaker sandbox takes over."""
        if isinstance(self.backend, _Broken):
            return
        try:
            check(self.backend)
        except SandboxError as error:
            self.backend = _Broken(self.backend, str(error))


class _Broken:
    """A backend that stopped working during the run: starts nothing any more."""

    def __init__(self, backend: SandboxBackend, reason: str) -> None:
        self.name, self.level, self.gaps = backend.name, backend.level, backend.gaps
        self.reason = reason

    def launch(self, role: str, slot: int, limits: Limits) -> Launch:
        """Refuse."""
        raise OSError(f"the sandbox stopped working during the run: {self.reason}")


def _is_doubtful(outcome: Outcome) -> bool:
    """May others have caused it? Time runs out on a busy machine, CPU time included (caches and
    cores are shared), and the system may have ended a grader to have its memory."""
    if outcome.outcome == "timeout":
        return _is_busy()
    return outcome.outcome == "violation" and outcome.detail.startswith(trial.NO_VERDICT)


def _is_final(outcome: Outcome) -> bool:
    """Would it come out the same here?"""
    is_elsewhere = outcome.outcome == "timeout" and outcome.machine != this_machine()
    return outcome.counts and not is_elsewhere


def _is_busy() -> bool:
    try:
        line = Path("/proc/pressure/cpu").read_text(encoding="ascii")
        pressure = float(line.split("avg10=")[1].split()[0])
    except (OSError, IndexError, ValueError):
        pressure = 0.0
    return pressure > _BUSY_PRESSURE or os.getloadavg()[0] > available_cpus()
